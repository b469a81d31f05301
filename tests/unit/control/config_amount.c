/* Dollars, percent and times: exact, and nothing that is not one. */
#include "config_amount.h"

#include "check.h"

static void check_money(const char *text, int64_t nano)
{
    int64_t v = 77;
    check_note("%s", text);
    CHECK(amount_parse_money(slice_str(text), &v) == NULL);
    CHECK_EQ_I64(v, nano);
}

TEST(money)
{
    check_money("0", 0);
    check_money("12", INT64_C(12000000000));
    check_money("12.5", INT64_C(12500000000));
    check_money("12.50", INT64_C(12500000000));
    check_money("$12.50", INT64_C(12500000000));
    check_money("0.1", 100000000);
    check_money("0.3", 300000000);
    check_money("0.000000001", 1);
    check_money("1.000000009", 1000000009);
    check_money("-3.25", -INT64_C(3250000000));
    check_money("-$3.25", -INT64_C(3250000000));
    check_money("4503599.627370497", INT64_C(4503599627370497)); /* above what a double tells */
    check_money("9223372036.854775807", INT64_MAX);
}

TEST(no_money)
{
    static const char *const texts[] = {
        "",
        "$",
        "$$1",
        "1$",
        ".5",
        "1.",
        "01",
        "1e3",
        "1,5",
        "1 000",
        "+1",
        "--1",
        "1.2.3",
        "0x10",
        "1.-5",
        "nan",
        "inf",
        "12,50",
        "1.0000000001",
        "9223372036.854775808",
        "9223372037",
        "99999999999999999999",
        "18446744073709551616",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int64_t v = 77;
        check_note("%s", texts[i]);
        CHECK(amount_parse_money(slice_str(texts[i]), &v) != NULL);
        CHECK_EQ_I64(v, 77);
    }
}

TEST(money_there_and_back)
{
    static const int64_t values[] = {0,
                                     1,
                                     10,
                                     999999999,
                                     1000000000,
                                     1500000000,
                                     1230000000,
                                     -1,
                                     -2500000000,
                                     INT64_MAX,
                                     INT64_C(1000000000000000000)};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct buf b;
        int64_t v = 77;
        buf_init(&b, 64);
        amount_print_money(&b, values[i]);
        CHECK(amount_parse_money(buf_view(&b), &v) == NULL);
        CHECK_EQ_I64(v, values[i]);
        buf_done(&b);
    }
}

TEST(percent)
{
    int64_t v = 0;
    CHECK(amount_parse_percent(SLICE("90%"), &v) && v == 90);
    CHECK(amount_parse_percent(SLICE("0%"), &v) && v == 0);
    CHECK(amount_parse_percent(SLICE("100"), &v) && v == 100);
    CHECK(!amount_parse_percent(SLICE("%"), &v) && !amount_parse_percent(SLICE(""), &v));
    CHECK(!amount_parse_percent(SLICE("-1"), &v) && !amount_parse_percent(SLICE("05%"), &v));
    CHECK(!amount_parse_percent(SLICE("9 %"), &v) && !amount_parse_percent(SLICE("9.5"), &v));
    CHECK(!amount_parse_percent(SLICE("99999999999999999999%"), &v));
    CHECK_EQ_I64(v, 100);
}

TEST(time)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"1970-01-02", INT64_C(86400) * 1000000000},
        {"2027-01-01", INT64_C(1798761600) * 1000000000},
        {"2027-01-01T00:00:00Z", INT64_C(1798761600) * 1000000000},
        {"2027-01-01t01:00:00+01:00", INT64_C(1798761600) * 1000000000},
        {"2026-12-31 19:00:00-05:00", INT64_C(1798761600) * 1000000000},
        {"2027-01-01T00:00:00.25z", INT64_C(1798761600250000000)},
        {"2027-01-01T00:00:00.1234567891Z", INT64_C(1798761600123456789)},
        {"2028-02-29", INT64_C(1835395200) * 1000000000},
    };
    static const char *const wrong[] = {
        "",
        "2027",
        "2027-1-1",
        "2027-13-01",
        "2027-00-01",
        "2027-02-29",
        "2027-04-31",
        "1969-12-31",
        "2262-01-01",
        "2027-01-01T",
        "2027-01-01T10:00:00",
        "2027-01-01T10:00Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T10:60:00Z",
        "2027-01-01T10:00:60Z",
        "2027-01-01T10:00:00.Z",
        "2027-01-01T10:00:00+1",
        "2027-01-01T10:00:00+24:00",
        "2027-01-01T10:00:00Zx",
        "2027-01-01x",
        "20270101",
        "1970-01-01",
    };
    int64_t v = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].text);
        CHECK(amount_parse_time(slice_str(rows[i].text), &v));
        CHECK_EQ_I64(v, rows[i].ns);
    }
    v = 77;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        check_note("%s", wrong[i]);
        CHECK(!amount_parse_time(slice_str(wrong[i]), &v));
        CHECK_EQ_I64(v, 77);
    }
}

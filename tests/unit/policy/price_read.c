/* Tables of prices as they are kept in a file: what is read, and what is refused where. */
#include "check.h"
#include "policy/price.h"
#include "price_number.h"
#include "price_table.h"

#define HEAD "{\"format\":\"weir-prices\",\"version\":1,\"date\":\"2026-10-01\",\"providers\":["
#define ONE(model)                                                                                 \
    HEAD "{\"name\":\"openai\",\"models\":[{\"id\":\"m\",\"names\":[\"m\"]," model "}]}]}"

static struct price_book *read_book(const char *text)
{
    struct buf why;
    buf_init(&why, 1000);
    struct price_book *b = price_book_with(slice_str(text), &why);
    if (b == NULL)
        check_fail(CHECK_AT("price_book_with"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    return b;
}

TEST(numbers_are_exact)
{
    static const struct {
        const char *text;
        int scale;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"0", 9, 0},
        {"2.5", 9, 2500000000},
        {"0.075", 9, 75000000},
        {"8e-05", 9, 80000},
        {"1.5E+2", 9, 150000000000},
        {"0.0000000005", 9, 1},
        {"0.00000000049", 9, 0},
        {"5e-10", 9, 1},
        {"5e-11", 9, 0},
        {"1e-300", 9, 0},
        {"0e300", 9, 0},
        {"0.000", 9, 0},
        {"1.9999999995", 9, 2000000000},
        {"123456789", 0, 123456789},
        {"-1", 9, -1},
        {"1e300", 9, -1},
        {"99999999999999999999", 9, -1},
        {"1e99999999999", 9, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = 0;
        check_note("%s", rows[i].text);
        bool ok = price_number(slice_str(rows[i].text), rows[i].scale, &got);
        CHECK(ok == (rows[i].want >= 0));
        if (ok)
            CHECK_EQ_I64(got, rows[i].want);
    }
}

TEST(days)
{
    int32_t day;
    CHECK(price_read_day(SLICE("1970-01-01"), &day));
    CHECK_EQ_I64(day, 0);
    CHECK(price_read_day(SLICE("2000-03-01"), &day));
    CHECK_EQ_I64(day, 11017);
    CHECK(price_read_day(SLICE("2024-02-29"), &day));
    CHECK_EQ_I64(day, 19782);
    static const char *const wrong[] = {"2023-02-29", "2026-13-01", "2026-00-10", "2026-1-1",
                                        "2026-04-31", "26-01-01",   "2026/01/01", "1969-12-31",
                                        "",           "2026-01-00", "2100-02-29"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        check_note("%s", wrong[i]);
        CHECK(!price_read_day(slice_str(wrong[i]), &day));
    }
}

TEST(a_newer_table_goes_before)
{
    struct price_book *b = read_book(
        HEAD "{\"name\":\"openai\",\"types\":[\"openai\",\"vllm\"],\"fallback\":[\"other\"],"
             "\"models\":[{\"id\":\"gpt-4o\",\"names\":[\"GPT-4o\"],\"rates\":{\"input\":7}},"
             "{\"id\":\"lost\",\"names\":[\"gpt-4o-mini\"]},"
             "{\"id\":\"p\",\"patterns\":[\"p-*\"],\"except\":[\"*-no\"],\"rates\":{\"output\":1}},"
             "{\"id\":\"q\",\"patterns\":[\"p-*\"],\"rates\":{\"output\":2}}]},"
             "{\"name\":\"other\",\"types\":[],\"models\":[{\"id\":\"o\",\"names\":[\"o\"],"
             "\"rates\":{\"request\":1.5}}]}]}");
    const struct price *p = price_find(b, SLICE("openai"), SLICE("gpt-4o"));
    CHECK(p != NULL);
    CHECK_EQ_I64(p->tier[0].rate[PRICE_INPUT], 7 * PRICE_PER_DOLLAR);
    CHECK_EQ_I64(p->tier[0].rate[PRICE_OUTPUT], PRICE_UNKNOWN);
    CHECK(price_find(b, SLICE("vllm"), SLICE("gpt-4o")) == p);
    CHECK(price_find(b, SLICE("openai"), SLICE("gpt-4o-mini")) == NULL); /* said to be unknown */
    CHECK(price_find(b, SLICE("vllm"), SLICE("gpt-4-turbo")) == NULL);
    CHECK(price_find(b, SLICE("openai"), SLICE("gpt-4-turbo")) != NULL); /* the built-in one */
    p = price_find(b, SLICE("openai"), SLICE("p-1"));
    CHECK_EQ_I64(p->tier[0].rate[PRICE_OUTPUT], PRICE_PER_DOLLAR);
    p = price_find(b, SLICE("openai"), SLICE("p-no"));
    CHECK_EQ_I64(p->tier[0].rate[PRICE_OUTPUT], 2 * PRICE_PER_DOLLAR);
    p = price_find(b, SLICE("openai"), SLICE("o"));
    CHECK_EQ_I64(p->tier[0].rate[PRICE_REQUEST], PRICE_PER_DOLLAR * 3 / 2);
    CHECK(price_find(b, SLICE("other"), SLICE("o")) == NULL);
    CHECK_EQ_LIT(price_book_date(b), "2026-10-01");
    price_book_unref(b);
}

TEST(contexts)
{
    struct price_book *b =
        read_book(HEAD "{\"name\":\"openai\",\"fallback\":[\"other\"],\"models\":["
                       "{\"id\":\"m\",\"names\":[\"m\"],\"context\":1},"
                       "{\"id\":\"gpt-4\",\"names\":[\"gpt-4\"],\"context\":1000000000},"
                       "{\"id\":\"gpt-4o\",\"names\":[\"gpt-4o\"],\"rates\":{\"input\":1}}]},"
                       "{\"name\":\"other\",\"models\":[{\"id\":\"o\",\"patterns\":[\"o-*\"],"
                       "\"context\":7}]}]}");
    CHECK_EQ_I64(price_context(b, SLICE("openai"), SLICE("M")), 1);
    CHECK(price_find(b, SLICE("openai"), SLICE("m")) == NULL);
    CHECK_EQ_I64(price_context(b, SLICE("openai"), SLICE("gpt-4")), 1000000000);
    CHECK_EQ_I64(price_context(b, SLICE("openai"), SLICE("gpt-4o")), 128000); /* built in */
    CHECK_EQ_I64(price_context(b, SLICE("openai"), SLICE("o-1")), 7);
    CHECK_EQ_I64(price_context(b, SLICE("openai"), SLICE("nobody's")), 0);
    price_book_unref(b);
}

static void check_abilities(const struct price_book *b, const char *model, unsigned can,
                            unsigned cannot)
{
    struct price_abilities a = price_abilities(b, SLICE("openai"), slice_str(model));
    check_note("%s", model);
    CHECK_EQ_U64(a.can, can);
    CHECK_EQ_U64(a.cannot, cannot);
}

/* Of each ability what the newest table says that says something of it. */
TEST(abilities)
{
    struct price_book *b = read_book(
        HEAD "{\"name\":\"openai\",\"models\":["
             "{\"id\":\"m\",\"names\":[\"m\"],\"supports\":{\"schema\":true,\"tools\":false}},"
             "{\"id\":\"n\",\"names\":[\"n\"],\"supports\":{}},"
             "{\"id\":\"gpt-4o\",\"names\":[\"gpt-4o\"],\"supports\":{\"images\":false}},"
             "{\"id\":\"o3-mini\",\"names\":[\"o3-mini\"],\"rates\":{\"input\":1}}]}]}");
    check_abilities(b, "M", LLM_NEEDS_SCHEMA, LLM_NEEDS_TOOLS);
    check_abilities(b, "n", 0, 0);
    check_abilities(b, "gpt-4o", LLM_NEEDS_TOOLS | LLM_NEEDS_SCHEMA, LLM_NEEDS_IMAGES);
    check_abilities(b, "o3-mini", LLM_NEEDS_TOOLS | LLM_NEEDS_SCHEMA, LLM_NEEDS_IMAGES);
    check_abilities(b, "gpt-4o-mini", LLM_NEEDS_TOOLS | LLM_NEEDS_IMAGES | LLM_NEEDS_SCHEMA, 0);
    check_abilities(b, "nobody's", 0, 0);
    price_book_unref(b);
}

TEST(tiers_windows_and_changes)
{
    struct price_book *b = read_book(
        ONE("\"rates\":{\"input\":1},\"above\":[{\"tokens\":100,\"input\":2},{\"tokens\":200,"
            "\"input\":3}],\"windows\":[{\"from\":\"23:00:00\",\"to\":\"01:30:05\",\"rates\":{"
            "\"input\":4},\"above\":[{\"tokens\":50,\"input\":5}]}],\"later\":["
            "{\"from\":\"2999-01-01\",\"rates\":{\"input\":9}}]"));
    const struct price *p = price_find(b, SLICE("openai"), SLICE("m"));
    CHECK_EQ_U64(p->tiers_n, 3);
    CHECK_EQ_I64(p->tier[2].from_tokens, 201);
    CHECK_EQ_U64(p->windows_n, 1);
    CHECK_EQ_U64(p->window[0].from_s, 82800);
    CHECK_EQ_U64(p->window[0].to_s, 5405);
    struct llm_usage u = {.input = 51, .output = -1, .cached = -1, .cache_write = -1};
    CHECK_EQ_I64(price_cost(p, &u, 0), 51 * 5000);
    CHECK_EQ_I64(price_cost(p, &u, 5405), 51 * 1000);
    price_book_unref(b);
    b = read_book(ONE("\"rates\":{\"input\":1},\"later\":[{\"from\":\"2001-01-01\",\"rates\":{"
                      "\"input\":2}},{\"from\":\"2002-01-01\",\"rates\":{\"input\":3}},"
                      "{\"from\":\"2999-01-01\"}]"));
    p = price_find(b, SLICE("openai"), SLICE("m"));
    CHECK_EQ_I64(p->tier[0].rate[PRICE_INPUT], 3 * PRICE_PER_DOLLAR);
    price_book_unref(b);
    b = read_book(ONE("\"rates\":{\"input\":1},\"later\":[{\"from\":\"2001-01-01\"}]"));
    CHECK(price_find(b, SLICE("openai"), SLICE("m")) == NULL);
    price_book_unref(b);
}

TEST(what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "1:1: empty text"},
        {"[]", "1:1: prices: object expected, not array"},
        {"{}", "1:1: this is no table of prices: `format` is not \"weir-prices\""},
        {"{\"format\":\"weir-prices\",\n\"version\":2}",
         "2:11: `version` is not 1: this Weir does not know the format"},
        {"{\"format\":\"weir-prices\",\"version\":1,\"date\":\"yesterday\"}",
         "1:44: `date` has to be a day such as \"2026-10-01\""},
        {HEAD "],\"x\":1}", "1:72: prices: `x` is unknown"},
        {ONE("\"rates\":{\n\"input\":-1}"), "2:9: input: a rate cannot be negative"},
        {ONE("\"rates\":{\n\"input\":100000.01}"),
         "2:9: input: no provider asks that much; rates are dollars per million"},
        {ONE("\"rates\":{\n\"input\":1e400}"),
         "2:9: input: no provider asks that much; rates are dollars per million"},
        {ONE("\"rates\":{\n\"input\":\"1\"}"), "2:9: input: number expected, not string"},
        {ONE("\"rates\":{\n\"inputs\":1}"), "2:1: rates: `inputs` is unknown"},
        {ONE("\"rates\":{\"input\":1,\n\"input\":1}"), "2:1: rates: a member stands here twice"},
        {ONE("\n\"rates\":{}"),
         "2:9: rates: there are none; leave `rates` out for a model whose price is unknown"},
        {ONE("\n\"above\":[]"), "2:9: without `rates` there is nothing to go by"},
        {ONE("\"rates\":{\"input\":1},\"above\":[\n{\"tokens\":0,\"input\":1}]"),
         "2:11: tokens: a whole number of at least 1 expected"},
        {ONE("\"rates\":{\"input\":1},\"above\":[{\"tokens\":9,\"input\":1},\n{\"tokens\":9,"
             "\"input\":1}]"),
         "2:1: above: `tokens` has to grow from one to the next"},
        {ONE("\"rates\":{\"input\":1},\"windows\":[\n{\"from\":\"24:00:00\",\"to\":\"01:00:00\","
             "\"rates\":{\"input\":1}}]"),
         "2:9: a time of day (UTC) such as \"16:30:00\" expected"},
        {ONE("\"rates\":{\"input\":1},\"windows\":[\n{\"from\":\"01:00:00\",\"to\":\"01:00:00\","
             "\"rates\":{\"input\":1}}]"),
         "2:1: windows: `from` and `to` are the same"},
        {ONE("\"later\":[{\"from\":\"2027-01-01\"},\n{\"from\":\"2027-01-01\"}]"),
         "2:9: later: days have to follow each other"},
        {ONE("\n\"price\":1"), "2:1: model: `price` is unknown"},
        {ONE("\n\"context\":0"), "2:11: context: a whole number of 1 to 1000000000 expected"},
        {ONE("\n\"context\":1000000001"),
         "2:11: context: a whole number of 1 to 1000000000 expected"},
        {ONE("\n\"context\":\"8k\""), "2:11: context: a whole number of 1 to 1000000000 expected"},
        {ONE("\"context\":8,\n\"context\":8"), "2:1: model: a member stands here twice"},
        {ONE("\n\"supports\":[\"tools\"]"), "2:12: supports: object expected, not array"},
        {ONE("\"supports\":{\"tools\":true,\n\"vision\":true}"),
         "2:1: supports: `vision` is unknown"},
        {ONE("\"supports\":{\n\"tools\":1}"), "2:9: supports: true or false expected"},
        {ONE("\"supports\":{\n\"tools\":true,\"tools\":true}"),
         "2:14: supports: a member stands here twice"},
        {ONE("\"patterns\":[\n\"\"]"), "2:1: patterns: a text of 1 to 100 bytes expected"},
        {HEAD "{\"name\":\"a\",\"models\":[\n{}]}]}", "2:1: model: `id` is missing"},
        {HEAD "\n{\"name\":\"a\",\"models\":[{\"id\":\"x\",\"names\":[\"n\",\"N\"]}]}]}",
         "2:1: the name \"n\" stands here twice"},
        {HEAD "{\"name\":\"a\",\"models\":[]},{\"name\":\n\"a\",\"models\":[]}]}",
         "2:1: this provider stands here twice"},
        {HEAD "{\"name\":\"a\",\"models\":[]},{\"name\":\"b\",\"types\":[\n\"a\"],\"models\":[]}]}",
         "2:1: another provider has this type already"},
        {HEAD "{\"name\":\"a\",\"fallback\":[\n\"b\"],\"models\":[]}]}",
         "2:1: fallback: there is no such provider"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf why;
        buf_init(&why, 1000);
        check_note("%s", rows[i].text);
        CHECK(price_book_with(slice_str(rows[i].text), &why) == NULL);
        CHECK_EQ_SLICE(buf_view(&why), slice_str(rows[i].why));
        buf_done(&why);
    }
}

static void read_and_free(void *arg)
{
    struct buf why;
    buf_init(&why, 1000);
    price_book_unref(price_book_with(slice_str(arg), &why));
    buf_done(&why);
}

TEST(no_memory)
{
    static char text[] = HEAD
        "{\"name\":\"openai\",\"fallback\":[\"b\"],\"models\":[{\"id\":\"m\",\"names\":[\"m\","
        "\"\\u0061\"],"
        "\"patterns\":[\"p*\"],\"rates\":{\"input\":1},\"windows\":[{\"from\":\"01:00:00\",\"to\":"
        "\"02:00:00\",\"rates\":{\"input\":2}}],\"later\":[{\"from\":\"2999-01-01\"}]}]},"
        "{\"name\":\"b\",\"models\":[]}]}";
    check_needs_torture();
    CHECK(check_torture(read_and_free, text) > 10);
}

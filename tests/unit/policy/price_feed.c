/* Public price data in Weir's format: rules for names, tiers, conditions, and what is left out. The
 * JSON here has ' for ". */
#include "policy/price_feed.h"

#include "check.h"
#include "policy/price.h"

#define OPENAI(models)           "[{'id':'openai','models':[" models "]}]"
#define MODEL(id, match, prices) "{'id':'" id "','match':{" match "},'prices':" prices "}"
#define RATE(n)                  "{'input_mtok':" n "}"

static struct price_feed_result result;

static bool convert(const char *data, struct buf *out, struct buf *why)
{
    struct buf text;
    buf_init(&text, (size_t)1 << 16);
    for (const char *p = data; *p != '\0'; p++)
        buf_char(&text, *p == '\'' ? '"' : *p);
    bool ok = price_feed_convert(buf_view(&text), SLICE("2026-11-21"), out, &result, why);
    buf_done(&text);
    return ok;
}

static struct price_book *book_of(const char *data)
{
    struct buf out, why;
    struct price_book *b = NULL;
    buf_init(&out, (size_t)1 << 20);
    buf_init(&why, 1000);
    if (convert(data, &out, &why))
        b = price_book_with(buf_view(&out), &why);
    if (b == NULL)
        check_fail(CHECK_AT("convert"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    buf_done(&out);
    buf_done(&why);
    return b;
}

/* The input rate in dollars, -1: not known. */
static int64_t rate_at(const struct price_book *b, const char *type, const char *model)
{
    const struct price *p = price_find(b, slice_str(type), slice_str(model));
    return p != NULL ? p->tier[0].rate[PRICE_INPUT] / PRICE_PER_DOLLAR : -1;
}

#define NO_TTS "{'regex':'^(?!.*-[tT][tT][sS](?:$|-))'}"

static const char rules[] = OPENAI(
    /* clang-format off */
    MODEL("a", "'equals':'A'", RATE("1")) ","
    MODEL("b", "'or':[{'starts_with':'b-'},{'ends_with':'-b'}]", RATE("2")) ","
    MODEL("c", "'contains':'mid'", RATE("3")) ","
    MODEL("d", "'regex':'^d\\\\.1-\\\\d{4}-\\\\d{2}$'", RATE("4")) ","
    MODEL("e", "'regex':'^e-\\\\d'", RATE("5")) ","
    MODEL("f", "'and':[{'starts_with':'f'}," NO_TTS "]", RATE("6"))
    /* clang-format on */
);

TEST(feed_rules)
{
    static const struct {
        const char *name;
        int64_t rate;
    } rows[] = {
        {"a", 1},        {"A", 1},     {"aa", -1},         {"b-x", 2},           {"x-b", 2},
        {"xmidx", 3},    {"b-mid", 2}, {"d.1-2026-01", 4}, {"dx1-2026-01", -1},  {"e-1x", 5},
        {"e-x", -1},     {"f-pro", 6}, {"f-tts", -1},      {"d.1-2026-011", -1}, {"f-ttsx", 6},
        {"f-TTS-x", -1},
    };
    struct price_book *b = book_of(rules);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].name);
        CHECK_EQ_I64(rate_at(b, "openai", rows[i].name), rows[i].rate);
    }
    CHECK_EQ_U64(result.models, 6);
    CHECK_EQ_U64(result.rules, 0);
    price_book_unref(b);
}

static const char order[] = OPENAI(
    /* clang-format off */
    MODEL("one", "'starts_with':'gpt-'", RATE("1")) ","
    MODEL("two", "'or':[{'equals':'gpt-4'},{'equals':'x'}]", RATE("2")) ","
    MODEL("three", "'equals':'X'", RATE("3"))
    /* clang-format on */
);

/* The first model in order has a name, although exact names are looked up first. */
TEST(feed_order)
{
    struct price_book *b = book_of(order);
    CHECK_EQ_I64(rate_at(b, "openai", "gpt-4"), 1);
    CHECK_EQ_I64(rate_at(b, "openai", "x"), 2);
    CHECK_EQ_I64(rate_at(b, "openai", "three"), -1); /* an id is no name */
    price_book_unref(b);
}

static const char strange[] = OPENAI(
    /* clang-format off */
    MODEL("one", "'or':[{'regex':'^a(b|c)$'},{'equals':'a'}]", RATE("1")) ","
    MODEL("two", "'and':[{'contains':'p'},{'contains':'q'}]", RATE("2")) ","
    MODEL("three", "'soundex':'s'", RATE("3")) ","
    MODEL("four", "'equals':'four'", "{'audio_hours':1}") ","
    MODEL("five", "'equals':'five'", "'free'") ","
    MODEL("six", "'equals':'six'", "[{'constraint':{'moon':1},'prices':" RATE("1") "}]")
    /* clang-format on */
);

TEST(feed_leaves_out_what_it_does_not_know)
{
    struct price_book *b = book_of(strange);
    CHECK_EQ_I64(rate_at(b, "openai", "a"), 1);
    CHECK_EQ_I64(rate_at(b, "openai", "pq"), -1);
    CHECK_EQ_I64(rate_at(b, "openai", "four"), -1);
    CHECK_EQ_I64(rate_at(b, "openai", "five"), -1);
    CHECK_EQ_I64(rate_at(b, "openai", "six"), -1);
    CHECK_EQ_U64(result.rules, 3);
    CHECK_EQ_U64(result.prices, 2);
    price_book_unref(b);
}

static const char tiers[] =
    OPENAI(MODEL("m", "'equals':'m'",
                 "{'input_mtok':{'base':1.25,'tiers':[{'start':200000,'price':2.5}]},"
                 "'cache_read_mtok':{'base':0.1,'tiers':[{'start':100000,'price':0.2}]},"
                 "'output_mtok':10,'requests_kcount':5}"));

TEST(feed_tiers)
{
    struct price_book *b = book_of(tiers);
    const struct price *p = price_find(b, SLICE("openai"), SLICE("m"));
    CHECK_EQ_U64(p->tiers_n, 3);
    CHECK_EQ_I64(p->tier[1].from_tokens, 100001);
    CHECK_EQ_I64(p->tier[1].rate[PRICE_INPUT], 1250000000);
    CHECK_EQ_I64(p->tier[1].rate[PRICE_CACHED], 200000000);
    CHECK_EQ_I64(p->tier[2].from_tokens, 200001);
    CHECK_EQ_I64(p->tier[2].rate[PRICE_INPUT], 2500000000);
    CHECK_EQ_I64(p->tier[2].rate[PRICE_CACHED], 200000000);
    CHECK_EQ_I64(p->tier[2].rate[PRICE_OUTPUT], 10 * PRICE_PER_DOLLAR);
    CHECK_EQ_I64(p->tier[0].rate[PRICE_REQUEST], 5000 * PRICE_PER_DOLLAR);
    price_book_unref(b);
}

#define WINDOW(id, tokens)                                                                         \
    "{'id':'" id "','match':{'equals':'" id "'},'context_window':" tokens ",'prices':" RATE("1") "}"

static const char contexts[] = OPENAI(
    /* clang-format off */
    WINDOW("a", "128000") ","
    WINDOW("b", "null") ","
    WINDOW("c", "0") ","
    WINDOW("d", "-5") ","
    WINDOW("e", "1e12") ","
    WINDOW("f", "'large'") ","
    MODEL("g", "'equals':'g'", "'free'") ","
    "{'id':'h','match':{'equals':'h'},'context_window':9,'prices':'free'}"
    /* clang-format on */
);

TEST(feed_contexts)
{
    static const struct {
        const char *name;
        int64_t context;
    } rows[] = {{"a", 128000}, {"b", 0}, {"c", 0}, {"d", 0},
                {"e", 0},      {"f", 0}, {"g", 0}, {"h", 9}};
    struct price_book *b = book_of(contexts);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].name);
        CHECK_EQ_I64(price_context(b, SLICE("openai"), slice_str(rows[i].name)), rows[i].context);
        CHECK_EQ_I64(rate_at(b, "openai", rows[i].name), rows[i].name[0] < 'g' ? 1 : -1);
    }
    price_book_unref(b);
}

#define WHEN(constraint, n) "{'constraint':{" constraint "},'prices':" RATE(n) "}"

static const char conditions[] = OPENAI(MODEL(
    "m", "'equals':'m'",
    "[{'prices':" RATE("1") "}," WHEN(
        "'start_time':'05:00:00Z','end_time':'06:00:00Z'",
        "2") "," WHEN("'start_date':'2026-11-21'",
                      "3") "," WHEN("'start_time':'23:30:00+08:00','end_time':'00:30:00+08:00',"
                                    "'type':'time_of_date'",
                                    "4") "," WHEN("'start_date':'2999-01-01'", "5") "]"));

TEST(feed_conditions)
{
    struct price_book *b = book_of(conditions);
    const struct price *p = price_find(b, SLICE("openai"), SLICE("m"));
    CHECK(p != NULL);
    CHECK_EQ_I64(p->tier[0].rate[PRICE_INPUT], 3 * PRICE_PER_DOLLAR);
    CHECK_EQ_U64(p->windows_n, 1); /* the one before the new base is over */
    CHECK_EQ_U64(p->window[0].from_s, 15 * 3600 + 1800);
    CHECK_EQ_U64(p->window[0].to_s, 16 * 3600 + 1800);
    CHECK_EQ_U64(result.prices, 0);
    price_book_unref(b);
}

static const char several[] = "[{'id':'huggingface_groq','models':[" MODEL(
    "o/m", "'equals':'o/m'",
    RATE("1")) "]},"
               "{'id':'huggingface_together','models':[" MODEL(
                   "o/m", "'starts_with':'o/'",
                   RATE("2")) "]},"
                              "{'id':'openrouter','models':[" MODEL(
                                  "x:free", "'equals':'x:free'",
                                  "{}") "," MODEL("y", "'equals':'y'",
                                                  "{}") "]},"
                                                        "{'id':'azure','models':[]},{'id':'unheard-"
                                                        "of','models':[1]}]";

TEST(feed_routed_and_free)
{
    struct price_book *b = book_of(several);
    CHECK_EQ_I64(rate_at(b, "huggingface", "o/m:groq"), 1);
    CHECK_EQ_I64(rate_at(b, "huggingface", "O/m:together"), 2);
    CHECK_EQ_I64(rate_at(b, "huggingface", "o/m"), -1);
    CHECK_EQ_I64(rate_at(b, "openrouter", "x:free"), 0);
    CHECK_EQ_I64(rate_at(b, "openrouter", "y"), -1);
    price_book_unref(b);
}

TEST(feed_that_is_wrong)
{
    static const struct {
        const char *data, *why;
    } rows[] = {
        {"{}", "1:1: this is neither Weir's table of prices nor a list of providers"},
        {"[]", "1:1: there is no provider in it that Weir knows"},
        {"[\n1]", "2:1: a provider has to be an object"},
        {"[", "1:2: invalid syntax"},
        {OPENAI("\n{}"), "2:1: a model needs an `id` of 1 to 200 bytes"},
        {OPENAI("\n{'id':'a\\u007f'}"), "2:1: a model needs an `id` of 1 to 200 bytes"},
        {OPENAI("{'id':'m','prices':{\n'input_mtok':-1}}"),
         "2:14: this is no rate that a provider asks"},
        {OPENAI("{'id':'m','prices':{\n'input_mtok':1e9}}"),
         "2:14: this is no rate that a provider asks"},
        {OPENAI("{'id':'m','prices':{\n'input_mtok':'1'}}"),
         "2:14: a rate has to be a number, or a base with tiers"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out, why;
        buf_init(&out, 1 << 16);
        buf_init(&why, 1000);
        check_note("%s", rows[i].data);
        CHECK(!convert(rows[i].data, &out, &why));
        CHECK_EQ_SLICE(buf_view(&why), slice_str(rows[i].why));
        buf_done(&out);
        buf_done(&why);
    }
}

static void convert_and_free(void *arg)
{
    struct buf out, why;
    buf_init(&out, 1 << 16);
    buf_init(&why, 1000);
    bool ok = convert(arg, &out, &why);
    CHECK(ok || why.n > 0 || why.failed);
    buf_done(&out);
    buf_done(&why);
}

TEST(feed_without_memory)
{
    static char data[] =
        OPENAI(MODEL("m", "'or':[{'equals':'m'},{'regex':'^m\\\\.1-\\\\d{8}$'}]",
                     "[{'prices':{'input_mtok':{'base':1,'tiers':[{'start':5,'price':2}]}}},"
                     "{'constraint':{'start_date':'2999-01-01'},'prices':{}}]"));
    check_needs_torture();
    CHECK(check_torture(convert_and_free, data) > 4);
}

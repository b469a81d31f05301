/* What answers cost, and which price and context a model has in the built-in table. */
#include "policy/price.h"

#include "check.h"
#include "price_table.h"

#define DOLLAR PRICE_PER_DOLLAR

static const struct price simple = {
    .tiers_n = 1,
    .tier = {{0, {3 * DOLLAR, 15 * DOLLAR, DOLLAR * 3 / 10, DOLLAR * 15 / 4, PRICE_UNKNOWN}}},
};

static int64_t cost(const struct price *p, int64_t input, int64_t output, int64_t cached,
                    int64_t write)
{
    struct llm_usage u = {
        .input = input, .output = output, .cached = cached, .cache_write = write, .reasoning = 5};
    return price_cost(p, &u, 0);
}

TEST(cost_of_plain_tokens)
{
    CHECK_EQ_I64(cost(&simple, 1000000, 0, 0, 0), 3 * DOLLAR);
    CHECK_EQ_I64(cost(&simple, 1000000, 1000000, 0, 0), 18 * DOLLAR);
    CHECK_EQ_I64(cost(&simple, 1000, 100, -1, -1), 3000000 + 1500000);
    CHECK_EQ_I64(cost(&simple, 0, 0, 0, 0), 0);
    CHECK_EQ_I64(cost(&simple, -1, -1, -1, -1), 0);
    CHECK_EQ_I64(cost(&price_free, 1000000, 1000000, 5, 5), 0);
}

TEST(cached_is_part_of_input)
{
    CHECK_EQ_I64(cost(&simple, 1000000, 0, 1000000, 0), DOLLAR * 3 / 10);
    CHECK_EQ_I64(cost(&simple, 1000000, 0, 0, 1000000), DOLLAR * 15 / 4);
    CHECK_EQ_I64(cost(&simple, 1000000, 0, 400000, 100000),
                 500000 * 3000 + 400000 * 300 + 100000 * 3750);
    /* More than there is counts once. */
    CHECK_EQ_I64(cost(&simple, 1000, 0, 5000, 0), 1000 * 300);
    CHECK_EQ_I64(cost(&simple, 1000, 0, 600, 5000), 600 * 300 + 400 * 3750);
    CHECK_EQ_I64(cost(&simple, -1, 0, 600, 600), 0);
}

TEST(cached_without_a_rate_is_input)
{
    struct price p = simple;
    p.tier[0].rate[PRICE_CACHED] = p.tier[0].rate[PRICE_CACHE_WRITE] = PRICE_UNKNOWN;
    CHECK_EQ_I64(cost(&p, 1000, 0, 500, 300), 1000 * 3000);
    p.tier[0].rate[PRICE_CACHED] = 0;
    CHECK_EQ_I64(cost(&p, 1000, 0, 500, 300), 500 * 3000);
}

TEST(rounds_half_up_once)
{
    struct price p = {.tiers_n = 1, .tier = {{0, {500000, 499999, -1, -1, -1}}}};
    CHECK_EQ_I64(cost(&p, 1, 0, 0, 0), 1); /* 0.5 */
    CHECK_EQ_I64(cost(&p, 0, 1, 0, 0), 0); /* 0.499999 */
    CHECK_EQ_I64(cost(&p, 1, 1, 0, 0), 1); /* 0.999999, not 0.5 and 0.499999 apart */
    CHECK_EQ_I64(cost(&p, 2, 1, 0, 0), 1);
    CHECK_EQ_I64(cost(&p, 3, 0, 0, 0), 2);
}

TEST(a_request_has_its_price)
{
    struct price p = simple;
    p.tier[0].rate[PRICE_REQUEST] = 5000 * DOLLAR; /* half a cent */
    CHECK_EQ_I64(cost(&p, 0, 0, 0, 0), DOLLAR / 200);
    CHECK_EQ_I64(cost(&p, 1000000, 0, 0, 0), 3 * DOLLAR + DOLLAR / 200);
}

TEST(the_whole_request_is_at_the_rate_of_its_tier)
{
    struct price p = {.tiers_n = 3,
                      .tier = {{0, {1000000, 2000000, -1, -1, -1}},
                               {200001, {2000000, 3000000, -1, -1, -1}},
                               {500001, {5000000, 9000000, -1, -1, -1}}}};
    CHECK_EQ_I64(cost(&p, 200000, 10, 0, 0), 200000 + 20);
    CHECK_EQ_I64(cost(&p, 200001, 10, 0, 0), 400002 + 30);
    CHECK_EQ_I64(cost(&p, 200001, 10, 200000, 0), 400002 + 30);
    CHECK_EQ_I64(cost(&p, 500000, 0, 0, 0), 1000000);
    CHECK_EQ_I64(cost(&p, 500001, 0, 0, 0), 2500005);
    CHECK_EQ_I64(cost(&p, 0, 600000, 0, 0), 1200000); /* output makes no tier */
}

TEST(windows_of_utc)
{
    static const struct price_window windows[] = {
        {.from_s = 3600, .to_s = 7200, .tiers_n = 1, .tier = {{0, {2000000, -1, -1, -1, -1}}}},
        {.from_s = 82800, .to_s = 1800, .tiers_n = 1, .tier = {{0, {3000000, -1, -1, -1, -1}}}},
        {.from_s = 0, .to_s = 5000, .tiers_n = 1, .tier = {{0, {4000000, -1, -1, -1, -1}}}},
    };
    struct price p = {
        .tiers_n = 1, .tier = {{0, {1000000, -1, -1, -1, -1}}}, .windows_n = 3, .window = windows};
    static const struct {
        int64_t second, cost;
    } rows[] = {
        {0, 3},    {1799, 3}, {1800, 4},  {3599, 4},  {3600, 2},  {4999, 2},
        {7199, 2}, {7200, 1}, {82799, 1}, {82800, 3}, {86399, 3},
    };
    struct llm_usage u = {.input = 1, .output = 0, .cached = -1, .cache_write = -1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("second %lld", (long long)rows[i].second);
        CHECK_EQ_I64(price_cost(&p, &u, rows[i].second), rows[i].cost);
        CHECK_EQ_I64(price_cost(&p, &u, rows[i].second + 20000 * INT64_C(86400)), rows[i].cost);
        CHECK_EQ_I64(price_cost(&p, &u, rows[i].second - 3 * INT64_C(86400)), rows[i].cost);
    }
}

TEST(cost_saturates)
{
    struct price p = {.tiers_n = 1};
    for (unsigned i = 0; i < PRICE_ITEMS_N; i++)
        p.tier[0].rate[i] = INT64_MAX;
    CHECK_EQ_I64(cost(&p, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX), INT64_C(1) << 53);
    CHECK_EQ_I64(cost(&p, INT64_MAX, INT64_MAX, 1, 1), INT64_C(1) << 53);
    CHECK_EQ_I64(cost(&simple, INT64_C(1) << 41, 0, 0, 0), (INT64_C(1) << 41) * 3000);
    CHECK_EQ_I64(cost(&simple, 0, INT64_C(1) << 50, 0, 0), INT64_C(1) << 53);
}

TEST(patterns)
{
    static const struct {
        const char *pattern, *name;
        bool fits;
    } rows[] = {
        {"gpt-4o*", "gpt-4o", true},
        {"gpt-4o*", "gpt-4o-mini", true},
        {"gpt-4o*", "xgpt-4o", false},
        {"*claude-3*", "us.claude-3-x", true},
        {"*claude-3*", "claude-4", false},
        {"*-tts", "gemini-tts", true},
        {"*-tts", "gemini-tts-x", false},
        {"*-tts-*", "a-tts-b-tts-", true},
        {"a-####-##", "a-2024-08", true},
        {"a-####-##", "a-2024-0x", false},
        {"a-####-##", "a-2024-081", false},
        {"a#*", "a1", true},
        {"a#*", "a", false},
        {"*", "", true},
        {"*", "x", true},
        {"", "", true},
        {"", "x", false},
        {"*aab", "aaaab", true},
        {"*a*b*c*", "xxaxxbxxcxx", true},
        {"*a*b*c*", "cba", false},
        {"*#b", "1a2b", true},
        {"a**b", "ab", true},
        {"*a", "b", false},
        {"*ab", "a", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s %s", rows[i].pattern, rows[i].name);
        CHECK(price_pattern_fits(slice_str(rows[i].pattern), slice_str(rows[i].name)) ==
              rows[i].fits);
    }
}

/* Names that have to find a price, and the input rate in thousandths of a dollar; -1: unknown. The
 * rates are those of models that have been out for long. */
static const struct {
    const char *type, *model;
    int64_t input;
} known[] = {
    {"openai", "gpt-4o", 2500},
    {"openai", "GPT-4o", 2500},
    {"openai", "gpt-4o-2024-08-06", 2500},
    {"openai-responses", "gpt-4o-mini", 150},
    {"openai", "ft:gpt-4o-2024-08-06:acme::x", 3750},
    {"openai", "whisper-1", -1},
    {"openai", "gpt-4o-of-our-own", -1},
    {"openai", "", -1},
    {"anthropic", "claude-sonnet-4-20250514", 3000},
    {"anthropic", "claude-sonnet-4-5", 3000},
    {"gemini", "gemini-2.5-pro", 1250},
    {"gemini", "models/gemini-2.5-pro", 1250},
    {"gemini", "gemini-2.5-pro-preview-tts", 1000},
    {"vertex", "gemini-2.5-pro", 1250},
    {"vertex", "google/gemini-2.5-pro", 1250},
    {"vertex", "claude-sonnet-4@20250514", 3000},
    {"vertex", "claude-3-5-sonnet-v2@20241022", 3000},
    {"bedrock", "anthropic.claude-3-haiku-20240307-v1:0", 250},
    {"bedrock", "us.anthropic.claude-3-haiku-20240307-v1:0", 250},
    {"bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3300},
    {"bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", 3000},
    {"bedrock", "eu.amazon.nova-lite-v1:0", 60},
    {"bedrock", "apac.amazon.nova-lite-v1:0", 60},
    {"bedrock",
     "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
     "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
     3000},
    {"bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab1c", -1},
    {"bedrock", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/", -1},
    {"azure", "o1", 15000},
    {"azure", "gpt-4o-2024-08-06", 2500},
    {"azure", "claude-sonnet-4-5", 3000},
    {"azure", "our-deployment", -1},
    {"cohere", "command-r-plus", 2500},
    {"groq", "llama-3.3-70b-versatile", 590},
    {"together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 880},
    {"mistral", "mistral-large-latest", -2},
    {"deepseek", "deepseek-chat", -2},
    {"xai", "grok-4", 3000},
    {"fireworks", "accounts/fireworks/models/gpt-oss-120b", -2},
    {"baseten", "openai/gpt-oss-120b", -2},
    {"openrouter", "openai/gpt-4o", 2500},
    {"openrouter", "deepseek/deepseek-r1:free", 0},
    {"huggingface", "meta-llama/Llama-3.3-70B-Instruct:together", 880},
    {"huggingface", "meta-llama/Llama-3.3-70B-Instruct", -1},
    {"openai-compatible", "gpt-4o", -1},
    {"vllm", "gpt-4o", -1},
    {"moonshotai", "kimi-k2", -1}, /* a provider of the table, but no type */
    {"nonsense", "gpt-4o", -1},
};

TEST(names_find_their_price)
{
    struct price_book *b = price_book_new();
    CHECK(b != NULL);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        check_note("%s %s", known[i].type, known[i].model);
        const struct price *p = price_find(b, slice_str(known[i].type), slice_str(known[i].model));
        if (known[i].input == -1) {
            CHECK(p == NULL);
            continue;
        }
        CHECK(p != NULL);
        if (known[i].input >= 0) /* -2: prices that move */
            CHECK_EQ_I64(p->tier[0].rate[PRICE_INPUT], known[i].input * (DOLLAR / 1000));
    }
    price_book_unref(b);
}

/* Windows that have been the same since the models came out; 0: the data has none. */
TEST(names_find_their_context)
{
    static const struct {
        const char *type, *model;
        int64_t context;
    } rows[] = {
        {"openai", "gpt-4o", 128000},
        {"openai-responses", "GPT-4o-2024-08-06", 128000},
        {"anthropic", "claude-3-haiku-20240307", 200000},
        {"vertex", "claude-sonnet-4-5@20250929", 200000},
        {"azure", "gpt-4o-mini", 128000},
        {"together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 0},
        {"openai", "gpt-4o-of-our-own", 0},
        {"openai", "", 0},
        {"openai-compatible", "gpt-4o", 0},
        {"nonsense", "gpt-4o", 0},
    };
    struct price_book *b = price_book_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s %s", rows[i].type, rows[i].model);
        CHECK_EQ_I64(price_context(b, slice_str(rows[i].type), slice_str(rows[i].model)),
                     rows[i].context);
    }
    price_book_unref(b);
}

/* Facts that have been the same since the models came out. */
TEST(names_find_their_abilities)
{
    const unsigned tools = LLM_NEEDS_TOOLS, images = LLM_NEEDS_IMAGES, schema = LLM_NEEDS_SCHEMA;
    const struct {
        const char *type, *model;
        unsigned can, cannot;
    } rows[] = {
        {"openai", "gpt-4o", tools | images | schema, 0},
        {"azure", "gpt-4o-mini", tools | images | schema, 0},
        {"openai", "o3-mini", tools | schema, images},
        {"bedrock", "openai.gpt-oss-120b-1:0", tools | schema, images},
        {"openai-compatible", "gpt-4o", 0, 0},
        {"openai", "gpt-4o-of-our-own", 0, 0},
        {"nonsense", "gpt-4o", 0, 0},
    };
    struct price_book *b = price_book_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s %s", rows[i].type, rows[i].model);
        struct price_abilities a =
            price_abilities(b, slice_str(rows[i].type), slice_str(rows[i].model));
        CHECK_EQ_U64(a.can & rows[i].can, rows[i].can);
        CHECK_EQ_U64(a.cannot, rows[i].cannot);
    }
    price_book_unref(b);
}

TEST(known_tiers)
{
    struct price_book *b = price_book_new();
    const struct price *p = price_find(b, SLICE("gemini"), SLICE("gemini-2.5-pro"));
    CHECK(p != NULL);
    CHECK_EQ_U64(p->tiers_n, 2);
    CHECK_EQ_I64(p->tier[1].from_tokens, 200001);
    CHECK_EQ_I64(p->tier[1].rate[PRICE_INPUT], DOLLAR * 5 / 2);
    CHECK_EQ_I64(p->tier[1].rate[PRICE_OUTPUT], 15 * DOLLAR);
    p = price_find(b, SLICE("openai"), SLICE("gpt-4o"));
    CHECK_EQ_I64(p->tier[0].rate[PRICE_OUTPUT], 10 * DOLLAR);
    CHECK_EQ_I64(p->tier[0].rate[PRICE_CACHED], DOLLAR * 5 / 4);
    p = price_find(b, SLICE("anthropic"), SLICE("claude-sonnet-4-20250514"));
    CHECK_EQ_I64(p->tier[0].rate[PRICE_CACHE_WRITE], DOLLAR * 15 / 4);
    price_book_unref(b);
}

TEST(names_that_are_too_long_are_unknown)
{
    static char name[100000];
    struct price_book *b = price_book_new();
    memset(name, 'a', sizeof name);
    CHECK(price_find(b, SLICE("openai"), slice_of(name, sizeof name)) == NULL);
    CHECK_EQ_I64(price_context(b, SLICE("openai"), slice_of(name, sizeof name)), 0);
    CHECK(price_find(b, SLICE("openrouter"), slice_of(name, PRICE_NAME_MAX)) == NULL);
    CHECK(price_find(b, SLICE("openai"), SLICE("gpt-4o\0")) == NULL);
    price_book_unref(b);
}

/* All rows of the generated table: in order, in range, and found under their own names. */
TEST(built_in_table_is_sound)
{
    const struct price_table *t = &price_builtin;
    for (size_t i = 0; i < t->providers_n; i++) {
        const struct price_provider *p = &t->providers[i];
        for (size_t k = p->names_from; k < (size_t)p->names_from + p->names_n; k++) {
            const struct price_name *n = &t->names[k];
            CHECK(n->model >= p->models_from && n->model < p->models_from + p->models_n);
            if (k == p->names_from)
                continue;
            const struct price_name *before = n - 1;
            int order = memcmp(t->pool + before->at, t->pool + n->at,
                               MIN_OF((size_t)before->n, (size_t)n->n));
            CHECK(order < 0 || (order == 0 && before->n < n->n));
        }
    }
    size_t contexts = 0;
    for (size_t i = 0; i < t->models_n; i++) {
        CHECK(t->models[i].context <= PRICE_CONTEXT_MAX);
        contexts += t->models[i].context > 0;
        if (t->models[i].price == PRICE_NONE)
            continue;
        const struct price *p = &t->prices[t->models[i].price];
        CHECK(p->tiers_n >= 1 && p->tiers_n <= PRICE_TIERS_MAX);
        CHECK(p->windows_n <= PRICE_WINDOWS_MAX && (p->windows_n == 0) == (p->window == NULL));
        CHECK(p->tier[0].rate[PRICE_INPUT] <= PRICE_RATE_MAX);
    }
    CHECK(t->models_n > 1000 && contexts > 500);
}

static void count_row(void *ctx, const struct price_row *row)
{
    size_t *n = ctx;
    CHECK(row->model.n > 0 && row->provider.n > 0 && row->table == 0 && !row->hidden);
    ++*n;
}

TEST(each_row_once)
{
    size_t n = 0;
    struct price_book *b = price_book_new();
    price_book_each(b, count_row, &n);
    CHECK_EQ_U64(n, price_builtin.models_n);
    int32_t day;
    CHECK(price_read_day(price_book_date(b), &day));
    CHECK(price_book_ref(b) == b);
    price_book_unref(b);
    price_book_unref(b);
    price_book_unref(NULL);
}

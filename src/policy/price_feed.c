/* Public price data to Weir's format: providers, and prices and context of a model. How names are
 * matched is in price_match.c. */
#include "policy/price_feed.h"

#include <stdio.h>

#include "base/json.h"
#include "price_match.h"
#include "price_number.h"
#include "price_table.h"

#define CONDITIONS_MAX 32
#define DAY_S          86400
#define DAY_ALWAYS     INT32_MIN

/* Providers that Weir has a type for, or that others fall back to. Rows of one name become one
 * provider. */
static const struct feed_provider {
    const char *id, *name, *types[2], *fallback[5];
    const char *suffix; /* that Weir's names have behind those of the data */
} feed_providers[] = {
    {.id = "openai", .name = "openai", .types = {"openai", "openai-responses"}},
    {.id = "anthropic", .name = "anthropic", .types = {"anthropic"}},
    {.id = "google", .name = "google", .types = {"gemini", "vertex"}, .fallback = {"anthropic"}},
    {.id = "azure",
     .name = "azure",
     .types = {"azure"},
     .fallback = {"openai", "anthropic", "deepseek", "xai", "moonshotai"}},
    {.id = "aws", .name = "bedrock", .types = {"bedrock"}},
    {.id = "cohere", .name = "cohere", .types = {"cohere"}},
    {.id = "groq", .name = "groq", .types = {"groq"}},
    {.id = "together", .name = "together", .types = {"together"}},
    {.id = "mistral", .name = "mistral", .types = {"mistral"}},
    {.id = "deepseek", .name = "deepseek", .types = {"deepseek"}},
    {.id = "x-ai", .name = "xai", .types = {"xai"}},
    {.id = "fireworks", .name = "fireworks", .types = {"fireworks"}},
    {.id = "baseten", .name = "baseten", .types = {"baseten"}},
    {.id = "openrouter", .name = "openrouter", .types = {"openrouter"}},
    {.id = "moonshotai", .name = "moonshotai"},
#define ROUTED(provider)                                                                           \
    {                                                                                              \
        .id = "huggingface_" provider, .name = "huggingface", .types = {"huggingface"},            \
        .suffix = ":" provider                                                                     \
    }
    /* Hugging Face's router names the provider it is to use behind the model; without that, the
     * price depends on which it takes, and is unknown. */
    ROUTED("cerebras"),
    ROUTED("fireworks-ai"),
    ROUTED("groq"),
    ROUTED("hyperbolic"),
    ROUTED("nebius"),
    ROUTED("novita"),
    ROUTED("nscale"),
    ROUTED("ovhcloud"),
    ROUTED("publicai"),
    ROUTED("sambanova"),
    ROUTED("together"),
#undef ROUTED
};

struct feed {
    struct json_parser *parser;
    struct json_doc d;
    struct arena arena;
    struct json_writer w;
    struct buf *error;
    bool failed;
    int32_t today;
    struct price_feed_result *result;
};

/* One of a model's prices, and when it holds. */
struct condition {
    uint32_t prices;  /* node */
    uint32_t start;   /* node of its start, with `from_day` */
    int32_t from_day; /* DAY_ALWAYS: no start */
    bool daily;       /* only in the window: */
    uint32_t from_s, to_s;
};

/* The first thing that is wrong counts. */
static void fail(struct feed *f, uint32_t node, const char *why)
{
    if (f->failed)
        return;
    f->failed = true;
    price_put_place(f->error, f->d.text, f->d.nodes[node].off);
    buf_slice(f->error, slice_str(why));
}

static bool is_type(const struct feed *f, uint32_t node, enum json_type type)
{
    return node != 0 && json_type_at(&f->d, node) == type;
}

/* ---------------------------------------------------------------- rates */

static const struct feed_item {
    const char *key;
    int scale; /* to nano-dollars per million */
    int64_t most;
} feed_items[PRICE_ITEMS_N] = {
    [PRICE_INPUT] = {"input_mtok", 9, PRICE_RATE_MAX},
    [PRICE_OUTPUT] = {"output_mtok", 9, PRICE_RATE_MAX},
    [PRICE_CACHED] = {"cache_read_mtok", 9, PRICE_RATE_MAX},
    [PRICE_CACHE_WRITE] = {"cache_write_mtok", 9, PRICE_RATE_MAX},
    [PRICE_REQUEST] = {"requests_kcount", 12, PRICE_REQUESTS_MAX},
};

static int64_t read_rate(struct feed *f, uint32_t node, const struct feed_item *item)
{
    int64_t rate = 0;
    if (!is_type(f, node, JSON_NUMBER))
        fail(f, node, "a rate has to be a number, or a base with tiers");
    else if (!price_number(json_raw(&f->d, node), item->scale, &rate) || rate > item->most)
        fail(f, node, "this is no rate that a provider asks");
    return rate;
}

/* The tier that begins above `start` tokens, made if there is none; NULL: there are too many. */
static struct price_tier *tier_above(struct price_tier *tiers, unsigned *n, int64_t start)
{
    unsigned at = *n;
    while (at > 0 && tiers[at - 1].from_tokens > start + 1)
        at--;
    if (at > 0 && tiers[at - 1].from_tokens == start + 1)
        return &tiers[at - 1];
    if (*n == PRICE_TIERS_MAX || at == 0)
        return NULL;
    memmove(&tiers[at + 1], &tiers[at], (*n - at) * sizeof *tiers);
    tiers[at] = tiers[at - 1]; /* what does not change there stays as it was */
    tiers[at].from_tokens = start + 1;
    ++*n;
    return &tiers[at];
}

/* {"base": 1.25, "tiers": [{"start": 200000, "price": 2.5}]}. False: too many tiers, or none of a
 * known form. */
static bool read_tiers(struct feed *f, uint32_t node, enum price_item item,
                       struct price_tier *tiers, unsigned *n)
{
    uint32_t base = json_get(&f->d, node, SLICE("base"));
    uint32_t list = json_get(&f->d, node, SLICE("tiers"));
    int64_t before = 0;
    if (base == 0 || !is_type(f, list, JSON_ARRAY))
        return false;
    int64_t rate = read_rate(f, base, &feed_items[item]);
    for (unsigned i = 0; i < *n; i++)
        tiers[i].rate[item] = rate;
    for (uint32_t i = json_first(&f->d, list); i < json_end(&f->d, list);
         i = json_after(&f->d, i)) {
        if (!is_type(f, i, JSON_OBJECT))
            return false;
        uint32_t start = json_get(&f->d, i, SLICE("start"));
        uint32_t price = json_get(&f->d, i, SLICE("price"));
        int64_t tokens;
        if (start == 0 || price == 0 || !json_i64(&f->d, start, &tokens) || tokens <= before ||
            tokens >= PRICE_TOKENS_MAX)
            return false;
        before = tokens;
        struct price_tier *t = tier_above(tiers, n, tokens);
        if (t == NULL)
            return false;
        rate = read_rate(f, price, &feed_items[item]);
        for (; t < tiers + *n; t++)
            t->rate[item] = rate;
    }
    return true;
}

/* The rates of a price that Weir counts. `*n` 0: there are none. False: a form Weir does not know.
 */
static bool read_rates(struct feed *f, uint32_t node, struct price_tier *tiers, unsigned *n)
{
    bool any = false;
    *n = 1;
    tiers[0].from_tokens = 0;
    for (unsigned i = 0; i < PRICE_ITEMS_N; i++)
        tiers[0].rate[i] = PRICE_UNKNOWN;
    if (!is_type(f, node, JSON_OBJECT))
        return false;
    for (unsigned i = 0; i < PRICE_ITEMS_N && !f->failed; i++) {
        uint32_t v = json_get(&f->d, node, slice_str(feed_items[i].key));
        if (v == 0 || is_type(f, v, JSON_NULL))
            continue;
        any = true;
        if (is_type(f, v, JSON_OBJECT)) {
            if (!read_tiers(f, v, (enum price_item)i, tiers, n))
                return false;
            continue;
        }
        int64_t rate = read_rate(f, v, &feed_items[i]);
        for (unsigned k = 0; k < *n; k++)
            tiers[k].rate[i] = rate;
    }
    if (!any)
        *n = 0;
    return true;
}

/* ---------------------------------------------------------------- conditions */

/* "00:30:00Z", or with an offset instead of the Z. */
static bool read_time(struct slice s, uint32_t *ret)
{
    uint64_t h, m, sec, off_h = 0, off_m = 0;
    if (s.n < 9 || s.p[2] != ':' || s.p[5] != ':' || !slice_to_u64(slice_of(s.p, 2), &h) ||
        !slice_to_u64(slice_of(s.p + 3, 2), &m) || !slice_to_u64(slice_of(s.p + 6, 2), &sec) ||
        h > 23 || m > 59 || sec > 59)
        return false;
    struct slice zone = slice_from(s, 8);
    if (!slice_is(zone, "Z") &&
        (zone.n != 6 || (zone.p[0] != '+' && zone.p[0] != '-') || zone.p[3] != ':' ||
         !slice_to_u64(slice_of(zone.p + 1, 2), &off_h) ||
         !slice_to_u64(slice_of(zone.p + 4, 2), &off_m) || off_h > 23 || off_m > 59))
        return false;
    int64_t local = (int64_t)(h * 3600 + m * 60 + sec), off = (int64_t)(off_h * 3600 + off_m * 60);
    int64_t utc = zone.p[0] == '-' ? local + off : local - off;
    *ret = (uint32_t)((utc + DAY_S) % DAY_S);
    return true;
}

static bool read_constraint(struct feed *f, uint32_t node, struct condition *c)
{
    struct json_doc *d = &f->d;
    if (node == 0 || is_type(f, node, JSON_NULL))
        return true;
    if (!is_type(f, node, JSON_OBJECT))
        return false;
    uint32_t start = json_get(d, node, SLICE("start_date"));
    uint32_t from = json_get(d, node, SLICE("start_time"));
    uint32_t to = json_get(d, node, SLICE("end_time"));
    c->start = start;
    if (start != 0 && from == 0 && to == 0)
        return is_type(f, start, JSON_STRING) && price_read_day(json_inner(d, start), &c->from_day);
    c->daily = true;
    return start == 0 && is_type(f, from, JSON_STRING) && is_type(f, to, JSON_STRING) &&
           read_time(json_inner(d, from), &c->from_s) && read_time(json_inner(d, to), &c->to_s) &&
           c->from_s != c->to_s;
}

/* A price, or a list of prices with their conditions. False: a form that Weir does not know. */
static bool read_conditions(struct feed *f, uint32_t node, struct condition *list, unsigned *n)
{
    *n = 0;
    if (is_type(f, node, JSON_OBJECT)) {
        list[(*n)++] = (struct condition){.prices = node, .from_day = DAY_ALWAYS};
        return true;
    }
    if (!is_type(f, node, JSON_ARRAY))
        return false;
    for (uint32_t i = json_first(&f->d, node); i < json_end(&f->d, node);
         i = json_after(&f->d, i)) {
        if (*n == CONDITIONS_MAX || !is_type(f, i, JSON_OBJECT))
            return false;
        struct condition *c = &list[(*n)++];
        *c = (struct condition){.prices = json_get(&f->d, i, SLICE("prices")),
                                .from_day = DAY_ALWAYS};
        if (c->prices == 0 || !read_constraint(f, json_get(&f->d, i, SLICE("constraint")), c))
            return false;
    }
    return *n > 0;
}

/* Which of the conditions is the base on a day: the last in the list whose start has come; the
 * first, where none has. */
static unsigned base_on(const struct condition *list, unsigned n, int32_t day)
{
    for (unsigned i = n; i-- > 0;)
        if (!list[i].daily && list[i].from_day <= day)
            return i;
    return 0;
}

static void put_time(struct json_writer *w, uint32_t s)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%02u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    jw_string(w, slice_of(text, (size_t)n));
}

/* The windows that go before the base number `base`: those behind it in the list, last first. */
static bool put_windows(struct feed *f, const struct condition *list, unsigned n, unsigned base)
{
    unsigned windows = 0;
    for (unsigned i = n; i-- > base + 1;) {
        struct price_tier tiers[PRICE_TIERS_MAX];
        unsigned tiers_n;
        if (!list[i].daily)
            continue;
        if (windows == PRICE_WINDOWS_MAX || !read_rates(f, list[i].prices, tiers, &tiers_n) ||
            tiers_n == 0)
            return false;
        if (windows++ == 0) {
            jw_key(&f->w, "windows");
            jw_open(&f->w, '[');
        }
        jw_open(&f->w, '{');
        jw_key(&f->w, "from");
        put_time(&f->w, list[i].from_s);
        jw_key(&f->w, "to");
        put_time(&f->w, list[i].to_s);
        price_put_rates(&f->w, tiers, tiers_n);
        jw_close(&f->w, '}');
    }
    if (windows > 0)
        jw_close(&f->w, ']');
    return true;
}

/* What holds on `day`. False: a form that Weir does not know; what was written is of no use. */
static bool put_price_on(struct feed *f, const struct condition *list, unsigned n, int32_t day)
{
    struct price_tier tiers[PRICE_TIERS_MAX];
    unsigned tiers_n, base = base_on(list, n, day);
    if (list[base].daily || !read_rates(f, list[base].prices, tiers, &tiers_n))
        return false;
    if (tiers_n == 0)
        return true;
    price_put_rates(&f->w, tiers, tiers_n);
    return put_windows(f, list, n, base);
}

/* The day as the data has it. */
static void put_day(struct feed *f, const struct condition *list, unsigned n, int32_t day)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i].from_day == day) {
            jw_string(&f->w, json_inner(&f->d, list[i].start));
            return;
        }
    }
}

/* The first day after `day` on which a condition begins; INT32_MAX: none. */
static int32_t next_start(const struct condition *list, unsigned n, int32_t day)
{
    int32_t next = INT32_MAX;
    for (unsigned i = 0; i < n; i++)
        if (list[i].from_day > day && list[i].from_day < next)
            next = list[i].from_day;
    return next;
}

static bool put_price(struct feed *f, uint32_t node)
{
    struct condition list[CONDITIONS_MAX];
    unsigned n;
    if (!read_conditions(f, node, list, &n) || !put_price_on(f, list, n, f->today))
        return false;
    int32_t day = next_start(list, n, f->today);
    if (day == INT32_MAX)
        return true;
    jw_key(&f->w, "later");
    jw_open(&f->w, '[');
    for (; day != INT32_MAX; day = next_start(list, n, day)) {
        jw_open(&f->w, '{');
        jw_key(&f->w, "from");
        put_day(f, list, n, day);
        if (!put_price_on(f, list, n, day))
            return false;
        jw_close(&f->w, '}');
    }
    jw_close(&f->w, ']');
    return true;
}

/* ---------------------------------------------------------------- models and providers */

/* OpenRouter's models "...:free" cost nothing, which the data tells by giving no rates. */
static bool is_free(const struct feed_provider *p, struct slice id, uint32_t prices,
                    const struct feed *f)
{
    struct slice end = SLICE(":free");
    return strcmp(p->id, "openrouter") == 0 && id.n > end.n &&
           slice_eq(slice_from(id, id.n - end.n), end) && is_type(f, prices, JSON_OBJECT) &&
           json_first(&f->d, prices) == json_end(&f->d, prices);
}

/* Many models have none; one that makes no sense is as good as none. */
static void put_context(struct feed *f, uint32_t node)
{
    uint32_t at = json_get(&f->d, node, SLICE("context_window"));
    int64_t tokens;
    if (at != 0 && json_i64(&f->d, at, &tokens) && tokens > 0 && tokens <= PRICE_CONTEXT_MAX)
        jw_field_i64(&f->w, "context", tokens);
}

static void put_model(struct feed *f, const struct feed_provider *p,
                      const struct price_rules *rules, uint32_t model, uint32_t node)
{
    uint32_t id_node = json_get(&f->d, node, SLICE("id"));
    uint32_t prices = json_get(&f->d, node, SLICE("prices"));
    struct slice id = json_string(&f->d, id_node, &f->arena);
    jw_open(&f->w, '{');
    struct slice shown = id;
    if (p->suffix != NULL)
        shown = arena_printf(&f->arena, SLICE_FMT "%s", SLICE_ARG(id), p->suffix);
    jw_field_string(&f->w, "id", shown);
    price_rules_put(rules, model, &f->w);
    put_context(f, node);
    struct json_writer at_price = f->w;
    size_t price_at = f->w.b->n;
    if (is_free(p, id, prices, f)) {
        jw_key(&f->w, "rates");
        jw_raw(&f->w, SLICE("{\"input\":0,\"output\":0}"));
    } else if (!put_price(f, prices)) {
        f->w = at_price;
        f->w.b->n = MIN_OF(price_at, f->w.b->n);
        f->result->prices++;
    }
    jw_close(&f->w, '}');
    f->result->models++;
}

/* The id of the model at `node`; .p NULL: told. */
static struct slice model_id(struct feed *f, uint32_t node)
{
    struct slice id = SLICE_NONE;
    uint32_t at = is_type(f, node, JSON_OBJECT) ? json_get(&f->d, node, SLICE("id")) : 0;
    if (is_type(f, at, JSON_STRING))
        id = json_string(&f->d, at, &f->arena);
    bool ok = id.p != NULL && id.n > 0 && id.n <= PRICE_ID_MAX;
    for (size_t i = 0; ok && i < id.n; i++)
        ok = (unsigned char)id.p[i] >= 0x20 && id.p[i] != 0x7f;
    if (!ok)
        fail(f, node, "a model needs an `id` of 1 to 200 bytes");
    return ok ? id : SLICE_NONE;
}

/* The models of one provider of the data. */
static void put_models(struct feed *f, const struct feed_provider *p, uint32_t models)
{
    struct price_rules rules;
    uint32_t number = 0;
    price_rules_init(&rules, &f->d, &f->arena, p->suffix);
    for (uint32_t i = json_first(&f->d, models); i < json_end(&f->d, models) && !f->failed;
         i = json_after(&f->d, i), number++) {
        struct slice id = model_id(f, i);
        if (id.p != NULL)
            price_rules_add(&rules, number, id, json_get(&f->d, i, SLICE("match")));
    }
    if (!price_rules_resolve(&rules))
        fail(f, models, "too many names, or out of memory");
    number = 0;
    for (uint32_t i = json_first(&f->d, models); i < json_end(&f->d, models) && !f->failed;
         i = json_after(&f->d, i))
        put_model(f, p, &rules, number++, i);
    f->result->rules += rules.left_out;
    price_rules_done(&rules);
}

/* The models of the provider called `id`, or 0. */
static uint32_t models_of(struct feed *f, const char *id)
{
    for (uint32_t i = json_first(&f->d, 0); i < json_end(&f->d, 0); i = json_after(&f->d, i)) {
        if (!is_type(f, i, JSON_OBJECT)) {
            fail(f, i, "a provider has to be an object");
            return 0;
        }
        uint32_t name = json_get(&f->d, i, SLICE("id"));
        uint32_t models = json_get(&f->d, i, SLICE("models"));
        if (is_type(f, name, JSON_STRING) && json_string_is(&f->d, name, slice_str(id)) &&
            is_type(f, models, JSON_ARRAY))
            return models;
    }
    return 0;
}

static void put_strings(struct feed *f, const char *const *list, size_t n,
                        bool (*ok)(struct feed *, const char *))
{
    jw_open(&f->w, '[');
    for (size_t i = 0; i < n && list[i] != NULL; i++)
        if (ok == NULL || ok(f, list[i]))
            jw_string(&f->w, slice_str(list[i]));
    jw_close(&f->w, ']');
}

/* Whether the data has a provider that Weir's table calls `name`. */
static bool has_provider(struct feed *f, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(feed_providers); i++)
        if (strcmp(feed_providers[i].name, name) == 0 && models_of(f, feed_providers[i].id) != 0)
            return true;
    return false;
}

static void put_providers(struct feed *f)
{
    const char *open = NULL; /* provider whose models are being written */
    for (size_t i = 0; i < ARRAY_LEN(feed_providers) && !f->failed; i++) {
        const struct feed_provider *p = &feed_providers[i];
        uint32_t models = models_of(f, p->id);
        if (models == 0)
            continue;
        if (open == NULL || strcmp(open, p->name) != 0) {
            if (open != NULL) {
                jw_close(&f->w, ']');
                jw_close(&f->w, '}');
            }
            open = p->name;
            jw_open(&f->w, '{');
            jw_field_string(&f->w, "name", slice_str(p->name));
            jw_key(&f->w, "types");
            put_strings(f, p->types, ARRAY_LEN(p->types), NULL);
            jw_key(&f->w, "fallback");
            put_strings(f, p->fallback, ARRAY_LEN(p->fallback), has_provider);
            jw_key(&f->w, "models");
            jw_open(&f->w, '[');
        }
        put_models(f, p, models);
    }
    if (open != NULL) {
        jw_close(&f->w, ']');
        jw_close(&f->w, '}');
    }
    if (open == NULL)
        fail(f, 0, "there is no provider in it that Weir knows");
}

static bool convert(struct feed *f, struct slice today)
{
    if (json_type_at(&f->d, 0) != JSON_ARRAY) {
        fail(f, 0, "this is neither Weir's table of prices nor a list of providers");
        return false;
    }
    jw_open(&f->w, '{');
    jw_field_string(&f->w, "format", SLICE("weir-prices"));
    jw_field_i64(&f->w, "version", 1);
    jw_field_string(&f->w, "date", today);
    jw_key(&f->w, "providers");
    jw_open(&f->w, '[');
    put_providers(f);
    jw_close(&f->w, ']');
    jw_close(&f->w, '}');
    return !f->failed;
}

bool price_feed_convert(struct slice data, struct slice today, struct buf *out,
                        struct price_feed_result *ret, struct buf *error)
{
    struct feed f = {.w = json_writer(out), .error = error, .result = ret};
    *ret = (struct price_feed_result){0};
    if (data.n > PRICE_TEXT_MAX || !price_read_day(today, &f.today)) {
        buf_lit(error, "1:1: too large, or not a day");
        return false;
    }
    f.parser = json_parser_new();
    if (f.parser == NULL) {
        buf_lit(error, "out of memory");
        return false;
    }
    arena_init(&f.arena, NULL, PRICE_TEXT_MAX);
    enum json_error e = json_parse(f.parser, data, 0, &f.d);
    bool ok = e == JSON_OK && convert(&f, today);
    if (e != JSON_OK) {
        price_put_place(error, data.p, f.d.error_at);
        buf_slice(error, slice_str(json_error_text(e)));
    } else if (ok && out->failed) {
        buf_lit(error, "out of memory");
        ok = false;
    }
    arena_reset(&f.arena);
    json_parser_free(f.parser);
    return ok;
}

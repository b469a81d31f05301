/* Reads a table of prices from JSON: strictly, so that a price is never taken for another. The
 * format is described in docs/prices.md. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "price_number.h"
#include "price_table.h"

#define ROWS_MAX      65000u /* of each kind: their indices have 16 bits */
#define PATTERN_MAX   100u
#define FALLBACKS_MAX 16

struct price_loaded {
    struct price_table table; /* first: it is what others hold */
    struct buf pool, types, providers, fallbacks, names, patterns, models, laters, prices, windows;
};

#define BUFFERS_N 10

static void all_buffers(struct price_loaded *l, struct buf *ret[BUFFERS_N])
{
    struct buf *all[] = {&l->pool,     &l->types,  &l->providers, &l->fallbacks, &l->names,
                         &l->patterns, &l->models, &l->laters,    &l->prices,    &l->windows};
    static_assert(ARRAY_LEN(all) == BUFFERS_N, "all of them");
    memcpy(ret, all, sizeof all);
}

/* Whether there was memory for all of it. */
static bool buffers_whole(struct price_loaded *l)
{
    struct buf *all[BUFFERS_N];
    all_buffers(l, all);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->failed)
            return false;
    return true;
}

struct reader {
    struct price_loaded *l;
    struct json_parser *parser;
    struct json_doc d;
    struct arena scratch; /* strings with escapes */
    struct buf *error;
    bool failed;
    uint16_t provider, model; /* that are being read */
};

static void fail(struct reader *r, uint32_t node, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The first thing that is wrong counts. */
static void fail(struct reader *r, uint32_t node, const char *fmt, ...)
{
    char why[300];
    va_list args;
    if (r->failed)
        return;
    r->failed = true;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    price_put_place(r->error, r->d.text, r->d.nodes[node].off);
    buf_slice(r->error, slice_str(why));
}

static uint16_t rows(struct reader *r, const struct buf *b, size_t row_bytes)
{
    size_t n = b->n / row_bytes;
    if (n > ROWS_MAX)
        fail(r, 0, "too many entries");
    return (uint16_t)MIN_OF(n, (size_t)ROWS_MAX);
}
#define ROWS(r, buffer, type) rows((r), &(r)->l->buffer, sizeof(struct type))

/* ---------------------------------------------------------------- values */

static bool expect(struct reader *r, uint32_t node, enum json_type type, const char *what)
{
    enum json_type got = json_type_at(&r->d, node);
    if (got != type)
        fail(r, node, "%s: %s expected, not %s", what, json_type_name(type), json_type_name(got));
    return got == type;
}

/* An object without members twice. */
static bool expect_object(struct reader *r, uint32_t node, const char *what)
{
    if (!expect(r, node, JSON_OBJECT, what))
        return false;
    uint32_t twice = json_duplicate_key(r->parser, &r->d, node);
    if (twice != 0)
        fail(r, twice, "%s: a member stands here twice", what);
    return twice == 0;
}

static void unknown_member(struct reader *r, uint32_t key, const char *what)
{
    struct slice name = json_inner(&r->d, key);
    fail(r, key, "%s: `%.*s` is unknown", what, (int)MIN_OF(name.n, (size_t)60), name.p);
}

/* A name, which is put into the pool in lower case. */
static struct price_text read_text(struct reader *r, uint32_t node, size_t max, const char *what)
{
    struct price_text none = {0, 0};
    if (!expect(r, node, JSON_STRING, what))
        return none;
    struct slice s = json_string(&r->d, node, &r->scratch);
    if (s.p == NULL || s.n == 0 || s.n > max) {
        fail(r, node, "%s: a text of 1 to %zu bytes expected", what, max);
        return none;
    }
    struct price_text ret = {(uint32_t)r->l->pool.n, (uint16_t)s.n};
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((unsigned char)c < 0x20 || c == 0x7f) {
            fail(r, node, "%s: control characters are not allowed", what);
            return none;
        }
        buf_char(&r->l->pool, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    if (r->l->pool.failed)
        fail(r, node, "out of memory");
    return ret;
}

static struct slice pool_slice(const struct reader *r, struct price_text t)
{
    return slice_of(r->l->pool.p + t.at, t.n);
}

/* A day, or a time of day, straight from the text: neither has anything to escape. */
static struct slice plain_text(struct reader *r, uint32_t node, const char *what)
{
    return expect(r, node, JSON_STRING, what) ? json_inner(&r->d, node) : SLICE_NONE;
}

static uint32_t read_time(struct reader *r, uint32_t node)
{
    struct slice s = plain_text(r, node, "time");
    uint64_t part[3] = {0, 0, 0};
    bool ok = s.n == 8 && s.p[2] == ':' && s.p[5] == ':';
    for (size_t i = 0; ok && i < 3; i++)
        ok = slice_to_u64(slice_of(s.p + 3 * i, 2), &part[i]);
    if (!ok || part[0] > 23 || part[1] > 59 || part[2] > 59)
        fail(r, node, "a time of day (UTC) such as \"16:30:00\" expected");
    return (uint32_t)(part[0] * 3600 + part[1] * 60 + part[2]);
}

/* ---------------------------------------------------------------- rates */

static int64_t read_rate(struct reader *r, uint32_t node, enum price_item item)
{
    int64_t most = item == PRICE_REQUEST ? PRICE_REQUESTS_MAX : PRICE_RATE_MAX, rate = 0;
    struct slice raw = json_raw(&r->d, node);
    if (!expect(r, node, JSON_NUMBER, price_item_names[item]))
        return 0;
    if (raw.p[0] == '-')
        fail(r, node, "%s: a rate cannot be negative", price_item_names[item]);
    else if (!price_number(raw, 9, &rate) || rate > most)
        fail(r, node, "%s: no provider asks that much; rates are dollars per million",
             price_item_names[item]);
    return rate;
}

/* The members of an object that are rates; `*ret_n` counts them. False: it is none. */
static bool read_item(struct reader *r, uint32_t key, struct price_tier *tier, unsigned *ret_n)
{
    for (unsigned i = 0; i < PRICE_ITEMS_N; i++) {
        if (!json_string_is(&r->d, key, slice_str(price_item_names[i])))
            continue;
        tier->rate[i] = read_rate(r, key + 1, (enum price_item)i);
        ++*ret_n;
        return true;
    }
    return false;
}

static struct price_tier empty_tier(void)
{
    struct price_tier t = {.from_tokens = 0};
    for (unsigned i = 0; i < PRICE_ITEMS_N; i++)
        t.rate[i] = PRICE_UNKNOWN;
    return t;
}

static void read_rates(struct reader *r, uint32_t node, struct price_tier *ret)
{
    unsigned n = 0;
    *ret = empty_tier();
    if (!expect_object(r, node, "rates"))
        return;
    for (uint32_t k = json_first(&r->d, node); k < json_end(&r->d, node);
         k = json_after(&r->d, k + 1))
        if (!read_item(r, k, ret, &n))
            unknown_member(r, k, "rates");
    if (n == 0)
        fail(r, node,
             "rates: there are none; leave `rates` out for a model whose price is unknown");
}

/* {"tokens": 200000, "input": 2.5, ...}: for prompts of more tokens than that. */
static void read_tier(struct reader *r, uint32_t node, struct price_tier *ret)
{
    unsigned n = 0;
    int64_t tokens = -1;
    *ret = empty_tier();
    if (!expect_object(r, node, "above"))
        return;
    for (uint32_t k = json_first(&r->d, node); k < json_end(&r->d, node);
         k = json_after(&r->d, k + 1)) {
        if (json_string_is(&r->d, k, SLICE("tokens"))) {
            if (!json_i64(&r->d, k + 1, &tokens) || tokens < 1 || tokens > PRICE_TOKENS_MAX)
                fail(r, k + 1, "tokens: a whole number of at least 1 expected");
        } else if (!read_item(r, k, ret, &n)) {
            unknown_member(r, k, "above");
        }
    }
    if (tokens < 0 || n == 0)
        fail(r, node, "above: `tokens` and at least one rate are needed");
    ret->from_tokens = tokens + 1;
}

/* More tiers behind the first. */
static void read_above(struct reader *r, uint32_t node, struct price_tier *tiers, unsigned *n)
{
    if (!expect(r, node, JSON_ARRAY, "above"))
        return;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i)) {
        if (*n == PRICE_TIERS_MAX) {
            fail(r, i, "above: at most %d", PRICE_TIERS_MAX - 1);
            return;
        }
        read_tier(r, i, &tiers[*n]);
        if (!r->failed && tiers[*n].from_tokens <= tiers[*n - 1].from_tokens)
            fail(r, i, "above: `tokens` has to grow from one to the next");
        ++*n;
    }
}

static void read_window(struct reader *r, uint32_t node)
{
    struct price_window w = {.tiers_n = 1};
    struct json_doc *d = &r->d;
    if (!expect_object(r, node, "windows"))
        return;
    uint32_t from = json_get(d, node, SLICE("from")), to = json_get(d, node, SLICE("to"));
    uint32_t rates = json_get(d, node, SLICE("rates"));
    if (from == 0 || to == 0 || rates == 0) {
        fail(r, node, "windows: `from`, `to` and `rates` are needed");
        return;
    }
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1))
        if (k + 1 != from && k + 1 != to && k + 1 != rates && !json_string_is(d, k, SLICE("above")))
            unknown_member(r, k, "windows");
    w.from_s = read_time(r, from);
    w.to_s = read_time(r, to);
    if (w.from_s == w.to_s)
        fail(r, node, "windows: `from` and `to` are the same");
    read_rates(r, rates, &w.tier[0]);
    uint32_t above = json_get(d, node, SLICE("above"));
    if (above != 0)
        read_above(r, above, w.tier, &w.tiers_n);
    buf_append(&r->l->windows, &w, sizeof w);
}

static void read_windows(struct reader *r, uint32_t node, struct price *p)
{
    if (!expect(r, node, JSON_ARRAY, "windows"))
        return;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i)) {
        if (p->windows_n++ == PRICE_WINDOWS_MAX)
            fail(r, i, "windows: at most %d", PRICE_WINDOWS_MAX);
        else
            read_window(r, i);
    }
}

/* A price from the members `rates`, `above` and `windows` of the object at `node`; its index. */
static uint16_t read_price(struct reader *r, uint32_t node)
{
    struct price p = {.tiers_n = 1};
    uint32_t rates = json_get(&r->d, node, SLICE("rates"));
    uint32_t above = json_get(&r->d, node, SLICE("above"));
    uint32_t windows = json_get(&r->d, node, SLICE("windows"));
    if (rates == 0) {
        if (above != 0 || windows != 0)
            fail(r, above != 0 ? above : windows, "without `rates` there is nothing to go by");
        return PRICE_NONE;
    }
    read_rates(r, rates, &p.tier[0]);
    if (above != 0)
        read_above(r, above, p.tier, &p.tiers_n);
    if (windows != 0)
        read_windows(r, windows, &p);
    uint16_t at = ROWS(r, prices, price);
    buf_append(&r->l->prices, &p, sizeof p);
    return at;
}

/* ---------------------------------------------------------------- models */

static void read_names(struct reader *r, uint32_t node)
{
    if (!expect(r, node, JSON_ARRAY, "names"))
        return;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i)) {
        struct price_text t = read_text(r, i, PRICE_NAME_MAX, "names");
        struct price_name row = {t.at, t.n, r->model};
        buf_append(&r->l->names, &row, sizeof row);
    }
}

static void read_patterns(struct reader *r, uint32_t node, bool except)
{
    const char *what = except ? "except" : "patterns";
    if (!expect(r, node, JSON_ARRAY, what))
        return;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i)) {
        struct price_text t = read_text(r, i, PATTERN_MAX, what);
        struct price_pattern row = {t.at, t.n, r->model, except};
        buf_append(&r->l->patterns, &row, sizeof row);
    }
}

static void read_later(struct reader *r, uint32_t node, int32_t *day)
{
    struct price_later row;
    if (!expect_object(r, node, "later"))
        return;
    for (uint32_t k = json_first(&r->d, node); k < json_end(&r->d, node);
         k = json_after(&r->d, k + 1)) {
        struct slice name = json_inner(&r->d, k);
        if (!slice_is(name, "from") && !slice_is(name, "rates") && !slice_is(name, "above") &&
            !slice_is(name, "windows"))
            unknown_member(r, k, "later");
    }
    uint32_t from = json_get(&r->d, node, SLICE("from"));
    if (from == 0 || !price_read_day(plain_text(r, from, "from"), &row.from_day)) {
        fail(r, from != 0 ? from : node, "later: `from` has to be a day such as \"2027-01-01\"");
        return;
    }
    if (row.from_day <= *day)
        fail(r, from, "later: days have to follow each other");
    *day = row.from_day;
    row.price = read_price(r, node);
    buf_append(&r->l->laters, &row, sizeof row);
}

static void read_laters(struct reader *r, uint32_t node, struct price_model *m)
{
    int32_t day = INT32_MIN;
    if (!expect(r, node, JSON_ARRAY, "later"))
        return;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i)) {
        read_later(r, i, &day);
        m->later_n++;
    }
}

static uint32_t read_context(struct reader *r, uint32_t node)
{
    int64_t tokens;
    if (!json_i64(&r->d, node, &tokens) || tokens < 1 || tokens > PRICE_CONTEXT_MAX) {
        fail(r, node, "context: a whole number of 1 to %lld expected",
             (long long)PRICE_CONTEXT_MAX);
        return 0;
    }
    return (uint32_t)tokens;
}

/* {"tools": true, "images": false}: what is not in it is not known. */
static struct price_abilities read_abilities(struct reader *r, uint32_t node)
{
    struct price_abilities ret = {0, 0};
    if (!expect_object(r, node, "supports"))
        return ret;
    for (uint32_t k = json_first(&r->d, node); k < json_end(&r->d, node);
         k = json_after(&r->d, k + 1)) {
        enum json_type type = json_type_at(&r->d, k + 1);
        unsigned i = 0;
        while (i < LLM_ABILITIES && !json_string_is(&r->d, k, slice_str(llm_need_name(i))))
            i++;
        if (i == LLM_ABILITIES)
            unknown_member(r, k, "supports");
        else if (type != JSON_TRUE && type != JSON_FALSE)
            fail(r, k + 1, "supports: true or false expected");
        else if (type == JSON_TRUE)
            ret.can |= (unsigned char)(1u << i);
        else
            ret.cannot |= (unsigned char)(1u << i);
    }
    return ret;
}

static void read_model(struct reader *r, uint32_t node)
{
    struct json_doc *d = &r->d;
    struct price_model m = {.price = PRICE_NONE, .later_from = ROWS(r, laters, price_later)};
    if (!expect_object(r, node, "model"))
        return;
    r->model = ROWS(r, models, price_model);
    uint32_t id = json_get(d, node, SLICE("id")), except = json_get(d, node, SLICE("except"));
    if (id == 0) {
        fail(r, node, "model: `id` is missing");
        return;
    }
    m.id = read_text(r, id, PRICE_NAME_MAX, "id");
    if (except != 0)
        read_patterns(r, except, true); /* before the patterns that they restrict */
    for (uint32_t k = json_first(d, node); k < json_end(d, node) && !r->failed;
         k = json_after(d, k + 1)) {
        struct slice name = json_inner(d, k);
        if (slice_is(name, "names"))
            read_names(r, k + 1);
        else if (slice_is(name, "patterns"))
            read_patterns(r, k + 1, false);
        else if (slice_is(name, "later"))
            read_laters(r, k + 1, &m);
        else if (slice_is(name, "context"))
            m.context = read_context(r, k + 1);
        else if (slice_is(name, "supports"))
            m.abilities = read_abilities(r, k + 1);
        else if (!slice_is(name, "id") && !slice_is(name, "except") && !slice_is(name, "rates") &&
                 !slice_is(name, "above") && !slice_is(name, "windows"))
            unknown_member(r, k, "model");
    }
    m.price = read_price(r, node);
    buf_append(&r->l->models, &m, sizeof m);
}

/* ---------------------------------------------------------------- providers */

static void add_type(struct reader *r, uint32_t node, struct price_text name)
{
    struct price_type row = {name, r->provider};
    const struct price_type *types = (const struct price_type *)(const void *)r->l->types.p;
    for (size_t i = 0; i < ROWS(r, types, price_type); i++)
        if (slice_eq(pool_slice(r, types[i].name), pool_slice(r, name)))
            fail(r, node, "another provider has this type already");
    buf_append(&r->l->types, &row, sizeof row);
}

static void read_types(struct reader *r, uint32_t node, struct price_text name)
{
    uint32_t types = json_get(&r->d, node, SLICE("types"));
    if (types == 0) {
        add_type(r, node, name);
        return;
    }
    if (!expect(r, types, JSON_ARRAY, "types"))
        return;
    for (uint32_t i = json_first(&r->d, types); i < json_end(&r->d, types) && !r->failed;
         i = json_after(&r->d, i))
        add_type(r, i, read_text(r, i, 40, "types"));
}

static void read_models(struct reader *r, uint32_t node, struct price_provider *p)
{
    if (!expect(r, node, JSON_ARRAY, "models"))
        return;
    p->models_from = ROWS(r, models, price_model);
    p->names_from = ROWS(r, names, price_name);
    p->patterns_from = ROWS(r, patterns, price_pattern);
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i))
        read_model(r, i);
    p->models_n = (uint16_t)(ROWS(r, models, price_model) - p->models_from);
    p->names_n = (uint16_t)(ROWS(r, names, price_name) - p->names_from);
    p->patterns_n = (uint16_t)(ROWS(r, patterns, price_pattern) - p->patterns_from);
}

static void read_provider(struct reader *r, uint32_t node)
{
    struct price_provider p = {.names_n = 0};
    const struct price_provider *others =
        (const struct price_provider *)(const void *)r->l->providers.p;
    if (!expect_object(r, node, "provider"))
        return;
    uint32_t name = json_get(&r->d, node, SLICE("name"));
    uint32_t models = json_get(&r->d, node, SLICE("models"));
    if (name == 0 || models == 0) {
        fail(r, node, "provider: `name` and `models` are needed");
        return;
    }
    for (uint32_t k = json_first(&r->d, node); k < json_end(&r->d, node);
         k = json_after(&r->d, k + 1)) {
        struct slice key = json_inner(&r->d, k);
        if (!slice_is(key, "name") && !slice_is(key, "models") && !slice_is(key, "types") &&
            !slice_is(key, "fallback"))
            unknown_member(r, k, "provider");
    }
    r->provider = ROWS(r, providers, price_provider);
    p.name = read_text(r, name, 40, "name");
    for (size_t i = 0; i < r->provider; i++)
        if (slice_eq(pool_slice(r, others[i].name), pool_slice(r, p.name)))
            fail(r, name, "this provider stands here twice");
    read_types(r, node, p.name);
    read_models(r, models, &p);
    buf_append(&r->l->providers, &p, sizeof p);
}

/* Providers that are asked next; they may stand anywhere in the file. */
static void read_fallback(struct reader *r, uint32_t node, struct price_provider *p)
{
    const struct price_provider *all =
        (const struct price_provider *)(const void *)r->l->providers.p;
    uint32_t list = json_get(&r->d, node, SLICE("fallback"));
    if (list == 0 || !expect(r, list, JSON_ARRAY, "fallback"))
        return;
    p->fallback_from = rows(r, &r->l->fallbacks, sizeof(uint16_t));
    for (uint32_t i = json_first(&r->d, list); i < json_end(&r->d, list) && !r->failed;
         i = json_after(&r->d, i)) {
        struct slice name = pool_slice(r, read_text(r, i, 40, "fallback"));
        uint16_t at = 0, n = ROWS(r, providers, price_provider);
        while (at < n && !slice_eq(pool_slice(r, all[at].name), name))
            at++;
        if (at == n || p->fallback_n++ == FALLBACKS_MAX)
            fail(r, i, "fallback: %s", at == n ? "there is no such provider" : "too many");
        buf_append(&r->l->fallbacks, &at, sizeof at);
    }
}

/* ---------------------------------------------------------------- the table */

struct sort_row {
    struct slice text;
    struct price_name name;
};

static int compare_names(const void *a, const void *b)
{
    const struct sort_row *x = a, *y = b;
    int order = memcmp(x->text.p, y->text.p, MIN_OF(x->text.n, y->text.n));
    return order != 0 ? order : (x->text.n > y->text.n) - (x->text.n < y->text.n);
}

/* Sorts the names of a provider for the search, and refuses one that stands there twice. */
static void sort_names(struct reader *r, uint32_t node, const struct price_provider *p)
{
    struct price_name *names = (struct price_name *)(void *)r->l->names.p;
    struct sort_row *sorted = mem_calloc(MAX_OF(p->names_n, 1u), sizeof *sorted);
    if (sorted == NULL) {
        fail(r, node, "out of memory");
        return;
    }
    for (size_t i = 0; i < p->names_n; i++) {
        struct price_name row = names[p->names_from + i];
        sorted[i] = (struct sort_row){slice_of(r->l->pool.p + row.at, row.n), row};
    }
    qsort(sorted, p->names_n, sizeof *sorted, compare_names);
    for (size_t i = 0; i < p->names_n; i++) {
        if (i > 0 && slice_eq(sorted[i].text, sorted[i - 1].text))
            fail(r, node, "the name \"" SLICE_FMT "\" stands here twice",
                 SLICE_ARG(sorted[i].text));
        names[p->names_from + i] = sorted[i].name;
    }
    mem_free(sorted);
}

static void read_providers(struct reader *r, uint32_t node)
{
    if (!expect(r, node, JSON_ARRAY, "providers"))
        return;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i))
        read_provider(r, i);
    if (!r->failed && !buffers_whole(r->l))
        fail(r, node, "out of memory");
    struct price_provider *p = (struct price_provider *)(void *)r->l->providers.p;
    for (uint32_t i = json_first(&r->d, node); i < json_end(&r->d, node) && !r->failed;
         i = json_after(&r->d, i), p++) {
        read_fallback(r, i, p);
        sort_names(r, i, p);
    }
}

/* The first two members say what the file is, before anything else is complained about. */
static void read_root(struct reader *r)
{
    int64_t version = 0;
    int32_t day;
    struct json_doc *d = &r->d;
    if (!expect_object(r, 0, "prices"))
        return;
    uint32_t format = json_get(d, 0, SLICE("format")), v = json_get(d, 0, SLICE("version"));
    uint32_t date = json_get(d, 0, SLICE("date")), providers = json_get(d, 0, SLICE("providers"));
    if (format == 0 || !json_string_is(d, format, SLICE("weir-prices")))
        fail(r, format, "this is no table of prices: `format` is not \"weir-prices\"");
    else if (v == 0 || !json_i64(d, v, &version) || version != 1)
        fail(r, v, "`version` is not 1: this Weir does not know the format");
    else if (date == 0 || !price_read_day(plain_text(r, date, "date"), &day))
        fail(r, date, "`date` has to be a day such as \"2026-10-01\"");
    else if (providers == 0)
        fail(r, 0, "`providers` is missing");
    for (uint32_t k = json_first(d, 0); k < json_end(d, 0) && !r->failed; k = json_after(d, k + 1))
        if (k + 1 != format && k + 1 != v && k + 1 != date && k + 1 != providers)
            unknown_member(r, k, "prices");
    if (r->failed)
        return;
    r->l->table.date = read_text(r, date, 10, "date");
    read_providers(r, providers);
}

/* What a buffer holds; never NULL, so that empty ranges of it can be pointed to. */
static const void *rows_in(const struct buf *b)
{
    static const max_align_t none;
    return b->p != NULL ? (const void *)b->p : &none;
}

/* Points the table to what has been read, which does not move any more. */
static void finish(struct reader *r)
{
    struct price_loaded *l = r->l;
    struct price *prices = (struct price *)(void *)l->prices.p;
    const struct price_window *window = (const struct price_window *)(const void *)l->windows.p;
    for (size_t i = 0; i < ROWS(r, prices, price); i++) {
        if (prices[i].windows_n == 0)
            continue;
        prices[i].window = window;
        window += prices[i].windows_n;
    }
    struct price_table *t = &l->table;
    t->pool = l->pool.p;
    t->types = rows_in(&l->types);
    t->providers = rows_in(&l->providers);
    t->fallbacks = rows_in(&l->fallbacks);
    t->names = rows_in(&l->names);
    t->patterns = rows_in(&l->patterns);
    t->models = rows_in(&l->models);
    t->laters = rows_in(&l->laters);
    t->prices = rows_in(&l->prices);
    t->types_n = ROWS(r, types, price_type);
    t->providers_n = ROWS(r, providers, price_provider);
    t->models_n = ROWS(r, models, price_model);
}

static struct price_loaded *loaded_new(void)
{
    struct price_loaded *l = mem_calloc(1, sizeof *l);
    struct buf *all[BUFFERS_N];
    if (l == NULL)
        return NULL;
    all_buffers(l, all);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_init(all[i], (size_t)1 << 28);
    return l;
}

/* Reads what the parser found sound. */
static bool read_table(struct price_loaded *l, struct json_parser *parser, struct json_doc d,
                       struct buf *error)
{
    struct reader r = {.l = l, .parser = parser, .d = d, .error = error};
    arena_init(&r.scratch, NULL, PRICE_TEXT_MAX);
    read_root(&r);
    arena_reset(&r.scratch);
    if (!r.failed && !buffers_whole(l))
        fail(&r, 0, "out of memory");
    if (!r.failed)
        finish(&r);
    return !r.failed;
}

struct price_table *price_table_read(struct slice text, struct buf *error)
{
    struct json_parser *parser = json_parser_new();
    struct price_loaded *l = loaded_new();
    struct json_doc d;
    bool ok = false;
    if (parser == NULL || l == NULL) {
        buf_lit(error, "out of memory");
    } else if (text.n > PRICE_TEXT_MAX) {
        buf_lit(error, "1:1: too large for a table of prices");
    } else {
        enum json_error e = json_parse(parser, text, 0, &d);
        if (e != JSON_OK) {
            price_put_place(error, text.p, d.error_at);
            buf_slice(error, slice_str(json_error_text(e)));
        } else {
            ok = read_table(l, parser, d, error);
        }
    }
    json_parser_free(parser);
    if (ok)
        return &l->table;
    if (l != NULL)
        price_table_free(&l->table);
    return NULL;
}

void price_table_free(struct price_table *t)
{
    struct buf *all[BUFFERS_N];
    if (t == NULL)
        return;
    struct price_loaded *l = container_of(t, struct price_loaded, table);
    all_buffers(l, all);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    mem_free(l);
}

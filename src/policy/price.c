/* Books of prices: finding a model's price and what else is known of it, and what an answer costs.
 */
#include "policy/price.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "price_table.h"

#define BOOK_MAGIC  UINT32_C(0x70726963)
#define TABLES_MAX  2
#define DAY_S       86400
#define PER_MILLION 1000000
#define COST_MAX    (INT64_C(1) << 53)

struct price_book {
    uint32_t magic;
    atomic_uint refs;
    int32_t day; /* that it was made on */
    unsigned tables_n;
    const struct price_table *tables[TABLES_MAX]; /* newest first; the last is the built-in one */
    struct price_table *read;                     /* the newest, if it is of a file */
};

const struct price price_free = {.tiers_n = 1};

struct price_book *price_book_new(void)
{
    struct price_book *b = mem_calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->magic = BOOK_MAGIC;
    atomic_init(&b->refs, 1);
    b->day = (int32_t)(clock_wall_ns() / NS_PER_S / DAY_S);
    b->tables[b->tables_n++] = &price_builtin;
    return b;
}

struct price_book *price_book_with(struct slice text, struct buf *error)
{
    struct price_table *read = price_table_read(text, error);
    if (read == NULL)
        return NULL;
    struct price_book *b = price_book_new();
    if (b == NULL) {
        buf_lit(error, "out of memory");
        price_table_free(read);
        return NULL;
    }
    b->read = read;
    b->tables[1] = b->tables[0];
    b->tables[0] = read;
    b->tables_n = 2;
    return b;
}

struct price_book *price_book_ref(struct price_book *b)
{
    CHECK_MAGIC(b, BOOK_MAGIC);
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void price_book_unref(struct price_book *b)
{
    if (b == NULL)
        return;
    CHECK_MAGIC(b, BOOK_MAGIC);
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    price_table_free(b->read);
    b->magic = 0;
    mem_free(b);
}

static struct slice text_of(const struct price_table *t, struct price_text text)
{
    return slice_of(t->pool + text.at, text.n);
}

struct slice price_book_date(const struct price_book *b)
{
    CHECK_MAGIC(b, BOOK_MAGIC);
    return text_of(b->tables[0], b->tables[0]->date);
}

static bool fits_one(char pattern, char c)
{
    return pattern == c || (pattern == '#' && c >= '0' && c <= '9');
}

/* Where, from `c` on, the text behind a star may begin: `next` is the pattern's character there. */
static size_t may_begin(struct slice name, size_t c, char next)
{
    if (next == '*' || next == '#' || c >= name.n)
        return c;
    const char *found = memchr(name.p + c, next, name.n - c);
    return found != NULL ? (size_t)(found - name.p) : name.n;
}

bool price_pattern_fits(struct slice pattern, struct slice name)
{
    size_t p = 0, c = 0, star = SIZE_MAX, star_c = 0; /* where to go on from after a mismatch */
    while (c < name.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            if (p == pattern.n)
                return true;
            star_c = c = may_begin(name, c, pattern.p[p]);
        } else if (p < pattern.n && fits_one(pattern.p[p], name.p[c])) {
            p++;
            c++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            star_c = c = may_begin(name, star_c + 1, pattern.p[p]);
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* The model that has exactly this name, or NULL. */
static const struct price_model *find_name(const struct price_table *t,
                                           const struct price_provider *p, struct slice name)
{
    const struct price_name *names = t->names + p->names_from;
    size_t from = 0, to = p->names_n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        const struct price_name *row = &names[mid];
        int order = memcmp(name.p, t->pool + row->at, MIN_OF(name.n, (size_t)row->n));
        if (order == 0 && name.n == row->n)
            return &t->models[row->model];
        if (order < 0 || (order == 0 && name.n < row->n))
            to = mid;
        else
            from = mid + 1;
    }
    return NULL;
}

static const struct price_model *find_pattern(const struct price_table *t,
                                              const struct price_provider *p, struct slice name)
{
    const struct price_pattern *rows = t->patterns + p->patterns_from;
    for (size_t i = 0; i < p->patterns_n; i++) {
        uint16_t model = rows[i].model;
        if (!price_pattern_fits(slice_of(t->pool + rows[i].at, rows[i].n), name))
            continue;
        if (!rows[i].except)
            return &t->models[model];
        while (i + 1 < p->patterns_n && rows[i + 1].model == model)
            i++;
    }
    return NULL;
}

static const struct price_model *find_at(const struct price_table *t,
                                         const struct price_provider *p, struct slice name)
{
    const struct price_model *m = find_name(t, p, name);
    return m != NULL ? m : find_pattern(t, p, name);
}

static const struct price_model *find_model(const struct price_table *t,
                                            const struct price_provider *p, struct slice name)
{
    const struct price_model *m = find_at(t, p, name);
    for (size_t i = 0; m == NULL && i < p->fallback_n; i++)
        m = find_at(t, &t->providers[t->fallbacks[p->fallback_from + i]], name);
    return m;
}

static const struct price_provider *find_provider(const struct price_table *t, struct slice type)
{
    for (size_t i = 0; i < t->types_n; i++) {
        if (slice_eq(text_of(t, t->types[i].name), type))
            return &t->providers[t->types[i].provider];
    }
    return NULL;
}

static const struct price *price_on(const struct price_table *t, const struct price_model *m,
                                    int32_t day)
{
    uint16_t price = m->price;
    for (size_t i = 0; i < m->later_n && t->laters[m->later_from + i].from_day <= day; i++)
        price = t->laters[m->later_from + i].price;
    return price == PRICE_NONE ? NULL : &t->prices[price];
}

static struct slice behind_slash(struct slice s)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '/')
        at--;
    return slice_from(s, at);
}

/* Without the publisher or collection that Google's models may be named with, as in
 * "google/gemini-2.5-pro" (Vertex AI's OpenAI surface) or "models/gemini-2.5-pro" (Gemini's own).
 */
static struct slice without_path(struct slice type, struct slice name)
{
    static const char *const paths[] = {"google/", "anthropic/", "models/", "publishers/"};
    if (!slice_is(type, "gemini") && !slice_is(type, "vertex"))
        return SLICE_NONE;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (slice_starts(name, slice_str(paths[i])))
            return behind_slash(name);
    return SLICE_NONE;
}

/* A model as tables name it. */
struct wanted {
    struct slice type, name, base; /* `name` is in `lower`; `base` may be empty */
    char lower[PRICE_NAME_MAX];
};

/* False: no table has such a name. */
static bool wanted_init(struct wanted *w, struct slice type, struct slice model)
{
    if (slice_starts(model, SLICE("arn:"))) /* of AWS: the resource is the name */
        model = behind_slash(model);
    if (model.n == 0 || model.n > sizeof w->lower)
        return false;
    for (size_t i = 0; i < model.n; i++) {
        char c = model.p[i];
        w->lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    w->type = type;
    w->name = slice_of(w->lower, model.n);
    w->base = without_path(type, w->name);
    return true;
}

static const struct price_model *find_wanted(const struct price_table *t, const struct wanted *w)
{
    const struct price_provider *p = find_provider(t, w->type);
    const struct price_model *m = p != NULL ? find_model(t, p, w->name) : NULL;
    if (m == NULL && p != NULL && w->base.n > 0)
        m = find_model(t, p, w->base);
    return m;
}

const struct price *price_find(const struct price_book *b, struct slice provider_type,
                               struct slice model)
{
    UNINITIALIZED struct wanted w;
    CHECK_MAGIC(b, BOOK_MAGIC);
    if (!wanted_init(&w, provider_type, model))
        return NULL;
    for (unsigned i = 0; i < b->tables_n; i++) {
        const struct price_model *m = find_wanted(b->tables[i], &w);
        if (m != NULL)
            return price_on(b->tables[i], m, b->day);
    }
    return NULL;
}

int64_t price_context(const struct price_book *b, struct slice provider_type, struct slice model)
{
    UNINITIALIZED struct wanted w;
    CHECK_MAGIC(b, BOOK_MAGIC);
    if (!wanted_init(&w, provider_type, model))
        return 0;
    for (unsigned i = 0; i < b->tables_n; i++) {
        const struct price_model *m = find_wanted(b->tables[i], &w);
        if (m != NULL && m->context > 0)
            return m->context;
    }
    return 0;
}

struct price_abilities price_abilities(const struct price_book *b, struct slice provider_type,
                                       struct slice model)
{
    UNINITIALIZED struct wanted w;
    struct price_abilities ret = {0, 0};
    CHECK_MAGIC(b, BOOK_MAGIC);
    if (!wanted_init(&w, provider_type, model))
        return ret;
    for (unsigned i = 0; i < b->tables_n; i++) {
        const struct price_model *m = find_wanted(b->tables[i], &w);
        if (m == NULL)
            continue;
        unsigned known = ret.can | ret.cannot;
        ret.can |= (unsigned char)(m->abilities.can & ~known);
        ret.cannot |= (unsigned char)(m->abilities.cannot & ~known);
    }
    return ret;
}

/* Whether a table newer than number `table` knows the model `id` of the provider `name`. */
static bool is_hidden(const struct price_book *b, unsigned table, struct slice name,
                      struct slice id)
{
    for (unsigned i = 0; i < table; i++) {
        const struct price_table *t = b->tables[i];
        for (size_t k = 0; k < t->providers_n; k++) {
            const struct price_provider *p = &t->providers[k];
            if (slice_eq(text_of(t, p->name), name) && find_at(t, p, id) != NULL)
                return true;
        }
    }
    return false;
}

void price_book_each(const struct price_book *b,
                     void (*each)(void *ctx, const struct price_row *row), void *ctx)
{
    CHECK_MAGIC(b, BOOK_MAGIC);
    for (unsigned i = 0; i < b->tables_n; i++) {
        const struct price_table *t = b->tables[i];
        for (size_t k = 0; k < t->providers_n; k++) {
            const struct price_provider *p = &t->providers[k];
            for (size_t m = p->models_from; m < (size_t)p->models_from + p->models_n; m++) {
                struct price_row row = {.provider = text_of(t, p->name),
                                        .model = text_of(t, t->models[m].id),
                                        .price = price_on(t, &t->models[m], b->day),
                                        .table = i};
                row.hidden = is_hidden(b, i, row.provider, row.model);
                each(ctx, &row);
            }
        }
    }
}

static bool window_holds(const struct price_window *w, uint32_t second)
{
    if (w->from_s <= w->to_s)
        return second >= w->from_s && second < w->to_s;
    return second >= w->from_s || second < w->to_s;
}

/* The rates for a prompt of so many tokens at that time. */
static const int64_t *rates_of(const struct price *p, int64_t input, int64_t wall_s)
{
    const struct price_tier *tier = p->tier;
    unsigned n = p->tiers_n;
    uint32_t second = (uint32_t)((wall_s % DAY_S + DAY_S) % DAY_S);
    for (unsigned i = 0; i < p->windows_n; i++) {
        if (window_holds(&p->window[i], second)) {
            tier = p->window[i].tier;
            n = p->window[i].tiers_n;
            break;
        }
    }
    ASSERT(n >= 1 && n <= PRICE_TIERS_MAX);
    unsigned at = n - 1;
    while (at > 0 && input < tier[at].from_tokens)
        at--;
    return tier[at].rate;
}

static int64_t clamp(int64_t v, int64_t most)
{
    return v < 0 ? 0 : MIN_OF(v, most);
}

int64_t price_cost(const struct price *p, const struct llm_usage *u, int64_t wall_s)
{
    int64_t input = clamp(u->input, INT64_MAX), output = clamp(u->output, INT64_MAX);
    int64_t cached = clamp(u->cached, input), written = clamp(u->cache_write, input - cached);
    const int64_t *rate = rates_of(p, input, wall_s);
    int64_t amount[PRICE_ITEMS_N] = {
        [PRICE_INPUT] = input - cached - written,
        [PRICE_OUTPUT] = output,
        [PRICE_CACHED] = cached,
        [PRICE_CACHE_WRITE] = written,
        [PRICE_REQUEST] = 1,
    };
    __int128 sum = 0; /* at most 5 * 2^63 * 2^63 */
    for (unsigned i = 0; i < PRICE_ITEMS_N; i++) {
        int64_t r = rate[i];
        if (r < 0 && (i == PRICE_CACHED || i == PRICE_CACHE_WRITE))
            r = rate[PRICE_INPUT];
        if (r > 0)
            sum += (__int128)amount[i] * r;
    }
    /* Cached, written and plain input add up to `input`, so the sum stays below 2^128 / 2. */
    sum = (sum + PER_MILLION / 2) / PER_MILLION;
    return sum > COST_MAX ? COST_MAX : (int64_t)sum;
}

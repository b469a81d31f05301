/* Why a cost grew: of all, of one name, and of the names that changed most. */
#include <stdlib.h>

#include "policy/growth.h"
#include "usage_line.h"

#define NAMES_MOST  100
#define NAMES_USUAL 10
#define LINES       1000 /* the most expensive of each time are compared */
#define WINDOW_DAYS 1830

struct pair {
    struct usage_line before, after;
};

struct why {
    enum usage_by by;
    struct slice name;
    struct usage_window window, before;
    int64_t names;
};

static struct growth_period period_of(const struct usage_line *l)
{
    return (struct growth_period){.users = l->users,
                                  .requests = l->requests,
                                  .tokens = l->input + l->output,
                                  .cost_nano = l->cost_nano};
}

static void put_factor(struct json_writer *w, const struct growth *g, enum growth_factor f)
{
    jw_open(w, '{');
    jw_field_string(w, "factor", slice_str(growth_factor_name(f)));
    jw_key(w, "cost");
    usage_put_money(w, g->part[f]);
    jw_field_i64(w, "cost_nano", g->part[f]);
    jw_field_bool(w, "known", g->known[f]);
    jw_key(w, "before");
    jw_double(w, g->known[f] ? g->before[f] : 0);
    jw_key(w, "after");
    jw_double(w, g->known[f] ? g->after[f] : 0);
    jw_close(w, '}');
}

/* Members of the object that is open. */
static void put_growth(struct json_writer *w, const struct pair *p)
{
    struct growth_period before = period_of(&p->before), after = period_of(&p->after);
    struct growth g;
    growth_explain(&before, &after, &g);
    jw_key(w, "growth");
    usage_put_money(w, g.total);
    jw_field_i64(w, "growth_nano", g.total);
    jw_field_i64(w, "cost_before_nano", before.cost_nano);
    jw_field_i64(w, "cost_after_nano", after.cost_nano);
    jw_field_i64(w, "unpriced", p->before.unpriced + p->after.unpriced);
    jw_key(w, "parts");
    jw_open(w, '[');
    for (unsigned f = 0; f < GROWTH_FACTORS_N; f++)
        put_factor(w, &g, (enum growth_factor)f);
    jw_close(w, ']');
}

/* The most expensive names of one time. */
static bool read_lines(struct usage_ask *q, enum usage_by by, const struct usage_window *window,
                       struct usage_line **ret, size_t *ret_n)
{
    struct usage_query uq = {.by = by,
                             .from_ns = window->from_ns,
                             .to_ns = window->to_ns,
                             .by_cost = true,
                             .limit = LINES};
    struct slice next;
    struct buf error;
    buf_init(&error, 4096);
    bool ok = usage_read(q->reader, &uq, q->arena, ret, ret_n, &next, &error);
    if (!ok)
        usage_fail(q, 500, "the ledger cannot be read: %.*s", SLICE_ARG(buf_view(&error)));
    buf_done(&error);
    return ok;
}

static int64_t change_of(const struct pair *p)
{
    return llabs(p->after.cost_nano - p->before.cost_nano);
}

static int by_change(const void *a, const void *b)
{
    int64_t x = change_of(a), y = change_of(b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static int by_name(const void *a, const void *b)
{
    const struct usage_line *x = a, *y = b;
    int order = memcmp(x->name.n > 0 ? x->name.p : "", y->name.n > 0 ? y->name.p : "",
                       MIN_OF(x->name.n, y->name.n));
    return order != 0 ? order : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

/* Both sorted by name: each name of either once. */
static size_t join(const struct usage_line *a, size_t a_n, const struct usage_line *b, size_t b_n,
                   struct pair *ret)
{
    size_t n = 0;
    for (size_t i = 0, k = 0; i < a_n || k < b_n; n++) {
        int order = i == a_n ? 1 : k == b_n ? -1 : by_name(&a[i], &b[k]);
        const struct usage_line none = {.name = order <= 0 ? a[i].name : b[k].name, .users = -1};
        ret[n].before = order <= 0 ? a[i++] : none;
        ret[n].after = order >= 0 ? b[k++] : none;
    }
    return n;
}

static bool put_names(struct usage_ask *q, const struct why *why, struct json_writer *w)
{
    struct usage_line *before, *after;
    size_t before_n, after_n;
    if (!read_lines(q, why->by, &why->before, &before, &before_n) ||
        !read_lines(q, why->by, &why->window, &after, &after_n))
        return false;
    struct pair *pairs = arena_alloc(q->arena, (before_n + after_n + 1) * sizeof *pairs);
    if (pairs == NULL)
        return usage_fail(q, 500, "out of memory");
    if (before_n > 0)
        qsort(before, before_n, sizeof *before, by_name);
    if (after_n > 0)
        qsort(after, after_n, sizeof *after, by_name);
    size_t n = join(before, before_n, after, after_n, pairs);
    qsort(pairs, n, sizeof *pairs, by_change);
    jw_key(w, "names");
    jw_open(w, '[');
    for (size_t i = 0; i < n && i < (size_t)why->names && change_of(&pairs[i]) > 0; i++) {
        jw_open(w, '{');
        jw_field_string(w, "name", pairs[i].after.name);
        put_growth(w, &pairs[i]);
        jw_close(w, '}');
    }
    jw_close(w, ']');
    return true;
}

static bool read_params(struct usage_ask *q, struct why *why)
{
    struct slice by = SLICE("total"), from = SLICE_NONE, to = SLICE_NONE, limit = SLICE_NONE;
    const struct usage_param params[] = {
        {"by", &by}, {"name", &why->name}, {"from", &from}, {"to", &to}, {"limit", &limit}};
    why->names = NAMES_USUAL;
    if (!usage_params(q, params, ARRAY_LEN(params)))
        return false;
    int b = usage_word(q, "by", by, usage_by_words());
    if (b < 0 || !usage_window_read(q, from, to, WINDOW_DAYS * USAGE_DAY_NS, &why->window) ||
        (limit.n > 0 && !usage_number(q, "limit", limit, 1, NAMES_MOST, &why->names)))
        return false;
    if (why->name.p != NULL && b == USAGE_TOTAL)
        return usage_fail(q, 400, "`name` needs a `by` that says what has that name");
    why->by = (enum usage_by)b;
    why->window.to_ns = MIN_OF(why->window.to_ns, q->wall_ns); /* like is compared with like */
    if (why->window.to_ns <= why->window.from_ns)
        return usage_fail(q, 400, "`from` lies in the future");
    why->before = usage_window_before(&why->window);
    return true;
}

bool usage_report_why(struct usage_ask *q)
{
    struct why why = {.name = SLICE_NONE};
    struct pair p;
    if (!read_params(q, &why))
        return false;
    enum usage_by by = why.name.p != NULL ? why.by : USAGE_TOTAL;
    if (!usage_read_name(q, by, why.name, &why.before, &p.before) ||
        !usage_read_name(q, by, why.name, &why.window, &p.after))
        return false;
    struct json_writer w = json_writer(q->out);
    jw_open(&w, '{');
    jw_field_string(&w, "by", slice_str(usage_by_name(why.by)));
    if (why.name.p != NULL)
        jw_field_string(&w, "name", why.name);
    usage_put_window(&w, &why.window);
    jw_key(&w, "before");
    jw_open(&w, '{');
    usage_put_window(&w, &why.before);
    jw_close(&w, '}');
    put_growth(&w, &p);
    bool ok = why.name.p != NULL || why.by == USAGE_TOTAL || put_names(q, &why, &w);
    jw_close(&w, '}');
    return ok;
}

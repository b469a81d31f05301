/* Reading the ledger's rollups. */
#include "store/usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ledger_db.h"
#include "usage_internal.h"

#define BUSY_MS       2000
#define SUMS_MAX      2000000u
#define BLOBS_MAX     ((size_t)1 << 30)
#define LOOK_UP_SHARE 3         /* looking a line up costs as much as passing by so many */
#define NOT_IN        INT64_MIN /* of a combination that the filters leave out */

static const char *const by_names[USAGE_BY_N] = {
    [USAGE_TOTAL] = "total",
    [USAGE_MODEL] = "model",
    [USAGE_PROVIDER] = "provider",
    [USAGE_TARGET] = "target",
    [USAGE_KEY] = "key",
    [USAGE_TEAM] = "team",
    [USAGE_ORGANISATION] = "organisation",
    [USAGE_USE_CASE] = "use_case",
    [USAGE_USER] = "user",
};
static const char *const step_names[USAGE_STEPS_N] = {
    [USAGE_WHOLE] = "whole", [USAGE_MINUTE] = "minute", [USAGE_HOUR] = "hour",
    [USAGE_DAY] = "day",     [USAGE_MONTH] = "month",
};

const char *usage_by_name(enum usage_by b)
{
    return (unsigned)b < USAGE_BY_N ? by_names[b] : "";
}

bool usage_by_find(struct slice name, enum usage_by *ret)
{
    for (unsigned i = 0; i < USAGE_BY_N; i++) {
        if (slice_is(name, by_names[i])) {
            *ret = (enum usage_by)i;
            return true;
        }
    }
    return false;
}

bool usage_step_find(struct slice name, enum usage_step *ret)
{
    for (unsigned i = 0; i < USAGE_STEPS_N; i++) {
        if (slice_is(name, step_names[i])) {
            *ret = (enum usage_step)i;
            return true;
        }
    }
    return false;
}

/* The name of an id of the dimension that is asked for, and its place in the order of names. */
struct usage_name {
    int64_t id;
    struct slice text;
    uint32_t order;
};

/* What one call works with. */
struct reading {
    struct usage_reader *u;
    const struct usage_query *q;
    struct usage_plan plan;
    struct arena *a;
    struct buf *error;
    int64_t *combo_id; /* the dimension's id of each combination, or NOT_IN */
    int64_t combos_n, combos_in;
    int64_t month, month_end;  /* the latest month of bucket_for */
    struct arena blobs;        /* forms of lines that are the whole sum */
    struct usage_name **order; /* names by their place in the order; not of users */
    bool second;               /* the histograms of the selected lines are read */
};

struct usage_reader *usage_open(const char *folder, struct buf *error)
{
    char path[4096];
    int from = snprintf(path, sizeof path, "%s/" DB_FILE, folder), version = -1;
    sqlite3_stmt *s = NULL;
    struct usage_reader *u = mem_calloc(1, sizeof *u);
    if (u == NULL || from < 0 || (size_t)from >= sizeof path) {
        buf_lit(error, "no memory to read the ledger");
        mem_free(u);
        return NULL;
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX; /* a reader makes the WAL's index */
    bool ok = sqlite3_open_v2(path, &u->sql, flags, NULL) == SQLITE_OK;
    if (ok) {
        sqlite3_busy_timeout(u->sql, BUSY_MS);
        ok = sqlite3_exec(u->sql,
                          "PRAGMA query_only = 1; PRAGMA cache_size = -16000;"
                          "PRAGMA mmap_size = 268435456",
                          NULL, NULL, NULL) == SQLITE_OK &&
             sqlite3_prepare_v2(u->sql, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK;
    }
    if (ok && sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    if (version == DB_VERSION)
        return u;
    if (version >= 0)
        buf_printf(error, "%s has version %d of its schema, and this Weir reads version %d", path,
                   version, DB_VERSION);
    else
        buf_printf(error, "%s cannot be read: %s", path,
                   u->sql != NULL ? sqlite3_errmsg(u->sql) : "no memory");
    usage_close(u);
    return NULL;
}

void usage_close(struct usage_reader *u)
{
    if (u == NULL)
        return;
    sqlite3_close(u->sql);
    rollup_map_done(&u->sums);
    rollup_map_done(&u->ids);
    mem_free(u);
}

static bool fail_sql(const struct reading *r)
{
    buf_printf(r->error, "the ledger's database: %s", sqlite3_errmsg(r->u->sql));
    return false;
}

static bool no_memory(const struct reading *r)
{
    buf_lit(r->error, "no memory to read the ledger");
    return false;
}

/* The number of a name, or 0. */
static uint32_t id_of(const struct reading *r, enum ledger_name_kind kind, struct slice name)
{
    sqlite3_stmt *s = NULL;
    uint32_t id = 0;
    const char *text = "SELECT id FROM name WHERE kind = ?1 AND text = ?2";
    if (sqlite3_prepare_v2(r->u->sql, text, -1, &s, NULL) != SQLITE_OK)
        return 0;
    sqlite3_bind_int(s, 1, (int)kind);
    sqlite3_bind_text(s, 2, name.p, (int)name.n, SQLITE_STATIC);
    if (sqlite3_step(s) == SQLITE_ROW)
        id = (uint32_t)sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return id;
}

/* Which combinations the filters let through, and what they count for. */
static bool read_combos(struct reading *r)
{
    const struct {
        enum ledger_name_kind kind;
        struct slice name;
    } filters[] = {{NAME_MODEL, r->q->model},
                   {NAME_KEY, r->q->key},
                   {NAME_TEAM, r->q->team},
                   {NAME_USE_CASE, r->q->use_case}};
    uint32_t wanted[ARRAY_LEN(filters)];
    sqlite3_stmt *s = NULL;
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        wanted[i] = filters[i].name.n > 0 ? id_of(r, filters[i].kind, filters[i].name) : 0;
    if (sqlite3_prepare_v2(r->u->sql, "SELECT max(id) FROM combo", -1, &s, NULL) != SQLITE_OK)
        return fail_sql(r);
    if (sqlite3_step(s) == SQLITE_ROW)
        r->combos_n = sqlite3_column_int64(s, 0) + 1;
    sqlite3_finalize(s);
    r->combo_id = arena_alloc(r->a, (size_t)r->combos_n * sizeof *r->combo_id);
    if (r->combo_id == NULL)
        return no_memory(r);
    for (int64_t i = 0; i < r->combos_n; i++)
        r->combo_id[i] = NOT_IN;
    if (sqlite3_prepare_v2(r->u->sql, "SELECT * FROM combo", -1, &s, NULL) != SQLITE_OK)
        return fail_sql(r);
    while (sqlite3_step(s) == SQLITE_ROW) {
        uint32_t name[NAME_KINDS_N];
        int64_t id = sqlite3_column_int64(s, 0);
        bool in = id >= 0 && id < r->combos_n;
        for (int k = 0; k < NAME_KINDS_N; k++)
            name[k] = (uint32_t)sqlite3_column_int64(s, 1 + k);
        for (size_t i = 0; i < ARRAY_LEN(filters); i++)
            in = in &&
                 (filters[i].name.n == 0 || (wanted[i] > 0 && name[filters[i].kind] == wanted[i]));
        if (in)
            r->combo_id[id] = db_dimension_id(r->q->by, name);
        r->combos_in += in;
    }
    return sqlite3_finalize(s) == SQLITE_OK || fail_sql(r);
}

/* Does each line of the answer come from one line of the database? */
static bool is_direct(const struct reading *r)
{
    return !r->plan.whole && !r->plan.cube && !r->q->by_cost;
}

static bool take_line(struct reading *r, int64_t id, int64_t bucket, struct slice figures)
{
    const struct {
        int64_t id, bucket;
    } key = {id, bucket};
    struct usage_sum *sum = rollup_map_find(&r->u->sums, &key, sizeof key, sizeof *sum);
    if (sum == NULL || r->u->sums.n > SUMS_MAX) {
        buf_lit(r->error, "too many lines for one query");
        return false;
    }
    bool ok;
    if (r->second) {
        ok = sum->selected == 0 || tally_decode_add(figures, &r->u->tally[sum->selected - 1]);
    } else if (is_direct(r)) {
        sum->blob = arena_copy(&r->blobs, figures).p;
        sum->blob_n = (uint32_t)figures.n;
        ok = sum->blob != NULL;
    } else {
        ok = figures_decode_add(figures, &sum->sums);
    }
    if (!ok)
        buf_lit(r->error, "the ledger's database has a damaged line");
    return ok;
}

/* Lines of all ids in a stretch of time, or of one id in one bucket. */
static sqlite3_stmt *prepare_piece(struct reading *r, enum rollup_class class, bool one)
{
    static const char *const class_names[] = {"minute", "hour", "day", "month"};
    char text[160];
    bool user = r->q->by == USAGE_USER;
    const char *table = user ? "user" : r->plan.cube ? "cube" : "use";
    const char *dim = user || r->plan.cube ? "" : "dim = ?3 AND ";
    sqlite3_stmt *s = NULL;
    snprintf(text, sizeof text, "SELECT id, bucket, figures FROM %s_%s WHERE %s%s", table,
             class_names[class], dim,
             one ? "bucket = ?1 AND id = ?2" : "bucket >= ?1 AND bucket < ?2");
    if (sqlite3_prepare_v2(r->u->sql, text, -1, &s, NULL) != SQLITE_OK)
        (void)fail_sql(r);
    return s;
}

/* The bucket of the answer that a bucket of the database belongs to. */
static int64_t bucket_for(struct reading *r, int64_t bucket)
{
    if (r->plan.whole)
        return 0;
    if (r->plan.step != ROLLUP_MONTH)
        return bucket;
    if (bucket < r->month || bucket >= r->month_end) { /* combinations have no months */
        r->month = rollup_bucket(ROLLUP_MONTH, bucket);
        r->month_end = rollup_next(ROLLUP_MONTH, bucket);
    }
    return r->month;
}

static bool take_rows(struct reading *r, sqlite3_stmt *s)
{
    bool ok = true;
    while (ok && sqlite3_step(s) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(s, 0), bucket = sqlite3_column_int64(s, 1);
        if (r->plan.cube) {
            id = id >= 0 && id < r->combos_n ? r->combo_id[id] : NOT_IN;
            if (id == NOT_IN)
                continue;
        }
        const void *figures = sqlite3_column_blob(s, 2);
        ok = take_line(r, id, bucket_for(r, bucket),
                       slice_of(figures, (size_t)sqlite3_column_bytes(s, 2)));
    }
    if (sqlite3_reset(s) != SQLITE_OK && ok)
        return fail_sql(r);
    return ok;
}

/* The first bucket from `from` on that has combinations, or INT64_MAX. */
static int64_t next_cube_bucket(sqlite3_stmt *s, int64_t from)
{
    int64_t bucket = INT64_MAX;
    sqlite3_bind_int64(s, 1, from);
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
        bucket = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return bucket;
}

/* Few combinations of many: each is looked up in each bucket. */
static bool look_up_combos(struct reading *r, const struct usage_piece *piece)
{
    sqlite3_stmt *one = prepare_piece(r, piece->class, true), *next = NULL;
    const char *text = piece->class == ROLLUP_HOUR
                           ? "SELECT min(bucket) FROM cube_hour WHERE bucket >= ?1"
                           : "SELECT min(bucket) FROM cube_day WHERE bucket >= ?1";
    bool ok = one != NULL &&
              (sqlite3_prepare_v2(r->u->sql, text, -1, &next, NULL) == SQLITE_OK || fail_sql(r));
    for (int64_t bucket = ok ? next_cube_bucket(next, piece->from) : INT64_MAX;
         bucket < piece->to && ok; bucket = next_cube_bucket(next, bucket + 1)) {
        for (int64_t id = 0; id < r->combos_n && ok; id++) {
            if (r->combo_id[id] == NOT_IN)
                continue;
            sqlite3_bind_int64(one, 1, bucket);
            sqlite3_bind_int64(one, 2, id);
            ok = take_rows(r, one);
        }
    }
    sqlite3_finalize(one);
    sqlite3_finalize(next);
    return ok;
}

static bool read_piece(struct reading *r, const struct usage_piece *piece)
{
    if (r->plan.cube && r->combos_in < r->combos_n / LOOK_UP_SHARE)
        return look_up_combos(r, piece);
    sqlite3_stmt *s = prepare_piece(r, piece->class, false);
    if (s == NULL)
        return false;
    sqlite3_bind_int64(s, 1, piece->from);
    sqlite3_bind_int64(s, 2, piece->to);
    if (!r->plan.cube && r->q->by != USAGE_USER)
        sqlite3_bind_int(s, 3, (int)r->q->by);
    bool ok = take_rows(r, s);
    sqlite3_finalize(s);
    return ok;
}

static bool read_pieces(struct reading *r)
{
    for (unsigned i = 0; i < r->plan.n; i++) {
        if (!read_piece(r, &r->plan.piece[i]))
            return false;
    }
    return true;
}

static struct slice text_of(struct reading *r, sqlite3_stmt *s, enum ledger_name_kind kind,
                            uint32_t id)
{
    struct slice text = SLICE_NONE;
    sqlite3_bind_int(s, 1, (int)kind);
    sqlite3_bind_int64(s, 2, id);
    if (id != 0 && sqlite3_step(s) == SQLITE_ROW)
        text = arena_copy(r->a, slice_of((const char *)sqlite3_column_text(s, 0),
                                         (size_t)sqlite3_column_bytes(s, 0)));
    sqlite3_reset(s);
    return text;
}

static struct slice name_of(struct reading *r, sqlite3_stmt *s, int64_t id)
{
    static const enum ledger_name_kind kind[USAGE_BY_N] = {
        [USAGE_MODEL] = NAME_MODEL,
        [USAGE_PROVIDER] = NAME_PROVIDER,
        [USAGE_KEY] = NAME_KEY,
        [USAGE_TEAM] = NAME_TEAM,
        [USAGE_ORGANISATION] = NAME_ORGANISATION,
        [USAGE_USE_CASE] = NAME_USE_CASE,
    };
    if (r->q->by == USAGE_TOTAL || id == 0)
        return SLICE_NONE;
    if (r->q->by != USAGE_TARGET)
        return text_of(r, s, kind[r->q->by], (uint32_t)id);
    struct slice provider = text_of(r, s, NAME_PROVIDER, (uint32_t)(id >> 32));
    struct slice model = text_of(r, s, NAME_TARGET, (uint32_t)id);
    if (provider.n == 0)
        return model;
    return arena_printf(r->a, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(provider), SLICE_ARG(model));
}

static int slice_order(struct slice a, struct slice b)
{
    size_t n = MIN_OF(a.n, b.n);
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_text(const void *a, const void *b)
{
    const struct usage_name *x = *(struct usage_name *const *)a;
    const struct usage_name *y = *(struct usage_name *const *)b;
    int order = slice_order(x->text, y->text);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

/* Names of all ids, and their order. Users' names are their ids, and are in their order. */
static bool read_names(struct reading *r)
{
    struct rollup_map *ids = &r->u->ids, *sums = &r->u->sums;
    struct usage_sum *sum = sums->entries;
    sqlite3_stmt *s = NULL;
    for (uint32_t i = 0; i < sums->n && r->q->by == USAGE_USER; i++)
        sum[i].order = (uint64_t)sum[i].id;
    if (r->q->by == USAGE_USER)
        return true;
    for (uint32_t i = 0; i < sums->n; i++) {
        if (rollup_map_find(ids, &sum[i].id, sizeof sum[i].id, sizeof(struct usage_name)) == NULL)
            return no_memory(r);
    }
    struct usage_name *name = ids->entries,
                      **order = arena_alloc(r->a, (ids->n + 1) * sizeof *order);
    if (order == NULL)
        return no_memory(r);
    if (sqlite3_prepare_v2(r->u->sql, "SELECT text FROM name WHERE kind = ?1 AND id = ?2", -1, &s,
                           NULL) != SQLITE_OK)
        return fail_sql(r);
    for (uint32_t i = 0; i < ids->n; i++) {
        name[i].text = name_of(r, s, name[i].id);
        order[i] = &name[i];
    }
    sqlite3_finalize(s);
    if (ids->n > 0)
        qsort(order, ids->n, sizeof(struct usage_name *), by_text);
    for (uint32_t i = 0; i < ids->n; i++)
        order[i]->order = i;
    for (uint32_t i = 0; i < sums->n; i++) {
        struct usage_name *found =
            rollup_map_find(ids, &sum[i].id, sizeof sum[i].id, sizeof(struct usage_name));
        sum[i].order = found->order;
    }
    r->order = order;
    return true;
}

static int by_name_and_bucket(const void *a, const void *b)
{
    const struct usage_sum *x = *(struct usage_sum *const *)a;
    const struct usage_sum *y = *(struct usage_sum *const *)b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

static int by_cost(const void *a, const void *b)
{
    const struct usage_sum *x = *(struct usage_sum *const *)a;
    const struct usage_sum *y = *(struct usage_sum *const *)b;
    int64_t cost_x = x->sums.n[FIGURE_COST], cost_y = y->sums.n[FIGURE_COST];
    if (cost_x != cost_y)
        return cost_x > cost_y ? -1 : 1;
    return by_name_and_bucket(a, b);
}

/* The name of a line. A user that nobody named has none. */
static struct slice sum_name(const struct reading *r, const struct usage_sum *s)
{
    if (r->q->by != USAGE_USER)
        return r->order[s->order]->text;
    if (s->id == 0)
        return SLICE_NONE;
    return arena_printf(r->a, "%016llx", (unsigned long long)s->id);
}

/* What a page ended with, "<bucket> <name>", in a form that lines can be compared with. */
struct page_end {
    bool any;
    int64_t bucket;
    struct slice name;
    uint64_t user;
};

static struct page_end page_end(const struct reading *r)
{
    uint64_t bucket;
    struct slice rest = r->q->after, number = slice_cut(&rest, ' ');
    struct page_end end = {.any = r->q->after.n > 0 && !r->q->by_cost, .name = rest};
    if (!slice_to_u64(number, &bucket))
        return (struct page_end){.any = false};
    end.bucket = (int64_t)bucket;
    for (size_t i = 0; i < rest.n && r->q->by == USAGE_USER; i++)
        end.user = end.user << 4 | ((unsigned)hex_digit(rest.p[i]) & 15);
    return end;
}

static bool is_behind(const struct reading *r, const struct usage_sum *s,
                      const struct page_end *end)
{
    int order = r->q->by == USAGE_USER ? (s->order > end->user) - (s->order < end->user)
                                       : slice_order(sum_name(r, s), end->name);
    return order > 0 || (order == 0 && s->bucket > end->bucket);
}

/* The lines that are wanted, in order; `*ret_more`: there are others behind them. NULL: error. */
static struct usage_sum **select_lines(struct reading *r, size_t limit, size_t *ret_n,
                                       bool *ret_more)
{
    struct usage_sum *sum = r->u->sums.entries,
                     **list = arena_alloc(r->a, (r->u->sums.n + (size_t)1) * sizeof *list);
    struct page_end end = page_end(r);
    size_t n = 0;
    if (list == NULL) {
        (void)no_memory(r);
        return NULL;
    }
    for (uint32_t i = 0; i < r->u->sums.n; i++) {
        if (!end.any || is_behind(r, &sum[i], &end))
            list[n++] = &sum[i];
    }
    if (n > 0)
        qsort(list, n, sizeof(struct usage_sum *), r->q->by_cost ? by_cost : by_name_and_bucket);
    *ret_more = n > limit;
    *ret_n = MIN_OF(n, limit);
    return list;
}

static struct usage_line line_of(const struct reading *r, const struct usage_sum *s,
                                 struct slice name, const struct tally *t)
{
    const int64_t *n = s->sums.n;
    struct usage_line l = {
        .name = name,
        .bucket_ns = r->plan.whole ? r->q->from_ns : s->bucket * NS_PER_S,
        .requests = n[FIGURE_REQUESTS],
        .refused = n[FIGURE_REFUSED],
        .failed = n[FIGURE_FAILED],
        .attempts = n[FIGURE_ATTEMPTS],
        .input = n[FIGURE_INPUT],
        .output = n[FIGURE_OUTPUT],
        .cached = n[FIGURE_CACHED],
        .cache_write = n[FIGURE_CACHE_WRITE],
        .reasoning = n[FIGURE_REASONING],
        .estimated = n[FIGURE_ESTIMATED],
        .unpriced = n[FIGURE_UNPRICED],
        .cost_nano = n[FIGURE_COST],
        .idle_nano = n[FIGURE_IDLE],
        .crashed = n[FIGURE_CRASHED],
        .duration_us = n[FIGURE_DURATION],
        .p50_us = -1,
        .p95_us = -1,
        .p99_us = -1,
        .first_p95_us = -1,
        .users = -1,
    };
    if (t == NULL)
        return l;
    const uint64_t *duration = t->mark + (size_t)HISTOGRAM_DURATION * HISTOGRAM_BUCKETS;
    l.p50_us = histogram_quantile(duration, 0.5);
    l.p95_us = histogram_quantile(duration, 0.95);
    l.p99_us = histogram_quantile(duration, 0.99);
    l.first_p95_us =
        histogram_quantile(t->mark + (size_t)HISTOGRAM_FIRST * HISTOGRAM_BUCKETS, 0.95);
    l.users = t->has_users ? sketch_count(t->rank) : -1;
    return l;
}

/* Sums and histograms of the selected lines. */
static bool fill_tallies(struct reading *r, struct usage_sum **list, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        list[i]->selected = (uint32_t)i + 1;
    r->second = true;
    if (!is_direct(r))
        return r->q->by == USAGE_USER || read_pieces(r);
    for (size_t i = 0; i < n && ok; i++) {
        struct slice blob = slice_of(list[i]->blob, list[i]->blob_n);
        if (r->q->by == USAGE_USER)
            ok = figures_decode_add(blob, &list[i]->sums);
        else
            ok = tally_decode_add(blob, &r->u->tally[i]);
        if (ok && r->q->by != USAGE_USER)
            list[i]->sums = r->u->tally[i].sums;
    }
    if (!ok)
        buf_lit(r->error, "the ledger's database has a damaged line");
    return ok;
}

static bool make_lines(struct reading *r, struct usage_sum **list, size_t n,
                       struct usage_line **ret)
{
    bool tallies = r->q->by != USAGE_USER && n > 0;
    struct usage_line *line = arena_alloc(r->a, (n + 1) * sizeof *line);
    r->u->tally = tallies ? mem_calloc(n, sizeof *r->u->tally) : NULL;
    bool ok = (line != NULL && (!tallies || r->u->tally != NULL)) || no_memory(r);
    ok = ok && fill_tallies(r, list, n);
    for (size_t i = 0; i < n && ok; i++)
        line[i] = line_of(r, list[i], sum_name(r, list[i]), tallies ? &r->u->tally[i] : NULL);
    mem_free(TAKE(r->u->tally));
    *ret = line;
    return ok;
}

static bool read_lines(struct reading *r, struct usage_line **ret_lines, size_t *ret_n,
                       struct slice *ret_next)
{
    size_t limit =
        r->q->limit == 0 ? USAGE_LIMIT_MAX : MIN_OF((size_t)r->q->limit, (size_t)USAGE_LIMIT_MAX);
    bool more;
    if ((r->plan.cube && !read_combos(r)) || !read_pieces(r) || !read_names(r))
        return false;
    struct usage_sum **list = select_lines(r, limit, ret_n, &more);
    if (list == NULL || !make_lines(r, list, *ret_n, ret_lines))
        return false;
    *ret_next = SLICE_NONE;
    if (more && !r->q->by_cost) {
        const struct usage_sum *last = list[*ret_n - 1];
        *ret_next = arena_printf(r->a, "%lld " SLICE_FMT, (long long)last->bucket,
                                 SLICE_ARG(sum_name(r, last)));
    }
    return true;
}

bool usage_read(struct usage_reader *u, const struct usage_query *q, struct arena *a,
                struct usage_line **ret_lines, size_t *ret_n, struct slice *ret_next,
                struct buf *error)
{
    struct reading r = {.u = u, .q = q, .a = a, .error = error};
    if (sqlite3_exec(u->sql, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return fail_sql(&r);
    arena_init(&r.blobs, NULL, BLOBS_MAX);
    bool ok =
        usage_make_plan(u->sql, q, &r.plan, error) && read_lines(&r, ret_lines, ret_n, ret_next);
    arena_reset(&r.blobs);
    sqlite3_exec(u->sql, "COMMIT", NULL, NULL, NULL);
    rollup_map_clear(&u->sums);
    rollup_map_clear(&u->ids);
    return ok;
}

bool usage_spend(struct usage_reader *u, enum usage_by by, int64_t from_ns, usage_spend_fn *fn,
                 void *ctx, struct buf *error)
{
    struct arena names;
    struct usage_query q = {.by = by};
    struct reading r = {.u = u, .q = &q, .a = &names, .error = error};
    int64_t from = rollup_seconds(from_ns);
    enum rollup_class class = rollup_bucket(ROLLUP_MONTH, from) == from ? ROLLUP_MONTH
                              : rollup_bucket(ROLLUP_DAY, from) == from ? ROLLUP_DAY
                                                                        : ROLLUP_HOUR;
    arena_init(&names, NULL, SIZE_MAX / 2);
    r.plan = (struct usage_plan){.whole = true, .n = 1};
    r.plan.piece[0] =
        (struct usage_piece){.class = class, .from = rollup_bucket(class, from), .to = INT64_MAX};
    bool ok = sqlite3_exec(u->sql, "BEGIN", NULL, NULL, NULL) == SQLITE_OK || fail_sql(&r);
    ok = ok && read_pieces(&r) && read_names(&r);
    sqlite3_exec(u->sql, "COMMIT", NULL, NULL, NULL);
    const struct usage_sum *sum = u->sums.entries;
    for (uint32_t i = 0; i < u->sums.n && ok; i++) {
        uint64_t user = by == USAGE_USER ? (uint64_t)sum[i].id : 0;
        fn(ctx, sum_name(&r, &sum[i]), user, sum[i].sums.n[FIGURE_COST]);
    }
    rollup_map_clear(&u->sums);
    rollup_map_clear(&u->ids);
    arena_reset(&names);
    return ok;
}

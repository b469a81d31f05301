/* Shards of counters and their exposition. */
#include "observe/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/permits.h"

#define SHARDS_MAX      300
#define COLLECTORS_MAX  16
#define HISTOGRAM_CELLS (METRIC_BUCKETS + 2) /* buckets, +Inf, sum */

/* Seconds, times 10^9: from a cached answer to a long reasoning run. */
static const int64_t bounds_ns[METRIC_BUCKETS] = {
    1000000,     5000000,     10000000,     25000000,     50000000,   100000000,
    250000000,   500000000,   1000000000,   2500000000,   5000000000, 10000000000,
    30000000000, 60000000000, 120000000000, 300000000000,
};

struct row {
    const char *name, *help;
    enum metric_kind kind;
    enum metric_label label;
    int64_t unit;
    unsigned first, cells; /* place among the cells of a model */
};

static unsigned label_values(enum metric_label l)
{
    switch (l) {
    case LABEL_STATUS: return METRIC_STATUSES_N;
    case LABEL_TYPE: return METRIC_TOKEN_TYPES_N;
    case LABEL_OUTCOME: return METRIC_OUTCOMES_N;
    case LABEL_LIMIT: return METRIC_LIMITS_N;
    case LABEL_CLASS: return PERMIT_CLASSES_N;
    default: return 1;
    }
}

static struct row rows[MM_N] = {
#define X(id, name_, kind_, label_, unit_, help_)                                                  \
    [MM_##id] = {.name = (name_),                                                                  \
                 .help = (help_),                                                                  \
                 .kind = METRIC_##kind_,                                                           \
                 .label = LABEL_##label_,                                                          \
                 .unit = (unit_)},
    METRICS_BY_MODEL(X)
#undef X
};
static unsigned cells_per_model;

static const struct row plain_rows[MP_N] = {
#define X(id, name_, kind_, unit_, help_)                                                          \
    [MP_##id] = {.name = (name_), .help = (help_), .kind = METRIC_##kind_, .unit = (unit_)},
    METRICS_PLAIN(X)
#undef X
};

static const struct row sampled_rows[MS_N] = {
#define X(id, name_, kind_, label_, help_)                                                         \
    [MS_##id] = {.name = (name_),                                                                  \
                 .help = (help_),                                                                  \
                 .kind = METRIC_##kind_,                                                           \
                 .label = LABEL_##label_,                                                          \
                 .unit = 1},
    METRICS_SAMPLED(X)
#undef X
};

__attribute__((constructor)) static void place_rows(void)
{
    for (unsigned i = 0; i < MM_N; i++) {
        rows[i].first = cells_per_model;
        rows[i].cells =
            rows[i].kind == METRIC_HISTOGRAM ? HISTOGRAM_CELLS : label_values(rows[i].label);
        cells_per_model += rows[i].cells;
    }
}

/* Cells are written by one thread and read by the scraper: relaxed atomics, which are plain moves.
 */
typedef _Atomic int64_t cell;

struct metric_shard {
    cell *models[METRIC_MODELS_MAX]; /* made at first use */
    cell plain[MP_N];
};

static struct {
    pthread_mutex_t lock;
    struct metric_shard *shards[SHARDS_MAX];
    unsigned shards_n;
    char *names[METRIC_MODELS_MAX];
    unsigned names_n;
    struct {
        metric_collect_fn *fn;
        void *ctx;
    } collectors[COLLECTORS_MAX];
    unsigned collectors_n;
} reg = {.lock = PTHREAD_MUTEX_INITIALIZER, .names_n = 1};

enum metric_status metric_status_of(unsigned status)
{
    static const unsigned codes[] = {
#define X(code) code,
        METRIC_STATUSES(X)
#undef X
    };
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        if (codes[i] == status)
            return (enum metric_status)i;
    }
    return status < 400 ? STATUS_200 : status < 500 ? STATUS_400 : STATUS_500;
}

static const char *label_name(enum metric_label l)
{
    static const char *const names[] = {NULL,       "status", "type",   "outcome", "limit",
                                        "worker",   "engine", "listen", "version", "scope",
                                        "use_case", "class",  "target", "model"};
    return names[l];
}

static const char *label_value(enum metric_label l, unsigned sub)
{
#define X(code) #code,
    static const char *const statuses[] = {METRIC_STATUSES(X)};
#undef X
#define X(id, name) name,
    static const char *const types[] = {METRIC_TOKEN_TYPES(X)};
    static const char *const outcomes[] = {METRIC_OUTCOMES(X)};
    static const char *const limits[] = {METRIC_LIMITS(X)};
#undef X
#define X(id, name, share) name,
    static const char *const classes[] = {PERMIT_CLASSES(X)};
#undef X
    switch (l) {
    case LABEL_STATUS: return statuses[sub];
    case LABEL_TYPE: return types[sub];
    case LABEL_OUTCOME: return outcomes[sub];
    case LABEL_LIMIT: return limits[sub];
    case LABEL_CLASS: return sub < PERMIT_CLASSES_N ? classes[sub] : "";
    default: return "";
    }
}

uint32_t metric_model_id(struct slice name)
{
    uint32_t id = 0;
    pthread_mutex_lock(&reg.lock);
    for (uint32_t i = 1; i < reg.names_n && id == 0; i++) {
        if (slice_is(name, reg.names[i]))
            id = i;
    }
    if (id == 0 && reg.names_n < METRIC_MODELS_MAX) {
        reg.names[reg.names_n] = mem_strndup(name.p, name.n);
        if (reg.names[reg.names_n] != NULL)
            id = reg.names_n++;
    }
    pthread_mutex_unlock(&reg.lock);
    return id;
}

struct slice metric_model_name(uint32_t id)
{
    return id == 0 ? SLICE("other") : slice_str(reg.names[id]);
}

struct metric_shard *metric_shard_new(void)
{
    struct metric_shard *s = mem_calloc(1, sizeof *s);
    pthread_mutex_lock(&reg.lock);
    if (s != NULL && reg.shards_n < SHARDS_MAX)
        reg.shards[reg.shards_n++] = s;
    pthread_mutex_unlock(&reg.lock);
    return s;
}

void metric_shards_free(void)
{
    for (unsigned i = 0; i < reg.shards_n; i++) {
        for (unsigned m = 0; m < METRIC_MODELS_MAX; m++)
            mem_free(reg.shards[i]->models[m]);
        mem_free(reg.shards[i]);
    }
    for (unsigned i = 1; i < reg.names_n; i++)
        mem_free(reg.names[i]);
    reg.shards_n = 0;
    reg.names_n = 1;
    reg.collectors_n = 0;
}

static void add(cell *c, int64_t by)
{
    int64_t v = atomic_load_explicit(c, memory_order_relaxed);
    atomic_store_explicit(c, v + by, memory_order_relaxed);
}

/* The model's cells, or NULL when there is no memory (then nothing is counted). */
static cell *cells_of(struct metric_shard *s, uint32_t model)
{
    cell **place = &s->models[model];
    if (unlikely(*place == NULL)) {
        cell *fresh = mem_calloc(cells_per_model, sizeof *fresh);
        __atomic_store_n(place, fresh, __ATOMIC_RELEASE);
    }
    return *place;
}

void metric_add(struct metric_shard *s, enum metric_by_model m, uint32_t model, unsigned sub,
                int64_t by)
{
    cell *cells = cells_of(s, model);
    if (cells != NULL)
        add(&cells[rows[m].first + sub], by);
}

void metric_observe(struct metric_shard *s, enum metric_by_model m, uint32_t model, int64_t value)
{
    cell *cells = cells_of(s, model);
    unsigned b = 0;
    if (cells == NULL)
        return;
    while (b < METRIC_BUCKETS && value > bounds_ns[b])
        b++;
    add(&cells[rows[m].first + b], 1);
    add(&cells[rows[m].first + METRIC_BUCKETS + 1], value);
}

void metric_count(struct metric_shard *s, enum metric_plain m, int64_t by)
{
    add(&s->plain[m], by);
}

void metric_collector(metric_collect_fn *fn, void *ctx)
{
    ASSERT(reg.collectors_n < COLLECTORS_MAX);
    reg.collectors[reg.collectors_n].fn = fn;
    reg.collectors[reg.collectors_n++].ctx = ctx;
}

static int64_t sum_cell(uint32_t model, unsigned at)
{
    int64_t total = 0;
    for (unsigned i = 0; i < reg.shards_n; i++) {
        cell *cells = __atomic_load_n(&reg.shards[i]->models[model], __ATOMIC_ACQUIRE);
        if (cells != NULL)
            total += atomic_load_explicit(&cells[at], memory_order_relaxed);
    }
    return total;
}

int64_t metric_plain_value(enum metric_plain m)
{
    int64_t total = 0;
    for (unsigned i = 0; i < reg.shards_n; i++)
        total += atomic_load_explicit(&reg.shards[i]->plain[m], memory_order_relaxed);
    return total;
}

static const char *kind_name(enum metric_kind k)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return names[k];
}

static void put_header(struct buf *out, const struct row *r)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name, kind_name(r->kind));
}

static void put_label(struct buf *out, const char *name, struct slice value)
{
    buf_printf(out, "%s=\"", name);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\n')
            buf_lit(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_append(out, (char[2]){'\\', c}, 2);
        else
            buf_char(out, c);
    }
    buf_char(out, '"');
}

static void put_sample(struct buf *out, const struct row *r, struct slice label, double number)
{
    buf_slice(out, slice_str(r->name));
    if (r->label != LABEL_NONE) {
        buf_char(out, '{');
        put_label(out, label_name(r->label), label);
        buf_char(out, '}');
    }
    buf_printf(out, " %.17g\n", number);
}

void metric_put_header(struct buf *out, enum metric_sampled m)
{
    put_header(out, &sampled_rows[m]);
}

void metric_put_sample(struct buf *out, enum metric_sampled m, struct slice label, double number)
{
    put_sample(out, &sampled_rows[m], label, number);
}

void metric_put_model_sample(struct buf *out, enum metric_sampled m, uint32_t model,
                             struct slice label, double number)
{
    const struct row *r = &sampled_rows[m];
    buf_printf(out, "%s{", r->name);
    put_label(out, "model", metric_model_name(model));
    buf_char(out, ',');
    put_label(out, label_name(r->label), label);
    buf_printf(out, "} %.17g\n", number);
}

void metric_put(struct buf *out, enum metric_sampled m, double number)
{
    put_header(out, &sampled_rows[m]);
    put_sample(out, &sampled_rows[m], SLICE_NONE, number);
}

static void put_histogram(struct buf *out, const struct row *r, uint32_t model)
{
    int64_t count = 0;
    for (unsigned b = 0; b <= METRIC_BUCKETS; b++)
        count += sum_cell(model, r->first + b);
    if (count == 0)
        return;
    int64_t below = 0;
    for (unsigned b = 0; b <= METRIC_BUCKETS; b++) {
        below += sum_cell(model, r->first + b);
        buf_printf(out, "%s_bucket{", r->name);
        put_label(out, "model", metric_model_name(model));
        if (b < METRIC_BUCKETS)
            buf_printf(out, ",le=\"%g\"} %lld\n", (double)bounds_ns[b] / 1e9, (long long)below);
        else
            buf_printf(out, ",le=\"+Inf\"} %lld\n", (long long)below);
    }
    double sum = (double)sum_cell(model, r->first + METRIC_BUCKETS + 1) / (double)r->unit;
    buf_printf(out, "%s_sum{", r->name);
    put_label(out, "model", metric_model_name(model));
    buf_printf(out, "} %.9g\n%s_count{", sum, r->name);
    put_label(out, "model", metric_model_name(model));
    buf_printf(out, "} %lld\n", (long long)count);
}

static void put_cells(struct buf *out, const struct row *r, uint32_t model)
{
    for (unsigned sub = 0; sub < r->cells; sub++) {
        int64_t v = sum_cell(model, r->first + sub);
        if (v == 0 && r->kind == METRIC_COUNTER)
            continue;
        buf_printf(out, "%s{", r->name);
        put_label(out, "model", metric_model_name(model));
        if (r->label != LABEL_NONE) {
            buf_char(out, ',');
            put_label(out, label_name(r->label), slice_str(label_value(r->label, sub)));
        }
        buf_printf(out, "} %lld\n", (long long)v);
    }
}

static bool model_used(uint32_t model)
{
    for (unsigned i = 0; i < reg.shards_n; i++) {
        if (__atomic_load_n(&reg.shards[i]->models[model], __ATOMIC_ACQUIRE) != NULL)
            return true;
    }
    return false;
}

/* The total queue depth once more under the bare name that autoscalers look for. */
static void put_queue_depth(struct buf *out)
{
    int64_t total = 0;
    for (uint32_t model = 0; model < reg.names_n; model++)
        total += model_used(model) ? sum_cell(model, rows[MM_QUEUED].first) : 0;
    metric_put(out, MS_QUEUE, (double)total);
}

void metric_render(struct buf *out)
{
    pthread_mutex_lock(&reg.lock);
    for (unsigned i = 0; i < MM_N; i++) {
        put_header(out, &rows[i]);
        for (uint32_t model = 0; model < reg.names_n; model++) {
            if (!model_used(model))
                continue;
            if (rows[i].kind == METRIC_HISTOGRAM)
                put_histogram(out, &rows[i], model);
            else
                put_cells(out, &rows[i], model);
        }
    }
    for (unsigned i = 0; i < MP_N; i++) {
        put_header(out, &plain_rows[i]);
        put_sample(out, &plain_rows[i], SLICE_NONE,
                   (double)metric_plain_value((enum metric_plain)i));
    }
    put_queue_depth(out);
    for (unsigned i = 0; i < reg.collectors_n; i++)
        reg.collectors[i].fn(out, reg.collectors[i].ctx);
    pthread_mutex_unlock(&reg.lock);
}

static void put_reference(struct buf *out, const struct row *r, bool by_model)
{
    const char *label = label_name(r->label);
    by_model = by_model || r->label == LABEL_USE_CASE;
    const char *comma = by_model && label != NULL ? ", " : "";
    buf_printf(out, "| `%s` | %s | %s%s%s | %s |\n", r->name, kind_name(r->kind),
               by_model ? "model" : "", comma, label ? label : "", r->help);
}

void metric_reference(struct buf *out)
{
    buf_lit(out, "| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < MM_N; i++)
        put_reference(out, &rows[i], true);
    for (unsigned i = 0; i < MP_N; i++)
        put_reference(out, &plain_rows[i], false);
    for (unsigned i = 0; i < MS_N; i++)
        put_reference(out, &sampled_rows[i], false);
}

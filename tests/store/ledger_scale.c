/* Rollups of a large installation, made by the ledger's own code, and how long queries of them
 * take: 50 keys of 10 teams, 12 models, 20 use cases, 20,000 users, over 90 days.
 *   ledger_scale [--rows N] [--folder DIR] [--limit MS]
 * Prints a line for each query; fails when one is slower than the limit (its median of 5), or when
 * its sums are not those of the rows. With --folder the database stays, and is taken as it is when
 * it is there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ledger_db.h"
#include "store/usage.h"

#define KEYS            50
#define TEAMS           10
#define MODELS          12
#define USE_CASES       20
#define USERS           20000
#define DAYS            90
#define DAY_NS          (INT64_C(86400) * NS_PER_S)
#define MERGE_NS        (INT64_C(3600) * NS_PER_S) /* of simulated time */
#define KEEP_MINUTES_NS (7 * DAY_NS)
#define REPEATS         5

/* 2026-08-01; so the last whole month is October, the middle of the data is September. */
#define START_NS (INT64_C(1785542400) * NS_PER_S)

struct world {
    struct names names;
    struct ledger_db db;
    struct rollup rollup;
    uint64_t random;
    int64_t rows, cost, input; /* of the last whole month: October */
    int64_t model_cost;        /* of its model 3 */
};

static uint64_t next_random(struct world *w)
{
    w->random ^= w->random << 13; /* xorshift64 (Marsaglia 2003) */
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static double uniform(struct world *w)
{
    return (double)(next_random(w) >> 11) * 0x1p-53;
}

/* Less than `n`, low ones more often: a few users and models make most of the traffic. */
static uint32_t skewed(struct world *w, uint32_t n)
{
    double u = uniform(w);
    return (uint32_t)(u * u * n);
}

static uint32_t name_id(struct world *w, enum ledger_name_kind kind, const char *stem, uint32_t i)
{
    char text[64];
    snprintf(text, sizeof text, "%s-%02u", stem, i);
    return names_get(&w->names, kind, slice_str(text));
}

/* A quarter of the users comes on any one day. */
static uint32_t user_of_day(struct world *w, int64_t start_ns)
{
    uint64_t day = (uint64_t)((start_ns - START_NS) / DAY_NS);
    uint32_t user = skewed(w, USERS);
    while ((user * UINT64_C(0x9e3779b97f4a7c15) + day * UINT64_C(0xbf58476d1ce4e5b9)) >> 62 != 0)
        user = skewed(w, USERS);
    return user;
}

static struct ledger_row make_row(struct world *w, int64_t start_ns)
{
    uint32_t user = user_of_day(w, start_ns), key = user % KEYS;
    uint32_t model = (key + skewed(w, 5)) % MODELS;
    int64_t input = 200 + skewed(w, 4000), output = 20 + skewed(w, 800);
    struct ledger_row r = {.attempt = 1,
                           .start_ns = start_ns,
                           .user_hash = (user + 1) * UINT64_C(0x9e3779b97f4a7c15),
                           .flags = LEDGER_FINAL,
                           .status = 200,
                           .input = input,
                           .output = output,
                           .cached = input / 3,
                           .cost_nano = (input * 3 + output * 15) * 100 * (model + 1)};
    r.duration_us = (uint32_t)(150000 * exp(3 * uniform(w)));
    r.first_us = r.duration_us / 4;
    r.name[NAME_MODEL] = name_id(w, NAME_MODEL, "model", model);
    r.name[NAME_PROVIDER] = name_id(w, NAME_PROVIDER, "provider", model % 3);
    r.name[NAME_TARGET] = name_id(w, NAME_TARGET, "target", model);
    r.name[NAME_KEY] = name_id(w, NAME_KEY, "key", key);
    r.name[NAME_TEAM] = name_id(w, NAME_TEAM, "team", key % TEAMS);
    r.name[NAME_ORGANISATION] = name_id(w, NAME_ORGANISATION, "organisation", key % 2);
    r.name[NAME_USE_CASE] = name_id(w, NAME_USE_CASE, "case", (key * 7 + skewed(w, 4)) % USE_CASES);
    return r;
}

static void merge(struct world *w)
{
    bool ok = rollup_stage(&w->rollup) && db_begin(&w->db);
    for (unsigned k = 0; k < NAME_KINDS_N && ok; k++)
        ok = db_put_names(&w->db, &w->names, (enum ledger_name_kind)k, 0,
                          names_top(&w->names, (enum ledger_name_kind)k));
    if (!ok || !db_put_fast(&w->db, &w->rollup) || !db_put_slow(&w->db, &w->rollup) ||
        !db_commit(&w->db)) {
        fprintf(stderr, "merge: %s\n", sqlite3_errmsg(w->db.sql));
        exit(1);
    }
    rollup_clear_staged(&w->rollup);
    rollup_clear_held(&w->rollup);
}

static void prune(struct world *w, int64_t before)
{
    bool more = true;
    while (more) {
        if (!db_prune(&w->db, ROLLUP_MINUTE, before, &more))
            exit(1);
    }
}

static void note_expected(struct world *w, const struct ledger_row *r)
{
    const int64_t from = START_NS + 61 * DAY_NS; /* 1 October */
    if (r->start_ns < from || r->start_ns >= from + 31 * DAY_NS)
        return;
    w->rows++;
    w->cost += r->cost_nano;
    w->input += r->input;
    if (slice_is(names_text(&w->names, NAME_MODEL, r->name[NAME_MODEL]), "model-03"))
        w->model_cost += r->cost_nano;
}

static void generate(struct world *w, int64_t rows, bool fill)
{
    int64_t gap = DAYS * DAY_NS / rows, merged = START_NS, began = clock_mono_ns();
    w->random = 0x2545f4914f6cdd1du;
    for (int64_t i = 0; i < rows; i++) {
        struct ledger_row r = make_row(w, START_NS + i * gap);
        note_expected(w, &r);
        if (!fill)
            continue;
        if (!rollup_add(&w->rollup, &r, false))
            exit(1);
        if (r.start_ns - merged >= MERGE_NS) {
            merged = r.start_ns;
            merge(w);
        }
        if (i * gap % DAY_NS < gap)
            prune(w, (r.start_ns - KEEP_MINUTES_NS) / NS_PER_S);
        if (i % 1000000 == 999999)
            fprintf(stderr, "%lld rows, %.0f s\n", (long long)i + 1,
                    (double)(clock_mono_ns() - began) / 1e9);
    }
    if (fill)
        merge(w);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct answer {
    double first_ms, median_ms;
    size_t lines;
    int64_t cost, requests, input;
};

static struct answer ask(const char *folder, struct usage_query q)
{
    struct answer a = {.lines = 0};
    double ms[REPEATS];
    struct arena arena;
    struct buf why;
    buf_init(&why, 4096);
    arena_init(&arena, NULL, (size_t)1 << 30);
    for (unsigned i = 0; i < REPEATS; i++) {
        struct usage_line *line = NULL;
        struct slice next;
        int64_t began = clock_mono_ns(); /* as a command does it: with the opening */
        struct usage_reader *u = usage_open(folder, &why);
        if (u == NULL || !usage_read(u, &q, &arena, &line, &a.lines, &next, &why)) {
            fprintf(stderr, SLICE_FMT "\n", SLICE_ARG(buf_view(&why)));
            exit(1);
        }
        usage_close(u);
        ms[i] = (double)(clock_mono_ns() - began) / 1e6;
        a.cost = a.requests = a.input = 0;
        for (size_t k = 0; k < a.lines; k++) {
            a.cost += line[k].cost_nano;
            a.requests += line[k].requests;
            a.input += line[k].input;
        }
        arena_reset(&arena);
    }
    a.first_ms = ms[0];
    qsort(ms, REPEATS, sizeof *ms, by_value);
    a.median_ms = ms[REPEATS / 2];
    buf_done(&why);
    return a;
}

enum sums { ALL, MODEL_3, NOT_KNOWN };

static const struct {
    const char *what;
    struct usage_query q;
    int from_day, to_day;
    enum sums sums;
} queries[] = {
    {"October, total", {.by = USAGE_TOTAL}, 61, 92, ALL},
    {"October by model", {.by = USAGE_MODEL}, 61, 92, ALL},
    {"October by provider", {.by = USAGE_PROVIDER}, 61, 92, ALL},
    {"October by target", {.by = USAGE_TARGET}, 61, 92, ALL},
    {"October by key", {.by = USAGE_KEY}, 61, 92, ALL},
    {"October by team", {.by = USAGE_TEAM}, 61, 92, ALL},
    {"October by organisation", {.by = USAGE_ORGANISATION}, 61, 92, ALL},
    {"October by use case", {.by = USAGE_USE_CASE}, 61, 92, ALL},
    {"October, dearest 20 users",
     {.by = USAGE_USER, .by_cost = true, .limit = 20},
     61,
     92,
     NOT_KNOWN},
    {"October by user, first page", {.by = USAGE_USER}, 61, 92, NOT_KNOWN},
    {"October by day", {.by = USAGE_TOTAL, .step = USAGE_DAY}, 61, 92, ALL},
    {"October by use case and day", {.by = USAGE_USE_CASE, .step = USAGE_DAY}, 61, 92, ALL},
    {"October by hour", {.by = USAGE_TOTAL, .step = USAGE_HOUR}, 61, 92, ALL},
    {"October by key and hour, a page", {.by = USAGE_KEY, .step = USAGE_HOUR}, 61, 92, NOT_KNOWN},
    {"October by use case, one model",
     {.by = USAGE_USE_CASE, .model = SLICE("model-03")},
     61,
     92,
     MODEL_3},
    {"October by day, one model",
     {.by = USAGE_TOTAL, .step = USAGE_DAY, .model = SLICE("model-03")},
     61,
     92,
     MODEL_3},
    {"a week by hour, one key",
     {.by = USAGE_MODEL, .step = USAGE_HOUR, .key = SLICE("key-07")},
     70,
     77,
     NOT_KNOWN},
    {"30 days off the month, by key", {.by = USAGE_KEY}, 46, 76, NOT_KNOWN},
    {"30 days off the month, 20 users",
     {.by = USAGE_USER, .by_cost = true, .limit = 20},
     46,
     76,
     NOT_KNOWN},
    {"all 90 days, dearest 20 users",
     {.by = USAGE_USER, .by_cost = true, .limit = 20},
     0,
     90,
     NOT_KNOWN},
    {"a day by key and minute, a page", {.by = USAGE_KEY, .step = USAGE_MINUTE}, 88, 89, NOT_KNOWN},
    {"all 90 days by model", {.by = USAGE_MODEL}, 0, 90, NOT_KNOWN},
};

/* Are the sums those of the rows? */
static bool sums_agree(const struct world *w, const struct answer *a, enum sums sums)
{
    if (sums == ALL)
        return a->cost == w->cost && a->requests == w->rows && a->input == w->input;
    return sums == NOT_KNOWN || a->cost == w->model_cost;
}

static int ask_all(const struct world *w, const char *folder, double limit_ms)
{
    int failed = 0;
    printf("%-36s %7s %10s %10s\n", "query", "lines", "first ms", "median ms");
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct usage_query q = queries[i].q;
        q.from_ns = START_NS + queries[i].from_day * DAY_NS;
        q.to_ns = START_NS + queries[i].to_day * DAY_NS;
        struct answer a = ask(folder, q);
        bool right = sums_agree(w, &a, queries[i].sums), slow = a.median_ms > limit_ms;
        failed += !right || slow || a.lines == 0;
        printf("%-36s %7zu %10.2f %10.2f%s%s\n", queries[i].what, a.lines, a.first_ms, a.median_ms,
               right ? "" : "  WRONG SUMS", slow ? "  SLOW" : "");
    }
    return failed == 0 ? 0 : 1;
}

static int measure(struct world *w, const char *folder, int64_t rows, double limit_ms)
{
    char path[4096];
    struct stat st;
    struct buf why;
    buf_init(&why, 4096);
    snprintf(path, sizeof path, "%s/" DB_FILE, folder);
    bool there = stat(path, &st) == 0;
    names_init(&w->names);
    rollup_init(&w->rollup);
    if (!db_open(&w->db, path, &why)) {
        fprintf(stderr, SLICE_FMT "\n", SLICE_ARG(buf_view(&why)));
        return 1;
    }
    generate(w, rows, !there);
    db_close(&w->db);
    rollup_done(&w->rollup);
    names_done(&w->names);
    buf_done(&why);
    if (stat(path, &st) == 0)
        printf("%lld rows, database of %.1f MB\n", (long long)rows, (double)st.st_size / 1e6);
    return ask_all(w, folder, limit_ms);
}

int main(int argc, char **argv)
{
    static struct world w;
    char own[64], path[4096];
    const char *folder = NULL;
    int64_t rows = 300000;
    double limit_ms = 50;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = 0;
        if (strcmp(argv[i], "--folder") == 0)
            folder = argv[i + 1];
        else if (strcmp(argv[i], "--rows") == 0 && slice_to_u64(slice_str(argv[i + 1]), &n))
            rows = (int64_t)n;
        else if (strcmp(argv[i], "--limit") == 0 && slice_to_u64(slice_str(argv[i + 1]), &n))
            limit_ms = (double)n;
    }
    if (folder != NULL)
        return measure(&w, folder, rows, limit_ms);
    bool memory = access("/dev/shm", W_OK) == 0; /* no disk: it is not what is measured */
    snprintf(own, sizeof own, "%s/weir-scale-XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (mkdtemp(own) == NULL)
        return 1;
    int status = measure(&w, own, rows, limit_ms);
    snprintf(path, sizeof path, "%s/" DB_FILE, own);
    unlink(path);
    rmdir(own);
    return status;
}

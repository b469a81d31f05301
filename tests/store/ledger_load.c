/* What the ledger costs at a steady rate: CPU of the store thread and of the workers for each row.
 *   ledger_load [--seconds N] [--rate ROWS] [--folder DIR] [--limit NS]
 * Rows of 20,000 users, 50 keys, 12 models and 20 use cases over two lanes. Fails when the store
 * thread needs more than the limit for a row. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ledger_internal.h"

#define LANES     2
#define TICK_NS   (5 * NS_PER_MS)
#define USERS     20000
#define KEYS      50
#define MODELS    12
#define USE_CASES 20

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t below(uint32_t n)
{
    state ^= state << 13; /* xorshift64 (Marsaglia 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * n >> 32);
}

static uint32_t ids[NAME_KINDS_N][64];

static void make_names(struct ledger *l)
{
    for (unsigned kind = 0; kind < NAME_KINDS_N; kind++) {
        for (unsigned i = 0; i < 64; i++) {
            char text[32];
            snprintf(text, sizeof text, "name-%u-%u", kind, i);
            ids[kind][i] = ledger_name(l, (enum ledger_name_kind)kind, slice_str(text));
        }
    }
}

static struct ledger_row make_row(int64_t wall_ns)
{
    uint32_t user = below(USERS), key = user % KEYS, model = (key + below(4)) % MODELS;
    struct ledger_row r = {.attempt = 1,
                           .flags = LEDGER_FINAL,
                           .status = 200,
                           .user_hash = (user + 1) * UINT64_C(0x9e3779b97f4a7c15),
                           .input = 500 + below(3000),
                           .output = 50 + below(500),
                           .cost_nano = 1000000 + below(100000),
                           .duration_us = 100000 + below(4000000),
                           .first_us = 50000 + below(500000)};
    r.start_ns = wall_ns - r.duration_us * NS_PER_US;
    r.name[NAME_MODEL] = ids[NAME_MODEL][model];
    r.name[NAME_PROVIDER] = ids[NAME_PROVIDER][model % 3];
    r.name[NAME_TARGET] = ids[NAME_TARGET][model];
    r.name[NAME_KEY] = ids[NAME_KEY][key];
    r.name[NAME_TEAM] = ids[NAME_TEAM][key % 10];
    r.name[NAME_ORGANISATION] = ids[NAME_ORGANISATION][key % 2];
    r.name[NAME_USE_CASE] = ids[NAME_USE_CASE][(key * 7 + below(3)) % USE_CASES];
    return r;
}

static int64_t cpu_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Hands over `n` rows; the CPU time that the ledger took for it. */
static int64_t hand_over(struct ledger *l, int64_t n)
{
    static struct ledger_row row[4096];
    int64_t wall = clock_wall_ns();
    n = MIN_OF(n, (int64_t)ARRAY_LEN(row));
    for (int64_t i = 0; i < n; i++)
        row[i] = make_row(wall);
    int64_t began = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int64_t i = 0; i < n; i++) {
        struct ledger_lane *lane = ledger_lane(l, (unsigned)i % LANES);
        ledger_settle(lane, ledger_begin(lane, &row[i]), &row[i]);
    }
    return cpu_ns(CLOCK_THREAD_CPUTIME_ID) - began;
}

static int run(struct ledger *l, int64_t seconds, int64_t rate, int64_t limit_ns)
{
    clockid_t store;
    struct ledger_counts counts;
    if (pthread_getcpuclockid(l->thread.id, &store) != 0)
        return 1;
    int64_t began = clock_mono_ns(), cpu = cpu_ns(store), sent = 0, own = 0;
    while (clock_mono_ns() - began < seconds * NS_PER_S) {
        int64_t due = (clock_mono_ns() - began) * rate / NS_PER_S;
        if (due > sent) {
            int64_t n = MIN_OF(due - sent, INT64_C(4096));
            own += hand_over(l, n);
            sent += n;
        }
        nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
    }
    if (!ledger_flush(l, 30 * NS_PER_S))
        return 1;
    cpu = cpu_ns(store) - cpu;
    ledger_counts(l, &counts);
    printf("%lld rows at %lld a second: store thread %lld ns of CPU for each (%.2f%% of a core), "
           "worker %lld ns; %lld lost, %lld untracked\n",
           (long long)sent, (long long)rate, (long long)(cpu / sent),
           100.0 * (double)cpu / (double)(seconds * NS_PER_S), (long long)(own / sent),
           (long long)counts.lost, (long long)counts.untracked);
    return counts.lost == 0 && cpu / sent <= limit_ns ? 0 : 1;
}

static void remove_all(const char *folder, struct ledger *l)
{
    static const char *const names[] = {"usage.db", "usage.db-wal", "usage.db-shm", "spool",
                                        "salt",     "00000001.seg", "00000002.seg"};
    char path[4096];
    ledger_close(l);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

int main(int argc, char **argv)
{
    char own[] = "/tmp/weir-load-XXXXXX";
    const char *folder = NULL;
    int64_t seconds = 10, rate = 5000, limit_ns = 2000;
    struct buf why;
    buf_init(&why, 4096);
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = 0;
        bool number = slice_to_u64(slice_str(argv[i + 1]), &n);
        if (strcmp(argv[i], "--folder") == 0)
            folder = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0 && number)
            seconds = (int64_t)n;
        else if (strcmp(argv[i], "--rate") == 0 && number)
            rate = (int64_t)n;
        else if (strcmp(argv[i], "--limit") == 0 && number)
            limit_ns = (int64_t)n;
    }
    if (folder == NULL && mkdtemp(own) == NULL)
        return 1;
    struct ledger_config c = {.folder = folder != NULL ? folder : own,
                              .lanes = LANES,
                              .spool_rows = 65536,
                              .open_rows = 1024};
    struct ledger *l = ledger_open(&c, &why);
    if (l == NULL || !ledger_start(l)) {
        fprintf(stderr, SLICE_FMT "\n", SLICE_ARG(buf_view(&why)));
        return 1;
    }
    make_names(l);
    int status = run(l, seconds, rate, limit_ns);
    if (folder == NULL)
        remove_all(own, l);
    else
        ledger_close(l);
    return status;
}

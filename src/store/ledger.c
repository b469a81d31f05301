/* The ledger's life: opening, the store thread, closing. */
#include "store/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ledger_internal.h"
#include "observe/log.h"

#define SALT_FILE  "salt"
#define BUSY_NS    (40 * NS_PER_MS) /* a wake-up costs as much as some 50 rows */
#define IDLE_NS    (200 * NS_PER_MS)
#define FAILING_NS (500 * NS_PER_MS)
#define MERGE_NS   NS_PER_S

static void take_config(struct ledger *l, const struct ledger_config *c)
{
    atomic_store_explicit(&l->refuse, c->refuse_when_full, memory_order_relaxed);
    atomic_store_explicit(&l->sync_commit, c->sync_commit, memory_order_relaxed);
    pthread_mutex_lock(&l->thread.lock);
    l->keep = (struct ledger_keep){.rows = c->keep_rows_ns,
                                   .class = {[ROLLUP_MINUTE] = c->keep_minutes_ns,
                                             [ROLLUP_HOUR] = c->keep_hours_ns,
                                             [ROLLUP_DAY] = c->keep_days_ns,
                                             [ROLLUP_MONTH] = c->keep_days_ns}};
    pthread_mutex_unlock(&l->thread.lock);
}

void ledger_reconfigure(struct ledger *l, const struct ledger_config *c)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    take_config(l, c);
}

static struct ledger *new_ledger(const struct ledger_config *c)
{
    pthread_condattr_t attr;
    struct ledger *l = mem_calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->magic = LEDGER_MAGIC;
    l->dir = -1;
    l->seg.fd = -1;
    l->lanes = c->lanes;
    names_init(&l->names);
    rollup_init(&l->rollup);
    pthread_mutex_init(&l->append_lock, NULL);
    pthread_mutex_init(&l->thread.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->thread.wake, &attr);
    pthread_cond_init(&l->thread.done, &attr);
    pthread_condattr_destroy(&attr);
    take_config(l, c);
    return l;
}

static void free_ledger(struct ledger *l)
{
    ledger_lanes_done(l);
    spool_unmap(&l->spool);
    segment_writer_done(&l->seg);
    db_close(&l->db);
    rollup_done(&l->rollup);
    names_done(&l->names);
    if (l->dir >= 0)
        close(l->dir);
    pthread_cond_destroy(&l->thread.done);
    pthread_cond_destroy(&l->thread.wake);
    pthread_mutex_destroy(&l->thread.lock);
    pthread_mutex_destroy(&l->append_lock);
    mem_free(l->folder);
    l->magic = 0;
    mem_free(l);
}

static bool open_folder(struct ledger *l, const char *folder, struct buf *error)
{
    l->folder = mem_strndup(folder, strlen(folder));
    if (mkdir(folder, 0700) == 0 || errno == EEXIST)
        l->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->folder == NULL || l->dir < 0) {
        buf_printf(error, "the ledger's folder %s: %s", folder, strerror(errno));
        return false;
    }
    return true;
}

/* The installation's salt: made once, complete before it has its name. */
static bool make_salt(struct ledger *l)
{
    random_bytes(l->user_key, sizeof l->user_key);
    int fd = openat(l->dir, SALT_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, l->user_key, sizeof l->user_key) == sizeof l->user_key && fsync(fd) == 0;
    close(fd);
    return ok && renameat(l->dir, SALT_FILE ".new", l->dir, SALT_FILE) == 0;
}

static bool read_salt(struct ledger *l, struct buf *error)
{
    int fd = openat(l->dir, SALT_FILE, O_RDONLY | O_CLOEXEC);
    bool none = fd < 0 && errno == ENOENT;
    bool ok = fd >= 0 && read(fd, l->user_key, sizeof l->user_key) == sizeof l->user_key;
    if (fd >= 0)
        close(fd);
    if (ok || (none && make_salt(l)))
        return true;
    buf_printf(error, "the ledger's file %s cannot be read or made: %s", SALT_FILE,
               fd >= 0 ? "it is too short" : strerror(errno));
    return false;
}

static bool open_database(struct ledger *l, struct buf *error)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/" DB_FILE, l->folder);
    if (n < 0 || (size_t)n >= sizeof path) {
        buf_lit(error, "the path of the ledger's folder is too long");
        return false;
    }
    int fd =
        openat(l->dir, DB_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* for the owner alone */
    if (fd >= 0)
        close(fd);
    return db_open(&l->db, path, error) && db_note_zone(l->db.sql, error) &&
           db_load_names(l->db.sql, &l->names, error) && db_load_places(l->db.sql, l->place, error);
}

static void note_names_merged(struct ledger *l)
{
    for (unsigned k = 0; k < NAME_KINDS_N; k++)
        l->names_merged[k] = names_top(&l->names, (enum ledger_name_kind)k);
}

/* The number of the newest segment there ever was, as far as anybody knows. */
static bool open_segments(struct ledger *l, struct buf *error)
{
    uint32_t *list, last = l->place[DB_FAST].segment;
    size_t n;
    if (!segment_list(l->dir, &list, &n)) {
        buf_printf(error, "the ledger's folder cannot be read: %s", strerror(errno));
        return false;
    }
    for (size_t i = 0; i < n; i++)
        atomic_fetch_add(&l->segment_bytes, segment_size(l->dir, list[i]));
    mem_free(list);
    note_names_merged(l);
    if (!ledger_replay_segments(l, error))
        return false;
    if (!segment_list(l->dir, &list, &n)) /* an empty one may be gone */
        return false;
    last = n > 0 ? MAX_OF(last, list[n - 1]) : last;
    mem_free(list);
    if (segment_writer_init(&l->seg, l->dir, last))
        return true;
    buf_lit(error, "no memory for the ledger");
    return false;
}

static bool note_name(void *ctx, enum ledger_name_kind kind, uint32_t id, struct slice text)
{
    return spool_add_name(ctx, kind, id, text);
}

static bool open_spool(struct ledger *l, const struct ledger_config *c, struct buf *error)
{
    LEDGER_STEP("replayed");
    uint32_t number[LEDGER_LANES_MAX + 1];
    uint64_t start[LEDGER_LANES_MAX + 1];
    struct buf why;
    buf_init(&why, 4096);
    for (uint32_t i = 0; i <= l->lanes; i++) {
        number[i] = i < l->lanes ? i : LEDGER_LANE_STORE;
        start[i] = l->next[number[i]];
    }
    bool ok = spool_make(&l->spool, l->dir, l->lanes + 1, c->spool_rows, c->open_rows, number,
                         start, &why);
    if (why.n > 0)
        log_event(LOG_WARN, "ledger.spool",
                  SLICE_FMT "; rows under way are in plain memory, which a crash forgets",
                  SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    if (!ok || !ledger_lanes_init(l)) {
        buf_lit(error, "no memory for the ledger's spool");
        return false;
    }
    for (uint32_t i = 0; i <= l->lanes; i++)
        spool_warm(&l->spool, i);
    l->names.on_new = note_name;
    l->names.ctx = &l->spool;
    return true;
}

static bool merge_replayed(struct ledger *l, struct buf *error)
{
    if (ledger_merge(l, clock_mono_ns(), true))
        return true;
    buf_printf(error, "the ledger's database cannot be written: %s", sqlite3_errmsg(l->db.sql));
    return false;
}

struct ledger *ledger_open(const struct ledger_config *c, struct buf *error)
{
    ASSERT(c->lanes < LEDGER_LANES_MAX && c->spool_rows >= 2 &&
           (c->spool_rows & (c->spool_rows - 1)) == 0);
    struct ledger *l = new_ledger(c);
    if (l == NULL) {
        buf_lit(error, "no memory for the ledger");
        return NULL;
    }
    if (open_folder(l, c->folder, error) && read_salt(l, error) && open_database(l, error) &&
        open_segments(l, error) && ledger_replay_spool(l, error) && merge_replayed(l, error) &&
        open_spool(l, c, error)) {
        LEDGER_STEP("opened");
        return l;
    }
    free_ledger(l);
    return NULL;
}

uint32_t ledger_name(struct ledger *l, enum ledger_name_kind kind, struct slice name)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    return names_get(&l->names, kind, name);
}

struct slice ledger_name_text(struct ledger *l, enum ledger_name_kind kind, uint32_t id)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    return names_text(&l->names, kind, id);
}

uint64_t ledger_user_hash(const struct ledger *l, struct slice owner, struct slice user)
{
    uint64_t key[2] = {l->user_key[0] ^ siphash24(l->user_key, owner), l->user_key[1]};
    uint64_t hash = siphash24(key, user);
    return hash != 0 ? hash : 1;
}

/* Told once for each change. */
static void note_state(struct ledger *l, bool ok, int error)
{
    if (!ok)
        atomic_fetch_add(&l->write_errors, 1);
    if (ok == !l->failing)
        return;
    l->failing = !ok;
    if (ok)
        log_event(LOG_WARN, "ledger.writes", "the ledger is written again");
    else
        log_event(LOG_ERROR, "ledger.stalled",
                  "the ledger cannot be written, rows wait in the spool: %s",
                  error != 0 ? strerror(error) : sqlite3_errmsg(l->db.sql));
}

/* Reads the rollup anew from the segments, after it had to be given up. */
static bool read_again(struct ledger *l, int64_t wall_ns)
{
    struct buf why;
    if (!l->reread)
        return true;
    if (!ledger_push_batch(l, wall_ns)) /* its rows are read with the others */
        return false;
    buf_init(&why, 4096);
    rollup_reset(&l->rollup);
    l->staged = false;
    l->reread = false;
    bool ok = db_load_places(l->db.sql, l->place, &why) && ledger_replay_segments(l, &why);
    l->reread = !ok;
    buf_done(&why);
    return ok;
}

/* One turn of the store thread; `all`: until the lanes are empty, and what is not due yet. False:
 * something failed. */
static bool turn(struct ledger *l, bool all)
{
    int64_t mono = clock_mono_ns(), wall = clock_wall_ns();
    size_t rows = 0;
    bool ok, merge = all || mono >= l->merge_at_ns;
    int error;
    do {
        errno = 0;
        ok = read_again(l, wall) && ledger_drain(l, wall, &rows);
        error = ok ? 0 : errno;
        if (merge || rollup_pending(&l->rollup) >= PENDING_MERGE)
            ok = ledger_merge(l, mono, all) && ok;
    } while (all && ok && (rows > 0 || l->rollup.live.n > 0 || l->reread));
    if (merge) {
        l->merge_at_ns = mono + MERGE_NS;
        ok = ok && ledger_retain(l, mono, wall);
    }
    note_state(l, ok, error);
    l->wait_ns = rows > 0 ? BUSY_NS : MIN_OF(2 * l->wait_ns, IDLE_NS);
    l->wait_ns = ok ? MAX_OF(l->wait_ns, BUSY_NS) : FAILING_NS;
    return ok;
}

static struct timespec after(int64_t ns)
{
    int64_t at = clock_mono_ns() + ns;
    return (struct timespec){.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S};
}

static void *run(void *arg)
{
    struct ledger *l = arg;
    struct ledger_thread *t = &l->thread;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        uint64_t asked = t->flush_asked;
        bool flush = asked != t->flush_done;
        pthread_mutex_unlock(&t->lock);
        bool ok = turn(l, flush);
        pthread_mutex_lock(&t->lock);
        if (flush && ok) {
            t->flush_done = asked;
            pthread_cond_broadcast(&t->done);
        }
        struct timespec until = after(l->wait_ns);
        if (!t->stopping && (t->flush_asked == t->flush_done || !ok))
            pthread_cond_timedwait(&t->wake, &t->lock, &until);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

bool ledger_start(struct ledger *l)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    l->thread.running = thread_start(&l->thread.id, run, l);
    return l->thread.running;
}

bool ledger_flush(struct ledger *l, int64_t ns)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    struct ledger_thread *t = &l->thread;
    struct timespec until = after(ns);
    if (!t->running)
        return turn(l, true);
    pthread_mutex_lock(&t->lock);
    uint64_t mine = ++t->flush_asked;
    int late = 0;
    pthread_cond_signal(&t->wake);
    while (t->flush_done < mine && late == 0)
        late = pthread_cond_timedwait(&t->done, &t->lock, &until);
    bool done = t->flush_done >= mine;
    pthread_mutex_unlock(&t->lock);
    return done;
}

void ledger_close(struct ledger *l)
{
    if (l == NULL)
        return;
    CHECK_MAGIC(l, LEDGER_MAGIC);
    pthread_mutex_lock(&l->thread.lock);
    l->thread.stopping = true;
    pthread_cond_signal(&l->thread.wake);
    pthread_mutex_unlock(&l->thread.lock);
    if (l->thread.running)
        pthread_join(l->thread.id, NULL);
    if (!turn(l, true))
        log_event(LOG_ERROR, "ledger.left", "rows stay in the spool until the next start");
    free_ledger(l);
}

void ledger_counts(struct ledger *l, struct ledger_counts *ret)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    *ret = (struct ledger_counts){.rows = atomic_load(&l->rows),
                                  .crashed = atomic_load(&l->crashed),
                                  .segment_bytes = atomic_load(&l->segment_bytes),
                                  .write_errors = atomic_load(&l->write_errors),
                                  .merged_ns = atomic_load(&l->merged_wall_ns)};
    for (unsigned i = 0; i <= l->lanes; i++) {
        const struct ledger_lane *lane = &l->lane[i];
        uint64_t tail = atomic_load_explicit(&lane->at.ends->tail, memory_order_acquire);
        uint64_t head = atomic_load_explicit(&lane->at.ends->head, memory_order_acquire);
        ret->spooled += (int64_t)(head - tail);
        ret->lost += atomic_load_explicit(&lane->lost, memory_order_relaxed);
        ret->untracked += atomic_load_explicit(&lane->untracked, memory_order_relaxed);
    }
}

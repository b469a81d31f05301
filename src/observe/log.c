/* The log writer thread and its rings. */
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"

#define RING_BYTES  ((uint64_t)1 << 20)
#define BATCH_BYTES (RING_BYTES / 4)  /* a ring this full is not kept waiting */
#define EVENT_BYTES ((size_t)1 << 18) /* queued events; more are dropped */
#define BATCH_NS    (50 * NS_PER_MS)  /* lines wait so long for others to share a write with */
#define PATIENCE_MS 100               /* for an output that takes nothing */
#define END_NS      NS_PER_S          /* how long the last lines may take */

/* One producer, one consumer; positions count bytes since the start. */
struct log_ring {
    struct list node;
    _Atomic uint64_t head; /* written by the producer */
    char apart[64];        /* the two threads' words on cache lines of their own */
    _Atomic uint64_t tail; /* written by the writer thread */
    char bytes[RING_BYTES];
};

/* Where lines go. Only files are written to without asking first: whoever reads a pipe may have
 * stopped doing so. */
struct output {
    int fd; /* -1: nowhere */
    enum { OUTPUT_FILE, OUTPUT_PIPE, OUTPUT_SOCKET } kind;
};

static struct {
    pthread_mutex_t lock; /* rings, events, next, path, switching, reopen, stopping */
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stopping;
    struct list rings;
    struct buf events;
    struct buf leaving;          /* the writer's: events that are being written */
    struct output access, error; /* the writer's */
    struct output next;          /* when `switching`: the access output that is to come */
    bool switching, reopen;
    char path[4096]; /* of the access output, as configured */
    _Atomic int level;
    _Atomic bool access_on, asleep;
    _Atomic int64_t dropped;
} lg = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .access.fd = -1};

static struct output output_of(int fd)
{
    struct stat st;
    struct output o = {.fd = fd, .kind = OUTPUT_FILE};
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        o.kind = S_ISSOCK(st.st_mode) ? OUTPUT_SOCKET : OUTPUT_PIPE;
    return o;
}

static void drop_lines(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        lg.dropped += s.p[i] == '\n';
}

/* What of `s` to hand over at once: whole lines where they are not too long for that. */
static struct slice next_piece(const struct output *o, struct slice s)
{
    if (o->kind == OUTPUT_FILE || s.n <= PIPE_BUF)
        return s;
    for (size_t n = PIPE_BUF; n > 0; n--) {
        if (s.p[n - 1] == '\n')
            return slice_of(s.p, n);
    }
    return slice_of(s.p, PIPE_BUF);
}

/* A pipe that is ready takes PIPE_BUF bytes without blocking (pipe(7)). */
static ssize_t write_piece(const struct output *o, struct slice s)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    errno = EAGAIN;
    if (o->kind != OUTPUT_FILE && poll(&p, 1, PATIENCE_MS) <= 0)
        return -1;
    return o->kind == OUTPUT_SOCKET ? send(o->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                    : write(o->fd, s.p, s.n);
}

/* Writes lines; those that the output refuses are dropped. Returns how many bytes are dealt with:
 * less than all when nobody takes them for a while. */
static size_t output_put(const struct output *o, struct slice s)
{
    size_t done = 0;
    while (done < s.n && o->fd >= 0) {
        struct slice piece = next_piece(o, slice_from(s, done));
        ssize_t n = write_piece(o, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return done;
        if (n <= 0) {
            drop_lines(piece);
            n = (ssize_t)piece.n;
        }
        done += (size_t)n;
    }
    return s.n;
}

/* Writes what is in the ring; false: the output is blocked, and the rest stays. */
static bool drain_ring(struct log_ring *r, const struct output *o)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    bool taken = true;
    while (tail < head && taken) {
        uint64_t at = tail % RING_BYTES;
        uint64_t n = MIN_OF(head - tail, RING_BYTES - at);
        uint64_t done = output_put(o, slice_of(r->bytes + at, n));
        taken = done == n;
        tail += done;
        atomic_store_explicit(&r->tail, tail, memory_order_release);
    }
    return taken;
}

static int open_access(const char *access)
{
    if (strcmp(access, "off") == 0)
        return -1;
    if (strcmp(access, "stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(access, "stderr") == 0)
        return STDERR_FILENO;
    return open(access, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

static void close_access(int fd)
{
    if (fd > STDERR_FILENO)
        close(fd);
}

/* The access output that a reload or a rotation wants from now on. With the lock held. */
static void switch_access(void)
{
    if (!lg.switching && lg.reopen && lg.access.fd > STDERR_FILENO) {
        lg.next = output_of(open_access(lg.path));
        lg.switching = lg.next.fd >= 0;
    }
    if (lg.switching) {
        close_access(lg.access.fd);
        lg.access = lg.next;
    }
    lg.switching = lg.reopen = false;
}

/* Writes what is queued, as far as it is taken. With the lock held, which is let go meanwhile. */
static void drain_all(void)
{
    if (lg.leaving.n == 0) {
        struct buf empty = lg.leaving;
        lg.leaving = lg.events;
        lg.events = empty;
    }
    pthread_mutex_unlock(&lg.lock);
    size_t done = output_put(&lg.error, buf_view(&lg.leaving));
    if (done == lg.leaving.n)
        buf_reset(&lg.leaving);
    else
        buf_consume(&lg.leaving, done);
    pthread_mutex_lock(&lg.lock);
    bool taken = true;
    list_foreach (it, &lg.rings) {
        pthread_mutex_unlock(&lg.lock);
        taken = taken && drain_ring(container_of(it, struct log_ring, node), &lg.access);
        pthread_mutex_lock(&lg.lock);
    }
    switch_access(); /* after what was queued before */
}

static bool lines_queued(void)
{
    if (lg.events.n > 0 || lg.leaving.n > 0)
        return true;
    list_foreach (it, &lg.rings) {
        struct log_ring *r = container_of(it, struct log_ring, node);
        if (atomic_load(&r->head) != atomic_load_explicit(&r->tail, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Lets lines come together, and a blocked output rest. With the lock held, which is let go. */
static void wait_batch(void)
{
    int64_t until = clock_mono_ns() + BATCH_NS;
    struct timespec at = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
    pthread_cond_timedwait(&lg.wake, &lg.lock, &at);
}

/* Waits are by the clock that nobody sets. */
static void init_wake(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&lg.wake, &attr);
    pthread_condattr_destroy(&attr);
}

static void *writer_main(void *arg)
{
    int64_t end_ns = 0;
    (void)arg;
    pthread_mutex_lock(&lg.lock);
    do {
        atomic_store(&lg.asleep, true);
        while (!lines_queued() && !lg.stopping && !lg.switching && !lg.reopen)
            pthread_cond_wait(&lg.wake, &lg.lock);
        atomic_store(&lg.asleep, false);
        if (lg.stopping && end_ns == 0)
            end_ns = clock_mono_ns() + END_NS;
        if (!lg.stopping && (lg.events.n == 0 || lg.leaving.n > 0))
            wait_batch();
        drain_all();
    } while (end_ns == 0 || (lines_queued() && clock_mono_ns() < end_ns));
    pthread_mutex_unlock(&lg.lock);
    return NULL;
}

bool log_configure(enum log_level level, const char *access)
{
    int fd = open_access(access);
    if (fd < 0 && strcmp(access, "off") != 0)
        return false;
    pthread_mutex_lock(&lg.lock);
    if (lg.switching)
        close_access(lg.next.fd);
    lg.next = output_of(fd);
    lg.switching = true; /* the writer may be using the old one */
    snprintf(lg.path, sizeof lg.path, "%s", access);
    pthread_cond_signal(&lg.wake);
    pthread_mutex_unlock(&lg.lock);
    lg.level = (int)level;
    lg.access_on = fd >= 0;
    return true;
}

bool log_start(enum log_level level, const char *access)
{
    list_init(&lg.rings);
    init_wake();
    buf_init(&lg.events, EVENT_BYTES);
    buf_init(&lg.leaving, EVENT_BYTES);
    lg.stopping = false;
    lg.error = output_of(STDERR_FILENO);
    if (!log_configure(level, access))
        return false;
    switch_access();
    lg.running = thread_start(&lg.thread, writer_main, NULL);
    return lg.running;
}

void log_reopen(void)
{
    pthread_mutex_lock(&lg.lock);
    lg.reopen = true;
    pthread_cond_signal(&lg.wake);
    pthread_mutex_unlock(&lg.lock);
}

void log_stop(void)
{
    if (!lg.running)
        return;
    pthread_mutex_lock(&lg.lock);
    lg.stopping = true;
    pthread_cond_signal(&lg.wake);
    pthread_mutex_unlock(&lg.lock);
    pthread_join(lg.thread, NULL);
    lg.running = false;
    close_access(lg.access.fd);
    lg.access.fd = -1;
    buf_done(&lg.events);
    buf_done(&lg.leaving);
}

struct log_ring *log_ring_new(void)
{
    struct log_ring *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return NULL;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    pthread_mutex_lock(&lg.lock);
    list_push_back(&lg.rings, &r->node);
    pthread_mutex_unlock(&lg.lock);
    return r;
}

/* After log_stop: the writer thread walks the rings without the lock. */
void log_ring_free(struct log_ring *r)
{
    ASSERT(!lg.running);
    if (r != NULL)
        list_remove(&r->node);
    mem_free(r);
}

bool log_access_on(void)
{
    return atomic_load_explicit(&lg.access_on, memory_order_relaxed);
}

void log_access(struct log_ring *r, struct slice line)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (RING_BYTES - (head - tail) < line.n) {
        lg.dropped++;
        return;
    }
    uint64_t at = head % RING_BYTES, first = MIN_OF((uint64_t)line.n, RING_BYTES - at);
    memcpy(r->bytes + at, line.p, first);
    memcpy(r->bytes, line.p + first, line.n - first);
    atomic_store(&r->head, head + line.n);
    bool full = head - tail < BATCH_BYTES && head - tail + line.n >= BATCH_BYTES;
    if (full || atomic_load(&lg.asleep)) {
        pthread_mutex_lock(&lg.lock);
        pthread_cond_signal(&lg.wake);
        pthread_mutex_unlock(&lg.lock);
    }
}

int64_t log_dropped(void)
{
    return lg.dropped;
}

static void put_event(struct buf *b, enum log_level level, const char *what, struct slice text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char stamp[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ns(), stamp);
    if (isatty(STDERR_FILENO)) {
        buf_printf(b, "%.8s %-5s %s: %.*s\n", stamp + 11, names[level], what, SLICE_ARG(text));
        return;
    }
    struct json_writer w = json_writer(b);
    jw_open(&w, '{');
    jw_field_string(&w, "time", slice_str(stamp));
    jw_field_string(&w, "level", slice_str(names[level]));
    jw_field_string(&w, "what", slice_str(what));
    jw_field_string(&w, "text", text);
    jw_close(&w, '}');
    buf_char(b, '\n');
}

void log_event(enum log_level level, const char *what, const char *fmt, ...)
{
    char text[2048];
    struct buf line;
    if ((int)level > lg.level)
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&line, 16384);
    put_event(&line, level, what, slice_of(text, MIN_OF((size_t)MAX_OF(n, 0), sizeof text - 1)));
    pthread_mutex_lock(&lg.lock);
    if (!lg.running)
        output_put(&(struct output){.fd = STDERR_FILENO, .kind = OUTPUT_PIPE}, buf_view(&line));
    else
        buf_slice(&lg.events, buf_view(&line));
    if (lg.events.failed) { /* full: what is queued goes out, this line is lost */
        lg.events.failed = false;
        lg.dropped++;
    }
    pthread_cond_signal(&lg.wake);
    pthread_mutex_unlock(&lg.lock);
    buf_done(&line);
}

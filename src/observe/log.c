/* The log writer thread and its rings. */
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/list.h"
#include "base/mem.h"

#define RING_BYTES  ((uint64_t)1 << 20)
#define EVENT_BYTES ((size_t)1 << 18) /* queued events; more are dropped */
#define BATCH_NS    (50 * NS_PER_MS)  /* lines wait so long for others to share a write with */

/* One producer, one consumer; positions count bytes since the start. */
struct log_ring {
    struct list node;
    _Atomic uint64_t head; /* written by the producer */
    char apart[64];        /* the two threads' words on cache lines of their own */
    _Atomic uint64_t tail; /* written by the writer thread */
    char bytes[RING_BYTES];
};

static struct {
    pthread_mutex_t lock; /* rings, events, access, stopping */
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stopping;
    struct list rings;
    struct buf events;
    int access_fd; /* -1: off */
    char access[4096];
    bool reopen;
    _Atomic int level;
    _Atomic bool access_on, asleep;
    _Atomic int64_t dropped;
} lg = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .access_fd = -1};

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            lg.dropped++;
            return;
        }
        p += done;
        n -= (size_t)done;
    }
}

/* Writes what is in the ring; it always ends at the end of a line. */
static void drain_ring(struct log_ring *r, int fd)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    while (tail < head) {
        uint64_t at = tail % RING_BYTES;
        uint64_t n = MIN_OF(head - tail, RING_BYTES - at);
        if (fd >= 0)
            write_all(fd, r->bytes + at, n);
        tail += n;
    }
    atomic_store_explicit(&r->tail, tail, memory_order_release);
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

/* With the lock held, which is let go while a file is written. */
static void drain_all(void)
{
    struct buf events = lg.events;
    int fd = lg.access_fd;
    buf_init(&lg.events, EVENT_BYTES);
    pthread_mutex_unlock(&lg.lock);
    if (events.n > 0)
        write_all(STDERR_FILENO, events.p, events.n);
    buf_done(&events);
    pthread_mutex_lock(&lg.lock);
    list_foreach (it, &lg.rings) {
        pthread_mutex_unlock(&lg.lock);
        drain_ring(container_of(it, struct log_ring, node), fd);
        pthread_mutex_lock(&lg.lock);
    }
    if (lg.reopen && lg.access_fd > STDERR_FILENO) {
        int again = open_access(lg.access);
        if (again >= 0) {
            close_access(lg.access_fd);
            lg.access_fd = again;
        }
    }
    lg.reopen = false;
}

static bool something_queued(void)
{
    if (lg.events.n > 0 || lg.stopping || lg.reopen)
        return true;
    list_foreach (it, &lg.rings) {
        struct log_ring *r = container_of(it, struct log_ring, node);
        if (atomic_load(&r->head) != atomic_load_explicit(&r->tail, memory_order_relaxed))
            return true;
    }
    return false;
}

static void *writer_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lg.lock);
    while (!lg.stopping) {
        atomic_store(&lg.asleep, true);
        while (!something_queued())
            pthread_cond_wait(&lg.wake, &lg.lock);
        atomic_store(&lg.asleep, false);
        if (lg.events.n == 0 && !lg.stopping) {
            struct timespec batch = {.tv_nsec = BATCH_NS};
            pthread_mutex_unlock(&lg.lock);
            nanosleep(&batch, NULL);
            pthread_mutex_lock(&lg.lock);
        }
        drain_all();
    }
    drain_all();
    pthread_mutex_unlock(&lg.lock);
    return NULL;
}

bool log_configure(enum log_level level, const char *access)
{
    int fd = open_access(access);
    if (fd < 0 && strcmp(access, "off") != 0)
        return false;
    pthread_mutex_lock(&lg.lock);
    close_access(lg.access_fd);
    lg.access_fd = fd;
    snprintf(lg.access, sizeof lg.access, "%s", access);
    pthread_mutex_unlock(&lg.lock);
    lg.level = (int)level;
    lg.access_on = fd >= 0;
    return true;
}

bool log_start(enum log_level level, const char *access)
{
    list_init(&lg.rings);
    buf_init(&lg.events, EVENT_BYTES);
    lg.stopping = false;
    if (!log_configure(level, access))
        return false;
    lg.running = pthread_create(&lg.thread, NULL, writer_main, NULL) == 0;
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
    close_access(lg.access_fd);
    lg.access_fd = -1;
    buf_done(&lg.events);
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
    if (atomic_load(&lg.asleep)) {
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
        write_all(STDERR_FILENO, line.p, line.n);
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

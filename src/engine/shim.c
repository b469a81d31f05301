/* `weir engine-shim`: the small process between Weir and an engine. It exists so that an engine
 * never outlives Weir, however Weir ends, on any system: the kernel closes Weir's end of the
 * socket, and the shim kills the engine's whole process group. The messages are described in
 * message.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/supervisor.h"
#include "message.h"
#include "process.h"
#include "shim_engine.h"
#include "tail.h"

#define OUTPUT_EVERY_NS (250 * NS_PER_MS)
#define READ_BYTES      16384
#define READS_AT_END    256 /* 4 MB: more than a pipe holds */

struct shim {
    struct json_parser *parser;
    struct buf in;
    struct tail tail;
    pid_t engine;  /* 0: not started */
    int output;    /* -1: closed */
    unsigned told; /* lines that Weir has heard of */
    int64_t told_ns;
    bool over;
};

static int wake_pipe[2]; /* signals become readable here */

static void on_signal(int signum)
{
    int e = errno;
    char c = (char)signum;
    ssize_t n = write(wake_pipe[1], &c, 1);
    (void)n; /* full: enough signals are waiting there */
    errno = e;
}

/* What Weir had open when it started us is none of our business, and none of the engine's. */
static void close_inherited(void)
{
    DIR *d = opendir("/dev/fd");
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        uint64_t fd;
        if (slice_to_u64(slice_str(e->d_name), &fd) && fd > SHIM_FD && (int)fd != dirfd(d))
            close((int)fd);
    }
    closedir(d);
}

static bool set_up(struct shim *s)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    *s = (struct shim){.output = -1, .parser = json_parser_new()};
    buf_init(&s->in, SHIM_LINE_MAX);
    close_inherited();
    process_adopt_orphans();
    if (s->parser == NULL || pipe(wake_pipe) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC);
        fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
    }
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGCHLD, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    process_die_with_parent(SIGTERM); /* what the closed socket says, once more */
    return fcntl(SHIM_FD, F_SETFD, FD_CLOEXEC) == 0;
}

/* False: Weir is gone, or does not read and `may_drop` says that it need not. */
static bool send_line(struct slice line, bool may_drop)
{
    size_t sent = 0;
    while (sent < line.n) {
        int flags = may_drop && sent == 0 ? MSG_DONTWAIT : 0;
        ssize_t n = send(SHIM_FD, line.p + sent, line.n - sent, flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

static bool tell(const struct shim_message *m)
{
    struct buf b;
    buf_init(&b, SHIM_LINE_MAX);
    shim_message_put(&b, m);
    bool ok = !b.failed && send_line(buf_view(&b), m->type == SHIM_OUTPUT);
    buf_done(&b);
    return ok;
}

/* Takes what the engine has written, in `reads` pieces at most: a flood of lines must not keep us
 * from everything else. */
static void read_output(struct shim *s, unsigned reads)
{
    char data[READ_BYTES];
    while (s->output >= 0 && reads-- > 0) {
        ssize_t n = read(s->output, data, sizeof data);
        if (n > 0) {
            tail_feed(&s->tail, slice_of(data, (size_t)n));
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else {
            close(s->output);
            s->output = -1;
        }
    }
}

/* Milliseconds until news is due to be told, or -1: there is none. Tells it when it is due. */
static int tell_output(struct shim *s)
{
    int64_t now_ns = clock_mono_ns(), due_ns = s->told_ns + OUTPUT_EVERY_NS;
    if (s->told == s->tail.count)
        return -1;
    if (now_ns < due_ns)
        return (int)((due_ns - now_ns) / NS_PER_MS) + 1;
    s->told = s->tail.count;
    s->told_ns = now_ns;
    tell(&(struct shim_message){.type = SHIM_OUTPUT, .text = tail_newest(&s->tail)});
    return -1;
}

/* The engine has ended, or must: nothing of it stays. Weir, if it is there, hears how it went. */
static void end_engine(struct shim *s)
{
    struct slice lines[TAIL_LINES];
    struct shim_message m = {.type = SHIM_EXITED, .list = lines};
    int status = 0;
    bool clear = shim_engine_clear(s->engine, &status);
    read_output(s, READS_AT_END);
    tail_end(&s->tail);
    m.list_n = tail_get(&s->tail, lines);
    m.number = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    m.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (!clear)
        m.text = SLICE("some of its processes could not be ended");
    tell(&m);
    s->engine = 0;
    s->over = true;
}

static void start_engine(struct shim *s, const struct shim_message *m)
{
    char text[300];
    struct arena a;
    arena_init(&a, NULL, SHIM_ARENA_MAX);
    char **argv = arena_zalloc(&a, (m->list_n + 1) * sizeof *argv);
    bool ok = argv != NULL && m->list_n > 0;
    for (size_t i = 0; i < m->list_n && ok; i++) {
        argv[i] = arena_str(&a, m->list[i]);
        ok = argv[i] != NULL;
    }
    errno = ENOMEM;
    pid_t pid = ok ? shim_engine_spawn(argv, &s->output) : -1;
    if (pid > 0) {
        s->engine = pid;
        tell(&(struct shim_message){.type = SHIM_STARTED, .number = pid});
    } else {
        int n = snprintf(text, sizeof text, "cannot run %.200s: %s", ok ? argv[0] : "it",
                         strerror(errno));
        tell(&(struct shim_message){.type = SHIM_EXITED,
                                    .number = 127,
                                    .text = slice_of(text, MIN_OF((size_t)n, sizeof text - 1))});
        s->over = true;
    }
    arena_reset(&a);
}

static void obey(struct shim *s, struct slice line)
{
    struct shim_message m;
    struct arena a;
    arena_init(&a, NULL, SHIM_ARENA_MAX);
    if (!shim_message_read(s->parser, line, &a, &m))
        s->over = true; /* Weir and we do not understand each other */
    else if (m.type == SHIM_START && s->engine == 0)
        start_engine(s, &m);
    else if (m.type == SHIM_SIGNAL && s->engine > 0 && m.number > 0)
        kill(-s->engine, (int)m.number);
    arena_reset(&a);
}

static void read_orders(struct shim *s)
{
    struct slice line;
    size_t bytes;
    if (!buf_reserve(&s->in, 4096)) {
        s->over = true;
        return;
    }
    ssize_t n = recv(SHIM_FD, s->in.p + s->in.n, s->in.size - s->in.n, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        s->over = true;
        return;
    }
    s->in.n += (size_t)n;
    while (!s->over && shim_line(&s->in, &line, &bytes)) {
        obey(s, line);
        buf_consume(&s->in, bytes);
    }
}

static void take_signals(struct shim *s)
{
    char signals[64];
    ssize_t n = read(wake_pipe[0], signals, sizeof signals);
    for (ssize_t i = 0; i < n; i++) {
        if (signals[i] == SIGTERM)
            s->over = true;
    }
    if (s->engine > 0 && !s->over && shim_engine_ended(s->engine))
        end_engine(s);
}

int engine_shim_main(void)
{
    struct shim s;
    bool ok = set_up(&s);
    while (ok && !s.over) {
        int wait_ms = tell_output(&s);
        struct pollfd fds[3] = {{.fd = SHIM_FD, .events = POLLIN},
                                {.fd = wake_pipe[0], .events = POLLIN},
                                {.fd = s.output, .events = POLLIN}};
        if (poll(fds, 3, wait_ms) < 0)
            continue; /* EINTR: the signal is in the pipe */
        if (fds[2].revents != 0)
            read_output(&s, 1);
        if (fds[0].revents != 0)
            read_orders(&s);
        if (fds[1].revents != 0 && !s.over)
            take_signals(&s);
    }
    if (s.engine > 0)
        end_engine(&s);
    json_parser_free(s.parser);
    buf_done(&s.in);
    if (s.output >= 0)
        close(s.output);
    return ok ? 0 : 1;
}

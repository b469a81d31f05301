/* Terminals: see terminal.h. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

#define BAR_MAX        30
#define DRAW_EVERY_NS  (100 * NS_PER_MS)
#define LINE_EVERY_NS  (30 * NS_PER_S)
#define RATE_WINDOW_NS (500 * NS_PER_MS)

struct terminal terminal_of(int fd)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    struct terminal t = {.fd = fd, .tty = isatty(fd) == 1};
    t.colour = t.tty && (no_colour == NULL || no_colour[0] == '\0') &&
               (term == NULL || strcmp(term, "dumb") != 0);
    return t;
}

void terminal_style(const struct terminal *t, struct buf *out, const char *style)
{
    if (t->colour)
        buf_printf(out, "\x1b[%sm", style);
}

void terminal_plain(const struct terminal *t, struct buf *out)
{
    terminal_style(t, out, "0");
}

bool terminal_write(int fd, struct slice s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        if (n < 0 && errno == EAGAIN) /* whoever shares the terminal may want it so */
            poll(&room, 1, -1);
        else if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            s = slice_from(s, (size_t)n);
    }
    return true;
}

/* Length of the UTF-8 character that begins with `b`, 0: none does. */
static unsigned utf8_length(uint8_t b)
{
    if (b >= 0xC2 && b <= 0xDF)
        return 2;
    if (b >= 0xE0 && b <= 0xEF)
        return 3;
    return b >= 0xF0 && b <= 0xF4 ? 4 : 0;
}

static void put_ascii(struct buf *out, char c)
{
    if (((uint8_t)c >= ' ' && c != 0x7F) || c == '\n' || c == '\t') {
        buf_char(out, c);
    } else if (c != '\r') {
        buf_char(out, '^');
        buf_char(out, (char)(c ^ 0x40));
    }
}

#define REPLACEMENT "\xEF\xBF\xBD"

/* A character of 2 to 4 bytes that is valid but may do more than show. */
static bool steers(struct slice s)
{
    const uint8_t *b = (const uint8_t *)s.p;
    if (s.n == 2)
        return b[0] == 0xC2 && b[1] < 0xA0; /* C1: U+0080 to U+009F */
    if (s.n != 3 || b[0] != 0xE2)
        return false;
    return (b[1] == 0x80 && b[2] >= 0xAA && b[2] <= 0xAE) || /* U+202A to U+202E */
           (b[1] == 0x81 && b[2] >= 0xA6 && b[2] <= 0xA9);   /* U+2066 to U+2069 */
}

static void put_whole(struct terminal_text *t, struct buf *out)
{
    struct slice s = slice_of(t->pending, t->n);
    if (utf8_valid(s) && !steers(s))
        buf_slice(out, s);
    else
        buf_lit(out, REPLACEMENT);
    t->n = 0;
}

void terminal_text_put(struct terminal_text *t, struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t b = (uint8_t)s.p[i];
        if (t->n > 0 && (b & 0xC0) != 0x80)
            terminal_text_end(t, out); /* what came before was cut short */
        if (t->n > 0) {
            t->pending[t->n++] = (char)b;
            if (t->n == t->want)
                put_whole(t, out);
        } else if (b < 0x80) {
            put_ascii(out, (char)b);
        } else if ((t->want = utf8_length(b)) > 0) {
            t->pending[t->n++] = (char)b;
        } else {
            buf_lit(out, REPLACEMENT);
        }
    }
}

void terminal_text_end(struct terminal_text *t, struct buf *out)
{
    if (t->n > 0)
        buf_lit(out, REPLACEMENT);
    t->n = 0;
}

void terminal_text_line(struct buf *out, struct slice s, size_t max)
{
    struct terminal_text t = {0};
    size_t from = out->n;
    for (size_t i = 0; i < s.n && out->n - from < max; i++)
        terminal_text_put(&t, out, s.p[i] == '\n' ? SLICE(" ") : slice_of(s.p + i, 1));
    terminal_text_end(&t, out);
}

void terminal_put_bytes(struct buf *out, int64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes / 1000;
    size_t i = 0;
    if (bytes < 1000) {
        buf_printf(out, "%lld B", (long long)bytes);
        return;
    }
    while (v >= 999.5 && i + 1 < ARRAY_LEN(units)) {
        v /= 1000;
        i++;
    }
    buf_printf(out, v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

/* "1:05:09", "0:42" */
static void put_seconds(struct buf *out, int64_t seconds)
{
    long long h = seconds / 3600, m = seconds / 60 % 60, s = seconds % 60;
    if (h > 0)
        buf_printf(out, "%lld:%02lld:%02lld", h, m, s);
    else
        buf_printf(out, "%lld:%02lld", m, s);
}

void progress_begin(struct progress *p, const char *name, int64_t total, int64_t at, int64_t now_ns)
{
    *p = (struct progress){.to = terminal_of(STDERR_FILENO),
                           .name = name,
                           .total = total,
                           .started_at = at,
                           .window_ns = now_ns,
                           .window_at = at,
                           .drawn_ns = now_ns};
    p->said = total > 0 ? at * 10 / total : 0;
}

static void take_rate(struct progress *p, int64_t at, int64_t now_ns)
{
    int64_t spent = now_ns - p->window_ns;
    if (spent < RATE_WINDOW_NS)
        return;
    double now = (double)(at - p->window_at) * 1e9 / (double)spent;
    p->rate = p->rate > 0 ? 0.7 * p->rate + 0.3 * now : now;
    p->window_ns = now_ns;
    p->window_at = at;
}

static int columns(int fd)
{
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

static void put_figures(const struct progress *p, struct buf *out, int64_t at)
{
    terminal_put_bytes(out, at);
    if (p->total > 0) {
        buf_lit(out, " of ");
        terminal_put_bytes(out, p->total);
    }
    if (p->rate < 1)
        return;
    buf_lit(out, ", ");
    terminal_put_bytes(out, (int64_t)p->rate);
    buf_lit(out, "/s");
    if (p->total > at) {
        buf_lit(out, ", ");
        put_seconds(out, (int64_t)((double)(p->total - at) / p->rate + 0.999));
        buf_lit(out, " left");
    }
}

static void draw_bar(struct progress *p, int64_t at)
{
    struct buf figures, line;
    int width = columns(p->to.fd);
    buf_init(&figures, 256);
    buf_init(&line, 1024);
    put_figures(p, &figures, at);
    buf_printf(&line, "\r%.*s", width > 70 ? 40 : 12, p->name);
    if (p->total > 0) {
        int bar = width - (int)line.n - (int)figures.n - 12;
        bar = MIN_OF(bar, BAR_MAX);
        buf_printf(&line, " %3d%% ", (int)((double)at * 100 / (double)p->total));
        for (int i = 0; i < bar; i++)
            buf_char(&line, (double)i * (double)p->total < (double)at * bar ? '#' : '.');
    }
    buf_char(&line, ' ');
    buf_slice(&line, buf_view(&figures));
    line.n = MIN_OF(line.n, (size_t)width); /* with the CR: one column is left free */
    buf_lit(&line, "\x1b[K");
    (void)!terminal_write(p->to.fd, buf_view(&line));
    buf_done(&figures);
    buf_done(&line);
    p->drawn = true;
}

static void print_line(const struct progress *p, int64_t at)
{
    struct buf line;
    buf_init(&line, 1024);
    buf_printf(&line, "%.200s: ", p->name);
    if (p->total > 0)
        buf_printf(&line, "%d%%, ", (int)((double)at * 100 / (double)p->total));
    put_figures(p, &line, at);
    buf_char(&line, '\n');
    (void)!terminal_write(p->to.fd, buf_view(&line));
    buf_done(&line);
}

void progress_show(struct progress *p, int64_t at, int64_t now_ns)
{
    take_rate(p, at, now_ns);
    if (p->to.tty) {
        if (p->drawn && now_ns - p->drawn_ns < DRAW_EVERY_NS)
            return;
        draw_bar(p, at);
        p->drawn_ns = now_ns;
        return;
    }
    int64_t tenth = p->total > 0 ? (int64_t)((double)at * 10 / (double)p->total) : 0;
    if (tenth <= p->said && now_ns - p->drawn_ns < LINE_EVERY_NS)
        return;
    print_line(p, at);
    p->said = tenth;
    p->drawn_ns = now_ns;
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        (void)!terminal_write(p->to.fd, SLICE("\r\x1b[K"));
    p->drawn = false;
}

static int interrupt_pipe[2] = {-1, -1};

static void on_signal(int sig)
{
    int saved = errno;
    (void)sig;
    (void)!write(interrupt_pipe[1], "!", 1);
    errno = saved;
}

int interrupts_catch(bool all)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction sa = {.sa_handler = on_signal, /* without SA_RESTART: reads come back */
                           .sa_flags = all ? (int)SA_RESETHAND : 0};
    if (interrupt_pipe[0] < 0 && pipe(interrupt_pipe) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(interrupt_pipe[i], F_SETFD, FD_CLOEXEC);
        fcntl(interrupt_pipe[i], F_SETFL, O_NONBLOCK);
    }
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < (all ? ARRAY_LEN(signals) : 1); i++) {
        if (sigaction(signals[i], &sa, NULL) != 0)
            return -1;
    }
    return interrupt_pipe[0];
}

bool interrupts_take(void)
{
    char c[16];
    bool any = false;
    while (interrupt_pipe[0] >= 0 && read(interrupt_pipe[0], c, sizeof c) > 0)
        any = true;
    return any;
}

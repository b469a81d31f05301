/* What commands do with a terminal: colours where they belong, text of others made harmless, a
 * progress bar, and Ctrl-C as something to wait for. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "base/buf.h"
#include "base/slice.h"

/* An output that may be a terminal. Colours are for terminals only, not with NO_COLOR set
 * (no-color.org) and not when TERM is "dumb". */
struct terminal {
    int fd;
    bool tty, colour;
};
struct terminal terminal_of(int fd);

#define TERMINAL_DIM   "2"
#define TERMINAL_BOLD  "1"
#define TERMINAL_RED   "31"
#define TERMINAL_GREEN "32"
#define TERMINAL_AMBER "33"
/* The sequence that begins `style`, or that ends all styles; empty where there are no colours. */
void terminal_style(const struct terminal *t, struct buf *out, const char *style);
void terminal_plain(const struct terminal *t, struct buf *out);

/* Writes all of it at once. False: the other end is gone, or the disk is full (errno). */
NODISCARD bool terminal_write(int fd, struct slice s);

/* Text that comes in pieces cut anywhere and is to be shown on a terminal: whole UTF-8 characters
 * come out, what is none becomes U+FFFD, and whatever could steer the terminal is shown instead of
 * done: control characters in caret notation (so no escape sequence is left), C1 controls and
 * bidirectional overrides (CVE-2021-42574) as U+FFFD. Line feeds and tabs pass, carriage returns
 * are dropped. An empty one is all zero. */
struct terminal_text {
    char pending[4]; /* of a character that is not whole yet */
    unsigned n, want;
};
void terminal_text_put(struct terminal_text *t, struct buf *out, struct slice s);
void terminal_text_end(struct terminal_text *t, struct buf *out);
/* One whole text, cut to `max` bytes of output, line ends turned into spaces: for messages. */
void terminal_text_line(struct buf *out, struct slice s, size_t max);

/* "3.4 GB", "12 kB": decimal units. */
void terminal_put_bytes(struct buf *out, int64_t bytes);

/* Progress of a transfer, on standard error: a bar that is drawn anew on a terminal, otherwise a
 * line at each tenth and at least every half minute. */
struct progress {
    struct terminal to;
    const char *name;
    int64_t total;                /* bytes, -1: unknown */
    int64_t started_at, drawn_ns; /* bytes there were before; time of the last output */
    int64_t said;                 /* tenths that lines were printed for */
    int64_t window_ns, window_at; /* start of the window that the rate is taken over */
    double rate;                  /* bytes a second, smoothed */
    bool drawn;
};
void progress_begin(struct progress *p, const char *name, int64_t total, int64_t at,
                    int64_t now_ns);
void progress_show(struct progress *p, int64_t at, int64_t now_ns);
/* Removes the bar, so that other text can follow. */
void progress_end(struct progress *p);

/* From now on SIGINT, and with `all` SIGTERM and SIGHUP too, do not end the process but make the
 * descriptor readable that is returned; system calls are interrupted. With `all`, the second of a
 * kind ends the process as ever. -1: not possible. */
int interrupts_catch(bool all);
/* Whether one came since the last call. */
bool interrupts_take(void);

#endif

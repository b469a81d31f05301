/* Logs, written by one thread so that nobody else ever waits for a disk or a terminal. Lines travel
 * through rings; when a ring is full the line is dropped and counted. */
#ifndef OBSERVE_LOG_H
#define OBSERVE_LOG_H

#include "base/buf.h"
#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_ring;

/* Starts the writer. Events of `level` and above go to standard error; access lines go to
 * `access`: "stdout", "stderr", "off", or a file. False: the file cannot be opened, see errno. */
NODISCARD bool log_start(enum log_level level, const char *access);

/* New settings after a reload; false: the new access file cannot be opened, the old one stays. */
NODISCARD bool log_configure(enum log_level level, const char *access);

/* Opens the access file again, for log rotation. */
void log_reopen(void);

/* Writes everything that is queued and stops the writer. */
void log_stop(void);

/* A ring for access lines of one thread, or NULL when access lines are off or memory is short. */
struct log_ring *log_ring_new(void);
void log_ring_free(struct log_ring *r);

/* Are access lines wanted? */
bool log_access_on(void);

/* Queues one line, which ends in LF. The ring's own thread only. */
void log_access(struct log_ring *r, struct slice line);

/* Access lines dropped so far, by all threads. */
int64_t log_dropped(void);

/* An event of the gateway's own life, on any thread: one JSON line, or plain text on a terminal.
 * `what` is a stable dotted name such as "engine.ready". */
void log_event(enum log_level level, const char *what, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif

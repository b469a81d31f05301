/* The log as the gateway sees it, kept for the test to read. */
#ifndef LOOPBACK_FAKE_LOG_H
#define LOOPBACK_FAKE_LOG_H

#include "base/slice.h"

/* Access lines since the last log_clear, oldest first, without their LF. Lines of all threads. */
unsigned log_lines(void);
struct slice log_line(unsigned i);
void log_clear(void);
/* Keep no lines, only count them: for long runs. */
void log_count_only(bool on);

/* Events ("upstream.failed") since the last log_clear. */
unsigned log_events(void);

#endif

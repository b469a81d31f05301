/*
 * The CPU time that given processes have used, read at the borders of the measured window by the
 * load generator itself, so that no other process has to be scheduled in time for it.
 */
#pragma once
#include <stdint.h>

enum { CPUTIME_PROCESSES = 64 };

struct cputime {
    int count;
    int processes[CPUTIME_PROCESSES];
};

/* Reads "PID,PID,...". */
void cputime_init(struct cputime *cputime, const char *list);
/* Nanoseconds on a CPU of all threads of the processes so far (/proc/PID/task/TID/schedstat). */
int64_t cputime_read(const struct cputime *cputime);

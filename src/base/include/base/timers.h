/* Deadlines of one thread: an intrusive 4-ary heap. Moving a deadline later, which is what nearly
 * every event of a stream does, writes one field and leaves the heap alone; the entry is put in its
 * place when it comes up too early. */
#ifndef BASE_TIMERS_H
#define BASE_TIMERS_H

#include "base/compiler.h"

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    int64_t deadline_ns; /* when it is to fire */
    int64_t due_ns;      /* its key in the heap, never later than the deadline */
    uint32_t slot;       /* 1-based place in the heap; 0: not armed */
    timer_fn *fire;
};

struct timers {
    struct timer **heap;
    uint32_t count, size;
};

void timers_init(struct timers *ts);
void timers_done(struct timers *ts);

void timer_init(struct timer *t, timer_fn *fire);

/* Arms or moves `t`. The clock is whatever the owner feeds to timers_run. False: no memory, and the
 * timer is as it was; moving an armed timer never fails. */
NODISCARD bool timer_set(struct timers *ts, struct timer *t, int64_t deadline_ns);
void timer_stop(struct timers *ts, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
    return t->slot != 0;
}

/* Fires everything due at `now_ns`; a fired timer is disarmed first and may be set again. */
void timers_run(struct timers *ts, int64_t now_ns);

/* When timers_run has to be called next, or INT64_MAX. */
int64_t timers_next(const struct timers *ts);

#endif

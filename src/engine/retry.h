/* When an engine that failed is started again: after a growing pause, and only now and then once it
 * has failed so often that requests had better go elsewhere. */
#ifndef ENGINE_RETRY_H
#define ENGINE_RETRY_H

#include "base/clock.h"

#define RETRY_FIRST_NS   (NS_PER_S / 2)
#define RETRY_MAX_NS     (30 * NS_PER_S)
#define RETRY_SLOW_NS    (60 * NS_PER_S)  /* after giving up */
#define RETRY_HEALTHY_NS (60 * NS_PER_S)  /* healthy for so long: earlier failures are forgotten */
#define RETRY_WINDOW_NS  (120 * NS_PER_S) /* so many failures within it: giving up */
#define RETRY_FAILURES   5

/* Zero-initialised: no failures. */
struct retry {
    int64_t at_ns[RETRY_FAILURES]; /* the latest failures, as a ring */
    unsigned failures;             /* since the last reset */
    unsigned never_ready;          /* failures in a row of engines that had not become ready */
    bool given_up;                 /* until it has been healthy for RETRY_HEALTHY_NS */
};

/* Notes a failure at `now_ns` of an engine that had been ready for `ready_ns` (-1: it never was).
 * Returns how long to wait before the next start; `r->given_up` says how to wait. */
int64_t retry_failed(struct retry *r, int64_t now_ns, int64_t ready_ns);

static inline void retry_reset(struct retry *r)
{
    *r = (struct retry){0};
}

#endif

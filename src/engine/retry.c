/* Exponential pauses and the end of a crash loop. */
#include "retry.h"

int64_t retry_failed(struct retry *r, int64_t now_ns, int64_t ready_ns)
{
    if (ready_ns >= RETRY_HEALTHY_NS)
        retry_reset(r);
    int64_t *slot = &r->at_ns[r->failures % RETRY_FAILURES];
    int64_t wait_ns = RETRY_FIRST_NS;
    for (unsigned i = 0; i < r->failures && wait_ns < RETRY_MAX_NS; i++)
        wait_ns *= 2;
    *slot = now_ns;
    r->failures++;
    r->never_ready = ready_ns < 0 ? r->never_ready + 1 : 0;
    int64_t oldest_ns = r->at_ns[r->failures % RETRY_FAILURES];
    if (r->failures >= RETRY_FAILURES && now_ns - oldest_ns <= RETRY_WINDOW_NS)
        r->given_up = true;
    if (r->never_ready >= RETRY_FAILURES) /* slow starts spread beyond the window */
        r->given_up = true;
    return r->given_up ? RETRY_SLOW_NS : MIN_OF(wait_ns, RETRY_MAX_NS);
}

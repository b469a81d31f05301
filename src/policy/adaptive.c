/* The gradient limiter: windows, their medians, and what is usual. */
#include "policy/adaptive.h"

#include <math.h>
#include <stdlib.h>

#define GRADIENT_MIN 0.5
#define SMOOTHING    0.5
#define FAR          2.0 /* times: no bad luck, but another state of things */
#define SOON         (INT64_C(4) * ADAPTIVE_WINDOW)

void adaptive_init(struct adaptive *a)
{
    *a = (struct adaptive){.limit = ADAPTIVE_START, .phase = ADAPTIVE_PROBE};
}

int64_t adaptive_limit(const struct adaptive *a)
{
    double limit = a->phase == ADAPTIVE_RUN ? a->limit : a->limit / 2;
    return (int64_t)MAX_OF(limit, (double)ADAPTIVE_MIN);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double take_median(struct adaptive *a)
{
    qsort(a->sample, ADAPTIVE_WINDOW, sizeof a->sample[0], compare);
    int64_t median_ns = a->sample[ADAPTIVE_WINDOW / 2];
    a->n = 0;
    return (double)MAX_OF(median_ns, INT64_C(1));
}

static bool is_apart(double a, double b, double times)
{
    return a > b * times || b > a * times;
}

/* Part of the way, so that a window of bad luck does not say all; it is measured again soon where
 * it has changed. */
static void learn_usual(struct adaptive *a, double median_ns)
{
    double before = a->usual_ns > 0 ? a->usual_ns : median_ns;
    double part = is_apart(before, median_ns, FAR) ? 0.5 : 0.25;
    a->usual_ns = before + part * (median_ns - before);
    a->unsure = is_apart(before, median_ns, ADAPTIVE_TOLERANCE);
    a->since = 0;
}

static void move_limit(struct adaptive *a, double median_ns)
{
    double gradient = ADAPTIVE_TOLERANCE * a->usual_ns / median_ns;
    gradient = MAX_OF(GRADIENT_MIN, MIN_OF(gradient, 1.0));
    double want = a->limit * gradient + sqrt(a->limit) / 2;
    double limit = a->limit + SMOOTHING * (want - a->limit);
    a->limit = MAX_OF((double)ADAPTIVE_MIN, MIN_OF(limit, (double)ADAPTIVE_MAX));
}

static void end_window(struct adaptive *a)
{
    double median_ns = take_median(a);
    double inflight = (double)a->inflight / ADAPTIVE_WINDOW;
    a->inflight = 0;
    if (a->phase == ADAPTIVE_PROBE) {
        learn_usual(a, median_ns);
        a->phase = ADAPTIVE_RUN;
        a->skip = (int64_t)a->limit; /* of the time of the cut */
    } else if (inflight < a->limit / 2) {
        learn_usual(a, median_ns);
    } else {
        bool far = is_apart(a->usual_ns, median_ns, FAR);
        move_limit(a, median_ns);
        int64_t due = ADAPTIVE_EVERY + ADAPTIVE_TURNS * (int64_t)a->limit;
        if (a->since >= (far || a->unsure ? SOON : due))
            a->phase = ADAPTIVE_DRAIN;
    }
}

int64_t adaptive_sample(struct adaptive *a, int64_t first_token_ns, int64_t inflight)
{
    a->since++;
    if (a->phase == ADAPTIVE_DRAIN) {
        if (inflight <= adaptive_limit(a)) {
            a->phase = ADAPTIVE_PROBE;
            a->skip = 2 * inflight;
        }
    } else if (a->skip > 0) {
        a->skip--;
    } else {
        a->sample[a->n++] = first_token_ns;
        a->inflight += inflight;
        if (a->n == ADAPTIVE_WINDOW)
            end_window(a);
    }
    return adaptive_limit(a);
}

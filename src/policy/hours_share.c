/* Rates of work, and exact division by it. */
#include "policy/hours_share.h"

#include <math.h>

#include "base/clock.h"

#define N           HOURS_KINDS_N
#define WEIGHT_BITS 52 /* of the largest weight, once it is an integer */

const struct hours_rates hours_rates_first = {
    {[HOURS_INPUT] = 1, [HOURS_CACHED] = 0.1, [HOURS_OUTPUT] = 10}};

void hours_fit_add(struct hours_fit *f, const int64_t tokens[N], int64_t work_ns)
{
    bool any = false;
    for (unsigned i = 0; i < N; i++)
        any |= tokens[i] > 0;
    if (!any || work_ns <= 0)
        return;
    f->n++;
    f->work_ns += (double)work_ns;
    for (unsigned i = 0; i < N; i++) {
        f->tokens[i] += (double)tokens[i];
        f->with_work[i] += (double)tokens[i] * (double)work_ns;
        for (unsigned k = 0; k < N; k++)
            f->squares[i][k] += (double)tokens[i] * (double)tokens[k];
    }
}

/* The normal equations: what is least is x'Ax - 2b'x. */
struct equations {
    double a[N][N], b[N];
};

/* Those of the rates in `set`, by Gaussian elimination with pivots; the others are 0. False: they
 * do not determine them. */
static bool solve(const struct equations *from, unsigned set, double x[N])
{
    struct equations e = *from;
    unsigned row[N], n = 0;
    for (unsigned i = 0; i < N; i++) {
        x[i] = 0;
        if ((set >> i & 1) != 0)
            row[n++] = i;
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned best = i;
        for (unsigned k = i + 1; k < n; k++)
            best = fabs(e.a[row[k]][row[i]]) > fabs(e.a[row[best]][row[i]]) ? k : best;
        struct equations swapped = e;
        for (unsigned c = 0; c < n; c++) {
            e.a[row[i]][row[c]] = swapped.a[row[best]][row[c]];
            e.a[row[best]][row[c]] = swapped.a[row[i]][row[c]];
        }
        e.b[row[i]] = swapped.b[row[best]];
        e.b[row[best]] = swapped.b[row[i]];
        double pivot = e.a[row[i]][row[i]];
        if (!(fabs(pivot) > 0))
            return false;
        for (unsigned k = i + 1; k < n; k++) {
            double by = e.a[row[k]][row[i]] / pivot;
            for (unsigned c = i; c < n; c++)
                e.a[row[k]][row[c]] -= by * e.a[row[i]][row[c]];
            e.b[row[k]] -= by * e.b[row[i]];
        }
    }
    for (unsigned i = n; i-- > 0;) {
        double sum = e.b[row[i]];
        for (unsigned c = i + 1; c < n; c++)
            sum -= e.a[row[i]][row[c]] * x[row[c]];
        x[row[i]] = sum / e.a[row[i]][row[i]];
        if (!isfinite(x[row[i]]) || x[row[i]] < 0)
            return false;
    }
    return true;
}

static double misfit(const struct equations *e, const double x[N])
{
    double sum = 0;
    for (unsigned i = 0; i < N; i++) {
        sum -= 2 * e->b[i] * x[i];
        for (unsigned k = 0; k < N; k++)
            sum += x[i] * e->a[i][k] * x[k];
    }
    return sum;
}

struct hours_rates hours_fit_rates(const struct hours_fit *f, const struct hours_rates *before)
{
    struct hours_rates best = *before;
    double said = 0, least = 0;
    for (unsigned i = 0; i < N; i++)
        said += f->tokens[i] * before->ns[i];
    if (f->n < 1 || !(said > 0) || !isfinite(said))
        return best;
    struct equations e;
    unsigned seen = 0;
    /* the rates of before, at the speed of now */
    for (unsigned i = 0; i < N; i++) {
        best.ns[i] = before->ns[i] * f->work_ns / said;
        double pull = HOURS_PRIOR / f->n * f->squares[i][i];
        for (unsigned k = 0; k < N; k++)
            e.a[i][k] = f->squares[i][k] + (i == k ? pull : 0);
        e.b[i] = f->with_work[i] + pull * best.ns[i];
        seen |= f->tokens[i] > 0 ? 1u << i : 0;
    }
    bool found = false;
    for (unsigned set = 1; set < 1u << N; set++) {
        double x[N];
        if ((set & ~seen) != 0 || !solve(&e, set, x))
            continue;
        double off = misfit(&e, x);
        if (found && off >= least)
            continue;
        found = true;
        least = off;
        for (unsigned i = 0; i < N; i++)
            best.ns[i] = (seen >> i & 1) != 0 ? x[i] : best.ns[i];
    }
    return best;
}

double hours_work(const struct hours_rates *r, const int64_t tokens[N])
{
    double sum = 0;
    for (unsigned i = 0; i < N; i++)
        sum += r->ns[i] * (double)MAX_OF(tokens[i], INT64_C(0));
    return sum;
}

bool hours_divide(int64_t nano, const double *weights, size_t n, int64_t *ret_nano)
{
    double most = 0;
    size_t largest = 0;
    ASSERT(nano >= 0);
    for (size_t i = 0; i < n; i++) {
        ASSERT(isfinite(weights[i]) && weights[i] >= 0);
        if (weights[i] > most) {
            most = weights[i];
            largest = i;
        }
    }
    if (!(most > 0))
        return false;
    unsigned __int128 all = 0;
    int64_t left = nano;
    for (size_t i = 0; i < n; i++)
        all += (uint64_t)ldexp(weights[i] / most, WEIGHT_BITS);
    for (size_t i = 0; i < n; i++) {
        uint64_t weight = (uint64_t)ldexp(weights[i] / most, WEIGHT_BITS);
        ret_nano[i] = (int64_t)((unsigned __int128)nano * weight / all);
        left -= ret_nano[i];
    }
    ret_nano[largest] += left;
    return true;
}

int64_t hours_price(int64_t ns, int64_t hour_nano)
{
    return (int64_t)((__int128)ns * hour_nano / ((__int128)3600 * NS_PER_S));
}

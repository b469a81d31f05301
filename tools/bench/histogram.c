/* A histogram of durations; see histogram.h. */
#include "histogram.h"

enum { STEP_BITS = 6 };

static int cell_of(int64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return value < 0 ? 0 : (int)value;
    int shift = 63 - __builtin_clzll((unsigned long long)value) - STEP_BITS;
    int cell = (shift + 1) * HISTOGRAM_STEPS + (int)((value >> shift) - HISTOGRAM_STEPS);
    int last = HISTOGRAM_STEPS * HISTOGRAM_POWERS - 1;
    return cell < last ? cell : last;
}

/* The middle of a cell's range. */
static int64_t value_of(int cell)
{
    if (cell < HISTOGRAM_STEPS)
        return cell;
    int shift = cell / HISTOGRAM_STEPS - 1;
    int64_t low = (int64_t)(cell % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
    return low + (((int64_t)1 << shift) >> 1);
}

void histogram_add(struct histogram *histogram, int64_t value)
{
    histogram->cells[cell_of(value)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

int64_t histogram_quantile(const struct histogram *histogram, double part)
{
    int64_t rank = (int64_t)(part * (double)histogram->total);
    if (rank >= histogram->total)
        rank = histogram->total - 1;
    int64_t seen = 0;
    for (int i = 0; i < HISTOGRAM_STEPS * HISTOGRAM_POWERS; i++) {
        seen += histogram->cells[i];
        if (seen > rank)
            return value_of(i) < histogram->max ? value_of(i) : histogram->max;
    }
    return 0;
}

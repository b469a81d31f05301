/*
 * A histogram of durations with a relative error of at most 1/64, in fixed memory: 64 linear steps
 * within each power of two (the scheme of HdrHistogram).
 */
#pragma once
#include <stdint.h>

enum { HISTOGRAM_STEPS = 64, HISTOGRAM_POWERS = 40 };

struct histogram {
    int64_t total;
    int64_t max;
    int64_t cells[HISTOGRAM_STEPS * HISTOGRAM_POWERS];
};

void histogram_add(struct histogram *histogram, int64_t value);
/* The smallest recorded value that `part` (0 to 1) of all values do not exceed; 0 if there is
 * none. */
int64_t histogram_quantile(const struct histogram *histogram, double part);

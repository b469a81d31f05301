/* Forecasts: weekday factors are medians of ratios to the week's mean; level and trend are Theil
 * and Sen's medians (P. K. Sen, JASA 63, 1968) over the days without their factors, so that one
 * wild day moves neither; the trend is damped (Gardner and McKenzie, Management Science 31, 1985),
 * and left out as far as chance explains it (Mann and Kendall's test). */
#include "policy/forecast.h"

#include <math.h>
#include <string.h>

#define WEEK            7
#define WEEKS_MAX       (FORECAST_DAYS_MAX / WEEK)
#define TREND_DAYS      28 /* level and trend are taken from these */
#define TREND_LEAST     10 /* with fewer days, chance makes trends */
#define DAMPING         0.97
#define SLOPE_MAX       0.05   /* of the level, a day */
#define FACTOR_LOW      0.02   /* a weekday below this says nothing about the level */
#define OUTLIER         3      /* standard deviations from the median */
#define NORMAL_MAD      1.4826 /* standard deviation over median distance */
#define MEDIAN_VARIANCE 1.57   /* of a median over that of a mean */
#define MONEY_MAX       9e18

static double median(double *v, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* insertion: runs are short or nearly sorted */
        double x = v[i];
        size_t k = i;
        for (; k > 0 && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
    if (n == 0)
        return 0;
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static int64_t to_money(double v)
{
    return v >= MONEY_MAX ? INT64_MAX : v > 0 ? (int64_t)llround(v) : 0;
}

int64_t forecast_straight(const struct forecast *f)
{
    if (!(f->elapsed > 0) || !(f->total > f->elapsed))
        return f->spent;
    return MAX_OF(to_money((double)f->spent * (f->total / f->elapsed)), f->spent);
}

/* The days that count, by how long ago they were: v[0] is yesterday. Days before the first spend
 * were not a quiet time, but none. */
static size_t recent_days(const struct forecast *f, double v[FORECAST_DAYS_MAX])
{
    size_t n = MIN_OF(f->days_n, (size_t)FORECAST_DAYS_MAX);
    for (size_t i = 0; i < n; i++)
        v[i] = (double)MAX_OF(f->day[f->days_n - 1 - i], INT64_C(0));
    while (n > 0 && v[n - 1] <= 0)
        n--;
    return n;
}

/* Standard deviation of `n` values around `centre`, from the median of their distances (which are
 * left in `v`). */
static double spread(double *v, size_t n, double centre)
{
    for (size_t i = 0; i < n; i++)
        v[i] = fabs(v[i] - centre);
    return NORMAL_MAD * median(v, n);
}

/* Mean of the values without what lies out of reach of the others. */
static double robust_mean(const double *v, size_t n)
{
    double copy[TREND_DAYS], sum = 0;
    memcpy(copy, v, n * sizeof *v);
    double centre = median(copy, n), reach = OUTLIER * spread(copy, n, centre);
    for (size_t i = 0; i < n; i++)
        sum += reach > 0 ? fmin(fmax(v[i], centre - reach), centre + reach) : centre;
    return n > 0 ? sum / (double)n : 0;
}

/* Ratios of one weekday to the means of its weeks; the result is their number. */
static size_t ratios_of(const double *v, size_t weeks, size_t day, double ratio[WEEKS_MAX])
{
    size_t n = 0;
    for (size_t w = 0; w < weeks; w++) {
        double mean = 0;
        for (size_t i = 0; i < WEEK; i++)
            mean += v[w * WEEK + i] / WEEK;
        if (mean > 0)
            ratio[n++] = v[w * WEEK + day] / mean;
    }
    return n;
}

/* What a day is of its week's mean: factor[i] is that of yesterday less i days, by place in the
 * week. All 1 where there are less than two whole weeks, and near to 1 as far as the differences
 * within a weekday explain those between weekdays (after James and Stein). */
static void weekday_factors(const double *v, size_t n, double factor[WEEK])
{
    size_t weeks = n / WEEK;
    double sum = 0, noise = 0, signal = 0;
    for (size_t d = 0; d < WEEK; d++) {
        double ratio[WEEKS_MAX];
        size_t ratios = weeks >= 2 ? ratios_of(v, weeks, d, ratio) : 0;
        factor[d] = ratios > 0 ? median(ratio, ratios) : 1;
        double s = ratios > 0 ? spread(ratio, ratios, factor[d]) : 0;
        noise += s * s * MEDIAN_VARIANCE / (double)MAX_OF(ratios, (size_t)1) / WEEK;
        sum += factor[d];
    }
    for (size_t d = 0; d < WEEK; d++) {
        factor[d] = sum > 0 ? factor[d] * WEEK / sum : 1;
        signal += (factor[d] - 1) * (factor[d] - 1) / (WEEK - 1);
    }
    double keep = signal > noise ? 1 - noise / signal : 0;
    for (size_t d = 0; d < WEEK; d++)
        factor[d] = 1 + keep * (factor[d] - 1);
}

/* How much of a slope over `n` points stands out from chance, 0 to 1: nothing up to one standard
 * deviation of Kendall's S, all of it from two on. */
static double beyond_chance(double s, double n)
{
    double z = fabs(s) / sqrt(n * (n - 1) * (2 * n + 5) / 18);
    return fmin(fmax(z - 1, 0), 1);
}

/* Change a day of the points (t, y), time running against the index. */
static double robust_slope(const double *t, const double *y, size_t n)
{
    double slope[TREND_DAYS * (TREND_DAYS - 1) / 2], s = 0;
    size_t slopes = 0;
    if (n < TREND_LEAST)
        return 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            slope[slopes] = (y[i] - y[k]) / (t[i] - t[k]);
            s += slope[slopes] > 0 ? 1 : slope[slopes] < 0 ? -1 : 0;
            slopes++;
        }
    }
    return median(slope, slopes) * beyond_chance(s, (double)n);
}

struct model {
    double factor[WEEK]; /* [0]: yesterday's weekday, backwards */
    double level, slope; /* of a day without its factor, as of yesterday; per day */
};

static struct model fit(const double *v, size_t n)
{
    double t[TREND_DAYS], y[TREND_DAYS], at[TREND_DAYS];
    struct model m;
    size_t used = 0, days = MIN_OF(n, (size_t)TREND_DAYS);
    weekday_factors(v, n, m.factor);
    for (size_t i = 0; i < days; i++) {
        if (m.factor[i % WEEK] < FACTOR_LOW)
            continue;
        t[used] = -(double)i;
        y[used++] = v[i] / m.factor[i % WEEK];
    }
    m.slope = robust_slope(t, y, used);
    if (m.slope == 0)
        used = MIN_OF(used, (size_t)2 * WEEK); /* without a trend, what is recent counts */
    for (size_t i = 0; i < used; i++)
        at[i] = y[i] - m.slope * t[i];
    m.level = robust_mean(at, used);
    double most = m.level * SLOPE_MAX;
    m.slope = fmin(fmax(m.slope, -most), most);
    return m;
}

/* Spend of the whole day that is `ahead` days after yesterday: 1 is today. */
static double whole_day(const struct model *m, unsigned ahead)
{
    double steps = (1 - pow(DAMPING, ahead)) / (1 - DAMPING) * DAMPING;
    return fmax(m->level + m->slope * steps, 0) * m->factor[(WEEK - ahead % WEEK) % WEEK];
}

int64_t forecast_end(const struct forecast *f)
{
    double v[FORECAST_DAYS_MAX];
    size_t n = recent_days(f, v);
    double left = f->total - f->elapsed, sum = 0;
    if (!(left > 0))
        return f->spent;
    if (n == 0)
        return forecast_straight(f);
    struct model m = fit(v, n);
    double today_left = fmin(1 - fmin(fmax(f->today_gone, 0), 1), left);
    sum = whole_day(&m, 1) * today_left;
    left -= today_left;
    for (unsigned ahead = 2; left > 1e-9 && ahead < 1000; ahead++) {
        sum += whole_day(&m, ahead) * fmin(left, 1);
        left -= 1;
    }
    double end = (double)f->spent + sum;
    return MAX_OF(to_money(end), f->spent);
}

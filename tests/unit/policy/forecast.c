/* Forecasts of a month's end on weekly cycles with noise and growth, against a straight line, and
 * inputs that have nothing to go by. */
#include "policy/forecast.h"

#include <math.h>
#include <stdio.h>

#include "check.h"

#define HISTORY  56
#define MONTH    30
#define DOLLAR   INT64_C(1000000000)
#define SERIES_N 100

/* Spend of `HISTORY` days before a month and of the month itself. */
struct series {
    int64_t day[HISTORY + MONTH];
    unsigned weekday; /* of day 0 */
};

struct shape {
    const char *name;
    double weekend; /* of a working day's spend */
    double growth;  /* a day */
    double noise;   /* standard deviation of the logarithm */
    bool outliers;  /* one day in 30 is five times what it should be */
    double at_most; /* mean error of the forecast over that of the straight line */
};

static double uniform(void)
{
    return ((double)(check_random() >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static void make(struct series *s, const struct shape *shape)
{
    s->weekday = (unsigned)check_random_below(7);
    for (unsigned i = 0; i < HISTORY + MONTH; i++) {
        bool weekend = (s->weekday + i) % 7 >= 5;
        double v = 100 * pow(1 + shape->growth, i) * (weekend ? shape->weekend : 1);
        v *= exp(shape->noise * normal());
        if (shape->outliers && check_random_below(30) == 0)
            v *= 5;
        s->day[i] = llround(v * (double)DOLLAR);
    }
}

/* As of the middle of the month's day `today`; `gone` of it is over. */
static struct forecast look(const struct series *s, unsigned today, double gone)
{
    struct forecast f = {.day = s->day,
                         .days_n = HISTORY + today,
                         .today = llround((double)s->day[HISTORY + today] * gone),
                         .today_gone = gone,
                         .elapsed = today + gone,
                         .total = MONTH};
    f.spent = f.today;
    for (unsigned i = 0; i < today; i++)
        f.spent += s->day[HISTORY + i];
    return f;
}

static int64_t month_of(const struct series *s)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < MONTH; i++)
        sum += s->day[HISTORY + i];
    return sum;
}

/* Mean absolute errors in percent of the month's spend, over all days but the month's last five. */
static void errors_of(const struct shape *shape, double *ret_ours, double *ret_straight)
{
    double ours = 0, straight = 0;
    int n = 0;
    for (int i = 0; i < SERIES_N; i++) {
        struct series s;
        make(&s, shape);
        double end = (double)month_of(&s);
        for (unsigned today = 0; today < MONTH - 5; today++) {
            struct forecast f = look(&s, today, 0.5);
            ours += fabs((double)forecast_end(&f) - end) / end * 100;
            straight += fabs((double)forecast_straight(&f) - end) / end * 100;
            n++;
        }
    }
    *ret_ours = ours / n;
    *ret_straight = straight / n;
}

TEST(better_than_a_straight_line)
{
    static const struct shape shapes[] = {
        {"quiet weekends", 0.15, 0, 0.15, false, 0.5},
        {"quiet weekends, 1% a day more", 0.15, 0.01, 0.15, false, 0.6},
        {"quiet weekends, 0.5% a day less", 0.15, -0.005, 0.15, false, 0.6},
        {"no weekends at all", 0, 0, 0.1, false, 0.4},
        {"wild days", 0.3, 0.005, 0.2, true, 0.95},
        {"every day alike, noisy", 1, 0, 0.3, false, 1},
        {"every day alike, 1% a day more", 1, 0.01, 0.15, false, 0.9},
    };
    printf("  mean error of the month's end: straight line, forecast\n");
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        double ours, straight;
        check_note("%s", shapes[i].name);
        errors_of(&shapes[i], &ours, &straight);
        printf("  %-32s %6.2f%% %6.2f%%\n", shapes[i].name, straight, ours);
        CHECK(ours < straight * shapes[i].at_most);
    }
}

TEST(exact_where_nothing_is_random)
{
    static const struct shape flat = {.weekend = 0.2};
    struct series s;
    make(&s, &flat);
    for (unsigned today = 0; today < MONTH; today++) {
        struct forecast f = look(&s, today, 0.25);
        double end = (double)month_of(&s);
        check_note("day %u", today);
        CHECK(fabs((double)forecast_end(&f) - end) < end * 1e-6);
    }
}

TEST(nothing_to_go_by)
{
    static const int64_t zeros[30];
    struct forecast f = {.elapsed = 3.5, .total = 30, .today_gone = 0.5};
    CHECK_EQ_I64(forecast_end(&f), 0);
    f.day = zeros;
    f.days_n = ARRAY_LEN(zeros);
    CHECK_EQ_I64(forecast_end(&f), 0);
    f.spent = f.today = 7 * DOLLAR; /* the first day of all */
    CHECK_EQ_I64(forecast_end(&f), 60 * DOLLAR);
    CHECK_EQ_I64(forecast_straight(&f), 60 * DOLLAR);
    f.elapsed = 0;
    CHECK_EQ_I64(forecast_end(&f), 7 * DOLLAR);
}

TEST(one_day)
{
    static const int64_t days[] = {0, 0, 10 * DOLLAR};
    struct forecast f = {.day = days, .days_n = 3, .elapsed = 1, .total = 30, .spent = 10 * DOLLAR};
    CHECK_EQ_I64(forecast_end(&f), 300 * DOLLAR);
    f.elapsed = 0; /* the first of the next month */
    f.spent = 0;
    CHECK_EQ_I64(forecast_end(&f), 300 * DOLLAR);
}

TEST(never_less_than_spent)
{
    static const int64_t days[] = {DOLLAR, DOLLAR, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct forecast f = {.day = days, .days_n = ARRAY_LEN(days), .total = 30, .spent = 5 * DOLLAR};
    for (int i = 0; i <= 40; i++) {
        f.elapsed = i;
        CHECK(forecast_end(&f) >= f.spent);
    }
    CHECK_EQ_I64(forecast_end(&f), f.spent);
}

TEST(extremes_do_not_wrap)
{
    int64_t days[HISTORY];
    for (size_t i = 0; i < HISTORY; i++)
        days[i] = INT64_MAX / 4;
    struct forecast f = {.day = days, .days_n = HISTORY, .total = 30, .elapsed = 1};
    CHECK(forecast_end(&f) > INT64_MAX / 4);
    for (size_t i = 0; i < HISTORY; i++)
        days[i] = check_random_below(2) ? INT64_MAX : 0;
    CHECK(forecast_end(&f) >= 0);
    f.today_gone = f.elapsed = NAN;
    CHECK(forecast_end(&f) >= 0);
}

/* A month that ends inside today: an hour, a day. */
TEST(short_periods)
{
    static const int64_t days[] = {240 * DOLLAR, 240 * DOLLAR, 240 * DOLLAR};
    struct forecast f = {.day = days,
                         .days_n = 3,
                         .spent = 100 * DOLLAR,
                         .today = 100 * DOLLAR,
                         .today_gone = 0.5,
                         .elapsed = 0.5,
                         .total = 1};
    CHECK_EQ_I64(forecast_end(&f), 220 * DOLLAR);
}

/* Use and cost by name and time. */
#include "control/usage_report.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "config_amount.h"
#include "usage_line.h"

#define LIMIT_MOST  1000
#define DATE_N      10 /* of 2026-11-21 */
#define MINUTE_NS   (60 * NS_PER_S)
#define LIMIT_USUAL 100
#define NAME_PAGES  20 /* of 1000 lines, to find a name that the store cannot filter by */

/* The longest time that each step may be asked for: some hundred buckets, of users a handful. */
static const struct {
    int64_t days, filtered_days, user_days;
} step_most[USAGE_STEPS_N] = {[USAGE_WHOLE] = {3660, 3660, 3660},
                              [USAGE_MINUTE] = {1, 0, 0},
                              [USAGE_HOUR] = {31, 7, 0},
                              [USAGE_DAY] = {800, 800, 7},
                              [USAGE_MONTH] = {3660, 3660, 214}};
static const char *const step_words[USAGE_STEPS_N + 1] = {"whole", "minute", "hour", "day",
                                                          "month"};

const char *const *usage_by_words(void)
{
    static const char *words[USAGE_BY_N + 1];
    for (unsigned i = 0; i < USAGE_BY_N; i++)
        words[i] = usage_by_name((enum usage_by)i);
    return words;
}

void usage_put_time(struct json_writer *w, int64_t ns)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(ns, text);
    jw_string(w, slice_str(text));
}

/* The first `n` characters of "2026-11-21 08:00", in the timezone of budgets, for people. */
static void put_local(struct json_writer *w, int64_t ns, size_t n)
{
    char text[64];
    struct tm tm = {0};
    time_t s = ns / NS_PER_S;
    localtime_r(&s, &tm);
    int all = snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
    jw_string(w, slice_of(text, MIN_OF(n, (size_t)all)));
}

void usage_put_window(struct json_writer *w, const struct usage_window *window)
{
    jw_key(w, "from");
    usage_put_time(w, window->from_ns);
    jw_key(w, "to");
    usage_put_time(w, window->to_ns);
    jw_key(w, "first_day");
    put_local(w, window->from_ns, DATE_N);
    jw_key(w, "last_day");
    put_local(w, window->to_ns - 1, DATE_N);
}

void usage_put_money(struct json_writer *w, int64_t nano)
{
    char text[40];
    struct buf b = {.p = text, .size = sizeof text, .cap = sizeof text};
    amount_print_money(&b, nano);
    jw_string(w, buf_view(&b));
}

/* Microseconds as milliseconds; unknown: null. */
static void put_ms(struct json_writer *w, int64_t us)
{
    if (us < 0)
        jw_null(w);
    else
        jw_double(w, (double)us / 1000);
}

static void put_ratio(struct json_writer *w, double of, int64_t by)
{
    if (by > 0)
        jw_double(w, of / (double)by);
    else
        jw_null(w);
}

void usage_put_figures(struct json_writer *w, const struct usage_line *l)
{
    jw_key(w, "cost");
    usage_put_money(w, l->cost_nano);
    jw_field_i64(w, "cost_nano", l->cost_nano);
    jw_field_i64(w, "idle_cost_nano", l->idle_nano);
    jw_field_i64(w, "unpriced", l->unpriced);
    jw_field_i64(w, "requests", l->requests);
    jw_field_i64(w, "refused", l->refused);
    jw_field_i64(w, "failed", l->failed);
    jw_field_i64(w, "crashed", l->crashed);
    jw_field_i64(w, "attempts", l->attempts);
    jw_field_i64(w, "input_tokens", l->input);
    jw_field_i64(w, "output_tokens", l->output);
    jw_field_i64(w, "cached_tokens", l->cached);
    jw_field_i64(w, "cache_write_tokens", l->cache_write);
    jw_field_i64(w, "reasoning_tokens", l->reasoning);
    jw_field_i64(w, "estimated_tokens", l->estimated);
    jw_key(w, "tokens_per_request");
    put_ratio(w, (double)l->input + (double)l->output, l->requests);
    jw_key(w, "cost_per_request");
    put_ratio(w, (double)l->cost_nano / 1e9, l->requests);
    jw_key(w, "mean_ms");
    put_ratio(w, (double)l->duration_us / 1000, l->requests);
    jw_key(w, "p50_ms");
    put_ms(w, l->p50_us);
    jw_key(w, "p95_ms");
    put_ms(w, l->p95_us);
    jw_key(w, "p99_ms");
    put_ms(w, l->p99_us);
    jw_key(w, "first_p95_ms");
    put_ms(w, l->first_p95_us);
    jw_key(w, "users");
    if (l->users < 0)
        jw_null(w);
    else
        jw_i64(w, l->users);
}

void usage_put_line(struct json_writer *w, const struct usage_line *l, bool name,
                    enum usage_step step)
{
    static const size_t shown[USAGE_STEPS_N] = {
        [USAGE_MINUTE] = 16, [USAGE_HOUR] = 16, [USAGE_DAY] = DATE_N, [USAGE_MONTH] = 7};
    jw_open(w, '{');
    if (name)
        jw_field_string(w, "name", l->name);
    if (step != USAGE_WHOLE) {
        jw_key(w, "start");
        usage_put_time(w, l->bucket_ns);
        jw_key(w, "local");
        put_local(w, l->bucket_ns, shown[step]);
    }
    usage_put_figures(w, l);
    jw_close(w, '}');
}

static bool read_failed(struct usage_ask *q, struct buf *error)
{
    usage_fail(q, 500, "the ledger cannot be read: %.*s", SLICE_ARG(buf_view(error)));
    buf_done(error);
    return false;
}

bool usage_read_name(struct usage_ask *q, enum usage_by by, struct slice name,
                     const struct usage_window *window, struct usage_line *ret)
{
    struct usage_query uq = {.by = by,
                             .step = USAGE_WHOLE,
                             .from_ns = window->from_ns,
                             .to_ns = window->to_ns,
                             .limit = LIMIT_MOST};
    struct buf error;
    struct usage_line *lines;
    size_t n;
    bool any = by == USAGE_TOTAL;
    *ret = (struct usage_line){.name = name, .users = -1};
    buf_init(&error, 4096);
    for (int page = 0; page < NAME_PAGES; page++) {
        if (!usage_read(q->reader, &uq, q->arena, &lines, &n, &uq.after, &error))
            return read_failed(q, &error);
        for (size_t i = 0; i < n; i++) {
            if (!any && !slice_eq(lines[i].name, name))
                continue;
            *ret = lines[i];
            ret->name = name;
            uq.after = SLICE_NONE;
        }
        if (uq.after.n == 0)
            break;
    }
    buf_done(&error);
    return true;
}

struct report {
    struct usage_query query;
    struct usage_window window;
};

/* The time, as long as the store keeps what is asked for by such steps. */
static bool read_window(struct usage_ask *q, struct report *r, struct slice from, struct slice to)
{
    struct usage_query *uq = &r->query;
    bool filtered = uq->model.n > 0 || uq->key.n > 0 || uq->team.n > 0 || uq->use_case.n > 0;
    bool user = uq->by == USAGE_USER;
    int64_t most = user       ? step_most[uq->step].user_days
                   : filtered ? step_most[uq->step].filtered_days
                              : step_most[uq->step].days;
    if (user && filtered)
        return usage_fail(q, 400, "users are not kept by model, key, team or use case");
    if (most == 0)
        return usage_fail(q, 400, "there are no lines by the %s %s", step_words[uq->step],
                          user ? "for users" : "with a filter");
    if (!usage_window_read(q, from, to, most * USAGE_DAY_NS, &r->window))
        return false;
    uq->from_ns = r->window.from_ns;
    uq->to_ns = r->window.to_ns;
    if (uq->step == USAGE_MINUTE) /* a day from now is not a minute more */
        uq->from_ns += (MINUTE_NS - uq->from_ns % MINUTE_NS) % MINUTE_NS;
    return true;
}

static bool read_params(struct usage_ask *q, struct report *r)
{
    static const char *const sorts[] = {"cost", "name", NULL};
    struct slice by = SLICE("total"), step = SLICE("whole"), from = SLICE_NONE, to = SLICE_NONE;
    struct slice limit = SLICE_NONE, sort = SLICE_NONE;
    struct usage_query *uq = &r->query;
    int64_t lines = LIMIT_USUAL;
    const struct usage_param params[] = {{"by", &by},           {"step", &step},
                                         {"from", &from},       {"to", &to},
                                         {"model", &uq->model}, {"key", &uq->key},
                                         {"team", &uq->team},   {"use_case", &uq->use_case},
                                         {"limit", &limit},     {"after", &uq->after},
                                         {"sort", &sort}};
    if (!usage_params(q, params, ARRAY_LEN(params)))
        return false;
    int b = usage_word(q, "by", by, usage_by_words());
    int s = b >= 0 ? usage_word(q, "step", step, step_words) : -1;
    int o = s < 0 ? -1 : sort.n > 0 ? usage_word(q, "sort", sort, sorts) : s != USAGE_WHOLE;
    if (o < 0)
        return false;
    if (sort.n == 0 && uq->after.n > 0)
        o = 1;
    if (o == 0 && uq->after.n > 0)
        return usage_fail(q, 400, "`after` needs `sort=name`: by cost there is one page");
    if (limit.n > 0 && !usage_number(q, "limit", limit, 1, LIMIT_MOST, &lines))
        return false;
    uq->by = (enum usage_by)b;
    uq->step = (enum usage_step)s;
    uq->by_cost = o == 0;
    uq->limit = (unsigned)lines;
    return read_window(q, r, from, to);
}

/* What the lines of all pages add up to. */
static bool read_total(struct usage_ask *q, const struct usage_query *of, struct usage_line *ret,
                       struct buf *error)
{
    struct usage_query uq = *of;
    struct usage_line *lines;
    struct slice next;
    size_t n;
    uq.by = USAGE_TOTAL;
    uq.step = USAGE_WHOLE;
    uq.by_cost = false;
    uq.after = SLICE_NONE;
    *ret = (struct usage_line){
        .users = -1, .p50_us = -1, .p95_us = -1, .p99_us = -1, .first_p95_us = -1};
    if (!usage_read(q->reader, &uq, q->arena, &lines, &n, &next, error))
        return false;
    if (n > 0)
        *ret = lines[0];
    return true;
}

bool usage_report(struct usage_ask *q)
{
    struct report r = {0};
    struct usage_line *lines, total;
    struct slice next = SLICE_NONE;
    struct buf error;
    size_t n;
    if (!read_params(q, &r))
        return false;
    buf_init(&error, 4096);
    if (!usage_read(q->reader, &r.query, q->arena, &lines, &n, &next, &error) ||
        !read_total(q, &r.query, &total, &error))
        return read_failed(q, &error);
    buf_done(&error);
    struct json_writer w = json_writer(q->out);
    jw_open(&w, '{');
    jw_field_string(&w, "by", slice_str(usage_by_name(r.query.by)));
    jw_field_string(&w, "step", slice_str(step_words[r.query.step]));
    usage_put_window(&w, &r.window);
    jw_key(&w, "lines");
    jw_open(&w, '[');
    for (size_t i = 0; i < n; i++)
        usage_put_line(&w, &lines[i], r.query.by != USAGE_TOTAL, r.query.step);
    jw_close(&w, ']');
    jw_key(&w, "total");
    usage_put_line(&w, &total, false, USAGE_WHOLE);
    if (next.n > 0)
        jw_field_string(&w, "next", next);
    jw_close(&w, '}');
    return true;
}

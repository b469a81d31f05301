/* The life of an exchange: made, run, woken, timed out, cancelled. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "inflate.h"
#include "respond.h"
#include "worker.h"

#define ARENA_LIMIT ((size_t)64 << 20)
#define COMMENT_NS  (5 * NS_PER_S) /* between comments, where the snapshot does not say */

static void on_timer(struct timer *t);

/* Unlike any other process': of chance and count. */
static struct slice new_id(struct exchange *x)
{
    struct worker *w = x->worker;
    char *p = arena_alloc(&x->arena, LEDGER_ID_TEXT);
    uint64_t rest = w->id_random + w->id_count++ * UINT64_C(0x9E3779B97F4A7C15);
    ledger_id_make(x->raw_id, clock_wall_ns() / NS_PER_MS, rest);
    if (p == NULL)
        return SLICE("wr-0");
    ledger_id_text(x->raw_id, p);
    return slice_of(p, LEDGER_ID_TEXT - 1);
}

struct exchange *exchange_new(struct worker *w)
{
    struct exchange *x = worker_slot_take(w);
    if (x == NULL)
        return NULL;
    x->magic = EXCHANGE_MAGIC;
    x->worker = w;
    x->use = snapshot_use_ref(w->use);
    x->snapshot = x->use->snapshot;
    x->usage = LLM_USAGE_NONE;
    x->dialect = &openai_dialect;
    x->asked_strategy = ROUTE_STRATEGIES_N;
    x->started_ns = net_now(&w->loop);
    timer_init(&x->timer, on_timer);
    list_init(&x->children);
    arena_init(&x->arena, &w->loop.arenas, ARENA_LIMIT);
    x->id = new_id(x);
    return x;
}

void exchange_run(struct exchange *x)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->running)
        return;
    x->running = true;
    for (;;) {
        if (x->cancelled != GW_OK && x->job == NULL)
            pipeline_to_settle(x);
        switch (pipeline_step(x)) {
        case STEP_NEXT: x->step++; break;
        case STEP_AGAIN: break;
        case STEP_WAIT:
            if (x->wait == WAIT_NONE || (x->cancelled != GW_OK && x->job == NULL))
                break; /* what it waits for, or the end, came while the step was still running */
            x->running = false;
            return;
        case STEP_REPLY:
            exchange_send_error(x);
            pipeline_to_settle(x);
            break;
        case STEP_DONE: return;
        }
    }
}

void exchange_wake(struct exchange *x, enum wait what)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->wait != what)
        return;
    x->wait = WAIT_NONE;
    x->head = NULL;
    exchange_run(x);
}

/* The nearest of all deadlines, and what it means when it passes (GW_OK: nothing ends yet). */
static int64_t deadline(const struct exchange *x, enum gw_error *ret_why)
{
    const struct gw_limits *l = &x->snapshot->limits;
    int64_t at = INT64_MAX;
    *ret_why = GW_OK;
    if (x->attempt != NULL && !attempt_over(x->attempt))
        at = attempt_deadline(x->attempt, ret_why);
    else if (x->wait == WAIT_PAUSE)
        at = x->route.resume_ns;
    if (x->child != NULL && x->child->deadline_ns < at) {
        at = x->child->deadline_ns;
        *ret_why = GW_TOTAL_TIMEOUT;
    }
    if (!x->request.stream || x->client == NULL || x->stage > STAGE_DELIVERING ||
        x->dialect->keep_alive.n == 0)
        return at;
    int64_t comment_ns = l->comment_ns > 0 ? l->comment_ns : COMMENT_NS;
    int64_t due =
        x->stage == STAGE_OPEN ? x->started_ns + l->commit_hold_ns : x->last_sent_ns + comment_ns;
    if (due < at) {
        at = due;
        *ret_why = GW_OK;
    }
    return at;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return MIN_OF(a, b);
}

static bool arm(struct exchange *x)
{
    /* The connection's own limits apply; and a job, which comes back soon, is never abandoned. */
    if (x->wait == WAIT_BODY || x->wait == WAIT_PARSE)
        return true;
    enum gw_error why;
    int64_t at = deadline(x, &why);
    if (x->attempt != NULL && !attempt_over(x->attempt))
        at = sooner(at, sooner(attempt_next_look(x->attempt), attempt_hedge_at(x)));
    if (x->rival != NULL)
        at = sooner(at, sooner(attempt_next_look(x->rival), attempt_deadline(x->rival, &why)));
    return at == INT64_MAX || net_timer_set(&x->worker->loop, &x->timer, at);
}

/* A stream that has been silent for long: its head, and a comment, so that proxies stay. */
static bool send_comment(struct exchange *x)
{
    struct net_answer head;
    bool open = x->stage == STAGE_OPEN;
    if (open && !respond_stream_head(x, &head))
        return exchange_break(x, GW_NO_MEMORY);
    return exchange_send(x, open ? &head : NULL, x->dialect->keep_alive, false);
}

void exchange_rearm(struct exchange *x)
{
    (void)!arm(x); /* an armed timer moves without memory */
}

/* The attempt has had its time: it ends, and the waiting step sees why. */
static void time_out(struct exchange *x, enum gw_error why)
{
    enum wait waits = x->wait;
    if (x->attempt != NULL)
        attempt_end(x->attempt, why);
    if (x->rival != NULL) {
        attempt_win(x->rival);
        exchange_rearm(x);
    } else {
        exchange_wake(x, waits);
    }
}

static void on_timer(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    int64_t now = net_now(&x->worker->loop);
    enum gw_error why;
    if (x->wait == WAIT_PAUSE && x->route.resume_ns <= now) {
        exchange_wake(x, WAIT_PAUSE);
        return;
    }
    if (attempt_hedge_at(x) <= now)
        attempt_hedge(x);
    if (x->rival != NULL && attempt_deadline(x->rival, &why) <= now) {
        attempt_end(x->rival, why);
        attempt_win(x->attempt);
    }
    if (deadline(x, &why) <= now) {
        bool answered = x->attempt != NULL && x->attempt->done && !attempt_over(x->attempt);
        if (why != GW_OK || answered) {
            time_out(x, why);
            return;
        }
        if (!x->sink_full && !send_comment(x))
            return;
        x->last_sent_ns = now;
    }
    if (!arm(x))
        exchange_break(x, GW_NO_MEMORY);
}

enum step_result exchange_wait(struct exchange *x, enum wait what)
{
    x->wait = what;
    if (arm(x))
        return STEP_WAIT;
    x->wait = WAIT_NONE;
    return exchange_refuse(x, GW_NO_MEMORY, NULL);
}

enum step_result exchange_refuse(struct exchange *x, enum gw_error e, const char *fmt, ...)
{
    char text[512];
    x->error = e;
    if (fmt == NULL)
        return STEP_REPLY;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    x->message =
        arena_copy(&x->arena, slice_of(text, MIN_OF((size_t)MAX_OF(n, 0), sizeof text - 1)));
    return STEP_REPLY;
}

void exchange_cancel(struct exchange *x, enum gw_error why)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->cancelled == GW_OK)
        x->cancelled = why;
    x->wait = x->job != NULL ? x->wait : WAIT_NONE;
    if (x->job == NULL)
        exchange_run(x);
}

bool exchange_break(struct exchange *x, enum gw_error why)
{
    const struct sink_ops *sink = x->sink;
    x->sink = NULL;
    if (sink != NULL)
        sink->abort(x);
    x->client = NULL;
    exchange_cancel(x, why);
    return false;
}

void exchange_sink_drained(struct exchange *x)
{
    struct attempt *a = x->attempt;
    x->sink_full = false;
    if (a == NULL || attempt_over(a))
        return;
    a->last_data_ns = net_now(&x->worker->loop); /* its silence was the client's doing */
    exchange_rearm(x);
    if (x->rival != NULL)
        net_lease_resume(&x->rival->lease);
    net_lease_resume(&a->lease);
}

bool exchange_send(struct exchange *x, const struct net_answer *head, struct slice body, bool end)
{
    const struct sink_ops *sink = x->sink;
    if (sink == NULL)
        return true; /* answered already: what still comes is only read to its end */
    if (head != NULL) {
        x->status = head->status;
        x->stage = STAGE_HEADED;
    }
    if (end)
        x->sink = NULL;
    x->bytes_out += x->method == HTTP_HEAD ? 0 : (int64_t)body.n;
    x->last_sent_ns = net_now(&x->worker->loop);
    enum net_sent sent = sink->send(x, head, body, end);
    if (end)
        x->client = NULL;
    if (end && sent != NET_SENT_GONE)
        x->stage = STAGE_ENDED;
    if (sent == NET_SENT_GONE) {
        x->client = NULL;
        x->sink = NULL;
        exchange_cancel(x, GW_CLIENT_GONE);
        return false;
    }
    if (sent == NET_SENT_WAIT && !end && x->attempt != NULL && !attempt_over(x->attempt)) {
        x->sink_full = true;
        net_lease_pause(&x->attempt->lease);
    }
    return true;
}

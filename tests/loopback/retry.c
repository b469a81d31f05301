/* Another try at the same target, or with another of its provider's keys: when, after what pause,
 * and how often. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tongues.h"

#define MS NS_PER_MS
#define RETRY                                                                                      \
    {                                                                                              \
        .attempts = ATTEMPTS_MAX, .same_target = 2, .backoff_ns = 25 * MS,                         \
        .max_backoff_ns = 250 * MS, .percent = 20, .per_second = 3                                 \
    }

static int route_of[4];
static size_t route_n, keys_n;
static struct gw_retry retry;
static bool forgetful; /* no target is known to be unwell */

static void add_keys(struct gw_snapshot *s, struct gw_provider *p)
{
    static unsigned number; /* each world's are new */
    p->keys = mem_must(arena_zalloc(&s->arena, keys_n * sizeof *p->keys));
    p->keys_n = keys_n;
    for (size_t i = 0; i < keys_n; i++) {
        char label[32];
        int n = snprintf(label, sizeof label, "retry#%u", number++);
        p->keys[i].fields = arena_printf(&s->arena, "Authorization: Bearer key-%zu\r\n", i);
        p->keys[i].live = mem_must(target_live_get(slice_of(label, (size_t)n)));
    }
}

static void retried(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "wires");
    snapshot_retarget(m, s, route_of, route_n);
    snapshot_watch(m);
    for (size_t i = 0; i < m->targets_n && forgetful; i++)
        m->targets[i].live = NULL;
    s->retry = retry;
    s->limits.commit_hold_ns = 500 * MS;
    s->limits.comment_ns = 500 * MS;
    if (keys_n > 0)
        add_keys(s, snapshot_provider(s, ALPHA));
}

static void set_route(const int *route, size_t n)
{
    memcpy(route_of, route, n * sizeof *route);
    route_n = n;
    keys_n = 0;
    forgetful = false;
    retry = (struct gw_retry)RETRY;
}

#define ROUTE(...)                                                                                 \
    set_route((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void world_end(struct world *w)
{
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

static void refuse(struct call *c, unsigned status, const char *fields)
{
    call_head(c, status, fields, -1);
    call_piece(c, SLICE("{\"error\":{\"message\":\"no\"}}"));
    call_end(c);
}

static bool pauses(const struct world *w, const struct net_stream *s)
{
    return s->state == CLIENT_OPEN && exchange_of(s)->wait == WAIT_PAUSE &&
           calls_open(w->loop) == 0;
}

TEST(again_after_a_pause)
{
    ROUTE(ALPHA);
    for (unsigned how = 0; how < 2; how++) {
        struct world *w = world_new(retried);
        struct net_stream *s = ask(w, "wires", how > 0 ? ASK_STREAM : 0);
        for (unsigned i = 0; i < 2; i++) {
            call_fail(call_last_open(w->loop), i == 0 ? NET_FAIL_RESET : NET_FAIL_CONNECT, "why");
            CHECK(pauses(w, s));
            int64_t pause = exchange_of(s)->route.resume_ns - net_now(w->loop);
            CHECK(pause > 0 && pause < 25 * MS << i);
            loop_advance(w->loop, pause - 1);
            CHECK(pauses(w, s));
            loop_advance(w->loop, 1);
            CHECK_EQ_I64(calls_open(w->loop), 1);
        }
        struct call *c = call_last_open(w->loop);
        if (how > 0)
            answer_stream(c, SLICE(EV_TEXT EV_DONE));
        else
            answer_json(c, 200, SLICE(CHAT_ANSWER));
        check_stream_complete(s, how > 0 ? EV_TEXT EV_DONE : CHAT_ANSWER);
        CHECK_EQ_LIT(client_field(s, "x-weir-attempts"), "3");
        CHECK(log_attempt_is(0, "alpha/m0", "upstream_reset") &&
              log_attempt_is(1, "alpha/m0", "upstream_connect") &&
              log_attempt_is(2, "alpha/m0", "ok"));
        CHECK_EQ_I64(world_gauge("weir_fallbacks_total"), 0); /* it is the same one */
        client_free(s);
        world_end(w);
    }
}

/* As often as the rounds allow, then the client is told. */
TEST(rounds_come_to_an_end)
{
    static const struct {
        unsigned targets, rounds, attempts, want;
    } rows[] = {{1, 2, 4, 3}, {1, 0, 4, 1}, {1, 9, 2, 2}, {1, 9, 4, 4},
                {2, 1, 4, 4}, {2, 1, 3, 3}, {3, 1, 4, 4}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu", i);
        ROUTE(ALPHA, BETA, GAMMA);
        route_n = rows[i].targets;
        retry.same_target = rows[i].rounds;
        retry.attempts = rows[i].attempts;
        struct world *w = world_new(retried);
        struct net_stream *s = ask(w, "wires", 0);
        for (unsigned n = 0; n < rows[i].want; n++) {
            if (pauses(w, s))
                loop_advance(w->loop, 250 * MS);
            struct call *c = call_last_open(w->loop);
            CHECK(c != NULL && c->upstream == w->up[route_of[n % route_n]]);
            call_fail(c, NET_FAIL_RESET, "");
        }
        check_error(s, GW_UPSTREAM_RESET);
        CHECK_EQ_I64(calls_made(w->loop), rows[i].want);
        CHECK_EQ_I64(log_attempts(), rows[i].want);
        client_free(s);
        world_end(w);
    }
}

/* What would be no better a second time is not tried again. */
TEST(not_again)
{
    static const unsigned statuses[] = {400, 401, 402, 403, 404, 422, 301};
    ROUTE(ALPHA);
    struct world *w = world_new(retried);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        check_note("status %u", statuses[i]);
        struct net_stream *s = ask(w, "wires", 0);
        refuse(call_last_open(w->loop), statuses[i], JSON_HEAD);
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK_EQ_I64(log_attempts(), 1);
        client_free(s);
    }
    struct net_stream *s = ask(w, "wires", 0);
    answer_json(call_last_open(w->loop), 200, SLICE("junk"));
    check_error(s, GW_UPSTREAM_BAD_ANSWER);
    client_free(s);
    s = ask(w, "wires", ASK_STREAM); /* nor what the client has begun to get */
    struct call *c = call_last_open(w->loop);
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, SLICE(EV_TEXT));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    check_stream_error(s, EV_TEXT, "server_error", "upstream_cut");
    client_free(s);
    world_end(w);
}

/* A time that the upstream names is waited for up to two seconds, and told to the client beyond. */
TEST(retry_after)
{
    static const struct {
        unsigned status;
        const char *fields;
        int64_t pause_ms; /* -1: not waited for */
    } rows[] = {
        {429, "Retry-After: 1\n", 1000},     {429, "Retry-After: 2\n", 2000},
        {429, "Retry-After: 3\n", -1},       {429, "retry-after-ms: 1500\n", 1500},
        {429, "retry-after-ms: 2001\n", -1}, {503, "Retry-After: 1\n", 1000},
        {503, "Retry-After: 60\n", -1},      {500, "Retry-After: 0\n", 0},
    };
    ROUTE(ALPHA);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s", rows[i].fields);
        struct world *w = world_new(retried);
        struct net_stream *s = ask(w, "wires", 0);
        refuse(call_last_open(w->loop), rows[i].status, rows[i].fields);
        if (rows[i].pause_ms < 0) {
            CHECK_EQ_I64(s->status, rows[i].status);
            CHECK(client_field(s, "retry-after").n + client_field(s, "retry-after-ms").n > 0);
            CHECK_EQ_I64(log_attempts(), 1);
        } else {
            if (rows[i].pause_ms > 250) {
                loop_advance(w->loop, rows[i].pause_ms * MS - 1);
                CHECK(pauses(w, s));
                loop_advance(w->loop, 1);
            } else {
                loop_advance(w->loop, rows[i].pause_ms * MS);
            }
            answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
            check_stream_complete(s, CHAT_ANSWER);
            CHECK_EQ_I64((int64_t)client_field(s, "retry-after").n, 0);
        }
        client_free(s);
        world_end(w);
    }
}

/* A 429 that does not say how long: the target rests for longer than the pause takes. */
TEST(rest_without_a_time)
{
    ROUTE(ALPHA);
    struct world *w = world_new(retried);
    struct net_stream *s = ask(w, "wires", 0);
    refuse(call_last_open(w->loop), 429, "Retry-After: 4294967296\n");
    loop_advance(w->loop, 250 * MS);
    CHECK_EQ_I64(s->status, 429);
    CHECK_EQ_I64(calls_made(w->loop), 1);
    client_free(s);
    world_end(w);
}

/* --- the budget */

/* One more for five: whoever comes when it is used up hears of the failure at once. */
static void spend_budget(const char *name)
{
    ROUTE(ALPHA);
    forgetful = true;
    retry.per_second = 0;
    struct world *w = world_new(retried);
    unsigned retries = 0;
    for (unsigned i = 1; i <= 20; i++) {
        check_note("%s, request %u", name, i);
        struct net_stream *s = ask(w, name, 0);
        call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
        bool may = i % 5 == 0;
        CHECK_EQ_I64(pauses(w, s), may);
        retries += may;
        if (may) {
            loop_advance(w->loop, 25 * MS);
            call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
        }
        check_error(s, GW_UPSTREAM_RESET);
        CHECK_EQ_I64(metric_plain_value(MP_RETRIES_REFUSED), i);
        CHECK_EQ_I64(calls_made(w->loop), i + retries);
        client_free(s);
    }
    world_end(w);
}

TEST(budget)
{
    spend_budget("wires");
    spend_budget("alpha/m0"); /* names of targets have one together */
    check_note("%s", "");
}

/* One target that is bad costs nothing while the next is well; when both are bad, the budget says
 * how often the second is asked. */
TEST(budget_between_targets)
{
    ROUTE(ALPHA, BETA);
    retry.per_second = 0;
    retry.percent = 0;
    retry.same_target = 0;
    struct world *w = world_new(retried);
    for (unsigned i = 0; i < 3; i++) {
        struct net_stream *s = ask(w, "wires", 0);
        call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
        struct call *c = call_last_open(w->loop);
        CHECK(c->upstream == w->up[BETA]);
        if (i < 2)
            answer_json(c, 200, SLICE(CHAT_ANSWER));
        else
            call_fail(c, NET_FAIL_RESET, "");
        client_free(s);
    }
    CHECK_EQ_I64(metric_plain_value(MP_RETRIES_REFUSED), 0);
    struct net_stream *s = ask(w, "wires", 0);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    check_error(s, GW_UPSTREAM_RESET);
    CHECK_EQ_I64(log_attempts(), 1);
    CHECK_EQ_I64(metric_plain_value(MP_RETRIES_REFUSED), 1);
    client_free(s);
    world_end(w);
}

/* --- keys */

static int key_of(const struct call *c)
{
    const char *at = strstr(c->fields.p, "Bearer key-");
    return at != NULL ? at[11] - '0' : -1;
}

/* A key that is limited or refused makes room for the next one, at once and without a budget. */
TEST(keys_take_over)
{
    static const unsigned statuses[] = {429, 401, 402, 403};
    for (size_t i = 0; i < ARRAY_LEN(statuses) * 2; i++) {
        unsigned status = statuses[i / 2];
        check_note("status %u, %s", status, i % 2 == 0 ? "one" : "all");
        ROUTE(ALPHA, BETA);
        route_n = 1;
        keys_n = 3;
        retry.percent = retry.per_second = 0;
        bool used[3] = {0};
        struct world *w = world_new(retried);
        struct net_stream *s = ask(w, "wires", 0);
        unsigned refused = i % 2 == 0 ? 1 : 3;
        for (unsigned n = 0; n < refused; n++) {
            struct call *c = call_last_open(w->loop);
            CHECK(c != NULL && key_of(c) >= 0 && !used[key_of(c)]);
            used[key_of(c)] = true;
            refuse(c, status, JSON_HEAD);
        }
        CHECK_EQ_I64(calls_made(w->loop), refused + (refused < 3));
        if (refused < 3) {
            struct call *c = call_last_open(w->loop);
            CHECK(!used[key_of(c)]);
            answer_json(c, 200, SLICE(CHAT_ANSWER));
            check_stream_complete(s, CHAT_ANSWER);
            CHECK(log_attempt_is(1, "alpha/m0", "ok"));
            client_free(s);
            for (unsigned n = 0; n < 8; n++) { /* and for later requests */
                s = ask(w, "wires", 0);
                c = call_last_open(w->loop);
                CHECK(!used[key_of(c)]);
                answer_json(c, 200, SLICE(CHAT_ANSWER));
                client_free(s);
            }
        } else {
            CHECK_EQ_I64(s->state, CLIENT_ENDED);
            CHECK_EQ_I64(s->status, status == 429 ? 429 : 502);
            client_free(s);
        }
        world_end(w);
    }
}

/* The next target comes when no key is left. */
TEST(next_target_after_the_keys)
{
    ROUTE(ALPHA, BETA);
    keys_n = 2;
    struct world *w = world_new(retried);
    struct net_stream *s = ask(w, "wires", 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(call_last_open(w->loop)->upstream == w->up[ALPHA]);
        refuse(call_last_open(w->loop), 429, JSON_HEAD);
    }
    struct call *c = call_last_open(w->loop);
    CHECK(c->upstream == w->up[BETA] && key_of(c) < 0);
    answer_json(c, 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    CHECK_EQ_I64(log_attempts(), 3);
    client_free(s);
    world_end(w);
}

/* --- meanwhile */

/* A stream that pauses gets its comments, as one that waits for an upstream. */
TEST(comments_in_a_pause)
{
    ROUTE(ALPHA);
    struct world *w = world_new(retried);
    struct net_stream *s = ask(w, "wires", ASK_STREAM);
    refuse(call_last_open(w->loop), 429, "Retry-After: 2\n");
    CHECK(pauses(w, s) && s->sends == 0);
    for (unsigned i = 1; i <= 3; i++) {
        loop_advance(w->loop, 500 * MS);
        CHECK_EQ_I64(s->sends, i);
        CHECK(pauses(w, s));
    }
    loop_advance(w->loop, 500 * MS);
    answer_stream(call_last_open(w->loop), SLICE(EV_TEXT EV_DONE));
    CHECK(answer_is_whole(s) && !s->close_after && says(s, "word"));
    client_free(s);
    world_end(w);
}

TEST(leaving_in_a_pause)
{
    ROUTE(ALPHA);
    for (unsigned i = 0; i < 4; i++) {
        struct world *w = world_new(retried);
        struct net_stream *s = ask(w, "wires", i % 2 > 0 ? ASK_STREAM : 0);
        refuse(call_last_open(w->loop), 429, "Retry-After: 2\n");
        CHECK(pauses(w, s));
        if (i > 1)
            loop_advance(w->loop, 600 * MS);
        client_leave(s, NET_GONE_CLOSED);
        CHECK(log_text_is("reason", "client_closed_request"));
        CHECK_EQ_I64(log_attempts(), 1);
        loop_advance(w->loop, 5 * NS_PER_S);
        CHECK_EQ_I64(calls_made(w->loop), 1);
        client_free(s);
        world_end(w);
    }
}

TEST(stop_in_a_pause)
{
    ROUTE(ALPHA);
    struct world *w = world_new(retried);
    struct net_stream *s = ask(w, "wires", ASK_STREAM);
    refuse(call_last_open(w->loop), 429, "Retry-After: 2\n");
    CHECK(pauses(w, s));
    world_stop(w);
    CHECK_EQ_I64(s->state, CLIENT_GONE);
    client_free(s);
    world_free(w);
}

/* A reload in between changes nothing for who came before it. */
TEST(reload_in_a_pause)
{
    ROUTE(ALPHA);
    struct world *w = world_new(retried);
    struct net_stream *s = ask(w, "wires", 0);
    refuse(call_last_open(w->loop), 429, "Retry-After: 1\n");
    route_of[0] = BETA;
    world_reload(w, retried);
    loop_advance(w->loop, NS_PER_S);
    CHECK(call_last_open(w->loop)->upstream == w->up[ALPHA]);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    client_free(s);
    world_end(w);
}

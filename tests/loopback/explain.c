/* What the gateway remembers of its latest requests: the candidates, the order, the attempts; how
 * much of it and for how long; and that it can be read while they come. */
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "explain.h"
#include "world.h"

static struct slice latest_id(void)
{
    return json_member(log_line(log_lines() - 1), "request_id");
}

/* What is told of it; "" where it is not known. */
static struct slice told_of(struct world *w, struct slice id, struct buf *out)
{
    buf_reset(out);
    if (!gateway_explain(w->gateway, id, out))
        return SLICE("");
    CHECK(json_valid(buf_view(out)));
    return buf_view(out);
}

static bool has(struct slice text, const char *part)
{
    return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

TEST(order_and_attempts)
{
    struct world *w = world_new(NULL);
    struct buf out;
    buf_init(&out, 65536);
    w->up[ALPHA]->begins = LEASE_CONNECT;
    struct net_stream *s = ask(w, "three", 0);
    call_fail(call_last_open(w->loop), NET_FAIL_CONNECT, "");
    answer_json(call_last_open(w->loop), 503, SLICE("{\"error\":{\"message\":\"no\"}}"));
    loop_advance(w->loop, 5 * NS_PER_MS);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    check_stream_complete(s, CHAT_ANSWER);
    struct slice id = client_field(s, "x-weir-request-id"), told = told_of(w, id, &out);
    CHECK_EQ_SLICE(json_member(told, "request_id"), id);
    CHECK_EQ_LIT(json_member(told, "model"), "three");
    CHECK_EQ_LIT(json_member(told, "strategy"), "ordered");
    CHECK_EQ_LIT(json_member(told, "panic"), "false");
    CHECK_EQ_LIT(json_member(told, "others"), "0");
    CHECK_EQ_LIT(json_member(told, "reason"), "complete");
    CHECK_EQ_LIT(json_member(told, "status"), "200");
    CHECK(has(told, "\"candidates\":[{\"target\":\"alpha/m0\",\"place\":1,\"reason\":\"ok\","
                    "\"state\":\"well\",\"score\":0},{\"target\":\"beta/m1\",\"place\":2,"));
    CHECK(has(told, "\"attempts\":[{\"target\":\"alpha/m0\",\"outcome\":\"upstream_connect\","
                    "\"start_us\":0,\"end_us\":0},{\"target\":\"beta/m1\","
                    "\"outcome\":\"upstream_error\",\"status\":503,\"start_us\":0,\"sent_us\":0,"
                    "\"end_us\":0},{\"target\":\"gamma/m2\",\"outcome\":\"ok\",\"status\":200,"
                    "\"start_us\":0,\"sent_us\":0,\"end_us\":5000}]"));
    client_free(s);
    buf_done(&out);
    world_check_rest(w);
    world_free(w);
}

/* The one target has no order, and the error is the client's. */
TEST(without_a_choice)
{
    struct world *w = world_new(NULL);
    struct buf out;
    buf_init(&out, 65536);
    struct net_stream *s = ask(w, "one", 0);
    call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    struct slice told = told_of(w, client_field(s, "x-weir-request-id"), &out);
    CHECK_EQ_LIT(json_member(told, "reason"), "upstream_reset");
    CHECK_EQ_LIT(json_member(told, "status"), "502");
    CHECK(json_member(told, "strategy").p == NULL);
    CHECK(has(told, "\"candidates\":[{\"target\":\"alpha/m0\",\"place\":1,\"reason\":\"ok\","
                    "\"state\":\"well\"}]"));
    client_free(s);
    s = ask(w, "nothing/of/the/kind", 0);
    told = told_of(w, client_field(s, "x-weir-request-id"), &out);
    CHECK_EQ_LIT(json_member(told, "reason"), "model_not_found");
    CHECK(json_member(told, "candidates").p == NULL);
    client_free(s);
    s = ask_path(w, HTTP_GET, "/v1/models", NULL, SLICE_NONE); /* asks no model */
    CHECK_EQ_LIT(told_of(w, client_field(s, "x-weir-request-id"), &out), "");
    client_free(s);
    buf_done(&out);
    world_check_rest(w);
    world_free(w);
}

static void ask_and_answer(struct world *w, const char *model)
{
    struct net_stream *s = ask(w, model, 0);
    answer_json(call_last_open(w->loop), 200, SLICE(CHAT_ANSWER));
    client_free(s);
    calls_forget(w->loop);
}

TEST(latest_ones_are_kept)
{
    struct world *w = world_new(NULL);
    char id[EXPLAIN_RECORDS + 2][LEDGER_ID_TEXT];
    struct buf out;
    buf_init(&out, 65536);
    for (unsigned i = 0; i < ARRAY_LEN(id); i++) {
        ask_and_answer(w, i % 2 == 0 ? "one" : "two");
        snprintf(id[i], sizeof id[i], "%.*s", SLICE_ARG(latest_id()));
    }
    for (unsigned i = 0; i < ARRAY_LEN(id); i++) {
        struct slice told = told_of(w, slice_str(id[i]), &out);
        CHECK_EQ_I64(told.n > 0, i >= 2);
        if (told.n > 0)
            CHECK(slice_is(json_member(told, "model"), i % 2 == 0 ? "one" : "two"));
    }
    CHECK_EQ_LIT(told_of(w, SLICE("wr-000000000000000000000"), &out), "");
    CHECK_EQ_LIT(told_of(w, SLICE("wr-00000000000000000000"), &out), "");
    CHECK_EQ_LIT(told_of(w, SLICE("wr-00000000000000000000u"), &out), "");
    CHECK_EQ_LIT(told_of(w, SLICE_NONE, &out), "");
    buf_done(&out);
    world_check_rest(w);
    world_free(w);
}

/* An alias with as many targets as there may be, all of whose names are longer than what is kept.
 */
static void many_long_names(struct gw_snapshot *s)
{
    struct gw_model *m = &s->model_list[0];
    char name[300];
    memset(name, 'x', sizeof name);
    m->targets_n = ROUTE_CANDIDATES_MAX;
    struct gw_target *list = mem_must(arena_zalloc(&s->arena, ROUTE_CANDIDATES_MAX * sizeof *list));
    for (size_t i = 0; i < m->targets_n; i++) {
        list[i] = m->targets[0];
        list[i].label = arena_printf(&s->arena, "alpha/%02zu%.*s", i, (int)sizeof name - 100, name);
    }
    m->targets = list;
}

TEST(names_and_candidates_are_bounded)
{
    struct world *w = world_new(many_long_names);
    struct buf out;
    buf_init(&out, 65536);
    struct net_stream *s = ask(w, "one", 0);
    for (unsigned i = 0; i < ATTEMPTS_MAX; i++)
        call_fail(call_last_open(w->loop), NET_FAIL_RESET, "");
    struct slice told = told_of(w, client_field(s, "x-weir-request-id"), &out);
    CHECK_EQ_LIT(json_member(told, "others"), "48");
    unsigned names = 0;
    for (size_t i = 0; i + 10 < told.n; i++)
        names += memcmp(told.p + i, "\"target\":\"", 10) == 0;
    CHECK_EQ_I64(names, EXPLAIN_SHOWN + ATTEMPTS_MAX);
    const char *last = memmem(told.p, told.n, "alpha/15", 8); /* ends where its bound is */
    CHECK(last != NULL && last[EXPLAIN_NAME - 1] == 'x' && last[EXPLAIN_NAME] == '"');
    CHECK(!has(told, "alpha/16"));
    client_free(s);
    buf_done(&out);
    world_check_rest(w);
    world_free(w);
}

/* ---- while it is written */

struct reader {
    struct world *w;
    pthread_t thread;
    _Atomic uint64_t found, wrong;
    _Atomic bool ends;
    _Atomic uint64_t id[2]; /* of a request that has ended */
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct buf out;
    buf_init(&out, 65536);
    while (!r->ends) {
        uint64_t part[2] = {r->id[0], r->id[1]};
        uint8_t raw[16];
        char id[LEDGER_ID_TEXT];
        ledger_id_make(raw, (int64_t)part[0], part[1]);
        ledger_id_text(raw, id);
        buf_reset(&out);
        if (!gateway_explain(r->w->gateway, slice_str(id), &out))
            continue; /* written over already, or half of one id and half of another */
        r->found++;
        struct slice told = buf_view(&out);
        r->wrong += !has(told, id) || !slice_starts(told, SLICE("{\"request_id\":")) ||
                    !has(told, "\"outcome\":\"ok\"") ||
                    !has(slice_from(told, told.n - 22), "\"reason\":\"complete\"}");
    }
    buf_done(&out);
    return NULL;
}

/* Both halves of an id's text, as ledger_id_make takes them. */
static void tell(struct reader *r, struct slice id)
{
    uint8_t raw[16];
    uint64_t part[2] = {0, 0};
    CHECK(ledger_id_read(id, raw));
    for (unsigned i = 0; i < 16; i++)
        part[i / 8] = part[i / 8] << 8 | raw[i];
    r->id[0] = part[0];
    r->id[1] = part[1];
}

TEST(read_while_written)
{
    struct world *w = world_new(NULL);
    struct reader r = {.w = w};
    CHECK(pthread_create(&r.thread, NULL, read_on, &r) == 0);
    for (unsigned i = 0; i < 100000 && (i < 3 * EXPLAIN_RECORDS || r.found < 100); i++) {
        ask_and_answer(w, "three");
        tell(&r, latest_id());
        log_clear();
    }
    r.ends = true;
    pthread_join(r.thread, NULL);
    CHECK(r.found >= 100);
    CHECK_EQ_I64((int64_t)r.wrong, 0);
    w->started = 0; /* their lines are gone */
    world_check_rest(w);
    world_free(w);
}

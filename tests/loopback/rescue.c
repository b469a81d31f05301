/* Streams that break off and go on from another target: a recorded answer, cut behind every event
 * of it in every way a stream can be cut, in every dialect. The client gets exactly the answer that
 * it would have got, in a stream that is well formed, or what it has got so far and an error. */
#include <stdio.h>

#include "base/clock.h"
#include "llm/join.h"
#include "tapes.h"

/* --- targets */

static int route_of[4];
static size_t route_n;
static enum gw_rescue rescues;

/* GAMMA and DELTA are vLLM's here, and Claude is one that takes a prefill. */
static void as_routed(struct gw_snapshot *s)
{
    struct gw_model *m = snapshot_model(s, "wires");
    snapshot_provider(s, GAMMA)->row = llm_provider_find(SLICE("vllm"));
    snapshot_provider(s, DELTA)->row = llm_provider_find(SLICE("vllm"));
    snapshot_retarget(m, s, route_of, route_n);
    for (size_t i = 0; i < route_n; i++) {
        if (route_of[i] == CLAUDE)
            m->targets[i].model = SLICE("claude-3-5-haiku-latest");
    }
    m->rescue = rescues;
}

static struct world *routed_world(const int *route, size_t n)
{
    memcpy(route_of, route, n * sizeof *route);
    route_n = n;
    rescues = RESCUE_CONTINUE;
    return world_new(as_routed);
}

#define ROUTED(...)                                                                                \
    routed_world((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* --- what must hold */

struct outcome {
    bool finished;
    size_t delivered;        /* bytes of text */
    unsigned events, at_end; /* of the first stream; so many come before its text's end */
};

/* The property. */
static struct outcome check_answer(const struct net_stream *s, enum tongue t)
{
    struct text got = {0};
    struct slice whole = tape_text();
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    tongue_text(s, t, &got);
    struct outcome o = {.finished = tongue_finished(s, t), .delivered = got.n};
    if (o.finished) {
        CHECK_EQ_SLICE(text_view(&got), whole);
        CHECK(!s->close_after && tongue_error(s, t).n == 0);
    } else {
        CHECK(got.n <= whole.n && slice_eq(text_view(&got), slice_of(whole.p, got.n)));
        CHECK(s->close_after && tongue_error(s, t).n > 0);
    }
    CHECK(t == GOOGLE || answer_is_whole(s));
    text_done(&got);
    return o;
}

/* The comment that names who finished it; NULL: there is none. */
static void check_comment(const struct net_stream *s, enum tongue t, const char *target)
{
    char line[128];
    bool told = target != NULL && t != GOOGLE;
    snprintf(line, sizeof line, "\n: x-weir-rescued: %s\n\n", told ? target : "");
    CHECK_EQ_I64(says(s, "x-weir-rescued"), told);
    CHECK_EQ_I64(says(s, line), told);
}

static const char *label_of(const struct call *c, unsigned place)
{
    static char label[64];
    snprintf(label, sizeof label, "%.*s/m%u", SLICE_ARG(c->upstream->authority), place);
    return label;
}

static void check_rescued_field(const char *want)
{
    CHECK_EQ_SLICE(json_member(log_line(log_lines() - 1), "rescued"), slice_str(want));
}

/* --- cut behind every event */

/* The second target is asked, and answers well. */
static struct outcome go_on(struct world *w, struct net_stream *s, enum tongue t)
{
    struct call *c = tape_head(w);
    struct wish wish = wish_of(c);
    bool on = wish.asked || wish.prefill;
    struct tape next = tape_next(c, 16);
    tape_play_out(c, &next);
    struct outcome o = check_answer(s, t);
    check_comment(s, t, on && o.finished ? label_of(c, 1) : NULL);
    check_rescued_field(!on ? "" : o.finished ? "true" : "false");
    CHECK_EQ_I64(log_attempts(), 2);
    CHECK_EQ_I64(log_attempt_is(1, label_of(c, 1), "ok"), o.finished);
    CHECK_EQ_I64(log_text_is("reason", "complete"), o.finished);
    wish_done(&wish);
    text_done(&next.all);
    return o;
}

/* One answer, cut behind `n` events of its first stream. How much had been delivered then, and
 * whether it came to its end in spite of that. */
static struct outcome cut_once(struct world *w, enum tongue t, unsigned n, enum cut how)
{
    struct net_stream *s = tongue_ask(w, t, "wires", true, "");
    struct text before = {0};
    struct call *c = tape_head(w);
    struct tape first = tape_of(wire_of(c), SLICE_NONE, 0);
    struct outcome o;
    tape_play(c, &first, n);
    tongue_text(s, t, &before);
    tape_cut(w, c, how);
    if (s->state == CLIENT_OPEN) {
        o = go_on(w, s, t);
    } else {
        o = check_answer(s, t);
        CHECK(!o.finished && o.delivered == before.n);
        check_comment(s, t, NULL);
    }
    o.delivered = before.n;
    o.events = first.n;
    o.at_end = first.last + 1;
    text_done(&before);
    text_done(&first.all);
    client_free(s);
    calls_forget(w->loop);
    return o;
}

/* Enough that its last words can be asked for. */
#define SURE 48

/* `least`: so many bytes of text have to stand before the seam that it can be shown to be right. */
static void check_chance(const struct outcome *o, unsigned n, size_t least)
{
    bool sure = o->delivered >= least;
    if (o->delivered == 0)
        CHECK(o->finished);
    else if (n < o->at_end && sure)
        CHECK(o->finished);
    else if (n > o->at_end) /* before, there is nothing left but the end */
        CHECK(!o->finished);
}

static void cut_everywhere(const int *route)
{
    struct world *w = routed_world(route, 2);
    bool prefills = route[1] == GAMMA || route[1] == CLAUDE || route[1] == TINY;
    size_t least = prefills ? 1 : route[1] == MISTRAL ? JOIN_SURE : SURE;
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        for (enum cut how = 0; how < CUTS_N; how++) {
            struct outcome o = {.events = 1};
            for (unsigned n = 0; n < o.events; n++) {
                check_note("%s: %s, then %s, %s behind event %u", tongue_names[t],
                           w->up[route[0]]->authority.p, w->up[route[1]]->authority.p,
                           cut_names[how], n);
                o = cut_once(w, t, n, how);
                check_chance(&o, n, least);
            }
            CHECK(o.events > PIECES_N);
        }
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

TEST(openai_cut_everywhere)
{
    static const int routes[][2] = {{ALPHA, GAMMA},   {ALPHA, BETA},   {ALPHA, CLAUDE},
                                    {ALPHA, MISTRAL}, {ALPHA, GEMINI}, {ALPHA, TINY}};
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        cut_everywhere(routes[i]);
}

TEST(anthropic_cut_everywhere)
{
    static const int routes[][2] = {{CLAUDE, GAMMA}, {CLAUDE, ALPHA}, {CLAUDE, CLAUDE}};
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        cut_everywhere(routes[i]);
}

TEST(google_cut_everywhere)
{
    static const int routes[][2] = {{GEMINI, GAMMA}, {GEMINI, BETA}, {GEMINI, CLAUDE}};
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        cut_everywhere(routes[i]);
}

/* --- more than one cut */

/* Plays each attempt's stream up to a place of its own and cuts it; the last one is played out. */
static void cut_again(struct world *w, enum tongue t, const unsigned *at, size_t n)
{
    struct net_stream *s = tongue_ask(w, t, "wires", true, "");
    for (size_t i = 0; i <= n && s->state == CLIENT_OPEN; i++) {
        struct call *c = tape_head(w);
        struct tape tape = tape_next(c, i == 0 ? 0 : 40);
        if (i == n) {
            tape_play_out(c, &tape);
        } else {
            tape_play(c, &tape, MIN_OF(at[i], tape.n - 1));
            if (c->lease != NULL)
                tape_cut(w, c, (enum cut)(i % 3));
        }
        text_done(&tape.all);
    }
    check_answer(s, t);
    client_free(s);
    calls_forget(w->loop);
}

TEST(cut_twice)
{
    struct world *w = ROUTED(ALPHA, GAMMA, DELTA);
    unsigned at[2];
    for (at[0] = 2; at[0] < 13; at[0] += 2) {
        for (at[1] = 0; at[1] < 12; at[1]++) {
            for (enum tongue t = 0; t < TONGUES_N; t++) {
                check_note("%s, behind %u and %u", tongue_names[t], at[0], at[1]);
                cut_again(w, t, at, 2);
            }
        }
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* Two streams may break off; a third time the client hears of the first. */
TEST(cut_three_times)
{
    struct world *w = ROUTED(ALPHA, GAMMA, DELTA, GAMMA);
    struct net_stream *s = tongue_ask(w, CHAT, "wires", true, "");
    struct call *c = tape_head(w);
    struct tape tape = tape_next(c, 0);
    tape_play(c, &tape, 3);
    tape_cut(w, c, CUT_ERROR_EVENT);
    text_done(&tape.all);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_I64(s->state, CLIENT_OPEN);
        c = tape_head(w);
        tape = tape_next(c, 40);
        tape_play(c, &tape, 3);
        tape_cut(w, c, CUT_RESET);
        text_done(&tape.all);
    }
    CHECK(!check_answer(s, CHAT).finished);
    CHECK_EQ_LIT(tongue_error(s, CHAT), "boom");
    CHECK_EQ_LIT(json_member(tongue_data(s, 0), "error.code"), "kaputt");
    CHECK_EQ_I64(log_attempts(), 3);
    check_rescued_field("false");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- continuations that are none */

/* An answer that has begun with `n` events of its text and broken off; its second target is
 * asked. */
static struct net_stream *broken(struct world *w, enum tongue t, unsigned n, const char *more,
                                 struct call **ret)
{
    struct net_stream *s = tongue_ask(w, t, "wires", true, more);
    struct call *c = tape_head(w);
    struct tape tape = tape_next(c, 0);
    tape_play(c, &tape, tape.first + n);
    tape_cut(w, c, CUT_ERROR_EVENT);
    text_done(&tape.all);
    *ret = s->state == CLIENT_OPEN ? tape_head(w) : NULL;
    return s;
}

/* Nothing of it goes on to the client, who hears why the first stream broke off. */
static void check_unrescued(struct world *w, struct net_stream *s, enum tongue t, size_t delivered)
{
    struct outcome o = check_answer(s, t);
    CHECK(!o.finished);
    CHECK_EQ_U64(o.delivered, delivered);
    CHECK_EQ_LIT(tongue_error(s, t), "boom");
    check_comment(s, t, NULL);
    check_rescued_field("false");
    CHECK_EQ_I64(calls_open(w->loop), 0);
    CHECK_EQ_I64(metric_plain_value(MP_RESCUES), 0);
    client_free(s);
    calls_forget(w->loop);
}

/* What a target says that was given the text so far, or was asked to repeat its last words. */
#define WRONGS_N 6

static void add_all(struct text *out, const struct slice *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text_add(out, parts[i]);
}

static void wrong_answer(const struct call *c, unsigned wrong, struct text *out)
{
    struct wish w = wish_of(c);
    struct slice whole = tape_text(), given = text_view(&w.given), words = text_view(&w.words);
    struct slice rest = slice_from(whole, given.n), late = slice_from(rest, 1);
    const struct slice given_it[WRONGS_N][2] = {
        {whole, {"", 0}},                             /* starts over */
        {slice_from(given, given.n - 30), rest},      /* repeats */
        {{"", 0}, {"", 0}},                           /* says nothing */
        {{"\n\n", 2}, late},                          /* other white space than is owed */
        {slice_of(whole.p, JOIN_SURE + 1), {".", 1}}, /* starts over, and gives up */
        {slice_from(given, given.n - 24), {"", 0}},   /* repeats, and no more */
    };
    const struct slice asked[WRONGS_N][3] = {
        {{"Sure, here is the rest: ", 24}, words, rest},
        {slice_from(words, 4), rest, {"", 0}}, /* not all of the words */
        {{"", 0}, {"", 0}, {"", 0}},
        {{"\"", 1}, words, rest},
        {{"The dam keeps back the stream, and then", 39}, {"", 0}, {"", 0}},
        {rest, {"", 0}, {"", 0}},
    };
    if (w.prefill)
        add_all(out, given_it[wrong], ARRAY_LEN(given_it[wrong]));
    else
        add_all(out, asked[wrong], ARRAY_LEN(asked[wrong]));
    wish_done(&w);
}

TEST(continuations_that_are_none)
{
    static const int routes[][2] = {
        {ALPHA, GAMMA}, {ALPHA, BETA}, {CLAUDE, CLAUDE}, {GEMINI, GEMINI}};
    for (size_t i = 0; i < ARRAY_LEN(routes) * TONGUES_N * WRONGS_N; i++) {
        enum tongue t = (enum tongue)(i % TONGUES_N);
        unsigned wrong = (unsigned)(i / TONGUES_N % WRONGS_N);
        const int *route = routes[i / TONGUES_N / WRONGS_N];
        for (size_t most = 3; most < 200; most += 150) {
            check_note("%s, answer %u, route %zu, by %zu", tongue_names[t], wrong,
                       i / TONGUES_N / WRONGS_N, most);
            struct world *w = routed_world(route, 2);
            struct call *c;
            struct net_stream *s = broken(w, t, 6, "", &c);
            CHECK(c != NULL);
            struct text said = {0};
            wrong_answer(c, wrong, &said);
            struct tape tape = tape_of(wire_of(c), text_view(&said), most);
            tape_play_out(c, &tape);
            check_unrescued(w, s, t, tape_bytes_of(6));
            text_done(&said);
            text_done(&tape.all);
            world_check_rest(w);
            world_free(w);
        }
    }
    check_note("%s", "");
}

/* Behind a seam that was right comes what is no text, or another part: the client does not get half
 * of it as the whole. */
TEST(other_parts_in_a_continuation)
{
    static const char *const more[] = {
        AV("content_block_start", ",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":"
                                  "\"\"}")
            AV("content_block_delta", ",\"index\":1,\"delta\":{\"type\":\"text_delta\","
                                      "\"text\":\"more\"}"),
        AV("content_block_start", ",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":"
                                  "\"t\",\"name\":\"f\",\"input\":{}}")};
    struct world *w = ROUTED(ALPHA, CLAUDE);
    for (size_t i = 0; i < ARRAY_LEN(more) * TONGUES_N; i++) {
        enum tongue t = (enum tongue)(i % TONGUES_N);
        struct call *c;
        check_note("%s, %zu", tongue_names[t], i / TONGUES_N);
        struct net_stream *s = broken(w, t, 6, "", &c);
        struct tape tape = tape_next(c, 0);
        struct text said = {0};
        wish_answer(c, &said);
        struct tape right = tape_of(ANTHROPIC_WIRE, text_view(&said), 30);
        tape_play(c, &right, right.last + 2);
        call_piece(c, slice_str(more[i / TONGUES_N]));
        CHECK(c->lease == NULL);
        check_unrescued(w, s, t, tape_text().n);
        text_done(&said);
        text_done(&tape.all);
        text_done(&right.all);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* A job's result is looked at like any other continuation. */
TEST(continuation_by_a_job)
{
    struct world *w = ROUTED(ALPHA, REPLICATE);
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        struct call *c;
        check_note("%s", tongue_names[t]);
        struct net_stream *s = tongue_ask(w, t, "wires", true, "");
        c = tape_head(w);
        struct tape tape = tape_next(c, 0);
        tape_play(c, &tape, tape.first + 6);
        tape_cut(w, c, CUT_ERROR_EVENT);
        text_done(&tape.all);
        if (s->state == CLIENT_OPEN)
            answer_json(call_last_open(w->loop), 201,
                        SLICE("{\"id\":\"j1\",\"status\":\"succeeded\",\"output\":[\"I \",\"am "
                              "sorry.\"]}"));
        check_unrescued(w, s, t, tape_bytes_of(6));
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* --- what is not rescued */

TEST(not_rescued)
{
    static const struct {
        enum tongue tongue;
        const char *more;
    } rows[] = {
        {CHAT, ",\"n\":2"},
        {CHAT, ",\"logprobs\":true"},
        {CHAT, ",\"response_format\":{\"type\":\"json_object\"}"},
        {CHAT, ",\"stop\":[\"sill\\\" goes what\"]"}, /* which the seam may cut in two */
        {CHAT, ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
               "\"tool_choice\":\"required\""},
        {RESPONSES,
         ",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"x\",\"schema\":{}}}"},
        {MESSAGES, ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],"
                   "\"tool_choice\":{\"type\":\"any\"}"},
        {GOOGLE, ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}"},
    };
    struct world *w = ROUTED(ALPHA, GAMMA);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call *c;
        check_note("row %zu", i);
        unsigned before = calls_made(w->loop);
        struct net_stream *s = broken(w, rows[i].tongue, 5, rows[i].more, &c);
        CHECK(c == NULL);
        CHECK_EQ_I64(calls_made(w->loop), before + 1);
        check_unrescued(w, s, rows[i].tongue, tape_bytes_of(5));
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

#define EV_THINKS EV_CHOICES "{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
#define EV_CALLS                                                                                   \
    EV_CHOICES "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{"  \
               "\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n"

/* A call has begun, or the model still thinks: that nobody can go on with. */
TEST(calls_and_thoughts)
{
    static const char *const begun[] = {EV_ROLE EV_THINKS, EV_ROLE EV_CALLS,
                                        EV_ROLE EV_TEXT EV_CALLS, EV_ROLE EV_TEXT EV_THINKS};
    struct world *w = ROUTED(ALPHA, GAMMA);
    for (size_t i = 0; i < ARRAY_LEN(begun); i++) {
        check_note("row %zu", i);
        unsigned before = calls_made(w->loop);
        struct net_stream *s = tongue_ask(w, CHAT, "wires", true, "");
        struct call *c = tape_head(w);
        call_piece(c, slice_str(begun[i]));
        call_piece(c, SLICE(EV_ERROR));
        CHECK_EQ_I64(s->state, CLIENT_ENDED);
        CHECK(s->close_after && answer_is_whole(s));
        CHECK_EQ_I64(calls_made(w->loop), before + 1);
        CHECK_EQ_LIT(tongue_error(s, CHAT), "boom");
        client_free(s);
    }
    /* thoughts that have ended are no bar */
    struct net_stream *s = tongue_ask(w, CHAT, "wires", true, "");
    struct call *c = tape_head(w);
    call_piece(c, SLICE(EV_ROLE EV_THINKS EV_TEXT));
    call_fail(c, NET_FAIL_TRUNCATED, "");
    c = tape_head(w);
    CHECK(c->upstream == w->up[GAMMA]);
    call_piece(
        c, SLICE(EV_ROLE EV_CHOICES
                 "{\"index\":0,\"delta\":{\"content\":\"s\"}}]}\n\n" EV_FINISH EV_USAGE EV_DONE));
    call_end(c);
    CHECK(tongue_finished(s, CHAT));
    struct text got = {0};
    tongue_text(s, CHAT, &got);
    CHECK_EQ_LIT(text_view(&got), "words");
    text_done(&got);
    client_free(s);
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

TEST(rescue_off)
{
    route_n = 2;
    route_of[0] = ALPHA;
    route_of[1] = GAMMA;
    rescues = RESCUE_OFF;
    struct world *w = world_new(as_routed);
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        check_note("%s", tongue_names[t]);
        struct call *c;
        struct net_stream *s = broken(w, t, 5, "", &c);
        CHECK(c == NULL && !check_answer(s, t).finished);
        CHECK_EQ_LIT(tongue_error(s, t), "boom");
        check_rescued_field("");
        CHECK_EQ_I64(log_attempts(), 1);
        client_free(s);
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* --- what an attempt leaves that never reached the client */

/* A part that was only opened, and an answer that came as a whole where a stream was asked for: the
 * stream of the next target is rescued as if they had not been. */
TEST(traces_of_failed_attempts)
{
    static const int routes[][3] = {{CLAUDE, ALPHA, GAMMA}, {ALPHA, BETA, GAMMA}};
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        struct world *w = routed_world(routes[i], 3);
        struct net_stream *s = tongue_ask(w, MESSAGES, "wires", true, "");
        struct call *c = call_last_open(w->loop);
        if (i == 0) {
            call_head(c, 200, SSE_HEAD, -1);
            call_piece(c, SLICE(AV_START AV_BLOCK));
            call_fail(c, NET_FAIL_TRUNCATED, "");
        } else {
            answer_json(c, 200, SLICE(CHAT_ANSWER));
        }
        c = tape_head(w);
        struct tape tape = tape_next(c, 0);
        tape_play(c, &tape, tape.first + 6);
        tape_cut(w, c, CUT_RESET);
        text_done(&tape.all);
        c = tape_head(w);
        tape = tape_next(c, 30);
        tape_play_out(c, &tape);
        CHECK(check_answer(s, MESSAGES).finished);
        check_rescued_field("true");
        text_done(&tape.all);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
}

/* --- figures */

TEST(usage_of_both)
{
    static const int routes[][2] = {{CLAUDE, GAMMA}, {ALPHA, CLAUDE}};
    for (size_t i = 0; i < ARRAY_LEN(routes) * TONGUES_N; i++) {
        enum tongue t = (enum tongue)(i % TONGUES_N);
        int64_t input, output;
        check_note("%s, route %zu", tongue_names[t], i / TONGUES_N);
        memcpy(route_of, routes[i / TONGUES_N], sizeof routes[0]);
        route_n = 2;
        rescues = RESCUE_CONTINUE;
        struct world *w = world_new_books(as_routed, 64);
        struct call *c;
        struct net_stream *s =
            broken(w, t, 6, t == CHAT ? ",\"stream_options\":{\"include_usage\":true}" : "", &c);
        const struct exchange *x = exchange_of(s);
        int64_t first = x->attempts[0]->account.row.output;
        CHECK(first > 1 && x->attempts[0]->account.row.flags & LEDGER_ESTIMATED_OUTPUT);
        struct tape tape = tape_next(c, 30);
        tape_play_out(c, &tape);
        CHECK(check_answer(s, t).finished);
        tongue_usage(s, t, &input, &output);
        CHECK_EQ_I64(input, 7);
        CHECK_EQ_I64(output, first + 3);
        CHECK_EQ_I64(log_number("input_tokens"), 7);
        CHECK_EQ_I64(log_number("output_tokens"), first + 3);
        CHECK_EQ_I64(world_metric("llm_tokens_total", "type=\"output\""), first + 3);
        CHECK_EQ_I64(world_rows(w), 2);
        CHECK_EQ_I64(metric_plain_value(MP_RESCUES), 1);
        text_done(&tape.all);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
    check_note("%s", "");
}

/* --- what else may happen meanwhile */

TEST(leaving_during_a_rescue)
{
    struct world *w = ROUTED(ALPHA, GAMMA);
    for (unsigned at = 0; at < 6; at++) {
        struct call *c;
        struct net_stream *s = broken(w, CHAT, 6, "", &c);
        struct tape tape = tape_next(c, 30);
        tape_play(c, &tape, at);
        client_leave(s, NET_GONE_CLOSED);
        CHECK(c->cancelled);
        CHECK(log_text_is("reason", "client_closed_request"));
        check_rescued_field("false");
        CHECK(log_attempt_is(0, "alpha/m0", "upstream_error") &&
              log_attempt_is(1, "gamma/m1", "client_closed_request"));
        text_done(&tape.all);
        client_free(s);
    }
    world_check_rest(w);
    world_free(w);
}

TEST(reload_during_a_rescue)
{
    struct world *w = ROUTED(ALPHA, GAMMA);
    struct call *c;
    struct net_stream *s = broken(w, MESSAGES, 6, "", &c);
    struct tape tape = tape_next(c, 30);
    tape_play(c, &tape, 2);
    rescues = RESCUE_OFF;
    world_reload(w, as_routed);
    CHECK_EQ_I64(world_snapshots(w), 2);
    size_t at = tape.end[1];
    call_piece(c, slice_from(text_view(&tape.all), at));
    call_end(c);
    CHECK(check_answer(s, MESSAGES).finished);
    CHECK_EQ_I64(world_snapshots(w), 1);
    text_done(&tape.all);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

TEST(stop_during_a_rescue)
{
    struct world *w = ROUTED(ALPHA, GAMMA);
    struct call *c;
    struct net_stream *s = broken(w, CHAT, 6, "", &c);
    world_stop(w);
    CHECK(s->state == CLIENT_GONE);
    CHECK(log_text_is("reason", "shutting_down") || log_text_is("reason", "client_closed_request"));
    client_free(s);
    world_free(w);
}

/* A client that does not take what comes: the continuation waits. */
TEST(slow_client_during_a_rescue)
{
    struct world *w = ROUTED(ALPHA, GAMMA);
    struct call *c;
    struct net_stream *s = tongue_ask(w, CHAT, "wires", true, "");
    c = tape_head(w);
    struct tape tape = tape_next(c, 0);
    s->room = 1;
    tape_play(c, &tape, tape.first + 6);
    CHECK(call_paused(c));
    tape_cut(w, c, CUT_RESET);
    text_done(&tape.all);
    c = tape_head(w);
    CHECK(call_paused(c));
    s->room = SIZE_MAX;
    client_drain(s);
    CHECK(!call_paused(c));
    tape = tape_next(c, 30);
    tape_play_out(c, &tape);
    CHECK(check_answer(s, CHAT).finished);
    text_done(&tape.all);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

static void hedging_too(struct gw_snapshot *s)
{
    as_routed(s);
    struct gw_model *m = snapshot_model(s, "wires");
    m->hedge_after_ns = NS_PER_S;
    m->hedge_percent = 100;
    snapshot_watch(m);
}

/* A continuation has no second one beside it: both could not go on with the same answer. */
TEST(no_hedge_of_a_rescue)
{
    memcpy(route_of, (const int[]){ALPHA, GAMMA, DELTA}, 3 * sizeof *route_of);
    route_n = 3;
    rescues = RESCUE_CONTINUE;
    struct world *w = world_new(hedging_too);
    struct call *c;
    struct net_stream *s = broken(w, CHAT, 6, "", &c);
    loop_advance(w->loop, 4 * NS_PER_S);
    CHECK_EQ_I64(calls_open(w->loop), 1);
    struct tape tape = tape_next(c, 30);
    tape_play_out(c, &tape);
    CHECK(check_answer(s, CHAT).finished);
    text_done(&tape.all);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* The stream of whoever won beside another one is rescued like any other. */
TEST(rescue_of_a_hedge)
{
    for (int winner = 0; winner < 2; winner++) {
        memcpy(route_of, (const int[]){ALPHA, CLAUDE, GAMMA}, 3 * sizeof *route_of);
        route_n = 3;
        rescues = RESCUE_CONTINUE;
        struct world *w = world_new(hedging_too);
        struct net_stream *s = tongue_ask(w, CHAT, "wires", true, "");
        struct call *both[2] = {tape_head(w)};
        loop_advance(w->loop, NS_PER_S);
        both[1] = tape_head(w);
        call_piece(both[1], SLICE(AV_START AV_BLOCK));
        call_piece(both[0], SLICE(EV_ROLE));
        struct tape tape = tape_next(both[winner], 0);
        size_t at = tape.end[tape.first - 1];
        call_piece(both[winner], slice_of(tape.all.p + at, tape.end[tape.first + 5] - at));
        CHECK(both[1 - winner]->cancelled);
        tape_cut(w, both[winner], CUT_RESET);
        text_done(&tape.all);
        struct call *c = tape_head(w);
        CHECK(c->upstream == w->up[GAMMA]);
        tape = tape_next(c, 30);
        tape_play_out(c, &tape);
        CHECK(check_answer(s, CHAT).finished);
        check_rescued_field("true");
        CHECK_EQ_I64(log_attempts(), 3);
        text_done(&tape.all);
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
}

/* Upstreams that say more than the request allows: in every dialect and from every wire the answer
 * is cut, ends as one that reached its bound, and is paid for as far as it came. */
#include <stdio.h>

#include "tapes.h"

#define BOUND 5
#define SLACK 8
#define EACH  6                          /* pieces that a token may come in */
#define GONE  (EACH * BOUND + SLACK + 1) /* pieces of which the client gets the last one */

static const char words[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789";

/* Asks for a stream of at most `bound` tokens, or without a bound. `more`: further members. */
static struct net_stream *ask_bound(struct world *w, enum tongue t, const char *model, int bound,
                                    const char *more)
{
    static const char *const keys[TONGUES_N] = {"max_completion_tokens", "max_output_tokens",
                                                "max_tokens", "maxOutputTokens"};
    char path[128], body[512], limit[64] = "";
    int n = 0;
    snprintf(path, sizeof path, "/v1beta/models/%s:streamGenerateContent?alt=sse", model);
    if (bound >= 0 && t != GOOGLE)
        snprintf(limit, sizeof limit, ",\"%s\":%d", keys[t], bound);
    else if (bound >= 0)
        snprintf(limit, sizeof limit, ",\"generationConfig\":{\"%s\":%d}", keys[t], bound);
    if (t == GOOGLE)
        n = snprintf(body, sizeof body,
                     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]%s%s}",
                     limit, more);
    else
        n = snprintf(body, sizeof body, "{\"model\":\"%s\",\"stream\":true,%s%s%s}", model,
                     t == RESPONSES ? "\"input\":\"hi\""
                                    : "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]",
                     limit, more);
    const char *to = t == CHAT        ? "/v1/chat/completions"
                     : t == RESPONSES ? "/v1/responses"
                     : t == MESSAGES  ? "/v1/messages"
                                      : path;
    return ask_path(w, HTTP_POST, to, NULL, slice_of(body, (size_t)n));
}

#define WITH_USAGE ",\"stream_options\":{\"include_usage\":true}"

static void check_text(const struct net_stream *s, enum tongue t, unsigned n)
{
    struct text got = {0};
    tongue_text(s, t, &got);
    CHECK_EQ_SLICE(text_view(&got), slice_of(words, n));
    text_done(&got);
}

static unsigned count_of(const struct net_stream *s, const char *what)
{
    unsigned n = 0;
    for (const char *p = s->body.p; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

/* The end of an answer that reached its bound, once. */
static void check_length(const struct net_stream *s, enum tongue t)
{
    static const char *const marks[TONGUES_N][4] = {
        {"\"finish_reason\":\"length\"", "data: [DONE]\n\n", "\"role\":\"assistant\"",
         "\"usage\":{"},
        {"event: response.incomplete\n", "event: response.content_part.done\n",
         "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}",
         "event: response.output_item.done\n"},
        {"\"stop_reason\":\"max_tokens\"", "event: message_stop\n", "event: content_block_stop\n",
         "event: message_delta\n"},
        {"\"finishReason\":\"MAX_TOKENS\"", "\"finishReason\":", "usageMetadata",
         "\"candidatesTokenCount\":39"}};
    CHECK(s->state == CLIENT_ENDED && s->status == 200 && !s->close_after);
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ_I64(count_of(s, marks[t][i]), 1);
    CHECK(t == GOOGLE || answer_is_whole(s));
}

static void check_cut_log(const char *target)
{
    CHECK(log_text_is("reason", "cut_at_limit"));
    CHECK_EQ_I64(log_attempts(), 1);
    CHECK(log_attempt_is(0, target, "cut_at_limit"));
    CHECK_EQ_I64(log_number("output_tokens"), -1);
    CHECK_EQ_I64(log_number("estimated_output_tokens"), GONE);
}

static const struct {
    const char *model, *target;
} targets[] = {{"one", "alpha/m0"},    {"claude", "claude/m0"}, {"gemini", "gemini/m0"},
               {"mistral", "mist/m0"}, {"tiny", "tiny/m0"},     {"wires", "alpha/m0"},
               {"azure", "azure/m0"}};

/* The rest of an endless stream is not read. */
static void cut_one(struct world *w, enum tongue t, size_t i)
{
    struct net_stream *s = ask_bound(w, t, targets[i].model, BOUND, t == CHAT ? WITH_USAGE : "");
    struct call *c = tape_head(w);
    struct tape tape = tape_of(wire_of(c), slice_of(words, sizeof words - 1), 1);
    int64_t input, output, before = metric_plain_value(MP_OVERLONG);
    tape_play(c, &tape, tape.first + GONE - 1);
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    tape_play(c, &tape, 0);
    call_piece(c, slice_of(tape.all.p + tape.end[tape.first + GONE - 2],
                           tape.all.n - tape.end[tape.first + GONE - 2]));
    CHECK(c->cancelled && c->lease == NULL);
    CHECK_EQ_I64(metric_plain_value(MP_OVERLONG), before + 1);
    check_text(s, t, GONE);
    if (wire_of(c) == RESPONSES_WIRE) {
        CHECK(s->close_after && tongue_error(s, t).n > 0);
        CHECK(log_attempt_is(0, targets[i].target, "upstream_too_large"));
    } else {
        check_length(s, t);
        tongue_usage(s, t, &input, &output);
        CHECK(input > 0);
        CHECK_EQ_I64(output, GONE);
        check_cut_log(targets[i].target);
    }
    text_done(&tape.all);
    client_free(s);
    calls_forget(w->loop);
}

TEST(cut_in_every_dialect)
{
    struct world *w = world_new(NULL);
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
            check_note("%s of %s", tongue_names[t], targets[i].model);
            cut_one(w, t, i);
        }
    }
    check_note("%s", "");
    world_check_rest(w);
    world_free(w);
}

/* At the bound, a little above it, and without one, nothing is touched. */
static void check_uncut(struct world *w, enum tongue t, const char *model, int bound, unsigned n)
{
    struct net_stream *s = ask_bound(w, t, model, bound, t == CHAT ? WITH_USAGE : "");
    struct call *c = tape_head(w);
    struct tape tape = tape_of(wire_of(c), slice_of(words, n), 1);
    int64_t input, output;
    tape_play_out(c, &tape);
    CHECK(!c->cancelled);
    if (wire_of(c) == RESPONSES_WIRE) /* the tape itself does not say all that Weir does */
        CHECK(answer_is_whole(s) && !s->close_after);
    else
        CHECK(tongue_finished(s, t));
    check_text(s, t, n);
    tongue_usage(s, t, &input, &output);
    CHECK_EQ_I64(output, 3);
    CHECK(log_text_is("reason", "complete"));
    CHECK_EQ_I64(log_number("output_tokens"), 3);
    text_done(&tape.all);
    client_free(s);
    calls_forget(w->loop);
}

TEST(not_cut_within_the_bound)
{
    struct world *w = world_new(NULL);
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
            check_note("%s of %s", tongue_names[t], targets[i].model);
            check_uncut(w, t, targets[i].model, BOUND, BOUND);
            check_uncut(w, t, targets[i].model, BOUND, EACH * BOUND + SLACK);
            if (t != MESSAGES)
                check_uncut(w, t, targets[i].model, -1, sizeof words - 1);
        }
    }
    check_note("%s", "");
    CHECK_EQ_I64(metric_plain_value(MP_OVERLONG), 0);
    world_check_rest(w);
    world_free(w);
}

/* --- bounds of a key */

static void bound_key(struct gw_snapshot *s)
{
    s->auth_keys = true;
    snapshot_add_key(s, "short", PRIORITY_NORMAL)->max_tokens = BOUND;
}

TEST(bound_of_a_key)
{
    static const char body[] =
        "{\"model\":\"one\",\"stream\":true,\"messages\":[{\"role\":\"user\","
        "\"content\":\"hi\"}]}";
    struct world *w = world_new(bound_key);
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/chat/completions",
                                    "Authorization: Bearer sk-short\n", slice_str(body));
    struct call *c = tape_head(w);
    for (unsigned i = 0; i < 400 && c->lease != NULL; i++)
        call_piece(c, SLICE(EV_TEXT));
    CHECK(c->cancelled);
    CHECK_EQ_I64(count_of(s, "\"word\""), GONE);
    CHECK_EQ_I64(count_of(s, "\"finish_reason\":\"length\""), 1);
    CHECK(!says(s, "\"usage\"") && answer_is_whole(s));
    check_cut_log("alpha/m0");
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- what the provider said before */

#define EV_NAMED(rest)                                                                             \
    "data: "                                                                                       \
    "{\"id\":\"c7\",\"object\":\"chat.completion.chunk\",\"created\":1234,\"model\":"              \
    "\"real\"," rest "}\n\n"

TEST(end_has_the_name_of_the_answer)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_bound(w, CHAT, "one", 1, WITH_USAGE);
    struct call *c = tape_head(w);
    for (unsigned i = 0; i < 400 && c->lease != NULL; i++)
        call_piece(c, SLICE(EV_NAMED("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}],"
                                     "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}")));
    CHECK_EQ_I64(count_of(s, "\"word\""), EACH + SLACK + 1);
    struct slice finish = tongue_data(s, 2), usage = tongue_data(s, 1);
    CHECK_EQ_LIT(json_member(finish, "id"), "c7");
    CHECK_EQ_LIT(json_member(finish, "created"), "1234");
    CHECK_EQ_LIT(json_member(finish, "model"), "real");
    CHECK_EQ_LIT(json_member(finish, "choices.0.finish_reason"), "length");
    CHECK_EQ_LIT(json_member(usage, "id"), "c7");
    CHECK_EQ_LIT(json_member(usage, "usage.prompt_tokens"), "5");
    CHECK_EQ_LIT(json_member(usage, "usage.completion_tokens"), "15"); /* more than it has said */
    CHECK_EQ_LIT(tongue_data(s, 0), "[DONE]");
    CHECK_EQ_I64(log_number("input_tokens"), 5);
    CHECK_EQ_I64(log_number("estimated_output_tokens"), 15);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- several answers at once */

#define EV_OF(i, rest) EV_CHOICES "{\"index\":" i ",\"delta\":{\"content\":\"word\"}" rest "}]}\n\n"

TEST(several_choices)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_bound(w, CHAT, "one", BOUND, ",\"n\":3" WITH_USAGE);
    struct call *c = tape_head(w);
    for (unsigned i = 0; i < BOUND; i++) {
        call_piece(c, SLICE(EV_OF("0", "")));
        call_piece(c, SLICE(EV_OF("2", "")));
    }
    call_piece(c, SLICE(EV_OF("2", ",\"finish_reason\":\"stop\"")));
    for (unsigned i = 0; i < 600 && c->lease != NULL; i++)
        call_piece(c, SLICE(EV_OF("1", "")));
    CHECK(c->cancelled && answer_is_whole(s));
    CHECK_EQ_I64(count_of(s, "\"word\""), 3 * EACH * BOUND + SLACK + 1);
    CHECK_EQ_I64(count_of(s, "\"finish_reason\":\"stop\""), 1);
    CHECK_EQ_I64(count_of(s, "\"finish_reason\":\"length\""), 2);
    CHECK_EQ_LIT(json_member(tongue_data(s, 3), "choices.0.index"), "0");
    CHECK_EQ_LIT(json_member(tongue_data(s, 2), "choices.0.index"), "1");
    CHECK(!says(s, "\"role\"") && says(s, "\"completion_tokens\":99"));
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* Its last event takes it above the bound, but it has ended by itself. */
TEST(ends_by_itself)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_bound(w, CHAT, "one", 1, WITH_USAGE);
    struct call *c = tape_head(w);
    for (unsigned i = 0; i < EACH + SLACK; i++)
        call_piece(c, SLICE(EV_TEXT));
    call_piece(c, SLICE(EV_OF("0", ",\"finish_reason\":\"stop\"")));
    CHECK_EQ_I64(s->state, CLIENT_OPEN);
    call_piece(c, SLICE(EV_USAGE EV_DONE));
    call_end(c);
    CHECK(says(s, "\"completion_tokens\":3") && !says(s, "length") && answer_is_whole(s));
    CHECK(log_text_is("reason", "complete"));
    client_free(s);

    s = ask_bound(w, CHAT, "one", 1, WITH_USAGE); /* behind its end it goes on all the same */
    c = tape_head(w);
    call_piece(c, SLICE(EV_OF("0", ",\"finish_reason\":\"stop\"")));
    for (unsigned i = 0; i < 400 && c->lease != NULL; i++)
        call_piece(c, SLICE(EV_TEXT));
    CHECK(c->cancelled && !says(s, "length") && answer_is_whole(s));
    CHECK_EQ_I64(count_of(s, "\"word\""), EACH + 2 * SLACK + 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* --- blocks and calls */

#define AV_AT(n)                                                                                   \
    AV("content_block_delta",                                                                      \
       ",\"index\":" n ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1\"}")

/* An answer that goes as it came: its third block, a call, is closed under its own number. */
TEST(block_of_its_own_number)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_bound(w, MESSAGES, "claude", BOUND, "");
    struct call *c = tape_head(w);
    call_piece(c,
               SLICE(AV_START AV_BLOCK AV_TEXT AV_BLOCK_STOP AV(
                   "content_block_start",
                   ",\"index\":1,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s\","
                   "\"name\":\"web_search\",\"input\":{}}") AV("content_block_stop", ",\"index\":1")
                         AV("content_block_start",
                            ",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\","
                            "\"name\":\"f\",\"input\":{}}")));
    for (unsigned i = 0; i < 400 && c->lease != NULL; i++)
        call_piece(c, SLICE(AV_AT("2")));
    CHECK(c->cancelled && answer_is_whole(s));
    CHECK_EQ_I64(count_of(s, "\"partial_json\""), GONE - 1);
    CHECK_EQ_LIT(json_member(tongue_data(s, 2), "type"), "content_block_stop");
    CHECK_EQ_LIT(json_member(tongue_data(s, 2), "index"), "2");
    CHECK_EQ_LIT(json_member(tongue_data(s, 1), "delta.stop_reason"), "max_tokens");
    CHECK_EQ_LIT(json_member(tongue_data(s, 1), "usage.input_tokens"), "7");
    CHECK_EQ_LIT(json_member(tongue_data(s, 1), "usage.output_tokens"), "39");
    CHECK_EQ_I64(count_of(s, "event: message_start\n"), 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

/* The end between two blocks. */
TEST(no_block_is_open)
{
    struct world *w = world_new(NULL);
    struct net_stream *s = ask_bound(w, MESSAGES, "claude", 1, "");
    struct call *c = tape_head(w);
    call_piece(c, SLICE(AV_START));
    for (unsigned i = 0; i < 400 && c->lease != NULL; i++) {
        char block[1024];
        int n = snprintf(block, sizeof block,
                         "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                         "\"index\":%u,\"content_block\":{\"type\":\"text\",\"text\":\"word\"}}\n\n"
                         "event: content_block_stop\ndata: {\"type\":\"content_block_stop\","
                         "\"index\":%u}\n\n",
                         i, i);
        call_piece(c, slice_of(block, (size_t)n));
    }
    CHECK(c->cancelled && answer_is_whole(s));
    CHECK_EQ_I64(count_of(s, "event: content_block_start\n"), EACH + SLACK + 1);
    CHECK_EQ_I64(count_of(s, "event: content_block_stop\n"), EACH + SLACK + 1);
    client_free(s);
    world_check_rest(w);
    world_free(w);
}

#define EV_CALL(i, rest)                                                                           \
    EV_CHOICES "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":" i rest "}]}}]}\n\n"

/* A call whose arguments never end, another one behind it: what is cut does not look whole. */
TEST(unfinished_call)
{
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        check_note("%s", tongue_names[t]);
        struct world *w = world_new(NULL);
        struct net_stream *s = ask_bound(w, t, "mistral", BOUND, "");
        struct call *c = tape_head(w);
        call_piece(c, SLICE(EV_ROLE EV_CALL("0", ",\"id\":\"t1\",\"type\":\"function\",\"function\""
                                                 ":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":[\"}")
                                EV_CALL("1", ",\"id\":\"t2\",\"type\":\"function\",\"function\":{"
                                             "\"name\":\"g\",\"arguments\":\"{}\"}")));
        for (unsigned i = 0; i < 400 && c->lease != NULL; i++)
            call_piece(c, SLICE(EV_CALL("0", ",\"function\":{\"arguments\":\"1,\"}")));
        CHECK(c->cancelled && s->state == CLIENT_ENDED && !s->close_after);
        CHECK_EQ_I64(says(s, "\"finish_reason\":\"length\""), t == CHAT);
        CHECK_EQ_I64(says(s, "\"stop_reason\":\"max_tokens\""), t == MESSAGES);
        CHECK_EQ_I64(says(s, "\"finishReason\":\"MAX_TOKENS\""), t == GOOGLE);
        CHECK_EQ_I64(says(s, "response.incomplete"), t == RESPONSES);
        CHECK_EQ_I64(says(s, "functionCall"), false);
        CHECK(t == GOOGLE || (answer_is_whole(s) && says(s, "\"f\"")));
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
    check_note("%s", "");
}

/* --- an answer that another target goes on with */

static void as_rescued(struct gw_snapshot *s)
{
    static const int route[] = {ALPHA, GAMMA};
    struct gw_model *m = snapshot_model(s, "wires");
    snapshot_provider(s, GAMMA)->row = llm_provider_find(SLICE("vllm"));
    snapshot_retarget(m, s, route, 2);
    m->rescue = RESCUE_CONTINUE;
}

TEST(continuation_without_end)
{
    for (enum tongue t = 0; t < TONGUES_N; t++) {
        check_note("%s", tongue_names[t]);
        struct world *w = world_new(as_rescued);
        struct net_stream *s = ask_bound(w, t, "wires", BOUND, t == CHAT ? WITH_USAGE : "");
        struct call *c = tape_head(w);
        struct tape tape = tape_of(wire_of(c), SLICE("The river falls "), 8);
        tape_play(c, &tape, tape.first + 2);
        tape_cut(w, c, CUT_RESET);
        text_done(&tape.all);
        c = tape_head(w);
        call_piece(c, SLICE(EV_ROLE));
        call_piece(c, SLICE(EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\" and\"}}]}\n\n"));
        for (unsigned i = 0; i < 400 && c->lease != NULL; i++)
            call_piece(c, SLICE(EV_TEXT));
        CHECK(c->cancelled && s->state == CLIENT_ENDED && !s->close_after);
        CHECK(log_attempt_is(1, "gamma/m1", "cut_at_limit"));
        CHECK(log_text_is("reason", "cut_at_limit"));
        CHECK_EQ_I64(count_of(s, t == CHAT        ? "\"finish_reason\":\"length\""
                                 : t == RESPONSES ? "event: response.incomplete\n"
                                 : t == MESSAGES  ? "\"stop_reason\":\"max_tokens\""
                                                  : "\"finishReason\":\"MAX_TOKENS\""),
                     1);
        CHECK(t == GOOGLE || answer_is_whole(s));
        client_free(s);
        world_check_rest(w);
        world_free(w);
    }
    check_note("%s", "");
}

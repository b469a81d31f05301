/* The n-th allocation fails, for every n, in typical exchanges: each one ends with an answer or
 * with the end of its connection, never with half an answer that looks whole, and nothing is left
 * over. */
#include "base/clock.h"
#include "base/mem.h"
#include "world.h"

static struct call *open_call(struct world *w)
{
    loop_turn(w->loop);
    return call_last_open(w->loop);
}

static void head(struct world *w, unsigned status, const char *fields, int64_t length)
{
    struct call *c = open_call(w);
    if (c != NULL && c->lease->phase < LEASE_BODY)
        call_head(c, status, fields, length);
}

static void piece(struct world *w, struct slice data)
{
    struct call *c = open_call(w);
    if (c != NULL && c->lease->phase == LEASE_BODY)
        call_piece(c, data);
}

static void end(struct world *w)
{
    struct call *c = open_call(w);
    if (c != NULL && c->lease->phase == LEASE_BODY)
        call_end(c);
}

static void fail(struct world *w)
{
    struct call *c = open_call(w);
    if (c != NULL)
        call_fail(c, NET_FAIL_RESET, "with a detail");
}

static struct net_stream *play_plain(struct world *w)
{
    struct net_stream *s = ask(w, "house", 0);
    head(w, 200, JSON_HEAD "x-request-id: theirs\nx-ratelimit-limit: 3\n", -1);
    piece(w, SLICE("{\"id\":\"c1\",\"choices\":[{\"index\":0,\"message\":{\"content\":"));
    piece(w, SLICE("\"hi\"},\"finish_reason\":\"stop\"}]}"));
    end(w);
    return s;
}

static struct net_stream *play_stream(struct world *w)
{
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    loop_advance(w->loop, 10 * NS_PER_S);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(": hello\n\n" EV_ROLE "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,"));
    piece(w, SLICE("\"delta\":{\"content\":\"x\"}}]}\n\n" EV_TEXT));
    piece(w, SLICE("data: {\"id\":\"c1\",\ndata: \"choices\":[{\"index\":0,\ndata: "
                   "\"delta\":{\"content\":\"y\"}}]}\n\n"));
    piece(w, SLICE(EV_USAGE EV_DONE));
    end(w);
    return s;
}

static struct net_stream *play_failover(struct world *w)
{
    struct net_stream *s = ask(w, "three", ASK_STREAM | ASK_USAGE);
    fail(w);
    head(w, 429, "Retry-After: 7\nx-ratelimit-limit: 3\n", -1);
    piece(w, SLICE("{\"error\":{\"message\":\"slow\"}}"));
    end(w);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_TEXT EV_USAGE EV_DONE));
    end(w);
    return s;
}

static struct net_stream *play_pass(struct world *w)
{
    struct client_request r = {.method = HTTP_POST,
                               .path = "/v1/audio/speech?x=1",
                               .fields = "Content-Type: audio/wav\nOpenAI-Beta: x\n",
                               .content_length = 10};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    client_body(s, SLICE("01234"), false);
    client_body(s, SLICE("56789"), true);
    head(w, 200, "Content-Type: audio/wav\nx-ratelimit-limit: 3\n", 4);
    piece(w, SLICE("wave"));
    end(w);
    return s;
}

static struct net_stream *play_packed(struct world *w)
{
    static const unsigned char gz[] = {
        /* {"model":"one","input":"x"} */
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0xca, 0xcd, 0x4f,
        0x49, 0xcd, 0x51, 0xb2, 0x52, 0xca, 0xcf, 0x4b, 0x55, 0xd2, 0x51, 0xca, 0xcc, 0x2b, 0x28,
        0x2d, 0x01, 0xf2, 0x2a, 0x94, 0x6a, 0x01, 0xe8, 0x69, 0xe6, 0xd5, 0x1b, 0x00, 0x00, 0x00};
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/embeddings",
                                    "Content-Encoding: gzip\nAuthorization: Bearer k\n",
                                    slice_of((const char *)gz, sizeof gz));
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE("{\"object\":\"list\",\"data\":[{\"embedding\":[1.0]}]}"));
    end(w);
    return s;
}

static struct net_stream *play_error(struct world *w)
{
    struct net_stream *s = ask(w, "own", ASK_STREAM);
    head(w, 400, "Retry-After: 7\n", -1);
    piece(w, SLICE("{\"error\":{\"type\":\"t\",\"code\":\"c\",\"message\":\"\\u00fc"));
    for (int i = 0; i < 20; i++) /* more than a buffer begins with */
        piece(w, SLICE("is not what may be asked for, "));
    piece(w, SLICE("\"}}"));
    end(w);
    return s;
}

static struct net_stream *play_error_in_a_stream(struct world *w)
{
    struct net_stream *s = ask(w, "one", ASK_STREAM);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_TEXT));
    piece(w, SLICE(EV_TEXT EV_ERROR));
    return s;
}

static struct net_stream *play_queue(struct world *w)
{
    if (!permits_try(&w->house->permits))
        CHECK(false);
    struct net_stream *s = ask(w, "house", 0);
    permits_give(&w->house->permits);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    return s;
}

static struct net_stream *play_queues(struct world *w)
{
    if (!permits_try(&w->house->permits) || !permits_try(&w->tiny->permits))
        CHECK(false);
    struct net_stream *s = ask(w, "house-tiny", 0);
    permits_give(&w->tiny->permits);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    permits_give(&w->house->permits);
    return s;
}

static struct net_stream *play_large(struct world *w)
{
    static char text[3 << 19];
    memset(text, ' ', sizeof text);
    struct slice body = chat_body("one", 0);
    memcpy(text + sizeof text - body.n, body.p, body.n);
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, slice_of(text, sizeof text));
    loop_jobs(w->loop);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    return s;
}

static struct net_stream *play_models(struct world *w)
{
    return ask_path(w, HTTP_GET, "/v1/models/one", "Origin: https://x\n", SLICE_NONE);
}

static struct net_stream *play_preflight(struct world *w)
{
    return ask_path(w, HTTP_OPTIONS, "/v1/chat/completions", "Origin: https://x\n", SLICE_NONE);
}

static struct net_stream *play_no_model(struct world *w)
{
    return ask(w, "fiev", 0);
}

static struct net_stream *play_move(struct world *w)
{
    struct net_stream *s = ask(w, "modal", 0);
    head(w, 303, "Location: /later\n", 0);
    end(w);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    return s;
}

/* Tool calls at once, whose pieces come mixed; the client takes one after the other. */
#define EV_CALL(index, rest)                                                                       \
    EV_CHOICES "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":" index "," rest "}]}}]}\n\n"
#define EV_CALLS                                                                                   \
    EV_CALL("0", "\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")                 \
    EV_CALL("1", "\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{\"}")                 \
    EV_CALL("0", "\"function\":{\"arguments\":\"}\"}")                                             \
    EV_CALL("1", "\"function\":{\"arguments\":\"}\"}")

static struct net_stream *play_messages(struct world *w)
{
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/messages", NULL, messages_body("one", true));
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE EV_TEXT EV_CALLS));
    piece(w, SLICE(EV_FINISH EV_USAGE EV_DONE));
    end(w);
    return s;
}

static struct net_stream *play_messages_whole(struct world *w)
{
    struct net_stream *s = ask_path(
        w, HTTP_POST, "/v1/messages", NULL,
        SLICE("{\"model\":\"one\",\"max_tokens\":9,\"x\":1,\"thinking\":{\"type\":\"disabled\"},"
              "\"system\":\"be\","
              "\"stop_sequences\":[\"s\"],\"tools\":[{\"name\":\"f\",\"input_schema\":{}}],"
              "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
              "\"h\\u00fc\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\","
              "\"media_type\":\"image/png\",\"data\":\"aGk=\"}}]}]}"));
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    return s;
}

static struct net_stream *play_claude(struct world *w)
{
    struct net_stream *s = ask(w, "claude-first", ASK_STREAM | ASK_USAGE);
    loop_advance(w->loop, 10 * NS_PER_S);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(AV_START AV_BLOCK AV_TEXT));
    piece(w, SLICE(AV_BLOCK_STOP AV_DELTA AV_STOP));
    end(w);
    return s;
}

static struct net_stream *play_claude_whole(struct world *w)
{
    struct net_stream *s = ask(w, "claude", 0);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(MESSAGE_ANSWER));
    end(w);
    return s;
}

static struct net_stream *play_wires(struct world *w)
{
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/messages", NULL, messages_body("wires", true));
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE));
    fail(w);
    head(w, 529, "Retry-After: 7\n", -1);
    piece(
        w,
        SLICE("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}"));
    end(w);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(GV_TEXT GV_FINISH));
    end(w);
    return s;
}

static struct net_stream *play_error_event(struct world *w)
{
    struct net_stream *s = ask(w, "claude", ASK_STREAM);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(AV_START AV_BLOCK AV_TEXT AV_ERROR));
    end(w);
    return s;
}

static struct net_stream *play_responses(struct world *w)
{
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/responses", NULL,
                 SLICE("{\"model\":\"claude\",\"stream\":true,\"input\":\"hi\"}"));
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(AV_ALL));
    end(w);
    return s;
}

static struct net_stream *play_job(struct world *w)
{
    struct net_stream *s = ask(w, "replicate", ASK_STREAM);
    head(w, 201, JSON_HEAD, -1);
    piece(w, SLICE("{\"id\":\"j1\",\"status\":\"starting\"}"));
    end(w);
    loop_advance(w->loop, NS_PER_S);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE("{\"id\":\"j1\",\"status\":\"succeeded\",\"output\":[\"wo\",\"rd\"]}"));
    end(w);
    return s;
}

static struct net_stream *play_google(struct world *w)
{
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1beta/models/one:streamGenerateContent", NULL,
                                    SLICE("{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}"));
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE EV_TEXT EV_CALLS));
    piece(w, SLICE(EV_FINISH EV_USAGE EV_DONE));
    end(w);
    return s;
}

#define EV_MORE EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\" and \\u00fcber\"}}]}\n\n"

/* A stream that breaks off and goes on from another target. */
static void go_on(struct world *w)
{
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE EV_TEXT EV_MORE));
    fail(w);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\" \\\"it\"}}]}\n\n"));
    piece(w, SLICE(EV_TEXT EV_MORE EV_FINISH EV_USAGE EV_DONE));
    end(w);
}

static struct net_stream *play_rescue(struct world *w)
{
    struct net_stream *s = ask(w, "four", ASK_STREAM | ASK_USAGE);
    go_on(w);
    return s;
}

static struct net_stream *play_rescue_of_messages(struct world *w)
{
    static const char body[] = "{\"model\":\"four\",\"max_tokens\":99,\"stream\":true,"
                               "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    struct net_stream *s = ask_path(w, HTTP_POST, "/v1/messages", NULL, SLICE(body));
    go_on(w);
    return s;
}

/* The continuation starts over: the client gets the first one's error. */
static struct net_stream *play_wrong_rescue(struct world *w)
{
    struct net_stream *s = ask(w, "four", ASK_STREAM);
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE EV_TEXT EV_MORE EV_ERROR));
    head(w, 200, SSE_HEAD, -1);
    piece(w, SLICE(EV_ROLE EV_TEXT EV_MORE EV_MORE EV_FINISH EV_DONE));
    return s;
}

/* The second of two is first. */
static struct net_stream *play_hedge(struct world *w)
{
    struct net_stream *s = ask(w, "five", ASK_STREAM);
    struct call *first = open_call(w);
    if (first != NULL)
        call_head(first, 200, SSE_HEAD, -1);
    loop_advance(w->loop, NS_PER_S);
    head(w, 200, SSE_HEAD, -1);
    struct call *c = open_call(w);
    bool second = c != NULL && c->upstream == w->up[CLAUDE];
    piece(w, second ? SLICE(AV_START AV_BLOCK AV_TEXT) : SLICE(EV_ROLE EV_TEXT));
    piece(w, second ? SLICE(AV_BLOCK_STOP AV_DELTA AV_STOP) : SLICE(EV_FINISH EV_DONE));
    end(w);
    while (open_call(w) != NULL)
        fail(w);
    return s;
}

static struct net_stream *play_retry(struct world *w)
{
    struct net_stream *s = ask(w, "azure", 0);
    fail(w);
    loop_advance(w->loop, NS_PER_S);
    head(w, 200, JSON_HEAD, -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    return s;
}

static void fail_twice(struct world *w)
{
    fail(w);
    loop_advance(w->loop, NS_PER_S);
    fail(w);
}

static struct net_stream *play_last_resort(struct world *w)
{
    struct net_stream *s = ask(w, "gemini", ASK_STREAM);
    fail_twice(w);
    return s;
}

static struct net_stream *play_last_resort_whole(struct world *w)
{
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/messages", NULL, messages_body("gemini", false));
    fail_twice(w);
    return s;
}

/* Heads of all lengths, so that whatever is copied into the exchange's arena is at some time the
 * first that does not fit any more. */
static size_t padding;

static const char *padded_fields(const char *first, const char *second)
{
    static char fields[16384], dots[8192];
    memset(dots, '.', sizeof dots);
    snprintf(fields, sizeof fields, "%s%.*s\n%s%.*s!\n", first, (int)padding / 3, dots, second,
             (int)padding, dots);
    return fields;
}

/* What went upstream has all of them. */
static void check_fields(const struct call *c)
{
    CHECK(c == NULL || (strstr(c->fields.p, "traceparent: .") && strstr(c->fields.p, ".!\r\n")));
}

static struct net_stream *play_long_head(struct world *w)
{
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions",
                 padded_fields("traceparent: ", "Authorization: Bearer "), chat_body("own", 0));
    check_fields(call_at(w->loop, 0));
    head(w, 200, JSON_HEAD "x-ratelimit-a: b\n", -1);
    piece(w, SLICE(CHAT_ANSWER));
    end(w);
    return s;
}

static struct net_stream *play_long_pass(struct world *w)
{
    struct net_stream *s = ask_path(w, HTTP_GET, "/v1/files",
                                    padded_fields("traceparent: ", "Content-Type: "), SLICE_NONE);
    check_fields(call_at(w->loop, 0));
    head(w, 200, "Content-Type: audio/wav\n", 4);
    piece(w, SLICE("wave"));
    end(w);
    return s;
}

static void told(struct child *c, unsigned status, struct slice body)
{
    CHECK(c->exchange == NULL && (status == 0 || status == 502 || json_valid(body)));
}

/* A parent with a child, and another one that stands alone; both have its credential. */
static struct net_stream *play_children(struct world *w)
{
    static struct child c;
    c = (struct child){.purpose = "judge",
                       .op = LLM_CHAT,
                       .deadline_ns = net_now(w->loop) + NS_PER_S,
                       .done = told};
    struct child alone = c;
    alone.detached = true;
    struct net_stream *s =
        ask_path(w, HTTP_POST, "/v1/chat/completions",
                 padded_fields("traceparent: ", "x-api-key: "), chat_body("one", 0));
    struct call *parent = call_last_open(w->loop);
    if (parent == NULL)
        return s;
    alone.body = c.body = chat_body("own", 0);
    bool ok = exchange_child_start(exchange_of(s), &c);
    ok = exchange_child_start(exchange_of(s), &alone) && ok;
    for (struct call *own; (own = call_last_open(w->loop)) != parent;) {
        CHECK(strstr(own->fields.p, ".!\r\n") != NULL);
        answer_json(own, 200, SLICE(CHAT_ANSWER));
    }
    answer_json(parent, 200, SLICE(CHAT_ANSWER));
    CHECK(ok || mem_torture_count() > 0);
    return s;
}

static const struct {
    const char *name;
    struct net_stream *(*fn)(struct world *w);
    unsigned status;
} plays[] = {
    {"plain", play_plain, 200},
    {"stream", play_stream, 200},
    {"failover", play_failover, 200},
    {"pass", play_pass, 200},
    {"packed", play_packed, 200},
    {"error", play_error, 400},
    {"error in a stream", play_error_in_a_stream, 200},
    {"queue", play_queue, 200},
    {"queues", play_queues, 200},
    {"large", play_large, 200},
    {"models", play_models, 200},
    {"preflight", play_preflight, 204},
    {"no model", play_no_model, 404},
    {"move", play_move, 200},
    {"messages", play_messages, 200},
    {"messages, whole", play_messages_whole, 200},
    {"claude", play_claude, 200},
    {"claude, whole", play_claude_whole, 200},
    {"wires", play_wires, 200},
    {"error event", play_error_event, 200},
    {"responses", play_responses, 200},
    {"job", play_job, 200},
    {"google", play_google, 200},
    {"rescue", play_rescue, 200},
    {"rescue, messages", play_rescue_of_messages, 200},
    {"rescue that is none", play_wrong_rescue, 200},
    {"hedge", play_hedge, 200},
    {"retry", play_retry, 200},
    {"last resort", play_last_resort, 200},
    {"last resort, whole", play_last_resort_whole, 200},
    {"long head", play_long_head, 200},
    {"long head, passed", play_long_pass, 200},
    {"children", play_children, 200},
};
#define PADDED   (ARRAY_LEN(plays) - 3) /* the first of those that make use of it */
#define CHILDREN (ARRAY_LEN(plays) - 1) /* each of which has a line */

static void allow_origin(struct gw_snapshot *s)
{
    s->cors_origins = mem_must(arena_new(&s->arena, struct slice));
    s->cors_origins[0] = SLICE("https://x");
    s->cors_n = 1;
}

/* What the plays ask of their aliases beside the usual. */
static void prepare(struct gw_snapshot *s)
{
    allow_origin(s);
    struct gw_model *four = snapshot_model(s, "four"), *five = snapshot_model(s, "five");
    snapshot_retarget(four, s, (const int[]){ALPHA, HOUSE}, 2);
    four->rescue = RESCUE_CONTINUE;
    snapshot_retarget(five, s, (const int[]){ALPHA, CLAUDE}, 2);
    snapshot_watch(five);
    five->hedge_after_ns = NS_PER_S;
    five->hedge_percent = 100;
    snapshot_model(s, "gemini")->last_resort = SLICE("Sorry. \xC3\x9C");
    s->retry = (struct gw_retry){.attempts = ATTEMPTS_MAX,
                                 .same_target = 1,
                                 .backoff_ns = NS_PER_S,
                                 .max_backoff_ns = NS_PER_S};
}

/* Memory that the worker keeps for later must be asked for anew in each round. */
static void forget_memory(struct world *w)
{
    struct worker *k = w->worker;
    struct buf *bufs[] = {&k->out, &k->events, &k->line, &k->fields};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_done(bufs[i]);
    arena_pool_done(&k->loop.arenas);
    struct block_budget *budget = k->loop.blocks.budget;
    size_t keep = k->loop.blocks.keep_bytes;
    block_pool_done(&k->loop.blocks);
    block_pool_init(&k->loop.blocks, budget, keep);
    timers_done(&k->loop.timers);
    timers_init(&k->loop.timers);
    json_parser_free(k->json);
    k->json = mem_must(json_parser_new());
    json_parser_free(k->json_aside);
    k->json_aside = mem_must(json_parser_new());
    limit_pool_free(k->limits);
    k->limits = mem_must(limit_pool_new());
}

/* An exchange that could not be made has no line; one whose line could not be made has none, too.
 */
static void check_round(struct world *w, size_t i, const struct net_stream *s)
{
    CHECK(s->state == CLIENT_ENDED || s->state == CLIENT_ABORTED);
    if (s->state == CLIENT_ENDED) {
        CHECK(answer_is_whole(s));
        CHECK(log_lines() == 0 || client_field(s, "x-weir-request-id").n > 0);
        CHECK(s->status == 204 || client_field(s, "content-type").n > 0);
        CHECK(s->status == plays[i].status || s->status == 503 || s->status == 502);
    }
    CHECK(log_lines() <= (i == CHILDREN ? 3 : 1));
    w->started = log_lines();
    world_check_rest(w);
}

/* Plays with the n-th allocation failing; false: there were fewer. */
static bool round_of(struct world *w, size_t i, int64_t nth)
{
    check_note("%s, allocation %lld", plays[i].name, (long long)nth);
    forget_memory(w);
    log_clear();
    w->started = 0;
    mem_torture(nth);
    struct net_stream *s = plays[i].fn(w);
    bool failed = nth > 0 && mem_torture_count() >= nth;
    mem_torture(0);
    check_round(w, i, s);
    if (!failed)
        CHECK(s->state == CLIENT_ENDED && s->status == plays[i].status &&
              log_lines() == (i == CHILDREN ? 3 : 1));
    client_free(s);
    calls_forget(w->loop);
    return failed;
}

/* One round for each allocation; returns how many. */
static int64_t rounds_of(struct world *w, size_t i)
{
    int64_t nth = 1;
    round_of(w, i, 0);
    while (round_of(w, i, nth))
        nth++;
    return nth;
}

TEST(every_allocation_fails_once)
{
    int64_t rounds = 0;
    check_needs_torture();
    for (size_t i = 0; i < PADDED; i++) {
        struct world *w = world_new(prepare);
        int64_t n = rounds_of(w, i);
        CHECK(n > 3);
        rounds += n;
        world_free(w);
    }
    check_note("%s", "");
    CHECK(rounds > 80);
}

TEST(every_piece_of_the_arena)
{
    check_needs_torture();
    struct world *w = world_new(prepare);
    for (padding = 100; padding < 4300; padding += 40) {
        for (size_t i = PADDED; i < ARRAY_LEN(plays); i++)
            rounds_of(w, i);
    }
    check_note("%s", "");
    world_free(w);
}

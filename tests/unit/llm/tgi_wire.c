/* TGI's own API as a wire: prompts, and answers as neutral events. */
#include "../../fuzz/event_order.h"
#include "check.h"
#include "fixture.h"
#include "llm/wire.h"

static const struct llm_provider provider = {.type = "tgi-native"};

/* ---- Requests. */

struct request {
    struct llm_chat chat;
    struct llm_message message[5];
    struct llm_part part[6];
    struct llm_writing w;
    struct llm_bad_request bad;
    struct buf out;
};

static struct llm_text text(const char *s)
{
    return (struct llm_text){slice_str(s)};
}

/* One message of the user's, "Hi". */
static void begin(struct request *q)
{
    set_up();
    *q = (struct request){.bad.no_memory = false};
    q->chat = (struct llm_chat){.parallel = -1,
                                .format_strict = -1,
                                .max_tokens = -1,
                                .n = 1,
                                .top_logprobs = -1,
                                .budget = -1,
                                .store = -1,
                                .messages = q->message};
    q->message[0] = (struct llm_message){.role = ROLE_USER, .parts = q->part};
    q->part[0] = (struct llm_part){.kind = PART_TEXT, .text = text("Hi")};
    buf_init(&q->out, 1 << 16);
}

static bool write(struct request *q)
{
    q->w = (struct llm_writing){.arena = &arena,
                                .json = parser,
                                .chat = &q->chat,
                                .provider = &provider,
                                .model = SLICE("m"),
                                .out = &q->out,
                                .bad = &q->bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        q->w.lack[f] = (unsigned char)llm_feature_lack(f);
    return tgi_wire.write_chat(&q->w);
}

static void end(struct request *q)
{
    buf_done(&q->out);
    tear_down();
}

static void check_written(struct request *q, const char *want)
{
    struct json_doc d;
    CHECK(write(q));
    CHECK_EQ_SLICE(buf_view(&q->out), slice_str(want));
    CHECK_EQ_I64(json_parse(parser, buf_view(&q->out), 0, &d), JSON_OK);
}

#define INPUTS(text) "{\"inputs\":\"" text "\",\"parameters\":{"
#define REST         "\"return_full_text\":false,\"details\":true}"
#define PLAIN        "\"max_new_tokens\":null,\"do_sample\":true," REST

TEST(one_message)
{
    struct request q;
    begin(&q);
    check_written(&q, INPUTS("User: Hi\\nAssistant:") PLAIN "}");
    end(&q);
    begin(&q);
    q.chat.stream = true;
    check_written(&q, INPUTS("User: Hi\\nAssistant:") PLAIN ",\"stream\":true}");
    end(&q);
    begin(&q);
    q.chat.completion = true;
    check_written(&q, INPUTS("Hi") PLAIN "}");
    end(&q);
}

TEST(conversation)
{
    static const enum llm_role roles[] = {ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_DEVELOPER,
                                          ROLE_ASSISTANT};
    static const char *const texts[] = {"Be \\\"kind\\\".", "Hi", "Hello.", "Stop.", "So"};
    struct request q;
    begin(&q);
    for (unsigned i = 0; i < 5; i++) {
        q.message[i] = (struct llm_message){.role = roles[i], .parts = &q.part[i]};
        q.message[i].next = i < 4 ? &q.message[i + 1] : NULL;
        q.part[i] = (struct llm_part){.kind = PART_TEXT, .text = text(texts[i])};
    }
    q.part[1].next = &q.part[5];
    q.part[5] = (struct llm_part){.kind = PART_TEXT, .text = text("you")};
    check_written(&q, INPUTS("Be \\\"kind\\\".\\n\\nUser: Hi\\nyou\\nAssistant: Hello.\\nSystem: "
                             "Stop.\\nAssistant: So") PLAIN "}");
    end(&q);
}

static const struct {
    const char *temperature, *top_p, *top_k, *want;
} samplings[] = {
    {NULL, NULL, NULL, "\"max_new_tokens\":9,\"do_sample\":true,"},
    {"0", "1", "0", "\"max_new_tokens\":9,\"do_sample\":false,"},
    {"0.00", "1.0", NULL, "\"max_new_tokens\":9,\"do_sample\":false,"},
    {"0.01", "0.9", "10",
     "\"max_new_tokens\":9,\"do_sample\":true,\"temperature\":0.01,\"top_p\":0.9,\"top_k\":10,"},
};

TEST(sampling)
{
    for (size_t i = 0; i < ARRAY_LEN(samplings); i++) {
        struct request q;
        struct buf want;
        check_note("row %zu", i);
        begin(&q);
        buf_init(&want, 1 << 12);
        q.chat.max_tokens = 9;
        q.chat.temperature = slice_str(samplings[i].temperature);
        q.chat.top_p = slice_str(samplings[i].top_p);
        q.chat.top_k = slice_str(samplings[i].top_k);
        buf_printf(&want, "%s%s%s}", INPUTS("User: Hi\\nAssistant:"), samplings[i].want, REST);
        buf_char(&want, '\0');
        check_written(&q, want.p);
        buf_done(&want);
        end(&q);
    }
}

TEST(schema_stop_and_seed)
{
    struct llm_word stop = {.word = SLICE("\n\n")};
    struct request q;
    begin(&q);
    q.chat.seed = SLICE("7");
    q.chat.stop = &stop;
    q.chat.frequency_penalty = SLICE("0.5");
    q.chat.format = FORMAT_JSON_SCHEMA;
    q.chat.format_schema_json = SLICE("{\"type\":\"object\"}");
    check_written(
        &q,
        INPUTS("User: Hi\\nAssistant:") "\"max_new_tokens\":null,\"do_sample\":true,"
                                        "\"frequency_penalty\":0.5,\"seed\":7,\"stop\":[\"\\n\\n\"]"
                                        ",\"grammar\":{"
                                        "\"type\":\"json\",\"value\":{\"type\":\"object\"}}," REST
                                        "}");
    end(&q);
}

static const struct {
    enum llm_part_kind kind;
    const char *param; /* NULL: dropped */
} kinds[] = {
    {PART_IMAGE, "messages[0].content[0]"},     {PART_AUDIO, "messages[0].content[0]"},
    {PART_VIDEO, "messages[0].content[0]"},     {PART_DOCUMENT, "messages[0].content[0]"},
    {PART_TOOL_CALL, "messages[0].content[0]"}, {PART_TOOL_RESULT, "messages[0].content[0]"},
    {PART_NATIVE, "messages[0].content[0]"},    {PART_REASONING, NULL},
};

TEST(parts_that_are_no_text)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct request q;
        check_note("row %zu", i);
        begin(&q);
        q.part[0].kind = kinds[i].kind;
        CHECK_EQ_I64(write(&q), kinds[i].param == NULL);
        CHECK_EQ_STR(q.bad.param, kinds[i].param != NULL ? kinds[i].param : "");
        CHECK_EQ_I64(q.w.dropped != NULL, kinds[i].param == NULL);
        end(&q);
    }
}

TEST(tools)
{
    struct llm_tool tool = {.name = SLICE("f")};
    struct request q;
    begin(&q);
    q.chat.tools = &tool;
    CHECK(!write(&q));
    CHECK_EQ_STR(q.bad.param, "tools");
    end(&q);
    begin(&q);
    q.chat.tools = &tool;
    q.chat.choice = CHOICE_NONE;
    CHECK(write(&q));
    CHECK(q.w.dropped == NULL);
    end(&q);
}

/* ---- Answers. */

struct run {
    struct llm_decoder d;
    struct event_order order;
    struct buf said;
    bool ok;
};

static void note(void *ctx, const struct llm_event *e)
{
    static const char *const finishes[] = {
        [FINISH_STOP] = "stop", [FINISH_LENGTH] = "length", [FINISH_SEQUENCE] = "sequence"};
    struct buf *b = ctx;
    switch (e->kind) {
    case EVENT_START: buf_lit(b, "start "); return;
    case EVENT_PART: buf_printf(b, "part%u ", e->part); return;
    case EVENT_DELTA: buf_printf(b, "[" SLICE_FMT "] ", SLICE_ARG(e->text.inner)); return;
    case EVENT_PART_END: buf_lit(b, "partend "); return;
    case EVENT_FINISH: buf_printf(b, "%s ", finishes[e->finish]); return;
    case EVENT_END: buf_lit(b, "end"); return;
    case EVENT_ERROR:
        buf_printf(b, "error %u " SLICE_FMT, e->status, SLICE_ARG(e->error->message));
        return;
    default: buf_lit(b, "?"); return;
    }
}

static void run_begin(struct run *r)
{
    set_up();
    *r = (struct run){.ok = true};
    buf_init(&r->said, 1 << 16);
    event_order_init(&r->order, note, &r->said);
    r->d = (struct llm_decoder){.wire = &tgi_wire,
                                .arena = &arena,
                                .json = parser,
                                .emit = event_order_take,
                                .ctx = &r->order,
                                .model = SLICE("m"),
                                .usage = LLM_USAGE_NONE};
}

static void run_end(struct run *r, bool ok, const char *said)
{
    CHECK_EQ_I64(r->ok, ok);
    CHECK_EQ_STR(event_order_end(&r->order, r->ok), NULL);
    CHECK_EQ_SLICE(buf_view(&r->said), slice_str(said));
    event_order_done(&r->order);
    buf_done(&r->said);
    tear_down();
}

#define TOKEN(text, special)                                                                       \
    "{\"index\":1,\"token\":{\"id\":5,\"text\":\"" text "\",\"logprob\":-0.5,\"special\":" special \
    "},\"generated_text\":null,\"details\":null}"
#define LAST(text, special, reason)                                                                \
    "{\"token\":{\"id\":2,\"text\":\"" text "\",\"logprob\":-0.1,\"special\":" special             \
    "},\"generated_text\":\"all\",\"details\":{\"finish_reason\":\"" reason                        \
    "\",\"generated_tokens\":3,\"input_length\":11,\"seed\":null}}"

static const struct {
    const char *events[4];
    bool ok;
    const char *said;
} streams[] = {
    {{TOKEN(" Hi", "false"), TOKEN("\\n", "false"), LAST("</s>", "true", "eos_token")},
     true,
     "start part0 [ Hi] [\\n] partend stop end"},
    {{TOKEN("a", "false"), LAST("b", "false", "length"), "[DONE]"},
     true,
     "start part0 [a] [b] partend length end"},
    {{LAST("b", "false", "stop_sequence")}, true, "start part0 [b] partend sequence end"},
    {{LAST("", "true", "eos_token")}, true, "start stop end"},
    {{TOKEN("a", "false")}, false, "start part0 [a] "},
    {{NULL}, false, ""},
    {{TOKEN("a", "false"), "{\"error\":\"gone\",\"error_type\":\"generation\"}"},
     true,
     "start part0 [a] error 424 gone"},
    {{"{\"error\":\"Model is overloaded\",\"error_type\":\"overloaded\"}"},
     true,
     "error 429 Model is overloaded"},
    {{"{"}, false, ""},
    {{"[]"}, false, ""},
};

TEST(streams)
{
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        struct run r;
        check_note("row %zu", i);
        run_begin(&r);
        for (unsigned e = 0; e < 4 && streams[i].events[e] != NULL && r.ok; e++)
            r.ok = tgi_wire.decode_event(&r.d, SLICE_NONE, slice_str(streams[i].events[e]));
        r.ok = r.ok && tgi_wire.decode_end(&r.d);
        if (i == 0) {
            CHECK_EQ_I64(r.d.usage.input, 11);
            CHECK_EQ_I64(r.d.usage.output, 3);
        }
        run_end(&r, streams[i].ok, streams[i].said);
    }
}

static const struct {
    const char *body;
    bool ok;
    const char *said;
} answers[] = {
    {"{\"generated_text\":\"Hi\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":1}"
     "}",
     true, "start part0 [Hi] partend length end"},
    {"[{\"generated_text\":\"Hi\"}]", true, "start part0 [Hi] partend stop end"},
    {"{\"generated_text\":\"\"}", true, "start stop end"},
    {"{\"error\":\"too long\",\"error_type\":\"validation\"}", true, "error 422 too long"},
    {"[]", false, ""},
    {"[{\"generated_text\":\"a\"},{\"generated_text\":\"b\"}]", false, ""},
    {"{}", false, ""},
    {"Hi", false, ""},
};

TEST(whole_answers)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct run r;
        check_note("row %zu", i);
        run_begin(&r);
        r.ok = tgi_wire.decode_answer(&r.d, slice_str(answers[i].body));
        run_end(&r, answers[i].ok, answers[i].said);
    }
}

/* The neutral request as Bedrock's Converse. Each test changes one thing of a small request. */
#include "check.h"
#include "fixture.h"
#include "llm/wire.h"

#define CLAUDE     "us.anthropic.claude-opus-5-v1:0"
#define OLD_CLAUDE "anthropic.claude-sonnet-4-5-20250929-v1:0"
#define NOVA       "amazon.nova-pro-v1:0"
#define LLAMA      "meta.llama4-scout-17b-instruct-v1:0"

/* From the writer's side of the gateway; its defaults are neutral.c's and wire.c's. */
struct request {
    struct llm_chat chat;
    struct llm_message message[4];
    struct llm_part part[8];
    struct llm_writing w;
    struct llm_bad_request bad;
    struct buf out;
    const char *model;
    enum llm_feature drop; /* refused by default; this one is dropped */
};

static const struct llm_provider provider = {.type = "bedrock"};

static struct llm_text text(const char *s)
{
    return (struct llm_text){slice_str(s)};
}

/* One message of the user's, "Hi". */
static void begin(struct request *q, const char *model)
{
    set_up();
    *q = (struct request){.model = model, .drop = FEATURES_N};
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
    buf_init(&q->out, 1 << 20);
}

static bool write(struct request *q)
{
    q->w = (struct llm_writing){.arena = &arena,
                                .json = parser,
                                .chat = &q->chat,
                                .provider = &provider,
                                .model = slice_str(q->model),
                                .out = &q->out,
                                .bad = &q->bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        q->w.lack[f] = f == q->drop ? LACK_DROP : (unsigned char)llm_feature_lack(f);
    return converse_wire.write_chat(&q->w);
}

static void end(struct request *q)
{
    buf_done(&q->out);
    tear_down();
}

/* It is written, as valid JSON, and is this. */
static void check_written(struct request *q, const char *want)
{
    struct json_doc d;
    bool ok = write(q);
    CHECK_EQ_STR(q->bad.message, "");
    CHECK(ok);
    CHECK_EQ_SLICE(buf_view(&q->out), slice_str(want));
    CHECK_EQ_I64(json_parse(parser, buf_view(&q->out), 0, &d), JSON_OK);
}

static void check_refused(struct request *q, const char *param)
{
    CHECK(!write(q));
    CHECK_EQ_STR(q->bad.param, param);
    CHECK(q->bad.message[0] != '\0');
}

static void check_dropped(const struct request *q, const char *name)
{
    CHECK(q->w.dropped != NULL);
    CHECK_EQ_SLICE(q->w.dropped->word, slice_str(name));
    CHECK(q->w.dropped->next == NULL);
}

#define HI_MESSAGE "{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"}]}"
#define HI         "{\"messages\":[" HI_MESSAGE "]"

TEST(smallest)
{
    struct request q;
    begin(&q, NOVA);
    check_written(&q, HI "}");
    CHECK(q.w.dropped == NULL);
    end(&q);
}

TEST(turns_alternate)
{
    struct request q;
    begin(&q, NOVA);
    q.message[0].next = &q.message[1];
    q.message[1] = (struct llm_message){.role = ROLE_USER, .parts = &q.part[1]};
    q.message[1].next = &q.message[2];
    q.message[2] = (struct llm_message){.role = ROLE_ASSISTANT, .parts = &q.part[2]};
    q.message[2].next = &q.message[3];
    q.message[3] = (struct llm_message){.role = ROLE_SYSTEM, .parts = &q.part[3]};
    q.part[1] = (struct llm_part){.kind = PART_TEXT, .text = text("\\u0041\\n")};
    q.part[2] = (struct llm_part){.kind = PART_REFUSAL, .text = text("No.")};
    q.part[3] = (struct llm_part){.kind = PART_TEXT, .text = text("Be kind.")};
    check_written(&q,
                  "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"},{\"text\":"
                  "\"\\u0041\\n\"}]},{\"role\":\"assistant\",\"content\":[{\"text\":\"No.\"}]},"
                  "{\"role\":\"user\",\"content\":[{\"text\":\"<system>Be kind.</system>\"}]}]}");
    end(&q);
}

TEST(leading_system_messages)
{
    struct request q;
    begin(&q, CLAUDE);
    q.chat.messages = &q.message[1];
    q.message[1] = (struct llm_message){.role = ROLE_SYSTEM, .parts = &q.part[1]};
    q.message[1].next = &q.message[2];
    q.message[2] = (struct llm_message){.role = ROLE_DEVELOPER, .parts = &q.part[2]};
    q.message[2].next = &q.message[0];
    q.part[1] = (struct llm_part){.kind = PART_TEXT, .text = text("A")};
    q.part[2] = (struct llm_part){.kind = PART_TEXT, .text = text("B")};
    q.part[2].cache_json = SLICE("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}");
    q.part[0].cache_json = SLICE("{\"type\":\"ephemeral\"}");
    check_written(&q,
                  "{\"system\":[{\"text\":\"A\"},{\"text\":\"B\"},{\"cachePoint\":{\"type\":"
                  "\"default\",\"ttl\":\"1h\"}}],\"messages\":[{\"role\":\"user\",\"content\":[{"
                  "\"text\":\"Hi\"},{\"cachePoint\":{\"type\":\"default\"}}]}]}");
    end(&q);
}

TEST(caches_of_others)
{
    struct request q;
    begin(&q, NOVA); /* without a time to live */
    q.part[0].cache_json = SLICE("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}");
    check_written(&q, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"},{"
                      "\"cachePoint\":{\"type\":\"default\"}}]}]}");
    end(&q);
    begin(&q, LLAMA);
    q.part[0].cache_json = SLICE("{\"type\":\"ephemeral\"}");
    check_written(&q, HI "}");
    check_dropped(&q, "prompt_cache_key");
    end(&q);
}

TEST(nothing_to_say)
{
    static const char *const blanks[] = {"", " ", "\\n\\t \\r"};
    for (size_t i = 0; i < ARRAY_LEN(blanks); i++) {
        struct request q;
        begin(&q, NOVA);
        q.part[0].text = text(blanks[i]);
        check_refused(&q, "messages");
        end(&q);
    }
}

/* A source of each kind on each kind of part, and what comes of it: a block, or who is named. */
static const struct {
    enum llm_part_kind kind;
    struct llm_source source;
    const char *model, *block, *refused;
} media[] = {
    {PART_IMAGE,
     {.media_type = {"image/jpg", 9}, .data = {"AAAA", 4}},
     NOVA,
     "{\"image\":{\"format\":\"jpeg\",\"source\":{\"bytes\":\"AAAA\"}}}",
     NULL},
    {PART_IMAGE,
     {.url = {"s3://bucket/a.PNG", 17}},
     NOVA,
     "{\"image\":{\"format\":\"png\",\"source\":{\"s3Location\":{\"uri\":\"s3://bucket/a.PNG\"}}}}",
     NULL},
    {PART_IMAGE, {.url = {"https://a.example/a.png", 23}}, NOVA, NULL, "messages[0].content[0]"},
    {PART_IMAGE, {.file_id = {"file-1", 6}}, NOVA, NULL, "messages[0].content[0]"},
    {PART_IMAGE,
     {.media_type = {"image/tiff", 10}, .data = {"AAAA", 4}},
     NOVA,
     NULL,
     "messages[0].content[0]"},
    {PART_AUDIO,
     {.media_type = {"audio/wav", 9}, .data = {"AAAA", 4}},
     NOVA,
     "{\"audio\":{\"format\":\"wav\",\"source\":{\"bytes\":\"AAAA\"}}}",
     NULL},
    {PART_VIDEO,
     {.media_type = {"video/3gpp", 10}, .data = {"AAAA", 4}},
     NOVA,
     "{\"video\":{\"format\":\"three_gp\",\"source\":{\"bytes\":\"AAAA\"}}}",
     NULL},
    {PART_DOCUMENT,
     {.media_type = {"application/pdf", 15},
      .data = {"AAAA", 4},
      .name = {"My  r\xc3\xa9port.pdf", 15}},
     NOVA,
     "{\"document\":{\"format\":\"pdf\",\"name\":\"My "
     "r-port-pdf\",\"source\":{\"bytes\":\"AAAA\"}}}",
     NULL},
    {PART_DOCUMENT,
     {.data = {"AAAA", 4}, .name = {"table.xlsx", 10}},
     NOVA,
     "{\"document\":{\"format\":\"xlsx\",\"name\":\"table-xlsx\",\"source\":{\"bytes\":\"AAAA\"}}}",
     NULL},
    {PART_DOCUMENT,
     {.media_type = {"text/plain", 10}, .text = {{"a\\nb", 4}}},
     CLAUDE,
     "{\"document\":{\"format\":\"txt\",\"name\":\"document\",\"source\":{\"text\":\"a\\nb\"}}}",
     NULL},
    {PART_DOCUMENT,
     {.media_type = {"text/plain", 10}, .text = {{"a\\nb", 4}}},
     NOVA,
     "{\"document\":{\"format\":\"txt\",\"name\":\"document\",\"source\":{\"bytes\":\"YQpi\"}}}",
     NULL},
    {PART_DOCUMENT, {.url = {"https://a.example/a.pdf", 23}}, NOVA, NULL, "messages[0].content[0]"},
    {PART_NATIVE, {.detail = {"low", 3}}, NOVA, NULL, "messages[0].content[0]"},
};

TEST(images_and_files)
{
    for (size_t i = 0; i < ARRAY_LEN(media); i++) {
        struct request q;
        struct buf want;
        check_note("row %zu", i);
        begin(&q, media[i].model);
        buf_init(&want, 1 << 12);
        q.part[0] = (struct llm_part){.kind = media[i].kind, .source = media[i].source};
        if (media[i].refused != NULL) {
            check_refused(&q, media[i].refused);
        } else {
            buf_printf(&want, "{\"messages\":[{\"role\":\"user\",\"content\":[%s]}]}",
                       media[i].block);
            buf_char(&want, '\0');
            check_written(&q, want.p);
        }
        buf_done(&want);
        end(&q);
    }
}

TEST(documents_have_names_of_their_own)
{
    struct request q;
    begin(&q, CLAUDE);
    for (unsigned i = 0; i < 3; i++) {
        q.part[i] = (struct llm_part){.kind = PART_DOCUMENT, .citations = i == 2};
        q.part[i].source.text = text("x");
        q.part[i].source.name = i == 1 ? SLICE("DOCUMENT") : SLICE("document");
        q.part[i].next = i < 2 ? &q.part[i + 1] : NULL;
    }
    check_written(
        &q,
        "{\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"document\":{\"format\":\"txt\",\"name\":\"document\",\"source\":{\"text\":\"x\"}}},"
        "{\"document\":{\"format\":\"txt\",\"name\":\"DOCUMENT-2\",\"source\":{\"text\":\"x\"}}},"
        "{\"document\":{\"format\":\"txt\",\"name\":\"document-3\",\"source\":{\"text\":\"x\"},"
        "\"citations\":{\"enabled\":true}}}]}]}");
    end(&q);
}

/* A call, its result, and reasoning before it. */
static void put_call(struct request *q)
{
    q->message[0].next = &q->message[1];
    q->message[1] = (struct llm_message){.role = ROLE_ASSISTANT, .parts = &q->part[1]};
    q->message[1].next = &q->message[2];
    q->message[2] = (struct llm_message){.role = ROLE_USER, .parts = &q->part[3]};
    q->part[1] = (struct llm_part){.kind = PART_REASONING,
                                   .text = text("Hm"),
                                   .signature = SLICE("Eq=="),
                                   .family = FAMILY_ANTHROPIC};
    q->part[1].next = &q->part[2];
    q->part[2] = (struct llm_part){.kind = PART_TOOL_CALL,
                                   .id = SLICE("call_1"),
                                   .name = SLICE("f"),
                                   .arguments = text("{\\\"a\\\":1}")};
    q->part[3] =
        (struct llm_part){.kind = PART_TOOL_RESULT, .id = SLICE("call_1"), .content = &q->part[4]};
    q->part[4] = (struct llm_part){.kind = PART_TEXT, .text = text("7")};
}

#define CALL_OF(id) "{\"toolUse\":{\"toolUseId\":\"" id "\",\"name\":\"f\",\"input\":{\"a\":1}}}"
#define RESULT_OF(id, rest)                                                                        \
    "{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"" id "\",\"content\":[" rest \
    "}}]}"
#define THOUGHT                                                                                    \
    "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"Hm\",\"signature\":\"Eq==\"}}},"
#define PAST_TOOL                                                                                  \
    ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"description\":\"No longer "       \
    "available. Do not call it.\",\"inputSchema\":{\"json\":{\"type\":\"object\",\"properties\":{" \
    "}}}}}]}}"

TEST(calls_results_and_reasoning)
{
    struct request q;
    begin(&q, CLAUDE);
    put_call(&q);
    check_written(&q, "{\"messages\":[" HI_MESSAGE
                      ",{\"role\":\"assistant\",\"content\":[" THOUGHT CALL_OF(
                          "call_1") "]}," RESULT_OF("call_1", "{\"text\":\"7\"}]") "]" PAST_TOOL);
    end(&q);
    begin(&q, NOVA); /* which did not sign it; an error; without content */
    put_call(&q);
    q.part[3].is_error = true;
    q.part[3].content = NULL;
    check_written(&q,
                  "{\"messages\":[" HI_MESSAGE
                  ",{\"role\":\"assistant\",\"content\":[" CALL_OF("call_1") "]}," RESULT_OF(
                      "call_1", "{\"text\":\"(no output)\"}],\"status\":\"error\"") "]" PAST_TOOL);
    check_dropped(&q, "thinking_blocks");
    end(&q);
}

TEST(redacted_reasoning)
{
    struct request q;
    begin(&q, NOVA);
    put_call(&q);
    q.part[1] = (struct llm_part){.kind = PART_REASONING,
                                  .signature = SLICE("UkVE"),
                                  .redacted = true,
                                  .family = FAMILY_AMAZON};
    q.message[1].next = NULL;
    check_written(&q, "{\"messages\":[" HI_MESSAGE ",{\"role\":\"assistant\",\"content\":[{"
                      "\"reasoningContent\":{\"redactedContent\":\"UkVE\"}}]}]}");
    end(&q);
}

/* Both ids of a pair become the same one, which fits: the start of its SHA-256. */
TEST(ids_that_do_not_fit)
{
    struct request q;
    begin(&q, LLAMA);
    put_call(&q);
    q.message[1].parts = &q.part[2];
    q.part[2].id = q.part[3].id = SLICE("call 1/\xc3\xbc");
    check_written(
        &q,
        "{\"messages\":[" HI_MESSAGE ",{\"role\":\"assistant\",\"content\":[" CALL_OF(
            "580df90854edc54b7723e3e8b2294538") "]}," RESULT_OF("580df90854edc54b7723e3e8b2294538",
                                                                "{\"text\":\"7\"}]") "]" PAST_TOOL);
    end(&q);
}

TEST(arguments_that_are_no_object)
{
    static const char *const arguments[] = {"[1]", "{\\\"a\\\":", "7"};
    for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
        struct request q;
        begin(&q, CLAUDE);
        put_call(&q);
        q.part[2].arguments = text(arguments[i]);
        check_refused(&q, "tool_calls.arguments");
        end(&q);
    }
}

#define SPEC_F                                                                                     \
    "{\"toolSpec\":{\"name\":\"f\",\"description\":\"Does "                                        \
    "f\",\"inputSchema\":{\"json\":{\"type\":"                                                     \
    "\"object\"}},\"strict\":true}}"
#define SPEC_G                                                                                     \
    "{\"toolSpec\":{\"name\":\"g\",\"inputSchema\":{\"json\":{\"type\":\"object\",\"properties\":" \
    "{}}}}}"
#define TOOLS(rest) HI ",\"toolConfig\":{\"tools\":[" SPEC_F "," SPEC_G "]" rest

static const struct {
    const char *model;
    enum llm_choice_mode choice;
    bool allowed; /* g alone */
    int parallel;
    const char *want, *refused;
} choices[] = {
    {NOVA, CHOICE_UNSET, false, -1, TOOLS("}}"), NULL},
    {NOVA, CHOICE_UNSET, false, 1, TOOLS("}}"), NULL},
    {NOVA, CHOICE_AUTO, false, -1, TOOLS(",\"toolChoice\":{\"auto\":{}}}}"), NULL},
    {NOVA, CHOICE_REQUIRED, false, -1, TOOLS(",\"toolChoice\":{\"any\":{}}}}"), NULL},
    {NOVA, CHOICE_NAMED, false, -1, TOOLS(",\"toolChoice\":{\"tool\":{\"name\":\"g\"}}}}"), NULL},
    {NOVA, CHOICE_NONE, false, -1, HI "}", NULL},
    {NOVA, CHOICE_REQUIRED, true, -1,
     HI ",\"toolConfig\":{\"tools\":[" SPEC_G "],\"toolChoice\":{\"any\":{}}}}", NULL},
    {CLAUDE, CHOICE_UNSET, false, 0,
     TOOLS("},\"additionalModelRequestFields\":{\"tool_choice\":{\"type\":\"auto\","
           "\"disable_parallel_tool_use\":true}}}"),
     NULL},
    {CLAUDE, CHOICE_NAMED, false, 0,
     TOOLS("},\"additionalModelRequestFields\":{\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\","
           "\"disable_parallel_tool_use\":true}}}"),
     NULL},
};

TEST(tools_and_choices)
{
    struct llm_tool g = {.name = SLICE("g"), .strict = -1};
    struct llm_tool f = {.next = &g,
                         .name = SLICE("f"),
                         .description = text("Does f"),
                         .schema_json = SLICE("{\"type\":\"object\"}"),
                         .strict = 1};
    struct llm_word allowed = {.word = SLICE("g")};
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        struct request q;
        check_note("row %zu", i);
        begin(&q, choices[i].model);
        q.chat.tools = &f;
        q.chat.choice = choices[i].choice;
        q.chat.choice_name = SLICE("g");
        q.chat.choice_allowed = choices[i].allowed ? &allowed : NULL;
        q.chat.parallel = choices[i].parallel;
        if (choices[i].refused != NULL)
            check_refused(&q, choices[i].refused);
        else
            check_written(&q, choices[i].want);
        end(&q);
    }
}

/* With calls in the conversation the tools have to be there, and nothing says that none may be
 * called. */
TEST(no_choice_after_calls)
{
    struct llm_tool f = {.name = SLICE("f"), .strict = -1};
    struct request q;
    begin(&q, CLAUDE);
    put_call(&q);
    q.chat.tools = &f;
    q.chat.choice = CHOICE_NONE;
    check_refused(&q, "tool_choice");
    end(&q);
}

TEST(tools_it_does_not_have)
{
    struct llm_tool t = {.kind = TOOL_CUSTOM, .name = SLICE("f"), .strict = -1};
    struct request q;
    begin(&q, CLAUDE);
    q.chat.tools = &t;
    check_refused(&q, "tools");
    end(&q);
    begin(&q, CLAUDE);
    t.kind = TOOL_HOSTED;
    t.family = FAMILY_ANTHROPIC;
    q.chat.tools = &t;
    check_refused(&q, "tools");
    end(&q);
}

TEST(caches_behind_tools)
{
    struct llm_tool g = {.name = SLICE("g"), .strict = -1};
    struct request q;
    g.cache_json = SLICE("{\"type\":\"ephemeral\",\"ttl\":\"5m\"}");
    begin(&q, CLAUDE);
    q.chat.tools = &g;
    check_written(&q, HI ",\"toolConfig\":{\"tools\":[" SPEC_G ",{\"cachePoint\":{\"type\":"
                         "\"default\",\"ttl\":\"5m\"}}]}}");
    end(&q);
    begin(&q, NOVA);
    q.chat.tools = &g;
    check_written(&q, HI ",\"toolConfig\":{\"tools\":[" SPEC_G "]}}");
    check_dropped(&q, "prompt_cache_key");
    end(&q);
}

TEST(sampling)
{
    struct llm_word empty = {.word = SLICE("")}, stop = {.next = &empty, .word = SLICE("\n\"")};
    struct request q;
    begin(&q, CLAUDE);
    q.chat.max_tokens = 100;
    q.chat.temperature = SLICE("0.50");
    q.chat.top_p = SLICE("1e-1");
    q.chat.top_k = SLICE("5");
    q.chat.frequency_penalty = SLICE("0.0");
    q.chat.logit_bias_json = SLICE("{}");
    q.chat.stop = &stop;
    check_written(&q,
                  HI ",\"inferenceConfig\":{\"maxTokens\":100,\"temperature\":0.50,\"topP\":"
                     "1e-1,\"stopSequences\":[\"\\n\\\"\"]},\"additionalModelRequestFields\":{"
                     "\"top_k\":5},\"additionalModelResponseFieldPaths\":[\"/stop_sequence\"]}");
    end(&q);
    begin(&q, NOVA);
    q.chat.stop = &stop;
    q.chat.top_k = SLICE("5");
    check_written(&q, HI ",\"inferenceConfig\":{\"stopSequences\":[\"\\n\\\"\"]},"
                         "\"additionalModelRequestFields\":{\"inferenceConfig\":{\"topK\":5}}}");
    end(&q);
}

static void want_penalty(struct llm_chat *c)
{
    c->presence_penalty = SLICE("0.1");
}
static void want_n(struct llm_chat *c)
{
    c->n = 2;
}
static void want_bias(struct llm_chat *c)
{
    c->logit_bias_json = SLICE("{\"1\":2}");
}
static void want_logprobs(struct llm_chat *c)
{
    c->logprobs = true;
}
static void want_top_k(struct llm_chat *c)
{
    c->top_k = SLICE("5");
}
static void want_object(struct llm_chat *c)
{
    c->format = FORMAT_JSON_OBJECT;
}
static void want_seed(struct llm_chat *c)
{
    c->seed = SLICE("1");
}
static void want_user(struct llm_chat *c)
{
    c->user = SLICE("u");
}
static void want_verbosity(struct llm_chat *c)
{
    c->verbosity = SLICE("low");
}
static void want_cache_key(struct llm_chat *c)
{
    c->cache_key = SLICE("k");
}
static void want_store(struct llm_chat *c)
{
    c->store = 1;
}
static void want_odd_metadata(struct llm_chat *c)
{
    c->metadata_json = SLICE("{\"a\":\"<b>\"}");
}
static void want_odd_tier(struct llm_chat *c)
{
    c->service_tier = SLICE("scale");
}
static void want_effort(struct llm_chat *c)
{
    c->effort = SLICE("high");
}
static void want_name(struct llm_chat *c)
{
    c->messages->name = SLICE("n");
}

static const struct {
    void (*want)(struct llm_chat *c);
    const char *name;
    bool refused;
} lacks[] = {
    {want_penalty, "frequency_penalty", true},
    {want_n, "n", true},
    {want_bias, "logit_bias", true},
    {want_logprobs, "logprobs", true},
    {want_top_k, "top_k", true},
    {want_object, "response_format", true},
    {want_seed, "seed", false},
    {want_user, "user", false},
    {want_verbosity, "verbosity", false},
    {want_cache_key, "prompt_cache_key", false},
    {want_store, "store", false},
    {want_odd_metadata, "metadata", false},
    {want_odd_tier, "service_tier", false},
    {want_effort, "reasoning_effort", false},
    {want_name, "messages.name", false},
};

TEST(what_it_lacks_is_never_forgotten)
{
    for (size_t i = 0; i < ARRAY_LEN(lacks); i++) {
        struct request q;
        begin(&q, LLAMA);
        check_note("%s", lacks[i].name);
        lacks[i].want(&q.chat);
        if (lacks[i].refused) {
            check_refused(&q, lacks[i].name);
        } else {
            check_written(&q, HI "}");
            check_dropped(&q, lacks[i].name);
        }
        end(&q);
    }
}

#define FIELDS(json) HI ",\"additionalModelRequestFields\":" json "}"
static const struct {
    const char *model, *effort;
    int64_t budget, max_tokens;
    const char *temperature, *show, *want;
    bool dropped;
} reasoning[] = {
    {CLAUDE, "high", -1, -1, NULL, NULL,
     HI ",\"outputConfig\":{\"effort\":\"high\"},\"additionalModelRequestFields\":{\"thinking\":{"
        "\"type\":\"adaptive\"}}}",
     false},
    {CLAUDE, "minimal", -1, -1, NULL, "omitted",
     HI ",\"outputConfig\":{\"effort\":\"low\"},\"additionalModelRequestFields\":{\"thinking\":{"
        "\"type\":\"adaptive\",\"display\":\"omitted\"}}}",
     false},
    {CLAUDE, "hyper", -1, -1, "0.5", NULL,
     HI ",\"inferenceConfig\":{\"temperature\":0.5},\"outputConfig\":{\"effort\":\"hyper\"}}",
     false},
    {CLAUDE, "none", -1, -1, NULL, NULL, FIELDS("{\"thinking\":{\"type\":\"disabled\"}}"), false},
    {CLAUDE, NULL, 2048, -1, NULL, NULL,
     FIELDS("{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}"), false},
    {CLAUDE, NULL, -2, -1, NULL, "auto",
     FIELDS("{\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}}"), false},
    {CLAUDE, NULL, 0, -1, NULL, NULL, FIELDS("{\"thinking\":{\"type\":\"disabled\"}}"), false},
    {OLD_CLAUDE, "medium", -1, -1, NULL, NULL,
     FIELDS("{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096}}"), false},
    {OLD_CLAUDE, "medium", -1, 3000, NULL, NULL,
     HI ",\"inferenceConfig\":{\"maxTokens\":3000},\"additionalModelRequestFields\":{\"thinking\":{"
        "\"type\":\"enabled\",\"budget_tokens\":2999}}}",
     false},
    {OLD_CLAUDE, "medium", -1, 1000, NULL, NULL, HI ",\"inferenceConfig\":{\"maxTokens\":1000}}",
     true},
    {OLD_CLAUDE, "low", -1, -1, "0", NULL, HI ",\"inferenceConfig\":{\"temperature\":0}}", true},
    {OLD_CLAUDE, "none", -1, -1, NULL, NULL, HI "}", false},
    {"anthropic.claude-3-haiku-20240307-v1:0", "low", -1, -1, NULL, NULL, HI "}", true},
    {"us.amazon.nova-2-lite-v1:0", "max", -1, -1, NULL, NULL,
     FIELDS("{\"reasoningConfig\":{\"type\":\"enabled\",\"maxReasoningEffort\":\"high\"}}"), false},
    {"us.amazon.nova-2-lite-v1:0", NULL, 0, -1, NULL, NULL,
     FIELDS("{\"reasoningConfig\":{\"type\":\"disabled\"}}"), false},
    {"openai.gpt-oss-120b-1:0", "low", -1, -1, NULL, NULL, FIELDS("{\"reasoning_effort\":\"low\"}"),
     false},
    {"openai.gpt-oss-120b-1:0", NULL, 9000, -1, NULL, NULL,
     FIELDS("{\"reasoning_effort\":\"high\"}"), false},
    {LLAMA, "none", -1, -1, NULL, NULL, HI "}", false},
    {LLAMA, NULL, 4000, -1, NULL, NULL, HI "}", true},
};

TEST(reasoning_of_each_model)
{
    for (size_t i = 0; i < ARRAY_LEN(reasoning); i++) {
        struct request q;
        check_note("row %zu", i);
        begin(&q, reasoning[i].model);
        q.chat.effort = slice_str(reasoning[i].effort);
        q.chat.budget = reasoning[i].budget;
        q.chat.max_tokens = reasoning[i].max_tokens;
        q.chat.temperature = slice_str(reasoning[i].temperature);
        q.chat.show = slice_str(reasoning[i].show);
        check_written(&q, reasoning[i].want);
        if (reasoning[i].dropped)
            check_dropped(&q, "reasoning_effort");
        else
            CHECK(q.w.dropped == NULL);
        end(&q);
    }
}

TEST(structured_output)
{
    struct request q;
    begin(&q, CLAUDE);
    q.chat.format = FORMAT_JSON_SCHEMA;
    q.chat.format_name = SLICE("person");
    q.chat.format_description = text("A \\\"person\\\"");
    q.chat.format_schema_json = SLICE("{\"type\":\"object\"}");
    check_written(&q,
                  HI ",\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\",\"structure\":"
                     "{\"jsonSchema\":{\"schema\":\"{\\\"type\\\":\\\"object\\\"}\",\"name\":"
                     "\"person\",\"description\":\"A \\\"person\\\"\"}}}}}");
    end(&q);
}

TEST(what_goes_with_the_request)
{
    struct request q;
    begin(&q, NOVA);
    q.chat.metadata_json = SLICE("{\"team\":\"a-b @1\",\"empty\":\"\"}");
    q.chat.service_tier = SLICE("fast");
    check_written(&q, HI ",\"requestMetadata\":{\"team\":\"a-b @1\",\"empty\":\"\"},"
                         "\"serviceTier\":{\"type\":\"priority\"}}");
    end(&q);
    begin(&q, NOVA);
    q.chat.metadata_json = SLICE("{}");
    q.chat.service_tier = SLICE("auto");
    check_written(&q, HI "}");
    end(&q);
}

TEST(what_is_dropped_instead_of_refused)
{
    struct request q;
    begin(&q, NOVA);
    q.part[1] = (struct llm_part){.kind = PART_IMAGE};
    q.part[1].source.url = SLICE("https://a.example/a.png");
    q.part[0].next = &q.part[1];
    q.drop = FEATURE_IMAGE_URL;
    check_written(&q, HI "}");
    check_dropped(&q, "image_url");
    end(&q);
}

/* A body that does not fit into what it may take. */
TEST(no_room)
{
    struct request q;
    begin(&q, CLAUDE);
    put_call(&q);
    for (size_t cap = 0; cap < 300; cap += 7) {
        buf_done(&q.out);
        buf_init(&q.out, cap);
        CHECK(!write(&q));
        CHECK(q.bad.no_memory);
    }
    end(&q);
}

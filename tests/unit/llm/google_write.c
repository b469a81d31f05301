/* Requests for Gemini, and Google's own requests read and written again. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "google_internal.h"
#include "reader.h"

static struct llm_request request;
static struct llm_chat chat;
static struct llm_bad_request bad;
static struct buf body;
static struct llm_writing writing;

static bool read(const char *json)
{
    return google_read_request(parser, &arena, LLM_CHAT, slice_str(json), &request, &bad) &&
           google_read_chat(parser, &arena, &request, &chat, &bad);
}

static bool write_for(const char *type, const char *model)
{
    static struct llm_provider provider;
    provider = (struct llm_provider){.type = type};
    buf_init(&body, 1 << 20);
    writing = (struct llm_writing){.arena = &arena,
                                   .json = parser,
                                   .chat = &chat,
                                   .provider = &provider,
                                   .model = slice_str(model),
                                   .out = &body,
                                   .bad = &bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        writing.lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
    return google_wire.write_chat(&writing);
}

/* Which text comes of which, for which model. */
static const struct {
    const char *model, *in, *out;
} same[] = {
    {"gemini-2.5-flash",
     "{\"contents\":[{\"parts\":[{\"text\":\"a "
     "\\u00e9\\n\"}]},{\"role\":\"user\",\"parts\":["
     "{\"text\":\"b\"},{\"text\":\"\"}]},{\"role\":\"model\",\"parts\":[{"
     "\"text\":\"c\"}]}],"
     "\"system_instruction\":{\"parts\":[{\"text\":\"s\"},{\"text\":\"t\"}]}}",
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"},{\"text\":\"t\"}]},"
     "\"contents\":["
     "{\"role\":\"user\",\"parts\":[{\"text\":\"a "
     "\\u00e9\\n\"},{\"text\":\"b\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"text\":\"c\"}]}]}"},
    {"gemini-2.5-flash",
     "{\"contents\":[{\"parts\":[{\"inline_data\":{\"mime_type\":\"image/"
     "png\",\"data\":\"_-8\"}},"
     "{\"fileData\":{\"fileUri\":\"gs://b/"
     "x.pdf\"}},{\"inlineData\":{\"data\":\"/9j/AAAA\"}}]}]}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{"
     "\"mimeType\":\"image/png\","
     "\"data\":\"/+8=\"}},{\"fileData\":{\"mimeType\":\"application/"
     "pdf\",\"fileUri\":"
     "\"gs://b/x.pdf\"}},{\"inlineData\":{\"mimeType\":\"image/"
     "jpeg\",\"data\":\"/9j/AAAA\"}}]}]}"},
    {"gemini-3-pro", /* calls, signatures, results in an order of their own */
     "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"th\","
     "\"thought\":true},{\"text\":"
     "\"ink\",\"thought\":true},{\"functionCall\":{\"id\":\"x\",\"name\":\"f\","
     "\"args\":{\"a\":1}},"
     "\"thoughtSignature\":\"c2ln\"},{\"functionCall\":{\"name\":\"g\"}}]},{"
     "\"role\":\"function\","
     "\"parts\":[{\"functionResponse\":{\"name\":\"g\",\"response\":{"
     "\"output\":\"{\\\"b\\\":2}\"}}"
     "},"
     "{\"functionResponse\":{\"name\":\"f\",\"id\":\"x\",\"response\":{"
     "\"error\":\"no\"},\"parts\":"
     "["
     "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}}]}}]}]}",
     "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"think\","
     "\"thought\":true},"
     "{\"functionCall\":{\"id\":\"x\",\"name\":\"f\",\"args\":{\"a\":1}},"
     "\"thoughtSignature\":"
     "\"c2ln\"},{\"functionCall\":{\"id\":\"call_0_3\",\"name\":\"g\",\"args\":"
     "{}}}]},{\"role\":"
     "\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"call_0_3\",\"name\":"
     "\"g\",\"response\":"
     "{\"b\":2}}},{\"functionResponse\":{\"id\":\"x\",\"name\":\"f\","
     "\"response\":{\"error\":"
     "\"no\"},\"parts\":[{\"inlineData\":{\"mimeType\":\"image/"
     "png\",\"data\":\"AAAA\"}}]}}]}]}"},
    {"gemini-3-pro", /* a call without a signature, and a signature without a
                        part */
     "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":"
     "\"x\",\"name\":\"f\"}"
     "},"
     "{\"functionCall\":{\"id\":\"y\",\"name\":\"f\"}},{\"text\":\"\","
     "\"thoughtSignature\":\"cw=="
     "\"}"
     "]}]}",
     "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":"
     "\"x\",\"name\":\"f\","
     "\"args\":{}},\"thoughtSignature\":\"skip_thought_signature_validator\"},{"
     "\"functionCall\":{"
     "\"id\":\"y\",\"name\":\"f\",\"args\":{}}},{\"text\":\"\","
     "\"thoughtSignature\":\"cw==\"}]}]}"},
    {"gemini-2.5-pro",
     "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"generation_config\":{"
     "\"temperature\":0.20,"
     "\"top_p\":1,\"topK\":40,\"max_output_tokens\":9,\"candidateCount\":2,"
     "\"stopSequences\":["
     "\"x\"],"
     "\"seed\":7,\"presencePenalty\":0.5,\"frequencyPenalty\":-1,"
     "\"responseLogprobs\":true,"
     "\"logprobs\":3,\"thinkingConfig\":{\"thinkingBudget\":0,"
     "\"includeThoughts\":true}}}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],"
     "\"generationConfig\":{"
     "\"temperature\":0.20,\"topP\":1,\"topK\":40,\"frequencyPenalty\":-1,"
     "\"presencePenalty\":0.5,"
     "\"seed\":7,\"maxOutputTokens\":9,\"candidateCount\":2,\"stopSequences\":["
     "\"x\"],"
     "\"responseLogprobs\":true,\"logprobs\":3,\"thinkingConfig\":{"
     "\"thinkingBudget\":0,"
     "\"includeThoughts\":true}}}"},
    {"gemini-3.1-flash",
     "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"tools\":[{"
     "\"functionDeclarations\":[{"
     "\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"OBJECT\","
     "\"properties\":{"
     "\"type\":{\"type\":\"STRING\",\"nullable\":true,\"enum\":[\"A\"],"
     "\"format\":\"enum\"},\"l\":{"
     "\"type\":\"ARRAY\",\"minItems\":\"1\",\"items\":{\"any_of\":[{\"type\":"
     "\"INTEGER\"}]}}},"
     "\"required\":[\"l\"],\"propertyOrdering\":[\"l\"]}},{\"name\":\"g\","
     "\"parametersJsonSchema\":"
     "{"
     "\"type\":\"object\"}}],\"googleSearch\":{}},{\"code_execution\":{}}],"
     "\"toolConfig\":{"
     "\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":["
     "\"f\",\"g\"]}},"
     "\"generationConfig\":{\"responseMimeType\":\"application/"
     "json\",\"responseSchema\":{\"type\":"
     "\"STRING\"},\"thinkingConfig\":{\"thinkingLevel\":\"LOW\"}},"
     "\"serviceTier\":\"flex\"}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],"
     "\"tools\":[{"
     "\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\","
     "\"parametersJsonSchema\":{"
     "\"type\":\"object\",\"properties\":{\"type\":{\"type\":[\"string\","
     "\"null\"],\"enum\":[\"A\"]"
     "}"
     ",\"l\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"anyOf\":[{"
     "\"type\":\"integer\"}]}}},"
     "\"required\":[\"l\"]}},{\"name\":\"g\",\"parametersJsonSchema\":{"
     "\"type\":\"object\"}}]},{"
     "\"googleSearch\":{}},{\"code_execution\":{}}],\"toolConfig\":{"
     "\"functionCallingConfig\":{"
     "\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\",\"g\"]}},"
     "\"generationConfig\":{"
     "\"responseMimeType\":\"application/"
     "json\",\"responseJsonSchema\":{\"type\":\"string\"},"
     "\"thinkingConfig\":{\"thinkingLevel\":\"LOW\"}},\"serviceTier\":"
     "\"flex\"}"},
    {"gemini-2.5-flash",
     "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"executableCode\":{"
     "\"code\":\"1\"}}]}],"
     "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}},\"store\":"
     "false}",
     "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"executableCode\":{"
     "\"code\":\"1\"}}]}],"
     "\"store\":false}"},
};

TEST(googles_own_requests)
{
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        set_up();
        check_note("row %zu: %s", i, same[i].in);
        if (!read(same[i].in) || !write_for("gemini", same[i].model))
            check_fail(CHECK_AT("accepted"), "%s: %s", bad.param, bad.message);
        CHECK_EQ_SLICE(buf_view(&body), slice_str(same[i].out));
        CHECK(writing.dropped == NULL);
        CHECK(chat.unknown == NULL);
        buf_done(&body);
        tear_down();
    }
}

static const struct {
    const char *in, *param;
} refused[] = {
    {"[]", ""},
    {"{}", "contents"},
    {"{\"contents\":[]}", "contents"},
    {"{\"contents\":[7]}", "contents[0]"},
    {"{\"contents\":[{\"parts\":{}}]}", "contents[0].parts"},
    {"{\"contents\":[{\"role\":7}]}", "contents[0].role"},
    {"{\"contents\":[{\"role\":\"system\"}]}", "contents[0]"},
    {"{\"contents\":[{\"parts\":[],\"parts\":[]}]}", "contents[0].parts"},
    {"{\"contents\":[{}],\"contents\":[{}]}", "contents"},
    {"{\"contents\":[{}],\"generationConfig\":{},\"generation_config\":{}}", "generationConfig"},
    {"{\"contents\":[{}],\"generationConfig\":{\"seed\":1,\"seed\":2}}", "generationConfig.seed"},
    {"{\"contents\":[{}],\"generationConfig\":{\"topK\":1,\"top_k\":2}}", "generationConfig"},
    {"{\"contents\":[{}],\"generationConfig\":{\"maxOutputTokens\":0}}",
     "generationConfig.maxOutputTokens"},
    {"{\"contents\":[{}],\"generationConfig\":{\"candidateCount\":9}}",
     "generationConfig.candidateCount"},
    {"{\"contents\":[{}],\"generationConfig\":{\"topP\":\"1\"}}", "generationConfig.topP"},
    {"{\"contents\":[{}],\"generationConfig\":{\"responseModalities\":["
     "\"IMAGE\"]}}",
     "generationConfig.responseModalities"},
    {"{\"contents\":[{}],\"generationConfig\":{\"responseMimeType\":\"text/"
     "x.enum\"}}",
     "generationConfig.responseMimeType"},
    {"{\"contents\":[{}],\"cachedContent\":\"cachedContents/x\"}", "cachedContent"},
    {"{\"contents\":[{\"parts\":[{\"text\":7}]}]}", "contents[0].parts[0]"},
    {"{\"contents\":[{\"parts\":[{},{\"inlineData\":{}}]}]}", "contents[0].parts[1]"},
    {"{\"contents\":[{\"parts\":[{\"fileData\":{}}]}]}", "contents[0].parts[0]"},
    {"{\"contents\":[{\"parts\":[{\"functionCall\":{}}]}]}", "contents[0].parts[0]"},
    {"{\"contents\":[{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":[]}"
     "}]}]}",
     "contents[0].parts[0]"},
    {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\","
     "\"response\":7}}]}]}",
     "contents[0].parts[0]"},
    {"{\"contents\":[{}],\"tools\":{}}", "tools"},
    {"{\"contents\":[{}],\"tools\":[{\"functionDeclarations\":[{}]}]}",
     "tools.functionDeclarations.name"},
    {"{\"contents\":[{}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":"
     "\"X\"}}}",
     "toolConfig.functionCallingConfig.mode"},
};

TEST(what_is_no_request)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        set_up();
        check_note("row %zu: %s", i, refused[i].in);
        CHECK(!read(refused[i].in));
        CHECK_EQ_STR(bad.param, refused[i].param);
        CHECK(bad.message[0] != '\0' && !bad.no_memory);
        tear_down();
    }
}

TEST(light_reading)
{
    set_up();
    CHECK(
        google_read_request(parser, &arena, LLM_CHAT,
                            SLICE("{\"contents\":[{}],\"generationConfig\":{\"candidate_count\":2,"
                                  "\"max_output_tokens\":77}}"),
                            &request, &bad));
    CHECK_EQ_I64(request.max_tokens, 77);
    CHECK_EQ_I64(request.n, 2);
    CHECK_EQ_U64(request.model.n, 0);
    tear_down();
}

TEST(unknown_names)
{
    set_up();
    CHECK(read("{\"contents\":[{\"parts\":[{\"text\":\"a\",\"videoMetadata\":{}}]"
               ",\"x\":1}],"
               "\"safetySettings\":[],\"generationConfig\":{\"speech_config\":{},"
               "\"y\":null}}"));
    const struct llm_word *w = chat.unknown;
    CHECK_EQ_LIT(w->word, "safetySettings");
    CHECK_EQ_LIT(w->next->word, "contents.x");
    CHECK_EQ_LIT(w->next->next->word, "contents.parts.videoMetadata");
    CHECK_EQ_LIT(w->next->next->next->word, "generationConfig.speech_config");
    CHECK(w->next->next->next->next == NULL);
    tear_down();
}

TEST(paths)
{
    static const struct {
        const char *model, *want;
        bool stream;
    } rows[] = {
        {"gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent", false},
        {"models/gemini-x", "/models/gemini-x:streamGenerateContent?alt=sse", true},
        {"a/b c?", "/models/a%2Fb%20c%3F:generateContent", false},
        {"tunedModels/m", "/tunedModels/m:generateContent", false},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_EQ_SLICE(
            google_wire.path(&arena, NULL, LLM_CHAT, slice_str(rows[i].model), rows[i].stream),
            slice_str(rows[i].want));
    CHECK(google_wire.path(&arena, NULL, LLM_EMBEDDINGS, SLICE("m"), false).p == NULL);
    tear_down();
}

TEST(models)
{
    static const struct {
        const char *name;
        unsigned version;
        bool pro, lite;
    } rows[] = {
        {"gemini-2.5-pro", 25, true, false},  {"gemini-2.0-flash-lite", 20, false, true},
        {"gemini-3-flash", 30, false, false}, {"models/gemini-3.1-pro-preview", 31, true, false},
        {"gemini-4-argon", 40, false, false}, {"gemini-flash-latest", 30, false, false},
        {"gemma-3-27b-it", 0, false, false},  {"", 0, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct google_model m = google_model_of(slice_str(rows[i].name));
        check_note("%s", rows[i].name);
        CHECK_EQ_U64(m.version, rows[i].version);
        CHECK(m.pro == rows[i].pro && m.lite == rows[i].lite);
    }
}

/* What another dialect asks for: effort or budget, and whether it shows. */
static const struct {
    const char *model, *effort;
    int64_t budget;
    enum llm_dialect_id dialect;
    const char *want; /* thinkingConfig, "" for none */
} efforts[] = {
    {"gemini-2.5-flash", "", -1, DIALECT_OPENAI, ""},
    {"gemini-2.5-flash", "low", -1, DIALECT_OPENAI,
     "{\"thinkingBudget\":1024,\"includeThoughts\":true}"},
    {"gemini-2.5-flash", "none", -1, DIALECT_OPENAI, "{\"thinkingBudget\":0}"},
    {"gemini-2.5-pro", "none", -1, DIALECT_OPENAI, "{\"thinkingBudget\":128}"},
    {"gemini-2.5-flash", "xhigh", -1, DIALECT_RESPONSES, "{\"thinkingBudget\":24576}"},
    {"gemini-2.5-flash-lite", "", 100, DIALECT_ANTHROPIC,
     "{\"thinkingBudget\":512,\"includeThoughts\":true}"},
    {"gemini-2.5-pro", "", 60000, DIALECT_ANTHROPIC,
     "{\"thinkingBudget\":32768,\"includeThoughts\":true}"},
    {"gemini-2.5-flash", "", -2, DIALECT_ANTHROPIC,
     "{\"thinkingBudget\":-1,\"includeThoughts\":true}"},
    {"gemini-2.5-flash", "", 0, DIALECT_ANTHROPIC, "{\"thinkingBudget\":0}"},
    {"gemini-3-flash", "", -2, DIALECT_ANTHROPIC, "{\"includeThoughts\":true}"},
    {"gemini-3-flash", "", 2048, DIALECT_ANTHROPIC,
     "{\"thinkingLevel\":\"MEDIUM\",\"includeThoughts\":true}"},
    {"gemini-3-flash", "minimal", -1, DIALECT_RESPONSES, "{\"thinkingLevel\":\"MINIMAL\"}"},
    {"gemini-3-pro", "minimal", -1, DIALECT_RESPONSES, "{\"thinkingLevel\":\"LOW\"}"},
    {"gemini-3-flash", "max", -1, DIALECT_RESPONSES, "{\"thinkingLevel\":\"HIGH\"}"},
    {"gemini-3-flash", "xhigh", -1, DIALECT_GOOGLE, "{\"thinkingLevel\":\"XHIGH\"}"},
    {"gemma-3", "none", -1, DIALECT_OPENAI, ""},
};

TEST(thinking)
{
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++) {
        char want[256] = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}]}";
        set_up();
        check_note("row %zu", i);
        CHECK(read("{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]}"));
        chat.dialect = efforts[i].dialect;
        chat.effort = slice_str(efforts[i].effort);
        chat.budget = efforts[i].budget;
        CHECK(write_for("gemini", efforts[i].model));
        if (efforts[i].want[0] != '\0')
            snprintf(want, sizeof want,
                     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],"
                     "\"generationConfig\":{\"thinkingConfig\":%s}}",
                     efforts[i].want);
        CHECK_EQ_SLICE(buf_view(&body), slice_str(want));
        CHECK(writing.dropped == NULL);
        buf_done(&body);
        tear_down();
    }
}

/* A conversation as OpenAI's dialect reads it. */
static void put_message(struct llm_message ***tail, enum llm_role role, struct llm_part *parts)
{
    struct llm_message *m = arena_new(&arena, struct llm_message);
    m->role = role;
    m->parts = parts;
    LLM_APPEND(*tail, m);
}

static struct llm_part *part(enum llm_part_kind kind, const char *text, struct llm_part *next)
{
    struct llm_part *p = arena_new(&arena, struct llm_part);
    p->kind = kind;
    p->text.inner = slice_str(text);
    p->next = next;
    return p;
}

static void begin_chat(void)
{
    set_up();
    llm_chat_init(&chat, DIALECT_OPENAI);
}

static void end_chat(void)
{
    buf_done(&body);
    tear_down();
}

TEST(another_dialects_conversation)
{
    begin_chat();
    struct llm_message **tail = &chat.messages;
    struct llm_part *call = part(PART_TOOL_CALL, NULL, NULL), *result;
    struct llm_part *thought = part(PART_REASONING, "hm", call);
    call->id = SLICE("c1");
    call->name = SLICE("f");
    call->arguments.inner = SLICE("{\\\"a\\\":1}");
    thought->signature = SLICE("abc");
    thought->family = FAMILY_ANTHROPIC;
    result = part(PART_TOOL_RESULT, NULL, NULL);
    result->id = SLICE("c1");
    result->calls = call;
    result->content = part(PART_TEXT, "5 \\\"C\\\"", part(PART_TEXT, "!", NULL));
    put_message(&tail, ROLE_SYSTEM, part(PART_TEXT, "s", NULL));
    put_message(&tail, ROLE_USER, part(PART_TEXT, "u", NULL));
    put_message(&tail, ROLE_ASSISTANT, thought);
    put_message(&tail, ROLE_USER, result);
    put_message(&tail, ROLE_DEVELOPER, part(PART_TEXT, "d", NULL));
    put_message(&tail, ROLE_USER, part(PART_TEXT, "v", NULL));
    CHECK(write_for("gemini", "gemini-2.5-pro"));
    CHECK_EQ_LIT(buf_view(&body),
                 "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"},{\"text\":\"d\"}]},"
                 "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"u\"}]},{"
                 "\"role\":"
                 "\"model\",\"parts\":[{\"text\":\"hm\",\"thought\":true},{"
                 "\"functionCall\":{\"id\":"
                 "\"c1\",\"name\":\"f\",\"args\":{\"a\":1}}}]},{\"role\":\"user\","
                 "\"parts\":[{"
                 "\"functionResponse\":{\"id\":\"c1\",\"name\":\"f\",\"response\":{"
                 "\"output\":"
                 "\"5 \\\"C\\\"!\"}}},{\"text\":\"v\"}]}]}");
    CHECK_EQ_LIT(writing.dropped->word, "thinking_blocks");
    CHECK(writing.dropped->next == NULL);
    end_chat();
}

TEST(instructions_alone_are_the_users)
{
    begin_chat();
    struct llm_message **tail = &chat.messages;
    put_message(&tail, ROLE_SYSTEM, part(PART_TEXT, "s", NULL));
    CHECK(write_for("gemini", "gemini-2.5-pro"));
    CHECK_EQ_LIT(buf_view(&body),
                 "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"s\"}]}]}");
    end_chat();
}

/* What cannot be said there: one change to a plain chat, and what comes of it.
 */
enum change {
    ARGUMENTS,
    NO_CALL,
    CUSTOM_CALL,
    FOREIGN_BLOCK,
    FILE_ID,
    CITED,
    CUSTOM_TOOL,
    HOSTED,
    BIAS,
    ONE_CALL,
    EFFORT,
    STRICT,
    VERBOSITY,
    USER,
    METADATA,
    TIER,
    CACHED,
    STORED,
    CHANGES_N
};

static const struct {
    const char *refused, *dropped;
} changes[CHANGES_N] = {
    [ARGUMENTS] = {"The arguments of tool call 'c' are not a JSON object, "
                   "which Gemini models need.",
                   NULL},
    [NO_CALL] = {"There is a result of tool call 'c', but no such call before it.", NULL},
    [CUSTOM_CALL] = {"'messages[0].content[0]' (tools) is not supported by gemini/m.", NULL},
    [FOREIGN_BLOCK] = {"'messages[0].content[0]' (content) is not supported by gemini/m.", NULL},
    [FILE_ID] = {"'messages[0].content[0]' (file_id) is not supported by gemini/m.", NULL},
    [CITED] = {"'messages[0].content[0]' (citations) is not supported by gemini/m.", NULL},
    [CUSTOM_TOOL] = {"'tools' is not supported by gemini/m.", NULL},
    [HOSTED] = {"'tools' is not supported by gemini/m.", NULL},
    [BIAS] = {"'logit_bias' is not supported by gemini/m.", NULL},
    [ONE_CALL] = {NULL, "parallel_tool_calls"},
    [EFFORT] = {NULL, "reasoning_effort"},
    [STRICT] = {NULL, "tools.strict"},
    [VERBOSITY] = {NULL, "verbosity"},
    [USER] = {NULL, "user"},
    [METADATA] = {NULL, "metadata"},
    [TIER] = {NULL, "service_tier"},
    [CACHED] = {NULL, "prompt_cache_key"},
    [STORED] = {NULL, "store"},
};

static void change_part(enum change c, struct llm_part *p)
{
    p->id = SLICE("c");
    p->name = SLICE("f");
    switch (c) {
    case ARGUMENTS:
        p->kind = PART_TOOL_CALL;
        p->arguments.inner = SLICE("[]");
        break;
    case NO_CALL:
        p->kind = PART_TOOL_RESULT;
        p->name = SLICE_NONE;
        break;
    case CUSTOM_CALL:
        p->kind = PART_TOOL_CALL;
        p->custom = true;
        break;
    case FOREIGN_BLOCK:
        p->kind = PART_NATIVE;
        p->family = FAMILY_ANTHROPIC;
        break;
    case FILE_ID:
        p->kind = PART_DOCUMENT;
        p->source.file_id = SLICE("file-1");
        break;
    default: /* CITED */
        p->kind = PART_DOCUMENT;
        p->citations = true;
        p->source.text.inner = SLICE("t");
    }
}

static void change_chat(enum change c, struct llm_tool *t)
{
    t->kind = c == CUSTOM_TOOL ? TOOL_CUSTOM : c == HOSTED ? TOOL_HOSTED : TOOL_FUNCTION;
    t->name = SLICE("f");
    t->strict = c == STRICT;
    if (c == CUSTOM_TOOL || c == HOSTED || c == STRICT || c == ONE_CALL)
        chat.tools = t;
    if (c == ONE_CALL)
        chat.parallel = 0;
    if (c == STORED)
        chat.store = 1;
    *(c == BIAS        ? &chat.logit_bias_json
      : c == EFFORT    ? &chat.effort
      : c == VERBOSITY ? &chat.verbosity
      : c == USER      ? &chat.user
      : c == METADATA  ? &chat.metadata_json
      : c == TIER      ? &chat.service_tier
                       : &t->format_json) = SLICE("high");
    if (c == CACHED)
        chat.cache_key = SLICE("k");
}

TEST(what_gemini_lacks)
{
    for (enum change c = 0; c < CHANGES_N; c++) {
        begin_chat();
        check_note("change %d", (int)c);
        struct llm_message **tail = &chat.messages;
        struct llm_part *p = part(PART_TEXT, "x", NULL);
        put_message(&tail, ROLE_USER, p);
        if (c <= CITED)
            change_part(c, p);
        else
            change_chat(c, arena_new(&arena, struct llm_tool));
        bool ok = write_for("gemini", "m");
        CHECK(ok == (changes[c].refused == NULL));
        if (!ok)
            CHECK_EQ_STR(bad.message, changes[c].refused);
        else
            CHECK_EQ_SLICE(writing.dropped->word, slice_str(changes[c].dropped));
        end_chat();
    }
}

TEST(signatures_of_others)
{
    static const struct {
        enum llm_family family;
        bool redacted;
        const char *signature;
    } rows[] = {{FAMILY_ANTHROPIC, false, "EqQBCkYI"},
                {FAMILY_ANTHROPIC, true, "x+/="},
                {FAMILY_OPENAI, false, "gAAAA_-"},
                {FAMILY_GOOGLE, false, "d2Vpc"},
                {FAMILY_AMAZON, false, "a"}};
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum llm_family family;
        bool redacted;
        char url_safe[64];
        struct slice s = slice_str(rows[i].signature);
        struct slice mark = google_signature_mark(&arena, s, rows[i].family, rows[i].redacted);
        check_note("row %zu: " SLICE_FMT, i, SLICE_ARG(mark));
        CHECK(rows[i].family == FAMILY_GOOGLE || slice_starts(mark, SLICE("d2Vpci")));
        for (size_t k = 0; k < mark.n; k++) /* as the SDK gives it back */
            url_safe[k] = mark.p[k] == '+' ? '-' : mark.p[k];
        CHECK_EQ_SLICE(
            google_signature_read(&arena, slice_of(url_safe, mark.n), &family, &redacted), s);
        CHECK(family == rows[i].family && redacted == rows[i].redacted);
    }
    tear_down();
}

/* The neutral request as Cohere's v2/chat. Each test changes one thing of a small request. */
#include <stdio.h>

#include "check.h"
#include "wire_run.h"

#define COMMAND "command-a-03-2025"
#define THINKER "command-a-reasoning-08-2025"
#define HI      "{\"role\":\"user\",\"content\":\"Hi\"}"
#define HEAD(m) "{\"model\":\"" COMMAND "\",\"messages\":[" m "]"

static void begin(struct wire_request *q)
{
    wire_request_begin(q, &cohere_wire, COMMAND);
}

TEST(smallest)
{
    struct wire_request q;
    begin(&q);
    wire_request_check(&q, HEAD(HI) "}");
    CHECK(q.w.dropped == NULL);
    q.chat.stream = true;
    wire_request_check(&q, HEAD(HI) ",\"stream\":true}");
    wire_request_end(&q);
}

TEST(conversation)
{
    struct wire_request q;
    begin(&q);
    wire_request_say(&q, 0, ROLE_DEVELOPER, PART_TEXT, "Be\\n\\u0041");
    wire_request_say(&q, 1, ROLE_USER, PART_TEXT, "Hi");
    wire_request_say(&q, 2, ROLE_ASSISTANT, PART_REFUSAL, "No.");
    wire_request_say(&q, 3, ROLE_USER, PART_TEXT, "Why?");
    q.part[3].next = &q.part[4];
    q.part[4] = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("Oh")}};
    wire_request_check(&q, HEAD("{\"role\":\"system\",\"content\":\"Be\\n\\u0041\"}," HI
                                ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
                                "\"No.\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
                                "\"text\":\"Why?\"},{\"type\":\"text\",\"text\":\"Oh\"}]}") "}");
    wire_request_end(&q);
}

TEST(images)
{
    struct wire_request q;
    begin(&q);
    struct llm_part *p = wire_request_say(&q, 0, ROLE_USER, PART_IMAGE, NULL);
    p->source = (struct llm_source){
        .media_type = SLICE("image/png"), .data = SLICE("iVBO"), .detail = SLICE("low")};
    wire_request_check(&q, HEAD("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                                "\"image_url\":{\"url\":\"data:image/png;base64,iVBO\",\"detail\":"
                                "\"low\"}}]}") "}");
    p->source = (struct llm_source){.url = SLICE("https://a.example/a.png")};
    wire_request_check(&q, HEAD("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                                "\"image_url\":{\"url\":\"https://a.example/a.png\"}}]}") "}");
    p->source = (struct llm_source){.file_id = SLICE("file-1")};
    wire_request_check_refused(&q, "messages[0].content[0]");
    wire_request_end(&q);
}

/* A document in front of "Hi". */
static struct llm_part *put_document(struct wire_request *q)
{
    struct llm_part *p = wire_request_say(q, 0, ROLE_USER, PART_DOCUMENT, NULL);
    p->source.text = (struct llm_text){SLICE("It\\nis.")};
    p->source.name = SLICE("a.txt");
    p->next = &q->part[1];
    q->part[1] = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("Hi")}};
    return p;
}

#define DOCUMENT "\"data\":{\"title\":\"a.txt\",\"text\":\"It\\nis.\"}"

TEST(documents)
{
    struct wire_request q;
    begin(&q);
    struct llm_part *p = put_document(&q);
    wire_request_check(&q, HEAD(HI) ",\"documents\":[{\"id\":\"doc_0\"," DOCUMENT
                                    "}],\"citation_options\":{\"mode\":\"OFF\"}}");
    p->citations = true;
    wire_request_check(&q, HEAD(HI) ",\"documents\":[{\"id\":\"doc_0\"," DOCUMENT "}]}");
    p->source = (struct llm_source){.media_type = SLICE("application/pdf"), .data = SLICE("JVBE")};
    wire_request_check_refused(&q, "messages[0].content[0]");
    wire_request_end(&q);
}

TEST(documents_that_have_no_number_count)
{
    struct wire_request q;
    begin(&q);
    struct llm_part *p = put_document(&q);
    q.part[2] = *p;
    q.part[1].next = &q.part[2];
    q.part[2].next = NULL;
    p->source = (struct llm_source){.data = SLICE("JVBE")};
    q.drop = FEATURE_DOCUMENT;
    wire_request_check(&q, HEAD("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                                "\"Hi\"}]}") ",\"documents\":[{\"id\":\"doc_1\"," DOCUMENT
                                             "}],\"citation_options\":{\"mode\":\"OFF\"}}");
    wire_request_check_dropped(&q, "file");
    wire_request_end(&q);
}

/* Where Cohere takes no documents, and where nothing else would be left. */
TEST(documents_in_the_message)
{
    struct wire_request q;
    begin(&q);
    struct llm_part *p = put_document(&q);
    p->next = NULL;
#define INLINE "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"It\\nis.\"}"
    wire_request_check(&q, HEAD(INLINE "]}") "}");
    p->next = &q.part[1];
    q.chat.format = FORMAT_JSON_OBJECT;
    wire_request_check(
        &q, HEAD(INLINE ",{\"type\":\"text\",\"text\":\"Hi\"}]}") ",\"response_format\":{\"type\":"
                                                                  "\"json_object\"}}");
    p->citations = true;
    wire_request_check_refused(&q, "messages[0].content[0]");
    wire_request_end(&q);
}

static void put_call(struct wire_request *q)
{
    struct llm_part *p = wire_request_say(q, 1, ROLE_ASSISTANT, PART_TOOL_CALL, NULL);
    p->id = SLICE("c1");
    p->name = SLICE("f");
    p->input_json = SLICE("{\"a\":\"b\"}");
    struct llm_part *r = wire_request_say(q, 2, ROLE_USER, PART_TOOL_RESULT, NULL);
    r->id = SLICE("c1");
    r->content = &q->part[5];
    q->part[5] = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("5 C")}};
}

#define CALLS                                                                                      \
    "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","           \
    "\"arguments\":\"{\\\"a\\\":\\\"b\\\"}\"}}]}"
#define CALLED HI ",{\"role\":\"assistant\"," CALLS
#define RESULT ",{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"5 C\"}"

TEST(calls_and_results)
{
    struct wire_request q;
    begin(&q);
    put_call(&q);
    wire_request_check(&q, HEAD(CALLED RESULT) "}");
    q.part[2].next = &q.part[6];
    q.part[6] = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("Hi")}};
    wire_request_check(&q, HEAD(CALLED RESULT "," HI) "}");
    wire_request_end(&q);
}

TEST(results_that_are_more_than_text)
{
    struct wire_request q;
    begin(&q);
    put_call(&q);
    q.part[5].next = &q.part[6];
    q.part[6] = (struct llm_part){.kind = PART_DOCUMENT};
    q.part[6].source.text = (struct llm_text){SLICE("It\\nis.")};
    q.part[6].next = &q.part[7];
    q.part[7] = (struct llm_part){.kind = PART_IMAGE};
    q.part[7].source.url = SLICE("https://a.example/a.png");
    wire_request_check(
        &q,
        HEAD(CALLED ",{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":[{\"type\":\"text\","
                    "\"text\":\"5 C\"},{\"type\":\"document\",\"document\":{\"data\":{\"text\":"
                    "\"It\\nis.\"}}}]},{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                    "\"image_url\":{\"url\":\"https://a.example/a.png\"}}]}") "}");
    q.part[2].content = NULL;
    wire_request_check(
        &q, HEAD(CALLED ",{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"\"}") "}");
    wire_request_end(&q);
}

TEST(custom_calls)
{
    struct wire_request q;
    begin(&q);
    put_call(&q);
    q.part[1].custom = true;
    wire_request_check_refused(&q, "messages[1].content[0]");
    wire_request_end(&q);
}

TEST(reasoning_of_before)
{
    struct wire_request q;
    begin(&q);
    put_call(&q);
    q.message[1].parts = &q.part[4];
    q.part[4] =
        (struct llm_part){.kind = PART_REASONING, .text = {SLICE("Look.")}, .next = &q.part[1]};
    wire_request_check(
        &q, HEAD(HI ",{\"role\":\"assistant\",\"tool_plan\":\"Look.\"," CALLS RESULT) "}");
    q.part[4].signature = SLICE("EqAB");
    q.part[4].family = FAMILY_ANTHROPIC;
    wire_request_check(
        &q, HEAD(HI ",{\"role\":\"assistant\",\"tool_plan\":\"Look.\"," CALLS RESULT) "}");
    wire_request_check_dropped(&q, "thinking_blocks");
    q.part[4].signature = SLICE_NONE;
    q.part[4].next = &q.part[6];
    q.part[6] = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("5")}};
    wire_request_check(
        &q, HEAD(HI ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","
                    "\"thinking\":\"Look.\"},{\"type\":\"text\",\"text\":\"5\"}]}" RESULT) "}");
    wire_request_end(&q);
}

TEST(a_turn_that_is_begun)
{
    struct wire_request q;
    begin(&q);
    wire_request_say(&q, 1, ROLE_ASSISTANT, PART_TEXT, "The");
    wire_request_check_refused(&q, "messages");
    q.bad = (struct llm_bad_request){.code = NULL};
    q.drop = FEATURE_PREFILL;
    wire_request_check(&q, HEAD(HI) "}");
    wire_request_check_dropped(&q, "messages");
    wire_request_end(&q);
}

static void put_tools(struct wire_request *q)
{
    q->chat.tools = q->tool;
    q->tool[0] = (struct llm_tool){.name = SLICE("f"),
                                   .description = {SLICE("F")},
                                   .schema_json = SLICE("{\"type\":\"object\"}"),
                                   .strict = -1,
                                   .next = &q->tool[1]};
    q->tool[1] = (struct llm_tool){.name = SLICE("g"), .strict = -1};
}

#define TOOL_F                                                                                     \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"F\",\"parameters\":{"   \
    "\"type\":\"object\"}}}"
#define TOOL_G                                                                                     \
    "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{\"type\":\"object\","     \
    "\"properties\":{}}}}"
#define TOOLS(t) HEAD(HI) ",\"tools\":[" t "]"

TEST(tools)
{
    static const struct {
        enum llm_choice_mode choice;
        const char *want;
    } rows[] = {
        {CHOICE_UNSET, TOOLS(TOOL_F "," TOOL_G) "}"},
        {CHOICE_AUTO, TOOLS(TOOL_F "," TOOL_G) "}"},
        {CHOICE_NONE, TOOLS(TOOL_F "," TOOL_G) ",\"tool_choice\":\"NONE\"}"},
        {CHOICE_REQUIRED, TOOLS(TOOL_F "," TOOL_G) ",\"tool_choice\":\"REQUIRED\"}"},
        {CHOICE_NAMED, TOOLS(TOOL_G) ",\"tool_choice\":\"REQUIRED\"}"},
    };
    struct wire_request q;
    begin(&q);
    put_tools(&q);
    q.chat.choice_name = SLICE("g");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu", i);
        q.chat.choice = rows[i].choice;
        wire_request_check(&q, rows[i].want);
    }
    q.chat.choice_name = SLICE("h");
    wire_request_check_refused(&q, "tool_choice");
    wire_request_end(&q);
}

TEST(tools_that_alone_may_be_called)
{
    struct wire_request q;
    begin(&q);
    put_tools(&q);
    q.word[0].word = SLICE("f");
    q.chat.choice_allowed = q.word;
    q.chat.choice = CHOICE_AUTO;
    wire_request_check(&q, TOOLS(TOOL_F) "}");
    q.chat.choice = CHOICE_REQUIRED;
    wire_request_check(&q, TOOLS(TOOL_F) ",\"tool_choice\":\"REQUIRED\"}");
    wire_request_end(&q);
}

TEST(strict_tools)
{
    struct wire_request q;
    begin(&q);
    put_tools(&q);
    q.tool[0].strict = 1;
    wire_request_check(&q, TOOLS(TOOL_F "," TOOL_G) "}");
    wire_request_check_dropped(&q, "tools.strict");
    q.tool[1].strict = 1;
    wire_request_check(&q, TOOLS(TOOL_F "," TOOL_G) ",\"strict_tools\":true}");
    CHECK(q.w.dropped == NULL);
    wire_request_end(&q);
}

TEST(sampling)
{
    struct wire_request q;
    begin(&q);
    q.word[0] = (struct llm_word){.word = SLICE("a\"b"), .next = &q.word[1]};
    q.word[1].word = SLICE("c");
    q.chat.max_tokens = 9;
    q.chat.temperature = SLICE("0.5");
    q.chat.top_p = SLICE("0.9");
    q.chat.top_k = SLICE("40");
    q.chat.frequency_penalty = SLICE("0.1");
    q.chat.presence_penalty = SLICE("0.2");
    q.chat.seed = SLICE("7");
    q.chat.stop = q.word;
    q.chat.logprobs = true;
    wire_request_check(&q, HEAD(HI) ",\"max_tokens\":9,\"temperature\":0.5,\"p\":0.9,\"k\":40,"
                                    "\"frequency_penalty\":0.1,\"presence_penalty\":0.2,\"seed\":7,"
                                    "\"stop_sequences\":[\"a\\\"b\",\"c\"],\"logprobs\":true}");
    wire_request_end(&q);
}

TEST(top_p_at_its_end)
{
    static const struct {
        const char *asked, *want;
    } rows[] = {{"1", "0.99"},      {"1.0", "0.99"}, {"0.995", "0.99"}, {"0.99", "0.99"},
                {"0.990", "0.990"}, {"2", "2"},      {"0", "0"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_request q;
        char want[256];
        begin(&q);
        check_note("row %zu", i);
        q.chat.top_p = slice_str(rows[i].asked);
        snprintf(want, sizeof want, HEAD(HI) ",\"p\":%s}", rows[i].want);
        wire_request_check(&q, want);
        wire_request_end(&q);
    }
}

TEST(formats)
{
    struct wire_request q;
    begin(&q);
    q.chat.format = FORMAT_JSON_SCHEMA;
    q.chat.format_name = SLICE("n");
    q.chat.format_schema_json = SLICE("{\"type\":\"object\"}");
    wire_request_check(&q, HEAD(HI) ",\"response_format\":{\"type\":\"json_object\","
                                    "\"json_schema\":{\"type\":\"object\"}}}");
    wire_request_end(&q);
}

#define THINKING(t) "{\"model\":\"" THINKER "\",\"messages\":[" HI "]" t "}"

TEST(thinking)
{
    static const struct {
        const char *effort;
        int64_t budget;
        const char *want;
    } rows[] = {
        {"", -1, THINKING("")},
        {"none", -1, THINKING(",\"thinking\":{\"type\":\"disabled\"}")},
        {"low", -1, THINKING(",\"thinking\":{\"type\":\"enabled\",\"token_budget\":1024}")},
        {"max", -1, THINKING(",\"thinking\":{\"type\":\"enabled\"}")},
        {"", 0, THINKING(",\"thinking\":{\"type\":\"disabled\"}")},
        {"high", 500, THINKING(",\"thinking\":{\"type\":\"enabled\",\"token_budget\":500}")},
        {"", -2, THINKING(",\"thinking\":{\"type\":\"enabled\"}")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_request q;
        wire_request_begin(&q, &cohere_wire, THINKER);
        check_note("row %zu", i);
        q.chat.effort = slice_str(rows[i].effort);
        q.chat.budget = rows[i].budget;
        wire_request_check(&q, rows[i].want);
        CHECK(q.w.dropped == NULL);
        wire_request_end(&q);
    }
}

TEST(thinking_that_is_not_to_be_had)
{
    struct wire_request q;
    begin(&q);
    q.chat.effort = SLICE("none");
    wire_request_check(&q, HEAD(HI) "}");
    CHECK(q.w.dropped == NULL);
    q.chat.effort = SLICE("low");
    wire_request_check(&q, HEAD(HI) "}");
    wire_request_check_dropped(&q, "reasoning_effort");
    q.chat.effort = SLICE("whatever");
    q.model = THINKER;
    wire_request_check(&q, THINKING(""));
    wire_request_check_dropped(&q, "reasoning_effort");
    wire_request_end(&q);
}

/* One thing each that has no place. */
static void ask(struct wire_request *q, unsigned row)
{
    struct llm_chat *c = &q->chat;
    switch (row) {
    case 0: c->n = 2; return;
    case 1: c->logit_bias_json = SLICE("{\"1\":2}"); return;
    case 2: c->logprobs = true, c->top_logprobs = 3; return;
    case 3: put_tools(q), c->parallel = 0; return;
    case 4: put_tools(q), q->tool[1].kind = TOOL_CUSTOM; return;
    case 5: put_tools(q), q->tool[1].kind = TOOL_HOSTED; return;
    case 6: q->part[0].kind = PART_AUDIO; return;
    case 7: q->part[0].kind = PART_VIDEO; return;
    case 8: q->part[0].kind = PART_NATIVE; return;
    case 9: c->user = SLICE("u"); return;
    case 10: c->metadata_json = SLICE("{}"); return;
    case 11: c->verbosity = SLICE("low"); return;
    case 12: c->cache_key = SLICE("k"); return;
    case 13: c->store = 1; return;
    case 14: c->service_tier = SLICE("flex"); return;
    case 15: q->message[0].name = SLICE("Ann"); return;
    default: q->part[0].cache_json = SLICE("{}"); return;
    }
}

TEST(what_has_no_place)
{
    static const struct {
        const char *name;
        bool dropped;
    } rows[] = {
        {"n", false},
        {"logit_bias", false},
        {"logprobs", false},
        {"parallel_tool_calls", true},
        {"tools", false},
        {"tools", false},
        {"messages[0].content[0]", false},
        {"messages[0].content[0]", false},
        {"messages[0].content[0]", false},
        {"user", true},
        {"metadata", true},
        {"verbosity", true},
        {"prompt_cache_key", true},
        {"store", true},
        {"service_tier", true},
        {"messages.name", true},
        {"prompt_cache_key", true},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_request q;
        begin(&q);
        check_note("row %u", i);
        ask(&q, i);
        if (rows[i].dropped) {
            if (q.chat.tools == NULL)
                wire_request_check(&q, HEAD(HI) "}");
            else
                CHECK(wire_request_write(&q));
            wire_request_check_dropped(&q, rows[i].name);
        } else {
            wire_request_check_refused(&q, rows[i].name);
        }
        wire_request_end(&q);
    }
}

TEST(no_room)
{
    struct wire_request q;
    begin(&q);
    put_call(&q);
    put_tools(&q);
    CHECK(wire_request_write(&q));
    size_t whole = q.out.n;
    for (size_t cap = 0; cap < whole; cap += 7) {
        buf_done(&q.out);
        buf_init(&q.out, cap);
        CHECK(!wire_request_write(&q));
        CHECK(q.bad.no_memory);
    }
    wire_request_end(&q);
}

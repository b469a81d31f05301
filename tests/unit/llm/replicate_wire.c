/* Replicate's predictions: requests, polling and answers. */
#include "check.h"
#include "wire_run.h"

#define LLAMA "meta/meta-llama-3.1-405b-instruct"

static void begin(struct wire_request *q)
{
    wire_request_begin(q, &replicate_wire, LLAMA);
}

TEST(one_message_is_the_prompt)
{
    struct wire_request q;
    begin(&q);
    wire_request_check(&q, "{\"input\":{\"prompt\":\"Hi\"},\"stream\":false}");
    q.chat.stream = true; /* it is polled all the same */
    wire_request_check(&q, "{\"input\":{\"prompt\":\"Hi\"},\"stream\":false}");
    q.model = "ann/tuned:5c7d5dc6";
    wire_request_check(
        &q, "{\"version\":\"ann/tuned:5c7d5dc6\",\"input\":{\"prompt\":\"Hi\"},\"stream\":false}");
    wire_request_end(&q);
}

TEST(conversation)
{
    struct wire_request q;
    begin(&q);
    wire_request_say(&q, 0, ROLE_SYSTEM, PART_TEXT, "Be\\nkind.");
    wire_request_say(&q, 1, ROLE_USER, PART_TEXT, "Hi \\u00fc");
    wire_request_say(&q, 2, ROLE_ASSISTANT, PART_REFUSAL, "No.");
    wire_request_say(&q, 3, ROLE_USER, PART_TEXT, "Why?");
    q.part[3].next = &q.part[4];
    q.part[4] = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("Oh")}};
    wire_request_check(&q, "{\"input\":{\"prompt\":\"User: Hi \\u00fc\\n\\nAssistant: No.\\n\\n"
                           "User: Why?\\nOh\\n\\nAssistant:\",\"system_prompt\":\"Be\\nkind.\"},"
                           "\"stream\":false}");
    q.message[2].role = ROLE_DEVELOPER;
    wire_request_check(&q, "{\"input\":{\"prompt\":\"User: Hi \\u00fc\\n\\nUser: Why?\\nOh\\n\\n"
                           "Assistant:\",\"system_prompt\":\"Be\\nkind.\\n\\nNo.\"},"
                           "\"stream\":false}");
    wire_request_end(&q);
}

TEST(only_the_system_speaks)
{
    struct wire_request q;
    begin(&q);
    wire_request_say(&q, 0, ROLE_SYSTEM, PART_TEXT, "A");
    wire_request_say(&q, 1, ROLE_DEVELOPER, PART_TEXT, "B");
    wire_request_check(&q, "{\"input\":{\"prompt\":\"A\\n\\nB\"},\"stream\":false}");
    wire_request_end(&q);
}

TEST(a_turn_that_is_begun)
{
    struct wire_request q;
    begin(&q);
    wire_request_say(&q, 1, ROLE_ASSISTANT, PART_TEXT, "The");
    wire_request_check_refused(&q, "messages");
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
    wire_request_check(&q, "{\"input\":{\"prompt\":\"Hi\",\"max_tokens\":9,\"temperature\":0.5,"
                           "\"top_p\":0.9,\"top_k\":40,\"presence_penalty\":0.2,"
                           "\"frequency_penalty\":0.1,\"seed\":7,\"stop_sequences\":\"a\\\"b,c\"},"
                           "\"stream\":false}");
    q.word[1].word = SLICE(",");
    wire_request_check_refused(&q, "stop");
    wire_request_end(&q);
}

/* One thing each that has no place. */
static void ask(struct wire_request *q, unsigned row)
{
    struct llm_chat *c = &q->chat;
    switch (row) {
    case 0: c->tools = q->tool; return;
    case 1: c->format = FORMAT_JSON_OBJECT; return;
    case 2: c->format = FORMAT_JSON_SCHEMA; return;
    case 3: c->n = 2; return;
    case 4: c->logit_bias_json = SLICE("{\"1\":2}"); return;
    case 5: c->logprobs = true; return;
    case 6: q->part[0].kind = PART_IMAGE; return;
    case 7: q->part[0].kind = PART_TOOL_RESULT; return;
    case 8: q->part[0].kind = PART_DOCUMENT; return;
    case 9: c->effort = SLICE("low"); return;
    case 10: c->user = SLICE("u"); return;
    case 11: q->message[0].name = SLICE("Ann"); return;
    case 12: c->store = 1; return;
    default: q->part[0].cache_json = SLICE("{}"); return;
    }
}

TEST(what_has_no_place)
{
    static const struct {
        const char *name;
        bool dropped;
    } rows[] = {
        {"tools", false},
        {"response_format", false},
        {"response_format", false},
        {"n", false},
        {"logit_bias", false},
        {"logprobs", false},
        {"messages[0].content[0]", false},
        {"messages[0].content[0]", false},
        {"messages[0].content[0]", false},
        {"reasoning_effort", true},
        {"user", true},
        {"messages.name", true},
        {"store", true},
        {"prompt_cache_key", true},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_request q;
        begin(&q);
        check_note("row %u", i);
        ask(&q, i);
        if (rows[i].dropped) {
            wire_request_check(&q, "{\"input\":{\"prompt\":\"Hi\"},\"stream\":false}");
            wire_request_check_dropped(&q, rows[i].name);
        } else {
            wire_request_check_refused(&q, rows[i].name);
        }
        wire_request_end(&q);
    }
}

TEST(paths)
{
    static const struct {
        const char *model, *path;
    } rows[] = {
        {LLAMA, "/models/" LLAMA "/predictions"},
        {"a b/c?d", "/models/a%20b/c%3Fd/predictions"},
        {"ann/tuned:5c7d5dc6", "/predictions"},
        {"5c7d5dc6ac8b", "/predictions"},
    };
    struct wire_run r;
    wire_run_begin(&r, &replicate_wire);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu", i);
        CHECK_EQ_SLICE(
            replicate_wire.path(r.d.arena, r.d.provider, LLM_CHAT, slice_str(rows[i].model), i & 1),
            slice_str(rows[i].path));
    }
    CHECK(replicate_wire.path(r.d.arena, r.d.provider, LLM_EMBEDDINGS, SLICE("a/b"), false).p ==
          NULL);
    r.ok = false;
    wire_run_end(&r);
}

TEST(polling)
{
    static const struct {
        const char *body;
        enum llm_poll poll;
        const char *path;
    } rows[] = {
        {"{\"id\":\"gm3q\",\"status\":\"starting\",\"urls\":{\"get\":"
         "\"https://evil.example/v1/predictions/x\"}}",
         LLM_POLL_PENDING, "/predictions/gm3q"},
        {"{\"id\":\"gm3q\",\"status\":\"processing\",\"output\":[\"a\"]}", LLM_POLL_PENDING,
         "/predictions/gm3q"},
        {"{\"id\":\"gm3q\",\"status\":\"succeeded\"}", LLM_POLL_DONE, ""},
        {"{\"id\":\"gm3q\",\"status\":\"failed\"}", LLM_POLL_FAILED, ""},
        {"{\"id\":\"gm3q\",\"status\":\"canceled\"}", LLM_POLL_FAILED, ""},
        {"{\"id\":\"gm3q\",\"status\":\"aborted\"}", LLM_POLL_FAILED, ""},
        {"{\"id\":\"gm3q\",\"status\":\"new\"}", LLM_POLL_BAD, ""},
        {"{\"id\":\"gm3q\"}", LLM_POLL_BAD, ""},
        {"{\"id\":\"../account\",\"status\":\"starting\"}", LLM_POLL_BAD, ""},
        {"{\"id\":\"a?b\",\"status\":\"starting\"}", LLM_POLL_BAD, ""},
        {"{\"id\":\"\",\"status\":\"starting\"}", LLM_POLL_BAD, ""},
        {"{\"id\":7,\"status\":\"starting\"}", LLM_POLL_BAD, ""},
        {"{\"status\":\"starting\"}", LLM_POLL_BAD, ""},
        {"[]", LLM_POLL_BAD, ""},
        {"<html>", LLM_POLL_BAD, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        struct slice path = SLICE("");
        check_note("row %zu", i);
        wire_run_begin(&r, &replicate_wire);
        CHECK_EQ_I64(replicate_wire.poll(&r.d, slice_str(rows[i].body), &path), rows[i].poll);
        CHECK_EQ_SLICE(path, slice_str(rows[i].path));
        r.ok = false;
        wire_run_end(&r);
    }
}

TEST(answers)
{
    static const struct {
        const char *body, *said;
        int64_t input, output;
    } rows[] = {
        {"{\"id\":\"gm3q\",\"model\":\"meta/llama\",\"status\":\"succeeded\",\"error\":null,"
         "\"output\":[\"\",\"Hel\",\"lo \\u00fc\"],\"metrics\":{\"input_token_count\":26,"
         "\"output_token_count\":84,\"predict_time\":2.8}}",
         "start gm3q meta/llama\npart 0 text  \n0+Hel\n0+lo \\u00fc\n0 end\nfinish stop\nend\n", 26,
         84},
        {"{\"id\":\"gm3q\",\"status\":\"succeeded\",\"output\":\"Hello\",\"metrics\":{"
         "\"token_input_count\":26.0,\"token_output_count\":84}}",
         "start gm3q asked\npart 0 text  \n0+Hello\n0 end\nfinish stop\nend\n", 26, 84},
        {"{\"id\":\"gm3q\",\"status\":\"succeeded\",\"output\":null}",
         "start gm3q asked\nfinish stop\nend\n", -1, -1},
        {"{\"status\":\"succeeded\",\"output\":[],\"metrics\":{}}",
         "start  asked\nfinish stop\nend\n", -1, -1},
        {"{\"id\":\"gm3q\",\"status\":\"failed\",\"error\":\"CUDA out of memory\",\"metrics\":{"
         "\"input_token_count\":3}}",
         "error 502 failed: CUDA out of memory\n", 3, -1},
        {"{\"status\":\"failed\",\"error\":null}", "error 502 failed: The prediction failed.\n", -1,
         -1},
        {"{\"status\":\"canceled\",\"error\":\" \"}",
         "error 502 canceled: The prediction was canceled.\n", -1, -1},
        {"{\"status\":\"aborted\"}",
         "error 504 aborted: The prediction was aborted before it began.\n", -1, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_answer(&r, &replicate_wire, rows[i].body);
        CHECK(r.ok);
        CHECK_EQ_SLICE(buf_view(&r.said), slice_str(rows[i].said));
        wire_run_check_usage(&r, rows[i].input, rows[i].output, -1);
        wire_run_end(&r);
    }
}

TEST(answers_that_are_none)
{
    static const char *const rows[] = {
        "",
        "{}",
        "{\"status\":\"starting\",\"id\":\"gm3q\"}",
        "{\"status\":\"processing\",\"id\":\"gm3q\",\"output\":[\"a\"]}",
        "{\"status\":\"succeeded\",\"output\":{\"text\":\"a\"}}",
        "{\"status\":\"succeeded\",\"output\":[\"a\",1]}",
        "{\"status\":\"succeeded\",\"output\":7}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_answer(&r, &replicate_wire, rows[i]);
        CHECK(!r.ok && !r.d.ended);
        wire_run_end(&r);
    }
}

TEST(there_are_no_streams)
{
    struct wire_run r;
    wire_run_stream(&r, &replicate_wire, "event: output\ndata: Hi\n\n");
    CHECK(!r.ok);
    CHECK(!replicate_wire.decode_end(&r.d));
    wire_run_end(&r);
}

TEST(no_room)
{
    struct wire_request q;
    begin(&q);
    q.word[0].word = SLICE("a");
    q.chat.stop = q.word;
    CHECK(wire_request_write(&q));
    size_t whole = q.out.n;
    for (size_t cap = 0; cap < whole; cap++) {
        buf_done(&q.out);
        buf_init(&q.out, cap);
        CHECK(!wire_request_write(&q));
        CHECK(q.bad.no_memory);
    }
    wire_request_end(&q);
}

/* RunPod's own API around chat completions: requests, polling and answers. */
#include "check.h"
#include "wire_run.h"

#define INSIDE(body)                                                                               \
    "{\"input\":{\"openai_route\":\"/v1/chat/completions\",\"openai_input\":" body "}}"
#define QWEN "Qwen/Qwen3-8B"

TEST(a_chat_completion_in_a_job)
{
    struct wire_request q;
    wire_request_begin(&q, &runpod_wire, QWEN);
    q.provider.quirks = QUIRK_NO_DEVELOPER | QUIRK_TOP_K | QUIRK_MAX_TOKENS;
    q.chat.max_tokens = 9;
    q.chat.top_k = SLICE("3");
    q.chat.stream = q.chat.wants_usage = true; /* it is polled all the same */
    wire_request_check(&q, INSIDE("{\"model\":\"" QWEN "\",\"messages\":[{\"role\":\"user\","
                                  "\"content\":\"Hi\"}],\"top_k\":3,\"max_tokens\":9}"));
    CHECK(q.chat.stream);
    wire_request_end(&q);
}

TEST(what_has_no_place)
{
    struct wire_request q;
    wire_request_begin(&q, &runpod_wire, QWEN);
    q.part[0].kind = PART_VIDEO;
    wire_request_check_refused(&q, "messages[0].content[0]");
    q.bad = (struct llm_bad_request){.code = NULL};
    q.part[0].kind = PART_TEXT;
    q.chat.store = 1;
    wire_request_check(&q, INSIDE("{\"model\":\"" QWEN "\",\"messages\":[{\"role\":\"user\","
                                  "\"content\":\"Hi\"}]}"));
    wire_request_check_dropped(&q, "store");
    wire_request_end(&q);
}

TEST(paths)
{
    struct wire_run r;
    wire_run_begin(&r, &runpod_wire);
    CHECK_EQ_LIT(runpod_wire.path(r.d.arena, r.d.provider, LLM_CHAT, SLICE("m"), true), "/runsync");
    CHECK(runpod_wire.path(r.d.arena, r.d.provider, LLM_EMBEDDINGS, SLICE("m"), false).p == NULL);
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
        {"{\"id\":\"sync-a1_b-e1\",\"status\":\"IN_QUEUE\"}", LLM_POLL_PENDING,
         "/status/sync-a1_b-e1"},
        {"{\"delayTime\":5,\"id\":\"a\",\"status\":\"IN_PROGRESS\"}", LLM_POLL_PENDING,
         "/status/a"},
        {"{\"id\":\"a\",\"status\":\"COMPLETED\"}", LLM_POLL_DONE, ""},
        {"{\"id\":\"a\",\"status\":\"FAILED\"}", LLM_POLL_FAILED, ""},
        {"{\"id\":\"a\",\"status\":\"CANCELLED\"}", LLM_POLL_FAILED, ""},
        {"{\"id\":\"a\",\"status\":\"TIMED_OUT\"}", LLM_POLL_FAILED, ""},
        {"{\"id\":\"a/b\",\"status\":\"IN_QUEUE\"}", LLM_POLL_BAD, ""},
        {"{\"id\":\"a\",\"status\":\"in_queue\"}", LLM_POLL_BAD, ""},
        {"{\"id\":\"a\",\"status\":null}", LLM_POLL_BAD, ""},
        {"", LLM_POLL_BAD, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        struct slice path = SLICE("");
        check_note("row %zu", i);
        wire_run_begin(&r, &runpod_wire);
        CHECK_EQ_I64(runpod_wire.poll(&r.d, slice_str(rows[i].body), &path), rows[i].poll);
        CHECK_EQ_SLICE(path, slice_str(rows[i].path));
        r.ok = false;
        wire_run_end(&r);
    }
}

#define JOB(output) "{\"id\":\"a\",\"status\":\"COMPLETED\",\"delayTime\":3,\"output\":" output "}"
#define COMPLETION                                                                                 \
    "{\"id\":\"chat-1\",\"object\":\"chat.completion\",\"model\":\"q\",\"choices\":[{\"index\":0," \
    "\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],"        \
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}"
#define CHUNK(delta, reason, rest)                                                                 \
    "{\"id\":\"chat-1\",\"object\":\"chat.completion.chunk\",\"model\":\"q\",\"choices\":[{"       \
    "\"index\":0,\"delta\":" delta ",\"finish_reason\":" reason "}]" rest "}"
#define SAID "start chat-1 q\npart 0 text  \n0+Hi\n0 end\nfinish stop\nend\n"

TEST(answers)
{
    static const struct {
        const char *body, *said;
    } rows[] = {
        {JOB(COMPLETION), SAID},
        {JOB("[" COMPLETION "]"), SAID},
        {JOB("[" CHUNK("{\"content\":\"Hi\"}", "null", "") "," CHUNK(
             "{}", "\"stop\"", ",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}") "]"),
         SAID},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_answer(&r, &runpod_wire, rows[i].body);
        CHECK(r.ok);
        CHECK_EQ_SLICE(buf_view(&r.said), slice_str(rows[i].said));
        wire_run_check_usage(&r, 9, 1, -1);
        wire_run_end(&r);
    }
}

TEST(failures)
{
    static const struct {
        const char *body, *said;
    } rows[] = {
        {"{\"id\":\"a\",\"status\":\"FAILED\",\"error\":\"worker exited\"}",
         "error 502 FAILED: worker exited\n"},
        {"{\"id\":\"a\",\"status\":\"FAILED\",\"error\":\"{\\\"error_type\\\":\\\"<class "
         "'ValueError'>\\\",\\\"message\\\":\\\"no model\\\"}\"}",
         "error 502 <class 'ValueError'>: no model\n"},
        {"{\"id\":\"a\",\"status\":\"FAILED\",\"error\":\"{\\\"error_type\\\":\\\"OOM\\\","
         "\\\"error_message\\\":\\\"out of memory\\\",\\\"error_traceback\\\":\\\"T\\\"}\"}",
         "error 502 OOM: out of memory\n"},
        {"{\"id\":\"a\",\"status\":\"FAILED\",\"error\":{\"message\":\"no \\u00fc\"}}",
         "error 502 FAILED: no \xC3\xBC\n"},
        {"{\"id\":\"a\",\"status\":\"CANCELLED\"}",
         "error 502 CANCELLED: The job was cancelled.\n"},
        {"{\"id\":\"a\",\"status\":\"TIMED_OUT\",\"error\":\"\"}",
         "error 504 TIMED_OUT: The job timed out.\n"},
        {JOB("[{\"error\":\"CUDA is not available.\"}]"), "error 0 : CUDA is not available.\n"},
        {JOB("{\"error\":{\"message\":\"too long\",\"type\":\"BadRequestError\",\"code\":400}}"),
         "error 0 BadRequestError: too long\n"},
        {JOB("[{\"object\":\"error\",\"message\":\"too long\",\"type\":\"BadRequestError\","
             "\"code\":400}]"),
         "error 0 BadRequestError: too long\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_answer(&r, &runpod_wire, rows[i].body);
        CHECK(r.ok);
        CHECK_EQ_SLICE(buf_view(&r.said), slice_str(rows[i].said));
        CHECK(r.d.ended);
        wire_run_end(&r);
    }
}

TEST(answers_that_are_none)
{
    static const char *const rows[] = {
        "",
        "{}",
        "{\"id\":\"a\",\"status\":\"IN_QUEUE\"}",
        "{\"id\":\"a\",\"status\":\"COMPLETED\"}",
        JOB("null"),
        JOB("\"Hi\""),
        JOB("[]"),
        JOB("{}"),
        JOB("[\"data: {}\"]"),
        JOB("[" CHUNK("{\"content\":\"Hi\"}", "null", "") "]"), /* never finished */
        JOB("[" CHUNK("{}", "\"stop\"", "") ",7]"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_run r;
        check_note("row %zu", i);
        wire_run_answer(&r, &runpod_wire, rows[i]);
        CHECK(!r.ok && !r.d.ended);
        wire_run_end(&r);
    }
}

/* A list that is too long for the arena. */
TEST(no_memory)
{
    struct wire_run r;
    struct arena none;
    struct slice path = SLICE("");
    wire_run_begin(&r, &runpod_wire);
    arena_init(&none, NULL, 0);
    r.d.arena = &none;
    CHECK(!runpod_wire.decode_answer(&r.d, SLICE(JOB("[" COMPLETION "]"))));
    CHECK_EQ_I64(runpod_wire.poll(&r.d, SLICE("{\"id\":\"a\",\"status\":\"IN_QUEUE\"}"), &path),
                 LLM_POLL_BAD);
    r.ok = false;
    wire_run_end(&r);
}

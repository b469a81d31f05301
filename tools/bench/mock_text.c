/* The bytes that the mock upstream answers with; see mock_text.h. */
#include "mock_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "mock_wires.h"
#include "util.h"

enum { PROMPT_TOKENS = 256, SLAB_SLACK = 4096 };

#define COMMON_FIELDS                                                                              \
    "date: Thu, 01 Oct 2026 12:00:00 GMT\r\n"                                                      \
    "x-request-id: req_5f1c8e0b7d2a49c3a6e4b9d810f27c35\r\n"                                       \
    "openai-processing-ms: 412\r\n"                                                                \
    "openai-version: 2020-10-01\r\n"

#define COMPLETION_ID "chatcmpl-BxQ4v1zJc8s0Lr2YkWm7dTnPfHa3"

static struct mock_slab slab_printf(size_t cap, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static struct mock_slab slab_printf(size_t cap, const char *format, ...)
{
    struct mock_slab slab = {.data = bench_alloc(1, cap)};
    va_list args;
    va_start(args, format);
    int len = vsnprintf(slab.data, cap, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= cap)
        bench_die("an answer does not fit its %zu bytes", cap);
    slab.len = (size_t)len;
    return slab;
}

static void slab_free(struct mock_slab *slab)
{
    bench_free(slab->data);
    *slab = (struct mock_slab){0};
}

struct mock_slab mock_text_json(const char *body, size_t len)
{
    return slab_printf(len + SLAB_SLACK,
                       "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" COMMON_FIELDS
                       "content-length: %zu\r\n\r\n%s",
                       len, body);
}

static const char filler[] =
    "The water above a weir stands still enough to be read from a gauge, and what passes over its "
    "crest follows from that level alone; so a simple edge both holds a river back and measures "
    "it. ";

/* A chat completion whose body is exactly `bytes` long, if that leaves room for its fields. */
static struct mock_slab build_answer(size_t bytes, int tokens)
{
    static const char before[] =
        "{\"id\":\"" COMPLETION_ID "\",\"object\":\"chat.completion\",\"created\":1790855999,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"";
    struct mock_slab after = slab_printf(
        SLAB_SLACK,
        "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}},"
        "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_51db84afab\"}\n",
        PROMPT_TOKENS, tokens, PROMPT_TOKENS + tokens);
    size_t frame = strlen(before) + after.len;
    size_t text = bytes > frame ? bytes - frame : 1;
    struct mock_slab body = {.data = bench_alloc(1, frame + text + 1)};
    memcpy(body.data, before, strlen(before));
    char *at = body.data + strlen(before);
    for (size_t i = 0; i < text; i++)
        *at++ = filler[i % (sizeof(filler) - 1)];
    memcpy(at, after.data, after.len);
    struct mock_slab answer = mock_text_json(body.data, frame + text);
    slab_free(&after);
    slab_free(&body);
    return answer;
}

/* One server-sent event within one chunk; `payload` is what follows "data: ". */
static struct mock_slab build_event(const char *payload)
{
    size_t len = strlen("data: ") + strlen(payload) + strlen("\n\n");
    return slab_printf(len + 32, "%zx\r\ndata: %s\n\n\r\n", len, payload);
}

static struct mock_slab build_chunk(const char *delta, const char *finish)
{
    struct mock_slab payload = slab_printf(
        SLAB_SLACK,
        "{\"id\":\"" COMPLETION_ID "\",\"object\":\"chat.completion.chunk\","
        "\"created\":1790855999,\"model\":\"bench\",\"system_fingerprint\":\"fp_51db84afab\","
        "\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":%s}]}",
        delta, finish);
    struct mock_slab event = build_event(payload.data);
    slab_free(&payload);
    return event;
}

static void build_stream_ends(struct mock_text *text, int tokens)
{
    struct mock_slab role = build_chunk("\"role\":\"assistant\",\"content\":\"\"", "null");
    struct mock_slab finish = build_chunk("", "\"stop\"");
    struct mock_slab done = build_event("[DONE]");
    struct mock_slab payload = slab_printf(
        SLAB_SLACK,
        "{\"id\":\"" COMPLETION_ID "\",\"object\":\"chat.completion.chunk\","
        "\"created\":1790855999,\"model\":\"bench\",\"system_fingerprint\":\"fp_51db84afab\","
        "\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,"
        "\"total_tokens\":%d,\"prompt_tokens_details\":{\"cached_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}",
        PROMPT_TOKENS, tokens, PROMPT_TOKENS + tokens);
    struct mock_slab usage = build_event(payload.data);
    text->first = slab_printf(
        SLAB_SLACK,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        "cache-control: no-cache\r\n" COMMON_FIELDS "transfer-encoding: chunked\r\n\r\n%s",
        role.data);
    text->last = slab_printf(SLAB_SLACK, "%s%s0\r\n\r\n", finish.data, done.data);
    text->last_usage =
        slab_printf(SLAB_SLACK, "%s%s%s0\r\n\r\n", finish.data, usage.data, done.data);
    slab_free(&role);
    slab_free(&finish);
    slab_free(&done);
    slab_free(&payload);
    slab_free(&usage);
}

void mock_text_build(struct mock_text *text, int wire, size_t answer_bytes, int events)
{
    static const char *words[] = {" the",  " river", " level",  ",",   " caf\u00e9", "\\n\\n",
                                  " weir", " \\\"",  " gauge",  " 42", " measures",  ".",
                                  " over", " crest", "ization", " a",  "```",        " \u6c34"};
    static const char models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":"
                                 "\"model\",\"created\":1790855999,\"owned_by\":\"bench\"}]}";
    slab_free(&text->answer);
    slab_free(&text->models);
    slab_free(&text->first);
    slab_free(&text->last);
    slab_free(&text->last_usage);
    slab_free(&text->comment);
    for (size_t i = 0; i < MOCK_MIDDLE_EVENTS; i++)
        slab_free(&text->middle[i]);
    text->models = mock_text_json(models, strlen(models));
    text->comment = slab_printf(64, "8\r\n: ping\n\n\r\n");
    if (wire != 0) {
        mock_wire_build(text, wire, answer_bytes, words, sizeof(words) / sizeof(words[0]));
        return;
    }
    text->answer = build_answer(answer_bytes, events);
    build_stream_ends(text, events);
    for (size_t i = 0; i < MOCK_MIDDLE_EVENTS; i++) {
        char delta[64];
        snprintf(delta, sizeof(delta), "\"content\":\"%s\"",
                 words[i % (sizeof(words) / sizeof(words[0]))]);
        text->middle[i] = build_chunk(delta, "null");
    }
}

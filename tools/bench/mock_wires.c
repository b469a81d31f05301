/* The mock's answers in other wires than OpenAI's, for measuring translation; see mock_wires.h. */
#include "mock_wires.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include "util.h"

enum { PIECES_MAX = 6, SLACK = 4096 };

/* One event of a stream: its name (empty: none) and its JSON. In `middle` %s is a word, in JSON; in
 * an answer it is the text. */
struct piece {
    const char *name, *json;
};

static const struct wire {
    const char *name;
    const char *target; /* what POST targets of this wire have in them */
    const char *stream; /* and those of streams, where no member of the body says so */
    bool binary;        /* AWS's framing */
    struct piece first[PIECES_MAX], middle, last[PIECES_MAX];
    const char *answer;
} wires[MOCK_WIRES] = {
    {"openai", "/chat/completions", NULL, false, {{0}}, {0}, {{0}}, NULL}, /* by mock_text.c */
    {
        .name = "anthropic",
        .target = "/messages",
        .first =
            {{"message_start",
              "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"type\":\"message\","
              "\"role\":\"assistant\",\"model\":\"bench\",\"content\":[],\"stop_reason\":null,"
              "\"stop_sequence\":null,\"usage\":{\"input_tokens\":256,\"output_tokens\":1}}}"},
             {"content_block_start",
              "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
              "{\"type\":\"text\",\"text\":\"\"}}"}},
        .middle = {"content_block_delta", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                                          "{\"type\":\"text_delta\",\"text\":\"%s\"}}"},
        .last = {{"content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"},
                 {"message_delta",
                  "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                  "\"stop_sequence\":null},\"usage\":{\"output_tokens\":64}}"},
                 {"message_stop", "{\"type\":\"message_stop\"}"}},
        .answer =
            "{\"id\":\"msg_01\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\","
            "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\","
            "\"stop_sequence\":null,\"usage\":{\"input_tokens\":256,\"output_tokens\":64}}",
    },
    {
        .name = "gemini",
        .target = "enerateContent",
        .stream = ":streamGenerateContent",
        .first = {{"", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],"
                       "\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"bench\","
                       "\"responseId\":\"r1\"}"}},
        .middle = {"", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}],"
                       "\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":"
                       "256,\"candidatesTokenCount\":9,\"totalTokenCount\":265},"
                       "\"modelVersion\":\"bench\",\"responseId\":\"r1\"}"},
        .last = {{"",
                  "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],"
                  "\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],"
                  "\"usageMetadata\":{\"promptTokenCount\":256,\"candidatesTokenCount\":64,"
                  "\"totalTokenCount\":320},\"modelVersion\":\"bench\",\"responseId\":\"r1\"}"}},
        .answer =
            "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}],\"role\":\"model\"},"
            "\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":"
            "256,\"candidatesTokenCount\":64,\"totalTokenCount\":320},\"modelVersion\":"
            "\"bench\",\"responseId\":\"r1\"}",
    },
    {
        .name = "responses",
        .target = "/responses",
        .first = {{"response.created",
                   "{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":"
                   "\"resp_1\",\"object\":\"response\",\"created_at\":1790855999,\"status\":"
                   "\"in_progress\",\"model\":\"bench\",\"output\":[]}}"},
                  {"response.output_item.added",
                   "{\"type\":\"response.output_item.added\",\"sequence_number\":1,"
                   "\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":"
                   "\"in_progress\",\"role\":\"assistant\",\"content\":[]}}"},
                  {"response.content_part.added",
                   "{\"type\":\"response.content_part.added\",\"sequence_number\":2,\"item_id\":"
                   "\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":"
                   "\"output_text\",\"text\":\"\",\"annotations\":[]}}"}},
        .middle = {"response.output_text.delta",
                   "{\"type\":\"response.output_text.delta\",\"sequence_number\":9,\"item_id\":"
                   "\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"%s\","
                   "\"logprobs\":[],\"obfuscation\":\"a1B2c3\"}"},
        .last = {{"response.output_item.done",
                  "{\"type\":\"response.output_item.done\",\"sequence_number\":90,"
                  "\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":"
                  "\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
                  "\"text\":\"\",\"annotations\":[]}]}}"},
                 {"response.completed",
                  "{\"type\":\"response.completed\",\"sequence_number\":91,\"response\":{\"id\":"
                  "\"resp_1\",\"object\":\"response\",\"created_at\":1790855999,\"status\":"
                  "\"completed\",\"model\":\"bench\",\"output\":[],\"usage\":{\"input_tokens\":256,"
                  "\"output_tokens\":64,\"total_tokens\":320}}}"}},
        .answer = "{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1790855999,\"status\":"
                  "\"completed\",\"model\":\"bench\",\"output\":[{\"id\":\"msg_1\",\"type\":"
                  "\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{"
                  "\"type\":\"output_text\",\"text\":\"%s\",\"annotations\":[]}]}],\"usage\":{"
                  "\"input_tokens\":256,\"output_tokens\":64,\"total_tokens\":320}}",
    },
    {
        .name = "bedrock",
        .target = "/converse",
        .stream = "/converse-stream",
        .binary = true,
        .first = {{"messageStart", "{\"role\":\"assistant\"}"}},
        .middle = {"contentBlockDelta",
                   "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"%s\"},\"p\":\"abcdefgh\"}"},
        .last = {{"contentBlockStop", "{\"contentBlockIndex\":0}"},
                 {"messageStop", "{\"stopReason\":\"end_turn\"}"},
                 {"metadata", "{\"usage\":{\"inputTokens\":256,\"outputTokens\":64,"
                              "\"totalTokens\":320},\"metrics\":{\"latencyMs\":412}}"}},
        .answer =
            "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"%s\"}]}},"
            "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":256,\"outputTokens\":64,"
            "\"totalTokens\":320},\"metrics\":{\"latencyMs\":412}}",
    },
    {
        .name = "cohere",
        .target = "/v2/chat",
        .first = {{"message-start",
                   "{\"id\":\"c1\",\"type\":\"message-start\",\"delta\":{\"message\":"
                   "{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\","
                   "\"tool_calls\":[],\"citations\":[]}}}"},
                  {"content-start",
                   "{\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":"
                   "{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}"}},
        .middle = {"content-delta",
                   "{\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":"
                   "{\"content\":{\"text\":\"%s\"}}}}"},
        .last = {{"content-end", "{\"type\":\"content-end\",\"index\":0}"},
                 {"message-end", "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":"
                                 "\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":256,"
                                 "\"output_tokens\":64},\"tokens\":{\"input_tokens\":256,"
                                 "\"output_tokens\":64}}}}"}},
        .answer =
            "{\"id\":\"c1\",\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\","
            "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]},\"usage\":{\"billed_units\":{"
            "\"input_tokens\":256,\"output_tokens\":64},\"tokens\":{\"input_tokens\":256,"
            "\"output_tokens\":64}}}",
    },
};

int mock_wire_of(const char *target, size_t len)
{
    for (int i = MOCK_WIRES - 1; i > 0; i--) {
        if (memmem(target, len, wires[i].target, strlen(wires[i].target)))
            return i;
    }
    return 0;
}

bool mock_wire_streams(int wire, const char *target, size_t len)
{
    const char *word = wires[wire].stream;
    return word && memmem(target, len, word, strlen(word));
}

static void put_u32(char *at, size_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(v >> (24 - 8 * i));
}

static char *put_header(char *at, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    *at++ = (char)n;
    memcpy(at, name, n);
    at += n;
    *at++ = 7; /* a string */
    *at++ = (char)(v >> 8);
    *at++ = (char)v;
    memcpy(at, value, v);
    return at + v;
}

/* A message of application/vnd.amazon.eventstream; returns its length. */
static size_t frame_aws(char *out, const char *name, const char *json)
{
    char *at = put_header(out + 12, ":event-type", name);
    at = put_header(at, ":content-type", "application/json");
    at = put_header(at, ":message-type", "event");
    size_t headers = (size_t)(at - out) - 12, body = strlen(json), total = 16 + headers + body;
    memcpy(at, json, body);
    put_u32(out, total);
    put_u32(out + 4, headers);
    put_u32(out + 8, crc32(0, (const unsigned char *)out, 8));
    put_u32(out + total - 4, crc32(0, (const unsigned char *)out, (unsigned)total - 4));
    return total;
}

/* Appends one event as a chunk of the body. */
static void add_event(struct mock_slab *slab, const struct wire *wire, const char *name,
                      const char *json)
{
    char event[SLACK];
    size_t n = wire->binary
                   ? frame_aws(event, name, json)
                   : (size_t)snprintf(event, sizeof(event), "%s%s%sdata: %s\n\n",
                                      *name ? "event: " : "", name, *name ? "\n" : "", json);
    slab->len += (size_t)snprintf(slab->data + slab->len, 16, "%zx\r\n", n);
    memcpy(slab->data + slab->len, event, n);
    slab->len += n;
    memcpy(slab->data + slab->len, "\r\n", 2);
    slab->len += 2;
}

static struct mock_slab new_slab(void)
{
    return (struct mock_slab){.data = bench_alloc(1, (PIECES_MAX + 1) * SLACK)};
}

static void add_pieces(struct mock_slab *slab, const struct wire *wire, const struct piece *pieces)
{
    for (int i = 0; i < PIECES_MAX && pieces[i].json; i++)
        add_event(slab, wire, pieces[i].name, pieces[i].json);
}

/* `pattern` with `word` in place of its %s; returns the length. */
static size_t fill(char *out, const char *pattern, const char *word)
{
    const char *hole = strstr(pattern, "%s");
    size_t before = (size_t)(hole - pattern), n = strlen(word);
    memcpy(out, pattern, before);
    memcpy(out + before, word, n);
    memcpy(out + before + n, hole + 2, strlen(hole + 2) + 1);
    return before + n + strlen(hole + 2);
}

static void build_stream(struct mock_text *text, const struct wire *wire)
{
    text->first = new_slab();
    text->first.len = (size_t)snprintf(
        text->first.data, SLACK,
        "HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-request-id: req_5f1c8e0b7d2a49c3\r\n"
        "transfer-encoding: chunked\r\n\r\n",
        wire->binary ? "application/vnd.amazon.eventstream" : "text/event-stream");
    add_pieces(&text->first, wire, wire->first);
    text->last = new_slab();
    add_pieces(&text->last, wire, wire->last);
    memcpy(text->last.data + text->last.len, "0\r\n\r\n", 5);
    text->last.len += 5;
    text->last_usage = new_slab();
    text->last_usage.len = text->last.len;
    memcpy(text->last_usage.data, text->last.data, text->last.len);
}

void mock_wire_build(struct mock_text *text, int number, size_t answer_bytes,
                     const char *const *words, size_t words_n)
{
    const struct wire *wire = &wires[number];
    size_t frame = strlen(wire->answer), n = answer_bytes > frame ? answer_bytes - frame : 1;
    char *filler = bench_alloc(1, n + 1), *body = bench_alloc(1, n + frame + 1);
    memset(filler, 'w', n);
    text->answer = mock_text_json(body, fill(body, wire->answer, filler));
    bench_free(filler);
    bench_free(body);
    build_stream(text, wire);
    for (size_t i = 0; i < MOCK_MIDDLE_EVENTS; i++) {
        char json[SLACK / 2];
        fill(json, wire->middle.json, words[i % words_n]);
        text->middle[i] = new_slab();
        add_event(&text->middle[i], wire, wire->middle.name, json);
    }
}

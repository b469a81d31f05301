/* What the fault server says when it is well: one small right answer for each wire. What it says of
 * tokens is about right, for the gateway learns from it how long prompts and answers are. */
#include "fire_server.h"
#include "llm/aws_event_stream.h"
#include "llm/join.h"
#include "llm/wire.h"

/* '@' stands for text. */
struct event {
    const char *name; /* "": none */
    const char *json;
};

#define EVENTS_MAX 5

struct row {
    const struct llm_wire *wire;
    const char *whole;
    struct event open[EVENTS_MAX], delta, close[EVENTS_MAX]; /* of a stream */
};

#define RESPONSES_DONE                                                                             \
    "{\"id\":\"msg_fire\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\","   \
    "\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"@\"}]}"
#define RESPONSES_HEAD                                                                             \
    "\"id\":\"resp_fire\",\"object\":\"response\",\"created_at\":1,\"model\":\"m\""
#define RESPONSES_USAGE                                                                            \
    "\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{\"cached_tokens\":0},"               \
    "\"output_tokens\":20,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":50}"
#define RESPONSES_WHOLE                                                                            \
    "{" RESPONSES_HEAD ",\"status\":\"completed\",\"output\":[" RESPONSES_DONE                     \
    "]," RESPONSES_USAGE "}"
#define RESPONSES_AT "\"item_id\":\"msg_fire\",\"output_index\":0,\"content_index\":0"
#define CHUNK                                                                                      \
    "{\"id\":\"fire\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","         \
    "\"choices\":[{\"index\":0,"
#define CANDIDATE(text, more)                                                                      \
    "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"" text "\"}]},"      \
    "\"index\":0" more                                                                             \
    "}],\"usageMetadata\":{\"promptTokenCount\":30,\"candidatesTokenCount\":20,"                   \
    "\"totalTokenCount\":50},\"modelVersion\":\"m\",\"responseId\":\"fire\"}"
#define TGI_DETAILS                                                                                \
    "\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":20,\"seed\":null,"          \
    "\"input_length\":30}"

static const struct row rows[] = {
    {
        .wire = &openai_wire,
        .whole = "{\"id\":\"fire\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
                 "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"@\"},"
                 "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":30,"
                 "\"completion_tokens\":20,\"total_tokens\":50}}",
        .open = {{"", CHUNK "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                            "\"finish_reason\":null}]}"}},
        .delta = {"", CHUNK "\"delta\":{\"content\":\"@\"},\"finish_reason\":null}]}"},
        .close = {{"", CHUNK "\"delta\":{},\"finish_reason\":\"stop\"}]}"}, {"", "[DONE]"}},
    },
    {
        .wire = &responses_wire,
        .whole = RESPONSES_WHOLE,
        .open = {{"response.created",
                  "{\"type\":\"response.created\",\"sequence_number\":0,\"response\":"
                  "{" RESPONSES_HEAD ",\"status\":\"in_progress\",\"output\":[]}}"},
                 {"response.output_item.added",
                  "{\"type\":\"response.output_item.added\",\"sequence_number\":1,"
                  "\"output_index\":0,\"item\":{\"id\":\"msg_fire\",\"type\":\"message\","
                  "\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}}"},
                 {"response.content_part.added",
                  "{\"type\":\"response.content_part.added\",\"sequence_number\":2," RESPONSES_AT
                  ",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],"
                  "\"text\":\"\"}}"}},
        .delta = {"response.output_text.delta",
                  "{\"type\":\"response.output_text.delta\",\"sequence_number\":3," RESPONSES_AT
                  ",\"delta\":\"@\",\"logprobs\":[]}"},
        .close = {{"response.output_item.done",
                   "{\"type\":\"response.output_item.done\",\"sequence_number\":4,"
                   "\"output_index\":0,\"item\":" RESPONSES_DONE "}"},
                  {"response.completed", "{\"type\":\"response.completed\",\"sequence_number\":5,"
                                         "\"response\":" RESPONSES_WHOLE "}"}},
    },
    {
        .wire = &anthropic_wire,
        .whole = "{\"model\":\"m\",\"id\":\"msg_fire\",\"type\":\"message\",\"role\":\"assistant\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"@\"}],\"stop_reason\":\"end_turn\","
                 "\"stop_sequence\":null,\"usage\":{\"input_tokens\":30,\"output_tokens\":20}}",
        .open = {{"message_start",
                  "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"id\":\"msg_fire\","
                  "\"type\":\"message\",\"role\":\"assistant\",\"content\":[],"
                  "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":30,"
                  "\"output_tokens\":20}}}"},
                 {"content_block_start", "{\"type\":\"content_block_start\",\"index\":0,"
                                         "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"}},
        .delta = {"content_block_delta", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
                                         "\"type\":\"text_delta\",\"text\":\"@\"}}"},
        .close = {{"content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"},
                  {"message_delta",
                   "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                   "\"stop_sequence\":null},\"usage\":{\"output_tokens\":20}}"},
                  {"message_stop", "{\"type\":\"message_stop\"}"}},
    },
    {
        .wire = &google_wire,
        .whole = CANDIDATE("@", ",\"finishReason\":\"STOP\""),
        .delta = {"", CANDIDATE("@", "")},
        .close = {{"", CANDIDATE("", ",\"finishReason\":\"STOP\"")}},
    },
    {
        .wire = &converse_wire,
        .whole = "{\"output\":{\"message\":{\"content\":[{\"text\":\"@\"}],\"role\":\"assistant\"}}"
                 ",\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":30,\"outputTokens\":20,"
                 "\"totalTokens\":50},\"metrics\":{\"latencyMs\":1}}",
        .open = {{"messageStart", "{\"role\":\"assistant\"}"}},
        .delta = {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"@\"}}"},
        .close = {{"contentBlockStop", "{\"contentBlockIndex\":0}"},
                  {"messageStop", "{\"stopReason\":\"end_turn\"}"},
                  {"metadata", "{\"usage\":{\"inputTokens\":30,\"outputTokens\":20,"
                               "\"totalTokens\":50},\"metrics\":{\"latencyMs\":1}}"}},
    },
    {
        .wire = &cohere_wire,
        .whole = "{\"id\":\"fire\",\"message\":{\"role\":\"assistant\",\"content\":[{\"type\":"
                 "\"text\",\"text\":\"@\"}]},\"finish_reason\":\"COMPLETE\",\"usage\":{"
                 "\"billed_units\":{\"input_tokens\":30,\"output_tokens\":20},"
                 "\"tokens\":{\"input_tokens\":30,\"output_tokens\":20}}}",
        .open = {{"message-start",
                  "{\"type\":\"message-start\",\"id\":\"fire\",\"delta\":{\"message\":{"
                  "\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],"
                  "\"citations\":[]}}}"},
                 {"content-start",
                  "{\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{"
                  "\"type\":\"text\",\"text\":\"\"}}}}"}},
        .delta = {"content-delta", "{\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":"
                                   "{\"content\":{\"text\":\"@\"}}}}"},
        .close = {{"content-end", "{\"type\":\"content-end\",\"index\":0}"},
                  {"message-end",
                   "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\","
                   "\"usage\":{\"billed_units\":{\"input_tokens\":30,\"output_tokens\":20}}}}"},
                  {"", "[DONE]"}},
    },
    {
        .wire = &tgi_wire,
        .whole = "{\"generated_text\":\"@\"," TGI_DETAILS "}",
        .delta = {"", "{\"index\":1,\"token\":{\"id\":1,\"text\":\"@\",\"logprob\":-0.1,"
                      "\"special\":false},\"generated_text\":null,\"details\":null}"},
        .close = {{"", "{\"index\":2,\"token\":{\"id\":2,\"text\":\"</s>\",\"logprob\":-0.1,"
                       "\"special\":true},\"generated_text\":\"@\"," TGI_DETAILS "}"}},
    },
};

/* The text in pieces; a stream that is cut breaks off behind the third, so that what the client has
 * is long enough for last words. */
#define PIECE_1 "One river carried seven "
#define PIECE_2 "small boats past the old "
#define PIECE_3 "mill, and at dawn"
#define PIECE_4 " nobody saw where they had gone."
#define SENT    PIECE_1 PIECE_2 PIECE_3
#define PIECE(text)                                                                                \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
static const struct slice pieces[] = {PIECE(PIECE_1), PIECE(PIECE_2), PIECE(PIECE_3),
                                      PIECE(PIECE_4)};

struct slice fire_text(void)
{
    return SLICE(SENT PIECE_4);
}

static const struct llm_wire *wire_of(const struct llm_provider *p)
{
    return p->wire != NULL ? p->wire : &openai_wire;
}

static const struct row *row_of(const struct llm_provider *p)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].wire == wire_of(p))
            return &rows[i];
    }
    return NULL;
}

const char *fire_unknown_wire(const struct llm_provider *p)
{
    return row_of(p) == NULL ? wire_of(p)->name : NULL;
}

static void fill(struct buf *out, const char *form, struct slice text)
{
    for (; *form != '\0'; form++) {
        if (*form == '@')
            buf_slice(out, text);
        else
            buf_char(out, *form);
    }
}

static void put_frame(struct buf *out, struct slice type, struct slice payload)
{
    struct aws_event e = {.kind = AWS_EVENT,
                          .type = type,
                          .content_type = SLICE("application/json"),
                          .payload = payload};
    aws_event_put(out, &e);
}

static void put_event(struct buf *out, const struct llm_provider *p, const struct event *e,
                      struct slice text)
{
    struct buf json, line;
    buf_init(&json, 65536);
    buf_init(&line, 65536);
    fill(&json, e->json, text);
    if (e->name[0] != '\0')
        buf_printf(&line, "event: %s\n", e->name);
    buf_lit(&line, "data: ");
    buf_slice(&line, buf_view(&json));
    buf_lit(&line, "\n\n");
    if (p->quirks & QUIRK_SAGEMAKER)
        put_frame(out, SLICE("PayloadPart"), buf_view(&line));
    else if (wire_of(p)->framing == FRAMING_EVENT_STREAM)
        put_frame(out, slice_str(e->name), buf_view(&json));
    else
        buf_slice(out, buf_view(&line));
    out->failed |= json.failed || line.failed;
    buf_done(&json);
    buf_done(&line);
}

static bool holds(struct slice s, struct slice what)
{
    return s.n > 0 && memmem(s.p, s.n, what.p, what.n) != NULL;
}

/* The last pieces of the text, behind the words that the request wants repeated, if any. */
static unsigned first_piece(struct slice request, struct slice *ret_words)
{
    *ret_words = SLICE_NONE;
    if (!holds(request, SLICE(SENT)))
        return 0;
    if (holds(request, SLICE("last_words>")))
        *ret_words = llm_join_anchor(SLICE(SENT));
    return ARRAY_LEN(pieces) - 1;
}

static void put_events(struct buf *out, const struct llm_provider *p, const struct event *e,
                       struct slice text)
{
    for (size_t i = 0; i < EVENTS_MAX && e[i].json != NULL; i++)
        put_event(out, p, &e[i], text);
}

void fire_put_answer(struct buf *out, const struct llm_provider *p, bool stream, unsigned piece_n,
                     struct slice request)
{
    const struct row *r = row_of(p);
    struct slice words;
    unsigned from = first_piece(request, &words);
    if (r == NULL)
        return;
    if (!stream) {
        fill(out, r->whole, fire_text());
        return;
    }
    put_events(out, p, r->open, SLICE_NONE);
    if (words.n > 0)
        put_event(out, p, &r->delta, words);
    for (unsigned i = from; i < ARRAY_LEN(pieces) && (piece_n == 0 || i < piece_n); i++)
        put_event(out, p, &r->delta, pieces[i]);
    if (piece_n == 0)
        put_events(out, p, r->close, fire_text());
}

struct slice fire_content_type(const struct llm_provider *p, bool stream)
{
    if (!stream)
        return SLICE("Content-Type: application/json\r\n");
    if (p->quirks & QUIRK_SAGEMAKER || wire_of(p)->framing == FRAMING_EVENT_STREAM)
        return SLICE("Content-Type: application/vnd.amazon.eventstream\r\n");
    return SLICE("Content-Type: text/event-stream\r\n");
}

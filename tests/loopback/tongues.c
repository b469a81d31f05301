/* The clients' dialects as a test sees them. See tongues.h. */
#include "tongues.h"

#include <stdio.h>
#include <stdlib.h>

const char *const tongue_names[TONGUES_N] = {"chat", "responses", "messages", "google"};

bool says(const struct net_stream *s, const char *what)
{
    return s->body.n > 0 && memmem(s->body.p, s->body.n, what, strlen(what)) != NULL;
}

struct net_stream *tongue_ask(struct world *w, enum tongue t, const char *model, bool stream,
                              const char *more)
{
    char path[128], body[1024];
    const char *flow = stream ? ",\"stream\":true" : "";
    snprintf(path, sizeof path, "%s",
             t == CHAT        ? "/v1/chat/completions"
             : t == RESPONSES ? "/v1/responses"
                              : "/v1/messages");
    if (t == GOOGLE)
        snprintf(path, sizeof path, "/v1beta/models/%s:%s", model,
                 stream ? "streamGenerateContent?alt=sse" : "generateContent");
    int n = t == CHAT ? snprintf(body, sizeof body,
                                 "{\"model\":\"%s\",\"max_tokens\":4096,\"messages\":[{\"role\":"
                                 "\"user\",\"content\":\"hi\"}]%s%s}",
                                 model, flow, more)
            : t == RESPONSES
                ? snprintf(body, sizeof body, "{\"model\":\"%s\",\"input\":\"hi\"%s%s}", model,
                           flow, more)
            : t == MESSAGES
                ? snprintf(body, sizeof body,
                           "{\"model\":\"%s\",\"max_tokens\":4096,\"messages\":[{\"role\":"
                           "\"user\",\"content\":\"hi\"}]%s%s}",
                           model, flow, more)
                : snprintf(body, sizeof body,
                           "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]%s}",
                           more);
    return ask_path(w, HTTP_POST, path, NULL, slice_of(body, (size_t)n));
}

/* --- events */

/* The next event's data off `*rest`; SLICE_NONE: there is none left. */
static struct slice next_data(struct slice *rest)
{
    while (rest->n > 0) {
        struct slice line = slice_cut(rest, '\n');
        if (slice_starts(line, SLICE("data: ")))
            return slice_from(line, 6);
        if (line.n > 0 && line.p[0] != ':' && !slice_starts(line, SLICE("event: ")))
            check_fail(CHECK_AT("a line of a stream"), "%.*s", SLICE_ARG(line));
    }
    return SLICE_NONE;
}

static unsigned count_data(const struct net_stream *s)
{
    struct slice rest = text_view(&s->body);
    unsigned n = 0;
    while (next_data(&rest).n > 0)
        n++;
    return n;
}

struct slice tongue_data(const struct net_stream *s, unsigned i)
{
    struct slice rest = text_view(&s->body), data = SLICE_NONE;
    unsigned n = count_data(s);
    for (unsigned k = 0; i < n && k < n - i; k++)
        data = next_data(&rest);
    return data;
}

static const char *const text_paths[TONGUES_N] = {"choices.0.delta.content", "delta", "delta.text",
                                                  "candidates.0.content.parts.0.text"};

static void add_plain(struct text *out, struct slice inner)
{
    char *plain = malloc(inner.n + 1);
    ASSERT(plain != NULL);
    text_add(out, slice_of(plain, json_unescape(inner, plain)));
    free(plain);
}

void tongue_text(const struct net_stream *s, enum tongue t, struct text *out)
{
    struct slice data, rest = text_view(&s->body);
    while ((data = next_data(&rest)).n > 0) {
        if (slice_is(data, "[DONE]"))
            continue;
        CHECK(json_valid(data));
        if (t == RESPONSES && !slice_is(json_member(data, "type"), "response.output_text.delta"))
            continue;
        if (t == MESSAGES && !slice_is(json_member(data, "type"), "content_block_delta"))
            continue;
        struct slice inner = json_member(data, text_paths[t]);
        if (inner.n > 0)
            add_plain(out, inner);
    }
}

struct slice tongue_whole_text(const struct net_stream *s, enum tongue t)
{
    static const char *const paths[TONGUES_N] = {"choices.0.message.content",
                                                 "output.0.content.0.text", "content.0.text",
                                                 "candidates.0.content.parts.0.text"};
    return json_member(text_view(&s->body), paths[t]);
}

/* --- endings */

static unsigned count_of(const struct net_stream *s, const char *what)
{
    unsigned n = 0;
    struct slice rest = text_view(&s->body);
    const char *at;
    while (rest.n > 0 && (at = memmem(rest.p, rest.n, what, strlen(what))) != NULL) {
        n++;
        rest = slice_from(rest, (size_t)(at - rest.p) + 1);
    }
    return n;
}

/* What stands in a finished answer, and how often. */
struct mark {
    const char *text;
    unsigned times;
    bool last; /* none of it stands in an answer that has not finished */
};

static bool has_all(const struct net_stream *s, const struct mark *marks, size_t n)
{
    unsigned last = 0;
    for (size_t i = 0; i < n; i++)
        last += marks[i].last && count_of(s, marks[i].text) > 0;
    for (size_t i = 0; i < n && last > 0; i++)
        CHECK_EQ_I64(count_of(s, marks[i].text), marks[i].times);
    return last > 0;
}

/* Each event has the number behind the one before it; but for those that went as they came from an
 * upstream that gives none. */
static void check_numbers(const struct net_stream *s)
{
    struct slice data, rest = text_view(&s->body);
    if (json_member(next_data(&rest), "sequence_number").n == 0)
        return;
    rest = text_view(&s->body);
    for (uint64_t n = 0, got; (data = next_data(&rest)).n > 0; n++)
        CHECK(slice_to_u64(json_member(data, "sequence_number"), &got) && got == n);
}

bool tongue_finished(const struct net_stream *s, enum tongue t)
{
    static const struct mark chat[] = {{"\"finish_reason\":\"", 1, false},
                                       {"\"role\":\"assistant\"", 1, false},
                                       {"data: [DONE]\n\n", 1, true}};
    static const struct mark responses[] = {{"event: response.created\n", 1, false},
                                            {"event: response.output_item.added\n", 1, false},
                                            {"event: response.content_part.added\n", 1, false},
                                            {"event: response.output_text.done\n", 1, false},
                                            {"event: response.content_part.done\n", 1, false},
                                            {"event: response.output_item.done\n", 1, false},
                                            {"event: response.completed\n", 1, true}};
    static const struct mark messages[] = {{"event: message_start\n", 1, false},
                                           {"event: content_block_start\n", 1, false},
                                           {"event: content_block_stop\n", 1, false},
                                           {"event: message_delta\n", 1, false},
                                           {"event: message_stop\n", 1, true}};
    static const struct mark google[] = {{"\"finishReason\":", 1, true}};
    CHECK(s->state == CLIENT_ENDED && s->status == 200);
    if (t == RESPONSES)
        check_numbers(s);
    return t == CHAT        ? has_all(s, chat, ARRAY_LEN(chat))
           : t == RESPONSES ? has_all(s, responses, ARRAY_LEN(responses))
           : t == MESSAGES  ? has_all(s, messages, ARRAY_LEN(messages))
                            : has_all(s, google, ARRAY_LEN(google));
}

struct slice tongue_error(const struct net_stream *s, enum tongue t)
{
    struct slice last = tongue_data(s, 0), message = json_member(last, "error.message");
    if (t == RESPONSES && message.n == 0)
        message = json_member(last, "response.error.message");
    if (t == RESPONSES && message.n == 0 && slice_is(json_member(last, "type"), "error"))
        message = json_member(last, "message");
    return message;
}

static int64_t number(struct slice data, const char *path)
{
    uint64_t n;
    return slice_to_u64(json_member(data, path), &n) ? (int64_t)n : -1;
}

void tongue_usage(const struct net_stream *s, enum tongue t, int64_t *ret_input,
                  int64_t *ret_output)
{
    static const char *const paths[TONGUES_N][2] = {
        {"usage.prompt_tokens", "usage.completion_tokens"},
        {"response.usage.input_tokens", "response.usage.output_tokens"},
        {"usage.input_tokens", "usage.output_tokens"},
        {"usageMetadata.promptTokenCount", "usageMetadata.candidatesTokenCount"}};
    struct slice data = tongue_data(s, t == CHAT || t == MESSAGES);
    *ret_input = number(data, paths[t][0]);
    *ret_output = number(data, paths[t][1]);
}

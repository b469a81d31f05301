/* The mock upstream's answers; see reply.h. */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "util.h"

enum { REPLY_CAP = 131072, EVENT_CAP = 1024, USAGE_CAP = 512, EVENTS_MAX = REPLY_STEPS_MAX - 8 };

static const struct tokens NOTHING = {-1, -1, -1, -1, -1};

/* ---- requests ---- */

static const char *find(const char *hay, size_t len, const char *needle)
{
    return memmem(hay, len, needle, strlen(needle));
}

/* The last digit of the model's name, which ends at `end`. */
static int stage_of(const char *name, const char *end)
{
    return end > name && end[-1] >= '0' && end[-1] <= '9' ? end[-1] - '0' : 0;
}

static bool read_target(const char *target, size_t len, const char *body, size_t body_len,
                        struct ask *ret)
{
    const char *name, *end;
    if (find(target, len, "/chat/completions")) {
        ret->wire = REPLY_OPENAI;
    } else if (find(target, len, "/messages")) {
        ret->wire = REPLY_ANTHROPIC;
    } else if ((name = find(target, len, "/models/")) != NULL) {
        ret->wire = REPLY_GEMINI;
        end = memchr(name, ':', (size_t)(target + len - name));
        if (!end)
            return false;
        ret->stream = find(end, (size_t)(target + len - end), ":streamGenerateContent") != NULL;
        ret->stage = stage_of(name, end);
        ret->wants_usage = true;
        return true;
    } else {
        return false;
    }
    name = find(body, body_len, "\"model\":\"");
    if (!name)
        return false;
    name += strlen("\"model\":\"");
    end = memchr(name, '"', (size_t)(body + body_len - name));
    ret->stage = end ? stage_of(name, end) : 0;
    ret->stream = find(body, body_len, "\"stream\":true") != NULL;
    ret->wants_usage = ret->wire != REPLY_OPENAI || !ret->stream ||
                       find(body, body_len, "\"include_usage\":true") != NULL;
    return true;
}

/* The digits at `*at`, which goes behind them. */
static int64_t number_at(const char **at, const char *end)
{
    int64_t value = 0;
    while (*at < end && **at >= '0' && **at <= '9' && value < INT32_MAX)
        value = value * 10 + (*(*at)++ - '0');
    return value;
}

bool reply_read_ask(const char *target, size_t target_len, const char *body, size_t body_len,
                    struct ask *ret)
{
    *ret = (struct ask){.id = -1};
    const char *at = find(body, body_len, "@books ");
    if (!read_target(target, target_len, body, body_len, ret) || !at)
        return false;
    const char *end = memchr(at + 1, '@', (size_t)(body + body_len - at - 1));
    if (!end)
        return false;
    at += strlen("@books ");
    ret->id = number_at(&at, end);
    for (int stage = 1; stage < ret->stage && at < end; stage++) {
        at = memchr(at + 1, ' ', (size_t)(end - at - 1));
        if (!at)
            return false;
    }
    if (end - at < 8 || *at != ' ')
        return false;
    ret->kind = at[1];
    at += 3;
    ret->number = (int)number_at(&at, end);
    at++;
    ret->figures = (int)number_at(&at, end);
    at++;
    ret->delay_ms = (int)number_at(&at, end);
    return at <= end;
}

/* ---- figures ---- */

/* The input is different for every upstream request: a row that has it can be of no other. */
static struct tokens figures_of(const struct ask *ask)
{
    struct tokens t = {.input = 10 + 4 * ask->id + ask->stage, .cache_write = -1};
    bool cached = ask->figures & FIGURE_CACHED;
    bool written = ask->wire == REPLY_ANTHROPIC && ask->figures & FIGURE_CACHE_WRITE;
    t.output = 20 + (ask->id * 7919 + ask->stage * 104729) % 480; /* more than there are events */
    t.cached = cached ? t.input / 2 : -1;
    t.cache_write = written ? t.input / 4 : -1;
    t.reasoning = ask->figures & FIGURE_REASONING ? t.output / 3 : -1;
    return t;
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

__attribute__((format(printf, 3, 4))) static void add(char *out, size_t cap, const char *format,
                                                      ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + len, cap - len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= cap - len)
        bench_die("an answer is too long");
}

static void openai_usage(char *out, const struct tokens *t)
{
    add(out, USAGE_CAP,
        "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld",
        (long long)t->input, (long long)t->output, (long long)(t->input + t->output));
    if (t->cached >= 0)
        add(out, USAGE_CAP, ",\"prompt_tokens_details\":{\"cached_tokens\":%lld}",
            (long long)t->cached);
    if (t->reasoning >= 0)
        add(out, USAGE_CAP, ",\"completion_tokens_details\":{\"reasoning_tokens\":%lld}",
            (long long)t->reasoning);
    add(out, USAGE_CAP, "}");
}

/* Of a message's start (output 1, which is no count), its end, or both in one. */
static void anthropic_usage(char *out, const struct tokens *t, bool input, bool output)
{
    const char *comma = "";
    add(out, USAGE_CAP, "\"usage\":{");
    if (input) {
        add(out, USAGE_CAP, "\"input_tokens\":%lld",
            (long long)(t->input - known(t->cached) - known(t->cache_write)));
        if (t->cached >= 0)
            add(out, USAGE_CAP, ",\"cache_read_input_tokens\":%lld", (long long)t->cached);
        if (t->cache_write >= 0)
            add(out, USAGE_CAP, ",\"cache_creation_input_tokens\":%lld", (long long)t->cache_write);
        comma = ",";
    }
    add(out, USAGE_CAP, "%s\"output_tokens\":%lld", comma, output ? (long long)t->output : 1LL);
    if (output && t->reasoning >= 0)
        add(out, USAGE_CAP, ",\"output_tokens_details\":{\"thinking_tokens\":%lld}",
            (long long)t->reasoning);
    add(out, USAGE_CAP, "}");
}

static void gemini_usage(char *out, const struct tokens *t)
{
    add(out, USAGE_CAP,
        "\"usageMetadata\":{\"promptTokenCount\":%lld,\"candidatesTokenCount\":%lld,"
        "\"totalTokenCount\":%lld",
        (long long)t->input, (long long)(t->output - known(t->reasoning)),
        (long long)(t->input + t->output));
    if (t->cached >= 0)
        add(out, USAGE_CAP, ",\"cachedContentTokenCount\":%lld", (long long)t->cached);
    if (t->reasoning >= 0)
        add(out, USAGE_CAP, ",\"thoughtsTokenCount\":%lld", (long long)t->reasoning);
    add(out, USAGE_CAP, "}");
}

/* ---- writing ---- */

__attribute__((format(printf, 2, 3))) static void put(struct reply *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->data + r->len, r->cap - r->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= r->cap - r->len)
        bench_die("a reply is too long");
    r->len += (size_t)n;
}

static void step_end(struct reply *r)
{
    if (r->steps_n == REPLY_STEPS_MAX)
        bench_die("a reply has too many steps");
    r->step[r->steps_n++] = r->len;
}

static void note(struct reply *r, bool final, const struct tokens *t)
{
    if (r->said_n == REPLY_STEPS_MAX)
        bench_die("a reply says too much");
    r->said[r->said_n++] = (struct said){r->len, final, *t};
}

/* An event as a chunk of the body. */
static void put_event(struct reply *r, const char *name, const char *json)
{
    size_t n = strlen("data: \n\n") + strlen(json);
    if (*name)
        n += strlen("event: \n") + strlen(name);
    put(r, "%zx\r\n", n);
    if (*name)
        put(r, "event: %s\n", name);
    put(r, "data: %s\n\n\r\n", json);
}

static void put_stream_head(struct reply *r)
{
    put(r, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
           "transfer-encoding: chunked\r\n\r\n");
}

static void put_whole(struct reply *r, const char *status, const char *json)
{
    put(r, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
        strlen(json), json);
}

/* ---- streams ---- */

#define OPENAI_EVENT                                                                               \
    "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1790855999,\"model\":\"up\"," \
    "\"choices\":["

static void openai_start(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    (void)ask, (void)t;
    put_event(r, "",
              OPENAI_EVENT "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                           "\"finish_reason\":null}]}");
}

static void openai_word(struct reply *r, const struct ask *ask, const struct tokens *t, int i)
{
    char json[EVENT_CAP];
    (void)ask, (void)t;
    snprintf(json, sizeof(json),
             OPENAI_EVENT "{\"index\":0,\"delta\":{\"content\":\" w%d\"},\"finish_reason\":null}]}",
             i);
    put_event(r, "", json);
}

static void openai_end(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    char json[EVENT_CAP] = OPENAI_EVENT "],";
    put_event(r, "", OPENAI_EVENT "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    if (ask->kind == REPLY_NO_USAGE || !ask->wants_usage)
        return;
    char usage[USAGE_CAP] = "";
    openai_usage(usage, t);
    add(json, sizeof(json), "%s}", usage);
    put_event(r, "", json);
    note(r, true, t);
}

static void anthropic_start(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    char json[EVENT_CAP], usage[USAGE_CAP] = "";
    if (ask->kind == REPLY_NO_USAGE)
        add(usage, sizeof(usage), "\"usage\":null");
    else
        anthropic_usage(usage, t, true, false);
    snprintf(json, sizeof(json),
             "{\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":"
             "\"assistant\",\"model\":\"up\",\"content\":[],\"stop_reason\":null,"
             "\"stop_sequence\":null,%s}}",
             usage);
    put_event(r, "message_start", json);
    struct tokens part = *t;
    part.output = part.reasoning = -1;
    if (ask->kind != REPLY_NO_USAGE)
        note(r, false, &part);
    put_event(r, "content_block_start",
              "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
              "\"text\":\"\"}}");
}

static void anthropic_word(struct reply *r, const struct ask *ask, const struct tokens *t, int i)
{
    char json[EVENT_CAP];
    (void)ask, (void)t;
    snprintf(json, sizeof(json),
             "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
             "\"text\":\" w%d\"}}",
             i);
    put_event(r, "content_block_delta", json);
}

static void anthropic_end(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    char json[EVENT_CAP], usage[USAGE_CAP] = "";
    put_event(r, "content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}");
    if (ask->kind == REPLY_NO_USAGE)
        add(usage, sizeof(usage), "\"usage\":null");
    else
        anthropic_usage(usage, t, ask->figures & FIGURE_INTERIM, true);
    snprintf(json, sizeof(json),
             "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
             "\"stop_sequence\":null},%s}",
             usage);
    put_event(r, "message_delta", json);
    if (ask->kind != REPLY_NO_USAGE)
        note(r, true, t);
}

static void gemini_event(struct reply *r, const char *text, bool last, const struct tokens *t,
                         const char *usage)
{
    char json[EVENT_CAP];
    snprintf(json, sizeof(json),
             "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}],\"role\":\"model\"},%s"
             "\"index\":0}],%s%s\"modelVersion\":\"up\",\"responseId\":\"r1\"}",
             text, last ? "\"finishReason\":\"STOP\"," : "", usage, *usage ? "," : "");
    put_event(r, "", json);
    if (*usage)
        note(r, last, t);
}

static void gemini_start(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    (void)ask, (void)t;
    gemini_event(r, "", false, NULL, "");
}

static void gemini_word(struct reply *r, const struct ask *ask, const struct tokens *t, int i)
{
    char usage[USAGE_CAP] = "", text[16];
    struct tokens part = *t;
    part.output = i + 1;
    part.reasoning = -1;
    if (ask->figures & FIGURE_INTERIM && ask->kind != REPLY_NO_USAGE)
        gemini_usage(usage, &part);
    snprintf(text, sizeof(text), " w%d", i);
    gemini_event(r, text, false, &part, usage);
}

static void gemini_end(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    char usage[USAGE_CAP] = "";
    if (ask->kind != REPLY_NO_USAGE)
        gemini_usage(usage, t);
    gemini_event(r, "", true, t, usage);
}

static const struct stream_wire {
    void (*start)(struct reply *, const struct ask *, const struct tokens *);
    void (*word)(struct reply *, const struct ask *, const struct tokens *, int);
    void (*end)(struct reply *, const struct ask *, const struct tokens *); /* with the usage */
    const char *last_name, *last; /* what makes the stream whole; NULL: the body's end does */
    const char *error_name, *error;
} wires[REPLY_WIRES_N] = {
    [REPLY_OPENAI] = {openai_start, openai_word, openai_end, "", "[DONE]", "",
                      "{\"error\":{\"message\":\"lost\",\"type\":\"server_error\","
                      "\"code\":\"server_error\"}}"},
    [REPLY_ANTHROPIC] = {anthropic_start, anthropic_word, anthropic_end, "message_stop",
                         "{\"type\":\"message_stop\"}", "error",
                         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                         "\"message\":\"lost\"}}"},
    [REPLY_GEMINI] = {gemini_start, gemini_word, gemini_end, "", NULL, "",
                      "{\"error\":{\"code\":503,\"message\":\"lost\",\"status\":"
                      "\"UNAVAILABLE\"}}"},
};

static void build_stream(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    const struct stream_wire *wire = &wires[ask->wire];
    int words = ask->number < EVENTS_MAX ? ask->number : EVENTS_MAX;
    bool broken = ask->kind == REPLY_ERROR_EVENT || ask->kind == REPLY_CUT;
    put_stream_head(r);
    if (words > 0 || !broken)
        wire->start(r, ask, t);
    step_end(r);
    for (int i = 0; i < words; i++) {
        wire->word(r, ask, t, i);
        step_end(r);
    }
    if (ask->kind == REPLY_ERROR_EVENT) {
        put_event(r, wire->error_name, wire->error);
    } else if (ask->kind == REPLY_CUT) {
        r->end = REPLY_CLOSE;
        return;
    } else {
        wire->end(r, ask, t);
        if (ask->kind == REPLY_CUT_LATE) {
            r->end = REPLY_CLOSE;
            step_end(r);
            return;
        }
        if (wire->last)
            put_event(r, wire->last_name, wire->last);
    }
    put(r, "0\r\n\r\n");
    step_end(r);
}

/* ---- whole answers and errors ---- */

static void build_whole(struct reply *r, const struct ask *ask, const struct tokens *t)
{
    static const char *const bodies[] = {
        [REPLY_OPENAI] = "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1790855999,"
                         "\"model\":\"up\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                         "\"assistant\",\"content\":\"said\"},\"finish_reason\":\"stop\"}]",
        [REPLY_ANTHROPIC] =
            "{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"up\","
            "\"content\":[{\"type\":\"text\",\"text\":\"said\"}],\"stop_reason\":\"end_turn\","
            "\"stop_sequence\":null",
        [REPLY_GEMINI] = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"said\"}],\"role\":"
                         "\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"modelVersion\":"
                         "\"up\",\"responseId\":\"r1\"",
    };
    char usage[USAGE_CAP] = "", json[2 * EVENT_CAP];
    if (ask->kind != REPLY_NO_USAGE) {
        if (ask->wire == REPLY_OPENAI)
            openai_usage(usage, t);
        else if (ask->wire == REPLY_ANTHROPIC)
            anthropic_usage(usage, t, true, true);
        else
            gemini_usage(usage, t);
    }
    snprintf(json, sizeof(json), "%s%s%s}", bodies[ask->wire], *usage ? "," : "", usage);
    put_whole(r, "200 OK", json);
    if (ask->kind == REPLY_CUT || ask->kind == REPLY_CUT_LATE) {
        r->len -= strlen(json) - strlen(bodies[ask->wire]) / 2; /* none of the usage is out */
        r->end = REPLY_CLOSE;
    } else if (*usage) {
        note(r, true, t);
    }
    step_end(r);
}

static void build_error(struct reply *r, const struct ask *ask)
{
    char status[64], json[EVENT_CAP];
    int code = ask->kind == REPLY_ERROR ? ask->number : 500;
    snprintf(status, sizeof(status), "%d Refused", code);
    if (ask->wire == REPLY_ANTHROPIC)
        snprintf(json, sizeof(json),
                 "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"no\"}}",
                 code == 429 ? "rate_limit_error" : "api_error");
    else if (ask->wire == REPLY_GEMINI)
        snprintf(json, sizeof(json),
                 "{\"error\":{\"code\":%d,\"message\":\"no\",\"status\":\"%s\"}}", code,
                 code == 429 ? "RESOURCE_EXHAUSTED" : "INTERNAL");
    else
        snprintf(json, sizeof(json),
                 "{\"error\":{\"message\":\"no\",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                 code == 429 ? "rate_limit_error" : "server_error");
    put_whole(r, status, json);
    step_end(r);
}

void reply_build(struct reply *reply, const struct ask *ask)
{
    if (!reply->data) {
        reply->cap = REPLY_CAP;
        reply->data = bench_alloc(1, reply->cap);
    }
    reply->len = 0;
    reply->steps_n = reply->said_n = 0;
    reply->end = REPLY_KEEP;
    struct tokens t = ask->id >= 0 ? figures_of(ask) : NOTHING;
    if (ask->id < 0 || ask->kind == REPLY_ERROR ||
        (ask->kind == REPLY_ERROR_EVENT && !ask->stream)) {
        build_error(reply, ask);
    } else if (ask->kind == REPLY_RESET) {
        reply->end = REPLY_ABORT;
        step_end(reply);
    } else if (ask->stream) {
        build_stream(reply, ask, &t);
    } else {
        build_whole(reply, ask, &t);
    }
}

void reply_done(struct reply *reply)
{
    bench_free(reply->data);
    *reply = (struct reply){0};
}

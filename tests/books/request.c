/* Requests of the load's script; see request.h. */
#include "request.h"

#include <stdio.h>
#include <string.h>
#include "util.h"

enum { HEAD_CAP = 1024, BODY_CAP = 2048, PROMPT_CAP = 256 };

bool request_parse(const char *text, struct request_line *ret)
{
    long long id, at;
    int stream, usage, used = 0;
    *ret = (struct request_line){0};
    int n =
        sscanf(text, "%lld %c %d %d %63s %63s %63s %63s %c %lld %n", &id, &ret->dialect, &stream,
               &usage, ret->key, ret->model, ret->use_case, ret->user, &ret->abort, &at, &used);
    size_t plans = strcspn(text + used, "\n");
    if (n != 10 || plans == 0 || plans >= REQUEST_PLANS)
        return false;
    memcpy(ret->plans, text + used, plans);
    ret->id = id;
    ret->stream = stream;
    ret->wants_usage = usage;
    ret->abort_at = at;
    return true;
}

static bool given(const char *field)
{
    return strcmp(field, "-") != 0;
}

static size_t openai_body(const struct request_line *l, const char *prompt, char out[BODY_CAP])
{
    char user[REQUEST_FIELD + 16] = "";
    if (given(l->user))
        snprintf(user, sizeof(user), ",\"user\":\"%s\"", l->user);
    const char *stream = l->stream ? ",\"stream\":true" : "";
    const char *usage = l->wants_usage ? ",\"stream_options\":{\"include_usage\":true}" : "";
    return (size_t)snprintf(
        out, BODY_CAP,
        "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]"
        ",\"max_tokens\":600%s%s%s}",
        l->model, prompt, stream, l->stream ? usage : "", user);
}

static size_t anthropic_body(const struct request_line *l, const char *prompt, char out[BODY_CAP])
{
    char user[REQUEST_FIELD + 32] = "";
    if (given(l->user))
        snprintf(user, sizeof(user), ",\"metadata\":{\"user_id\":\"%s\"}", l->user);
    return (size_t)snprintf(out, BODY_CAP,
                            "{\"model\":\"%s\",\"max_tokens\":600,\"messages\":[{\"role\":\"user\","
                            "\"content\":\"%s\"}]%s%s}",
                            l->model, prompt, l->stream ? ",\"stream\":true" : "", user);
}

static size_t gemini_body(const char *prompt, char out[BODY_CAP])
{
    return (size_t)snprintf(out, BODY_CAP,
                            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"%s\"}]}],"
                            "\"generationConfig\":{\"maxOutputTokens\":600}}",
                            prompt);
}

static void write_path(const struct request_line *l, char out[PROMPT_CAP])
{
    if (l->dialect == 'g')
        snprintf(out, PROMPT_CAP, "/v1beta/models/%s:%s", l->model,
                 l->stream ? "streamGenerateContent?alt=sse" : "generateContent");
    else
        snprintf(out, PROMPT_CAP, "%s",
                 l->dialect == 'a' ? "/v1/messages" : "/v1/chat/completions");
}

/* Lines that only some requests have. */
static void write_fields(const struct request_line *l, char out[PROMPT_CAP])
{
    size_t n = 0;
    out[0] = '\0';
    if (given(l->use_case))
        n = (size_t)snprintf(out, PROMPT_CAP, "x-weir-use-case: %s\r\n", l->use_case);
    if (l->dialect == 'g' && given(l->user))
        snprintf(out + n, PROMPT_CAP - n, "x-weir-user: %s\r\n", l->user);
}

size_t request_write(const struct request_line *l, int port, char out[REQUEST_CAP])
{
    char prompt[PROMPT_CAP], body[BODY_CAP], path[PROMPT_CAP], fields[PROMPT_CAP];
    snprintf(prompt, sizeof(prompt), "Say it. @books %lld %s@", (long long)l->id, l->plans);
    size_t len = l->dialect == 'a'   ? anthropic_body(l, prompt, body)
                 : l->dialect == 'g' ? gemini_body(prompt, body)
                                     : openai_body(l, prompt, body);
    write_path(l, path);
    write_fields(l, fields);
    int n = snprintf(out, REQUEST_CAP,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                     "X-Forwarded-For: fd00::%x:%x\r\n%sContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     path, port, l->key, (unsigned)(l->id >> 16 & 0xFFFF) + 1,
                     (unsigned)(l->id & 0xFFFF), fields, len);
    if (n < 0 || len >= BODY_CAP || (size_t)n + len >= REQUEST_CAP)
        bench_die("a request is too long");
    memcpy(out + n, body, len);
    return (size_t)n + len;
}

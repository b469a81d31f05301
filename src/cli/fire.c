/* `weir check --fire`: would each fallback, breaker and limit of the configuration work? */
#include "fire.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define OUT_BYTES    ((size_t)64 << 20)
#define LINE_BYTES   ((size_t)1 << 20)
#define PATIENCE_NS  (30 * NS_PER_S)
#define ERRORS_BYTES ((size_t)1 << 20)

/* ---- the end before the end */

static volatile sig_atomic_t stopped;

static void on_signal(int signum)
{
    stopped = signum;
}

/* The first signal ends the run in good order, so that its folder goes; a second one at once. */
static void catch_signals(void)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < ARRAY_LEN(caught); i++)
        sigaction(caught[i], &act, NULL);
}

/* ---- requests */

static bool take_head(void *ctx, const struct http_head *head, bool leads_on)
{
    struct fire_answer *a = ctx;
    struct slice target = http_field_find(head, SLICE("x-weir-target"));
    (void)leads_on;
    a->status = head->status;
    snprintf(a->target, sizeof a->target, SLICE_FMT, SLICE_ARG(target));
    a->dropped = http_field_find(head, SLICE("x-weir-dropped")).n > 0;
    a->last_resort = http_field_find(head, SLICE("x-weir-last-resort")).n > 0;
    return true;
}

static bool take_body(void *ctx, struct slice data)
{
    struct fire_answer *a = ctx;
    buf_slice(&a->body, data);
    return !a->body.failed;
}

/* Counts and health know of a request a moment after its answer has come. */
static void wait_for_end(const struct fire *f)
{
    const struct timespec moment = {.tv_nsec = 20 * NS_PER_US};
    int64_t until = clock_mono_ns() + NS_PER_S;
    while (gateway_open_exchanges(f->gateway) > f->later_n && clock_mono_ns() < until)
        nanosleep(&moment, NULL);
}

static const struct {
    const char *name, *content, *members;
} wishes[] = {
#define X(id, name, content, members) {name, content, members},
    FIRE_WISHES(X)
#undef X
};

const char *fire_wish_name(enum fire_wish w)
{
    return wishes[w].name;
}

struct question {
    struct slice token, model;
    bool stream;
    enum fire_wish wish;
};

/* Asks, and waits for the answer. On any thread, with a fetcher of its own. */
static void ask_by(const struct fire *f, struct fetcher *fetcher, struct fire_answer *a,
                   const struct question *q)
{
    struct buf body, fields;
    buf_reset(&a->body);
    a->status = 0;
    a->last_resort = a->dropped = false;
    a->target[0] = a->why[0] = '\0';
    if (stopped)
        return;
    buf_init(&body, 65536);
    buf_init(&fields, 4096);
    buf_lit(&body, "{\"model\":");
    json_put_string(&body, q->model);
    if (f->user.n > 0)
        buf_printf(&body, ",\"user\":\"%.*s\"", SLICE_ARG(f->user));
    buf_printf(&body, ",\"stream\":%s,\"messages\":[{\"role\":\"user\",\"content\":%s}]%s}",
               q->stream ? "true" : "false", wishes[q->wish].content, wishes[q->wish].members);
    buf_lit(&fields, "Content-Type: application/json\r\nAuthorization: Bearer ");
    buf_slice(&fields, q->token);
    buf_lit(&fields, "\r\n");
    const struct fetch_request r = {.method = HTTP_POST,
                                    .url = SLICE("http://localhost/v1/chat/completions"),
                                    .upstream = f->door,
                                    .fields = buf_view(&fields),
                                    .body = buf_view(&body),
                                    .has_body = true,
                                    .connect_ns = PATIENCE_NS,
                                    .head_ns = PATIENCE_NS,
                                    .idle_ns = PATIENCE_NS,
                                    .on_head = take_head,
                                    .on_data = take_body,
                                    .ctx = a};
    struct fetch_outcome o = fetch(fetcher, &r);
    if (o.end != FETCH_DONE)
        snprintf(a->why, sizeof a->why, "%s", o.why);
    buf_done(&body);
    buf_done(&fields);
}

static void ask(struct fire *f, const struct question *q)
{
    ask_by(f, f->fetcher, &f->answer, q);
    if (!stopped)
        wait_for_end(f);
}

void fire_ask(struct fire *f, struct slice token, struct slice model, bool stream)
{
    const struct question q = {token, model, stream, WISH_TEXT};
    ask(f, &q);
}

void fire_ask_for(struct fire *f, struct slice token, struct slice model, enum fire_wish wish)
{
    const struct question q = {token, model, false, wish};
    ask(f, &q);
}

struct fire_later {
    struct fire *fire;
    struct question question;
    struct fetcher *fetcher;
    struct fire_answer answer;
    pthread_t thread;
};

static void *run_later(void *arg)
{
    struct fire_later *l = arg;
    ask_by(l->fire, l->fetcher, &l->answer, &l->question);
    return NULL;
}

static void later_free(struct fire_later *l)
{
    fetcher_free(l->fetcher);
    buf_done(&l->answer.body);
    mem_free(l);
}

struct fire_later *fire_ask_later(struct fire *f, struct slice token, struct slice model)
{
    struct fire_later *l = mem_calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->fire = f;
    l->question = (struct question){token, model, false, WISH_TEXT};
    l->fetcher = fetcher_new(NULL, NULL);
    buf_init(&l->answer.body, f->answer.body.cap);
    if (l->fetcher == NULL || !thread_start(&l->thread, run_later, l)) {
        later_free(l);
        return NULL;
    }
    f->later_n++;
    return l;
}

void fire_await(struct fire *f, struct fire_later *l)
{
    pthread_join(l->thread, NULL);
    struct fire_answer was = f->answer;
    f->answer = l->answer;
    l->answer = was;
    f->later_n--;
    wait_for_end(f);
    later_free(l);
}

/* What stands behind `key` in a string of the body, escapes as they are, from `*at` on. */
static struct slice member(const struct buf *b, const char *key, size_t *at)
{
    struct slice rest = slice_from(buf_view(b), *at);
    const char *p = rest.n > 0 ? memmem(rest.p, rest.n, key, strlen(key)) : NULL;
    if (p == NULL)
        return SLICE_NONE;
    struct slice value = slice_from(rest, (size_t)(p - rest.p) + strlen(key));
    size_t n = 0;
    while (n < value.n && (value.p[n] != '"' || (n > 0 && value.p[n - 1] == '\\')))
        n++;
    *at = (size_t)(value.p - b->p) + n;
    return slice_of(value.p, n);
}

bool fire_is_good(const struct fire *f, bool stream)
{
    const struct fire_answer *a = &f->answer;
    char text[512];
    size_t at = 0, n = 0;
    struct slice piece;
    if (a->status != 200 || a->why[0] != '\0' || a->last_resort)
        return false;
    while ((piece = member(&a->body, "\"content\":\"", &at)).p != NULL &&
           n + piece.n < sizeof text) {
        memcpy(text + n, piece.p, piece.n);
        n += piece.n;
    }
    at = 0;
    bool ended = slice_is(member(&a->body, "\"finish_reason\":\"", &at), "stop");
    at = 0;
    bool broke = stream && member(&a->body, "\"error\":{\"message\":\"", &at).p != NULL;
    return ended && !broke && slice_eq(slice_of(text, n), fire_text());
}

struct slice fire_say(struct fire *f)
{
    const struct fire_answer *a = &f->answer;
    size_t code_at = 0, message_at = 0;
    struct slice code = member(&a->body, "\"code\":\"", &code_at);
    struct slice message = member(&a->body, "\"message\":\"", &message_at);
    if (a->why[0] != '\0' && a->status == 0)
        return arena_copy(&f->arena, slice_str(a->why));
    if (a->last_resort)
        return SLICE("the last resort");
    if (code.n == 0 && message.n == 0)
        return arena_printf(&f->arena, "HTTP %u, but not the whole answer%s%s", a->status,
                            a->why[0] != '\0' ? ": " : "", a->why);
    return arena_printf(&f->arena, "%u %.*s: %.*s", a->status, SLICE_ARG(code), SLICE_ARG(message));
}

/* ---- the report */

void fire_print(struct fire *f, const char *fmt, ...)
{
    va_list args;
    if (f->json || stopped)
        return;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    fflush(stdout);
}

void fire_row(struct fire *f, const char *kind, struct slice subject, struct slice what,
              enum fire_verdict v, struct slice detail)
{
    static const char *const words[] = {"ok", "failed", "not fired", "note"};
    f->fired += v == FIRE_OK || v == FIRE_FAILED;
    f->failed += v == FIRE_FAILED;
    f->skipped += v == FIRE_SKIPPED;
    if (!f->json)
        return;
    jw_open(&f->w, '{');
    jw_field_string(&f->w, "kind", slice_str(kind));
    jw_field_string(&f->w, "subject", subject);
    jw_field_string(&f->w, "what", what);
    jw_field_string(&f->w, "result", slice_str(words[v]));
    if (detail.n > 0)
        jw_field_string(&f->w, "detail", detail);
    jw_close(&f->w, '}');
}

void fire_print_line(struct fire *f)
{
    if (f->line.n > 0)
        fire_print(f, SLICE_FMT "\n", SLICE_ARG(buf_view(&f->line)));
    buf_reset(&f->line);
}

static void begin(struct fire *f, bool json)
{
    f->json = json;
    buf_init(&f->line, LINE_BYTES);
    buf_init(&f->out, OUT_BYTES);
    f->w = json_writer(&f->out);
    if (!json)
        return;
    jw_open(&f->w, '{');
    jw_key(&f->w, "fired");
    jw_open(&f->w, '[');
}

static void end(struct fire *f, int64_t ns)
{
    fire_print(f, "%u fired in %.1f s: %u would not work", f->fired, (double)ns / 1e9, f->failed);
    if (f->skipped > 0)
        fire_print(f, "; %u not fired", f->skipped);
    fire_print(f, "\n");
    if (!f->json)
        return;
    jw_close(&f->w, ']');
    jw_field_i64(&f->w, "count", f->fired);
    jw_field_i64(&f->w, "failed", f->failed);
    jw_field_i64(&f->w, "not_fired", f->skipped);
    jw_field_i64(&f->w, "ms", ns / NS_PER_MS);
    jw_field_bool(&f->w, "ok", f->failed == 0);
    jw_close(&f->w, '}');
    buf_char(&f->out, '\n');
    if (!stopped)
        fwrite(f->out.p, 1, f->out.n, stdout);
}

int fire_run(const struct service_options *options, bool json)
{
    struct fire *f = mem_must(mem_calloc(1, sizeof *f));
    struct buf errors;
    int64_t began = clock_mono_ns();
    buf_init(&errors, ERRORS_BYTES);
    catch_signals();
    bool ok = fire_open(f, options, &errors);
    if (!ok || json) /* else `weir check` has told the warnings */
        fprintf(stderr, SLICE_FMT, SLICE_ARG(buf_view(&errors)));
    buf_done(&errors);
    if (ok) {
        begin(f, json);
        fire_routes(f);
        fire_breakers(f);
        fire_streams(f);
        fire_hedges(f);
        fire_queues(f);
        fire_limits(f);
        end(f, clock_mono_ns() - began);
        ok = f->failed == 0;
        buf_done(&f->out);
        buf_done(&f->line);
    }
    fire_close(f);
    mem_free(f);
    if (stopped)
        fputs("weir check: interrupted\n", stderr);
    return ok && !stopped ? 0 : 1;
}

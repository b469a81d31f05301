/* The answer to one chat request. */
#include "chat_answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "llm/openai.h"
#include "llm/sse.h"
#include "terminal.h"

#define BODY_MAX  ((size_t)64 << 20)
#define ARENA_MAX ((size_t)128 << 20)

bool chat_answer_init(struct chat_answer *a, chat_piece_fn *on_piece, void *ctx)
{
    *a = (struct chat_answer){.on_piece = on_piece, .ctx = ctx};
    a->parser = json_parser_new();
    arena_init(&a->arena, NULL, ARENA_MAX);
    buf_init(&a->in, BODY_MAX);
    buf_init(&a->scratch, BODY_MAX);
    buf_init(&a->text, BODY_MAX);
    chat_answer_reset(a);
    return a->parser != NULL;
}

void chat_answer_done(struct chat_answer *a)
{
    json_parser_free(TAKE(a->parser));
    arena_reset(&a->arena);
    buf_done(&a->in);
    buf_done(&a->scratch);
    buf_done(&a->text);
}

void chat_answer_reset(struct chat_answer *a)
{
    buf_reset(&a->in);
    buf_reset(&a->text);
    memset(a->carry, 0, sizeof a->carry);
    a->scanned = 0;
    a->status = 0;
    a->stream = a->done = a->failed = a->unwanted = false;
    a->error[0] = a->target[0] = a->finish_reason[0] = '\0';
    a->input = a->output = -1;
    a->pieces = a->first_ns = a->last_ns = 0;
}

static bool fail(struct chat_answer *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool fail(struct chat_answer *a, const char *fmt, ...)
{
    va_list args;
    if (a->failed)
        return false;
    va_start(args, fmt);
    vsnprintf(a->error, sizeof a->error, fmt, args);
    va_end(args);
    a->failed = true;
    return false;
}

static void copy_text(char *out, size_t size, struct slice s)
{
    struct buf b;
    buf_init(&b, size + 16);
    terminal_text_line(&b, s, size - 8);
    size_t n = MIN_OF(b.n, size - 1);
    memcpy(out, n > 0 ? b.p : "", n);
    out[n] = '\0';
    buf_done(&b);
}

/* The error that `body` tells of, whatever its shape. */
static bool fail_with_body(struct chat_answer *a, struct slice body)
{
    struct llm_error e;
    char message[500];
    openai_read_error(a->parser, &a->arena, body.n > 0 ? body : SLICE(""), &e);
    copy_text(message, sizeof message, e.message);
    if (a->status >= 300)
        return fail(a, "%s (%u %s)", message, a->status, http_status_text(a->status));
    return fail(a, "%s", message);
}

void chat_answer_head(struct chat_answer *a, const struct http_head *h)
{
    struct slice type = http_field_get(h, HTTP_CONTENT_TYPE);
    a->status = h->status;
    a->stream = h->status < 300 &&
                slice_eq_nocase(slice_trim(slice_cut(&type, ';')), SLICE("text/event-stream"));
    copy_text(a->target, sizeof a->target, http_field_find(h, SLICE("x-weir-target")));
}

/* JSON may not hold half a character, yet some servers cut their text anywhere. Then each byte
 * above 0x7F is written as the character of that number, which makes it valid, and string_text
 * turns them back. */
static struct slice widen(struct slice s, struct arena *a)
{
    char *out = arena_alloc(a, 2 * s.n), *o = out;
    if (out == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c >= 0x80)
            *o++ = (char)(0xC0 | c >> 6);
        *o++ = (char)(c >= 0x80 ? 0x80 | (c & 0x3F) : c);
    }
    return slice_of(out, (size_t)(o - out));
}

static size_t narrow(struct slice s, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c >= 0x80 && i + 1 < s.n)
            c = (uint8_t)((c & 3) << 6 | ((uint8_t)s.p[++i] & 0x3F));
        out[n++] = (char)c;
    }
    return n;
}

/* Does `s`, the inside of a JSON string, end with the escape of a first surrogate? */
static bool ends_in_half(struct slice s)
{
    unsigned backslashes = 0;
    if (s.n < 6)
        return false;
    const char *e = s.p + s.n - 6;
    while (e - backslashes >= s.p && e[-(ptrdiff_t)backslashes] == '\\')
        backslashes++;
    int third = hex_digit(e[3]);
    return backslashes % 2 == 1 && e[1] == 'u' && (e[2] | 0x20) == 'd' && third >= 8 && third < 12;
}

/* The text of the string at `node`; what has to wait for more goes into `carry`. */
static struct slice string_text(struct chat_answer *a, const struct json_doc *d, uint32_t node,
                                bool widened, struct chat_carry *carry)
{
    struct slice inner = json_inner(d, node);
    char *joined = arena_alloc(&a->arena, inner.n + sizeof carry->half);
    char *out = arena_alloc(&a->arena, inner.n + sizeof carry->half);
    if (joined == NULL || out == NULL)
        return SLICE_NONE;
    size_t n = carry->n;
    memcpy(joined, carry->half, n);
    if (widened) {
        n += narrow(inner, joined + n);
    } else {
        memcpy(joined + n, inner.p, inner.n);
        n += inner.n;
    }
    carry->n = 0;
    if (ends_in_half(slice_of(joined, n))) {
        n -= sizeof carry->half;
        memcpy(carry->half, joined + n, sizeof carry->half);
        carry->n = sizeof carry->half;
    }
    return slice_of(out, json_unescape(slice_of(joined, n), out));
}

static void give(struct chat_answer *a, enum chat_piece what, struct slice text)
{
    if (text.n == 0)
        return;
    a->last_ns = clock_mono_ns();
    if (a->first_ns == 0)
        a->first_ns = a->last_ns;
    a->pieces++;
    if (what == CHAT_TEXT)
        buf_slice(&a->text, text);
    if (!a->on_piece(a->ctx, what, text))
        a->unwanted = true;
}

/* A member of a delta or a message, if it is a string with something in it. */
static bool give_member(struct chat_answer *a, const struct json_doc *d, uint32_t object,
                        const char *key, bool widened, enum chat_piece what)
{
    uint32_t node = json_get(d, object, slice_str(key));
    if (node == 0 || json_type_at(d, node) != JSON_STRING || json_inner(d, node).n == 0)
        return false;
    give(a, what, string_text(a, d, node, widened, &a->carry[what]));
    return true;
}

static void read_count(const struct json_doc *d, uint32_t usage, const char *key, int64_t *ret)
{
    uint32_t node = json_get(d, usage, slice_str(key));
    int64_t n;
    if (node != 0 && json_i64(d, node, &n) && n >= 0)
        *ret = n;
}

static void read_choice(struct chat_answer *a, const struct json_doc *d, uint32_t choice,
                        bool widened)
{
    static const char *const holders[] = {"delta", "message"};
    uint32_t finish = json_get(d, choice, SLICE("finish_reason"));
    for (size_t i = 0; i < ARRAY_LEN(holders); i++) {
        uint32_t said = json_get(d, choice, slice_str(holders[i]));
        if (said == 0 || json_type_at(d, said) != JSON_OBJECT)
            continue;
        if (!give_member(a, d, said, "reasoning_content", widened, CHAT_REASONING))
            give_member(a, d, said, "reasoning", widened, CHAT_REASONING);
        give_member(a, d, said, "content", widened, CHAT_TEXT);
        give_member(a, d, said, "refusal", widened, CHAT_TEXT);
    }
    if (finish != 0 && json_type_at(d, finish) == JSON_STRING)
        copy_text(a->finish_reason, sizeof a->finish_reason, json_inner(d, finish));
}

/* An event's data, or a whole answer. */
static bool read_json(struct chat_answer *a, struct slice text)
{
    struct json_doc d;
    enum json_error e = json_parse(a->parser, text, JSON_ALLOW_LONE_SURROGATES, &d);
    bool widened = e == JSON_BAD_UTF8;
    if (widened) {
        struct slice wide = widen(text, &a->arena);
        e = wide.p == NULL ? JSON_NO_MEMORY
                           : json_parse(a->parser, wide, JSON_ALLOW_LONE_SURROGATES, &d);
    }
    if (e != JSON_OK)
        return fail(a, "the answer is not valid JSON: %s", json_error_text(e));
    if (json_type_at(&d, 0) != JSON_OBJECT)
        return fail(a, "the answer makes no sense");
    uint32_t error = json_get(&d, 0, SLICE("error"));
    if (error != 0 && json_type_at(&d, error) != JSON_NULL)
        return fail_with_body(a, text);
    uint32_t usage = json_get(&d, 0, SLICE("usage")), choices = json_get(&d, 0, SLICE("choices"));
    if (usage != 0 && json_type_at(&d, usage) == JSON_OBJECT) {
        read_count(&d, usage, "prompt_tokens", &a->input);
        read_count(&d, usage, "completion_tokens", &a->output);
    }
    if (choices == 0 || json_type_at(&d, choices) != JSON_ARRAY)
        return a->stream || fail(a, "the answer has no choices");
    uint32_t first = json_first(&d, choices);
    if (first < json_end(&d, choices) && json_type_at(&d, first) == JSON_OBJECT)
        read_choice(a, &d, first, widened);
    return !a->unwanted;
}

static void read_events(struct chat_answer *a)
{
    struct slice in = buf_view(&a->in);
    struct sse_event e;
    while (!a->done && !a->failed && !a->unwanted && sse_next(&in, &a->scanned, &a->scratch, &e)) {
        struct slice data = slice_trim(e.data);
        if (!e.has_data || data.n == 0)
            continue;
        arena_reset(&a->arena);
        if (slice_is(data, "[DONE]"))
            a->done = true;
        else
            read_json(a, data);
    }
    buf_consume(&a->in, a->in.n - in.n);
}

bool chat_answer_data(struct chat_answer *a, struct slice data)
{
    buf_slice(&a->in, data);
    if (a->in.failed)
        return fail(a, "the answer is too large");
    if (a->done)
        buf_reset(&a->in); /* nothing counts behind the end */
    else if (a->stream)
        read_events(a);
    return !a->failed && !a->unwanted;
}

void chat_answer_end(struct chat_answer *a)
{
    static const char half_text[] = "\xEF\xBF\xBD";
    if (a->failed || a->unwanted)
        return;
    arena_reset(&a->arena);
    if (!a->stream) {
        if (a->status >= 300)
            fail_with_body(a, buf_view(&a->in));
        else
            a->done = read_json(a, buf_view(&a->in));
    } else if (!a->done) { /* a last event without its blank line is taken for whole */
        buf_lit(&a->in, "\n\n");
        read_events(a);
    }
    for (size_t i = 0; i < ARRAY_LEN(a->carry); i++) {
        if (a->carry[i].n > 0)
            give(a, (enum chat_piece)i, slice_str(half_text));
        a->carry[i].n = 0;
    }
    if (!a->done)
        fail(a, "the answer was cut off");
}

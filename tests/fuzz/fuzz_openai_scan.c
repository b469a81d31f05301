/* Answers of providers: events, whole answers and errors. An event without its usage is valid JSON,
 * says the same otherwise, and has no usage left; an event says the same whether or not it is
 * compared with the one before; an error can be written and read back. The first byte says the
 * provider. */
/* layer: llm */
#include "base/buf.h"
#include "llm/openai.h"
#include "llm/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static struct json_parser *parser;

static void check_scan(const struct llm_scan *s, size_t n)
{
    const int64_t figures[] = {s->usage.input, s->usage.output, s->usage.cached,
                               s->usage.cache_write, s->usage.reasoning};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        ASSERT(figures[i] >= -1 && figures[i] <= (int64_t)1 << 49);
    ASSERT(s->has_usage == (s->usage.input >= 0 || s->usage.output >= 0));
    ASSERT(s->content == (s->output_units > 0));
    ASSERT(s->finished == (s->finish_reason.p != NULL));
    ASSERT(s->is_error == (s->error.message.n > 0));
    ASSERT(s->usage_member.value_end <= n);
}

static void check_without_usage(const struct llm_provider *provider, struct slice raw,
                                struct slice data, const struct llm_scan *was)
{
    struct buf out, scratch;
    struct sse_event ev;
    struct llm_scan s;
    struct arena a;
    size_t scanned = 0;
    arena_init(&a, NULL, CAP);
    buf_init(&out, CAP);
    buf_init(&scratch, CAP);
    openai_put_event_without_usage(&out, raw, data, &was->usage_member);
    struct slice in = buf_view(&out);
    ASSERT(sse_next(&in, &scanned, &scratch, &ev));
    ASSERT(in.n == 0 && ev.has_data);
    ASSERT(openai_scan_event(parser, &a, provider, ev.data, &s));
    ASSERT(s.usage_member.value_end == 0);
    ASSERT(s.content == was->content && s.output_units == was->output_units);
    ASSERT(s.finished == was->finished && s.is_error == was->is_error);
    ASSERT(slice_eq(s.model, was->model) && slice_eq(s.finish_reason, was->finish_reason));
    arena_reset(&a);
    buf_done(&out);
    buf_done(&scratch);
}

static bool same(struct slice a, struct slice b)
{
    return slice_eq(a, b) && (a.p == NULL) == (b.p == NULL);
}

static bool same_span(const struct llm_span *a, const struct llm_span *b)
{
    return a->key == b->key && a->key_end == b->key_end && a->value == b->value &&
           a->value_end == b->value_end;
}

static void check_same(const struct llm_scan *a, const struct llm_scan *b)
{
    ASSERT(a->is_error == b->is_error && a->done == b->done && a->content == b->content);
    ASSERT(a->finished == b->finished && a->usage_only == b->usage_only);
    ASSERT(a->has_usage == b->has_usage && a->output_units == b->output_units);
    ASSERT(memcmp(&a->usage, &b->usage, sizeof a->usage) == 0);
    ASSERT(same_span(&a->usage_member, &b->usage_member));
    ASSERT(same(a->model, b->model) && same(a->finish_reason, b->finish_reason));
    ASSERT(a->model.p == NULL || a->model.p == b->model.p);
}

static void check_event(const struct llm_provider *provider, struct llm_repeat *last,
                        struct slice raw, struct slice data)
{
    struct llm_scan s, next;
    struct arena a;
    arena_init(&a, NULL, CAP);
    bool ok = openai_scan_event(parser, &a, provider, data, &s);
    ASSERT(openai_scan_next_event(last, parser, &a, provider, data, &next) == ok);
    if (ok) {
        check_same(&s, &next);
        check_scan(&s, data.n);
        if (s.usage_member.value_end > 0)
            check_without_usage(provider, raw, data, &s);
    }
    arena_reset(&a);
}

/* The text as a stream: multi-line data takes the long way. */
static void check_stream(const struct llm_provider *provider, struct slice text)
{
    struct buf scratch;
    struct sse_event ev;
    struct llm_repeat last = {.n = 0};
    size_t scanned = 0;
    buf_init(&scratch, CAP);
    while (sse_next(&text, &scanned, &scratch, &ev)) {
        if (ev.has_data)
            check_event(provider, &last, ev.raw, ev.data);
    }
    buf_done(&scratch);
}

static void check_error(struct slice body)
{
    struct llm_error e, back;
    struct buf out;
    struct arena a;
    arena_init(&a, NULL, CAP);
    buf_init(&out, CAP);
    openai_read_error(parser, &a, body, &e);
    ASSERT(e.message.p != NULL && e.message.n > 0);
    openai_put_error(&out, &e);
    openai_read_error(parser, &a, buf_view(&out), &back);
    ASSERT(slice_eq(back.message, e.message) || !utf8_valid(e.message));
    buf_done(&out);
    arena_reset(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n;
    const struct llm_provider *rows = llm_providers(&n);
    if (size == 0)
        return 0;
    const struct llm_provider *provider = &rows[data[0] % n];
    struct slice text = slice_of((const char *)data + 1, size - 1);
    struct llm_scan s;
    struct arena a;
    parser = json_parser_new();
    arena_init(&a, NULL, CAP);
    for (int op = 0; op < LLM_OPS_N; op++) {
        if (openai_scan_answer(parser, &a, provider, (enum llm_op)op, text, &s))
            ASSERT(s.done != s.is_error);
    }
    check_stream(provider, text);
    check_error(text);
    arena_reset(&a);
    json_parser_free(parser);
    return 0;
}

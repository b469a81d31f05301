/* Requests: what is refused says why; what is accepted gives, for each provider, valid JSON without
 * doubled keys that reads as the same request under the new model name. The first byte says the
 * operation. */
/* layer: llm */
#include "base/buf.h"
#include "llm/openai.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const struct slice upstream_model = {"up/\"stream\" \xC3\xA9", 14};

static bool in_body(const struct llm_request *r, const struct llm_span *s)
{
    return s->value_end == 0 || (s->key < s->key_end && s->key_end < s->value &&
                                 s->value < s->value_end && s->value_end <= r->body.n);
}

static void check_request(const struct llm_request *r)
{
    ASSERT(r->model.n > 0 && r->model.n <= LLM_MODEL_MAX);
    ASSERT(r->n >= 1 && r->n <= 128 && r->max_tokens >= -1);
    ASSERT(!r->wants_usage || r->stream);
    for (size_t i = 0; i < LLM_MEMBERS_N; i++)
        ASSERT(in_body(r, &r->members[i]));
    ASSERT(in_body(r, &r->include_usage));
    for (size_t i = 1; i < r->developers_n; i++)
        ASSERT(r->developers[i].from > r->developers[i - 1].end);
}

static void check_edited(struct json_parser *p, struct slice text, const struct llm_request *was,
                         const struct llm_provider *provider)
{
    struct llm_request r;
    struct llm_bad_request bad;
    struct arena a;
    unsigned q = provider->quirks;
    arena_init(&a, NULL, CAP);
    ASSERT(openai_read_request(p, &a, was->op, text, &r, &bad));
    check_request(&r);
    ASSERT(slice_eq(r.model, upstream_model));
    ASSERT(r.stream == was->stream && r.n == was->n && slice_eq(r.user, was->user));
    ASSERT(q & QUIRK_MAX_TOKENS || r.max_tokens == was->max_tokens);
    ASSERT(r.wants_usage == (was->stream && !(q & QUIRK_NO_STREAM_OPTIONS)));
    ASSERT(!(q & QUIRK_NO_STREAM_OPTIONS) || r.members[LLM_MEMBER_STREAM_OPTIONS].value_end == 0);
    ASSERT(!(q & QUIRK_MAX_TOKENS) || r.members[LLM_MEMBER_MAX_COMPLETION_TOKENS].value_end == 0);
    ASSERT(!(q & QUIRK_RANDOM_SEED) || r.members[LLM_MEMBER_SEED].value_end == 0);
    ASSERT(r.developers_n == (q & QUIRK_NO_DEVELOPER ? 0 : was->developers_n));
    arena_reset(&a);
}

static void edit(struct json_parser *p, const struct llm_request *r,
                 const struct llm_provider *provider)
{
    struct llm_body out;
    struct buf text;
    struct arena a;
    arena_init(&a, NULL, CAP);
    buf_init(&text, CAP);
    ASSERT(openai_edit_request(&a, r, provider, upstream_model, &out));
    ASSERT(out.parts > 0 && out.parts <= LLM_PARTS_MAX);
    for (unsigned i = 0; i < out.parts; i++)
        buf_slice(&text, out.part[i]);
    ASSERT(text.n == out.bytes);
    check_edited(p, buf_view(&text), r, provider);
    buf_done(&text);
    arena_reset(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct llm_request r;
    struct llm_bad_request bad;
    struct arena a;
    size_t n;
    if (size == 0)
        return 0;
    struct json_parser *p = json_parser_new();
    enum llm_op op = (enum llm_op)(data[0] % LLM_OPS_N);
    const struct llm_provider *rows = llm_providers(&n);
    arena_init(&a, NULL, CAP);
    if (openai_read_request(p, &a, op, slice_of((const char *)data + 1, size - 1), &r, &bad)) {
        check_request(&r);
        for (size_t i = 0; i < n; i++)
            edit(p, &r, &rows[i]);
    } else {
        ASSERT(bad.message[0] != '\0' && bad.code != NULL && !bad.no_memory);
    }
    arena_reset(&a);
    json_parser_free(p);
    return 0;
}

/* Requests in Anthropic's dialect: what is refused says why; what is accepted is written for
 * Anthropic as valid JSON, which reads as a request again and is then written the same. The first
 * byte says the operation and the model. */
/* layer: llm */
#include "llm/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const char *const models[] = {"claude-opus-4-8", "claude-sonnet-4-5", "claude-opus-4-6",
                                     "claude-3-5-haiku", "other"};

static void check_refusal(const struct llm_bad_request *bad)
{
    ASSERT(bad->message[0] != '\0' && bad->code != NULL && !bad->no_memory);
}

static bool read(struct json_parser *p, struct arena *a, struct slice text, struct llm_chat *ret)
{
    struct llm_request r;
    struct llm_bad_request bad;
    if (!anthropic_dialect.read_request(p, a, LLM_CHAT, text, &r, &bad)) {
        check_refusal(&bad);
        return false;
    }
    ASSERT(r.model.n > 0 && r.model.n <= LLM_MODEL_MAX && r.max_tokens >= 0);
    if (!anthropic_dialect.read_chat(p, a, &r, ret, &bad)) {
        check_refusal(&bad);
        return false;
    }
    return true;
}

static bool write(struct json_parser *p, struct arena *a, const struct llm_chat *chat,
                  struct slice model, struct buf *out)
{
    static const struct llm_provider provider = {.type = "anthropic"};
    struct llm_bad_request bad = {.code = NULL};
    struct llm_writing w = {.arena = a,
                            .json = p,
                            .chat = chat,
                            .provider = &provider,
                            .model = model,
                            .out = out,
                            .bad = &bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        w.lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
    if (anthropic_wire.write_chat(&w))
        return true;
    check_refusal(&bad);
    return false;
}

static void check_again(struct json_parser *p, struct arena *a, struct slice model,
                        const struct buf *once)
{
    struct llm_chat chat;
    struct buf twice;
    buf_init(&twice, CAP);
    ASSERT(read(p, a, buf_view(once), &chat));
    ASSERT(write(p, a, &chat, model, &twice));
    ASSERT(slice_eq(buf_view(&twice), buf_view(once)));
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct llm_request r;
    struct llm_bad_request bad;
    struct llm_chat chat;
    struct arena a;
    struct buf out;
    if (size == 0)
        return 0;
    struct json_parser *p = json_parser_new();
    struct slice text = slice_of((const char *)data + 1, size - 1);
    struct slice model = slice_str(models[data[0] % ARRAY_LEN(models)]);
    arena_init(&a, NULL, CAP);
    buf_init(&out, CAP);
    if (!anthropic_dialect.read_request(p, &a, LLM_COUNT_TOKENS, text, &r, &bad))
        check_refusal(&bad);
    if (read(p, &a, text, &chat) && write(p, &a, &chat, model, &out))
        check_again(p, &a, model, &out);
    buf_done(&out);
    arena_reset(&a);
    json_parser_free(p);
    return 0;
}

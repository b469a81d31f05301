/* What the light reading says that a request needs, against the wires that never can: where one of
 * them lacks something, its writer refuses the whole request. The first byte says the dialect and
 * the operation. */
/* layer: llm */
#include "llm/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const struct llm_dialect *const dialects[] = {
    &openai_dialect, &completions_dialect, &responses_dialect, &anthropic_dialect, &google_dialect};
static const struct llm_wire *const wires[] = {&openai_wire, &responses_wire, &anthropic_wire,
                                               &google_wire, &converse_wire,  &cohere_wire,
                                               &tgi_wire,    &runpod_wire,    &replicate_wire};

static bool can_write(struct json_parser *p, struct arena *a, const struct llm_chat *chat,
                      const struct llm_wire *wire, const unsigned char lack[FEATURES_N])
{
    static const struct llm_provider provider = {.type = "any"};
    struct llm_bad_request bad = {.code = NULL};
    struct buf out;
    buf_init(&out, CAP);
    struct llm_writing w = {.arena = a,
                            .json = p,
                            .chat = chat,
                            .provider = &provider,
                            .model = SLICE("claude-opus-4-8"),
                            .out = &out,
                            .bad = &bad};
    memcpy(w.lack, lack, FEATURES_N);
    bool ok = wire->write_chat(&w);
    buf_done(&out);
    return ok;
}

static void check(struct json_parser *p, struct arena *a, const struct llm_dialect *d,
                  struct llm_request *r)
{
    unsigned char lack[FEATURES_N];
    struct llm_bad_request bad;
    struct llm_chat chat;
    unsigned needs = r->needs;
    if (!d->read_chat(p, a, r, &chat, &bad))
        return;
    for (unsigned f = 0; f < FEATURES_N; f++)
        lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
    for (size_t i = 0; i < ARRAY_LEN(wires); i++) {
        if (wires[i] != d->wire && llm_wire_lacks(wires[i], needs, lack) != 0)
            ASSERT(!can_write(p, a, &chat, wires[i], lack));
    }
    memset(lack, LACK_DROP, sizeof lack);
    for (size_t i = 0; i < ARRAY_LEN(wires); i++)
        ASSERT(llm_wire_lacks(wires[i], needs, lack) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct llm_request r;
    struct llm_bad_request bad;
    struct arena a;
    if (size == 0)
        return 0;
    struct json_parser *p = json_parser_new();
    const struct llm_dialect *d = dialects[data[0] % ARRAY_LEN(dialects)];
    enum llm_op op = d == &completions_dialect ? LLM_COMPLETIONS : LLM_CHAT;
    arena_init(&a, NULL, CAP);
    if (d->read_request(p, &a, op, slice_of((const char *)data + 1, size - 1), &r, &bad))
        check(p, &a, d, &r);
    arena_reset(&a);
    json_parser_free(p);
    return 0;
}

/* The smallest completion, in whatever wire. */
#include "llm/smallest.h"

#include "reader.h"

const struct llm_wire *llm_smallest_wire(const struct llm_provider *provider)
{
    const struct llm_wire *wire = provider->wire != NULL ? provider->wire : &openai_wire;
    return wire->poll == NULL ? wire : NULL;
}

bool llm_smallest_write(struct arena *a, struct json_parser *json,
                        const struct llm_provider *provider, struct slice model, struct buf *out)
{
    const struct llm_wire *wire = llm_smallest_wire(provider);
    struct llm_part text = {.kind = PART_TEXT, .text = {SLICE("Hi")}};
    struct llm_message message = {.role = ROLE_USER, .parts = &text};
    struct llm_bad_request bad = {.code = NULL};
    struct llm_chat chat;
    llm_chat_init(&chat, DIALECT_OPENAI);
    chat.model = model;
    chat.messages = &message;
    chat.max_tokens = 1; /* wires that want more write more */
    struct llm_writing w = {.arena = a,
                            .json = json,
                            .chat = &chat,
                            .provider = provider,
                            .model = model,
                            .out = out,
                            .bad = &bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        w.lack[f] = LACK_DROP;
    return wire != NULL && wire->write_chat(&w) && !out->failed;
}

struct heard {
    bool ended, failed;
};

static void hear(void *ctx, const struct llm_event *e)
{
    struct heard *h = ctx;
    h->ended |= e->kind == EVENT_END;
    h->failed |= e->kind == EVENT_ERROR;
}

bool llm_smallest_read(struct arena *a, struct json_parser *json,
                       const struct llm_provider *provider, struct slice model, struct slice body,
                       struct llm_usage *ret_usage)
{
    const struct llm_wire *wire = llm_smallest_wire(provider);
    struct heard h = {false};
    struct llm_decoder d = {.wire = wire,
                            .provider = provider,
                            .arena = a,
                            .json = json,
                            .emit = hear,
                            .ctx = &h,
                            .id_seed = SLICE("probe"),
                            .model = model,
                            .usage = LLM_USAGE_NONE};
    bool ok = wire != NULL && wire->decode_answer(&d, body) && h.ended && !h.failed;
    *ret_usage = d.usage;
    return ok;
}

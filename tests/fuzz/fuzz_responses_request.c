/* Requests in OpenAI's Responses dialect: what is refused says why; what is accepted can be written
 * for the API of the same name, or not for a reason given, as valid JSON, which says the same when
 * it is read again. The first byte says whether what is lacking there is left out. */
/* layer: llm */
#include "base/buf.h"
#include "llm/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const struct llm_provider provider = {.type = "openai"};

struct run {
    struct arena arena;
    struct json_parser *json;
    struct llm_request request;
    struct llm_chat chat;
    struct llm_bad_request bad;
    struct buf out;
};

static void run_init(struct run *r)
{
    *r = (struct run){.json = json_parser_new()};
    arena_init(&r->arena, NULL, CAP);
    buf_init(&r->out, CAP);
}

static void run_done(struct run *r)
{
    arena_reset(&r->arena);
    buf_done(&r->out);
    json_parser_free(r->json);
}

static bool says_why(const struct run *r)
{
    return r->bad.message[0] != '\0' && r->bad.code != NULL && !r->bad.no_memory;
}

/* Nothing is refused without a reason. */
static bool read_request(struct run *r, struct slice body)
{
    const struct llm_dialect *d = &responses_dialect;
    bool ok = d->read_request(r->json, &r->arena, LLM_CHAT, body, &r->request, &r->bad) &&
              d->read_chat(r->json, &r->arena, &r->request, &r->chat, &r->bad);
    ASSERT(ok || says_why(r));
    return ok;
}

static bool write_request(struct run *r, bool drop)
{
    struct llm_writing w = {.arena = &r->arena,
                            .json = r->json,
                            .chat = &r->chat,
                            .provider = &provider,
                            .model = r->request.model,
                            .out = &r->out,
                            .bad = &r->bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        w.lack[f] = drop ? LACK_DROP : (unsigned char)llm_feature_lack((enum llm_feature)f);
    bool ok = responses_wire.write_chat(&w);
    ASSERT(ok || says_why(r));
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r, again;
    if (size == 0)
        return 0;
    bool drop = data[0] & 1;
    run_init(&r);
    run_init(&again);
    if (read_request(&r, slice_of((const char *)data + 1, size - 1)) && write_request(&r, drop)) {
        struct json_doc d;
        ASSERT(json_parse(r.json, buf_view(&r.out), 0, &d) == JSON_OK);
        ASSERT(json_duplicate_key(r.json, &d, 0) == 0);
        ASSERT(read_request(&again, buf_view(&r.out)));
        ASSERT(again.chat.stream == r.chat.stream && again.chat.format == r.chat.format);
        ASSERT(write_request(&again, drop));
        ASSERT(slice_eq(buf_view(&again.out), buf_view(&r.out)));
    }
    run_done(&again);
    run_done(&r);
    return 0;
}

/* Requests in Google's dialect: what passes the light reading and the full one can be written for
 * Gemini or is refused; what is written is valid JSON. Read and written again, it may change once
 * (a signature of an empty text moves to the part behind it), but not twice. The first byte says
 * for which model. */
/* layer: llm */
#include "llm/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 26)

static const struct llm_provider providers[] = {{.type = "gemini"}, {.type = "vertex"}};
static const char *const models[] = {"gemini-2.5-flash", "gemini-3-pro", "gemma", "gemini-2.5-pro"};

struct asked {
    struct json_parser *json;
    struct arena arena;
    struct llm_request request;
    struct llm_chat chat;
    struct llm_bad_request bad;
    uint8_t choice;
};

static bool read_it(struct asked *q, struct slice body)
{
    if (!google_dialect.read_request(q->json, &q->arena, LLM_CHAT, body, &q->request, &q->bad)) {
        ASSERT(q->bad.message[0] != '\0');
        return false;
    }
    ASSERT(q->request.max_tokens == -1 || q->request.max_tokens > 0);
    ASSERT(q->request.n >= 1 && q->request.n <= 8);
    if (google_dialect.read_chat(q->json, &q->arena, &q->request, &q->chat, &q->bad))
        return true;
    ASSERT(q->bad.message[0] != '\0');
    return false;
}

static bool write_it(struct asked *q, struct buf *out)
{
    struct llm_writing w = {.arena = &q->arena,
                            .json = q->json,
                            .chat = &q->chat,
                            .provider = &providers[q->choice >> 2 & 1],
                            .model = slice_str(models[q->choice & 3]),
                            .out = out,
                            .bad = &q->bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        w.lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
    return google_wire.write_chat(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asked q = {.json = json_parser_new()};
    struct buf once, twice, thrice;
    struct json_doc d;
    if (size == 0) {
        json_parser_free(q.json);
        return 0;
    }
    ASSERT(q.json != NULL);
    q.choice = data[0];
    arena_init(&q.arena, NULL, CAP);
    buf_init(&once, CAP);
    buf_init(&twice, CAP);
    buf_init(&thrice, CAP);
    if (read_it(&q, slice_of((const char *)data + 1, size - 1)) && write_it(&q, &once)) {
        ASSERT(json_parse(q.json, buf_view(&once), 0, &d) == JSON_OK);
        if (read_it(&q, buf_view(&once)) && write_it(&q, &twice) && read_it(&q, buf_view(&twice)) &&
            write_it(&q, &thrice))
            ASSERT(slice_eq(buf_view(&twice), buf_view(&thrice)));
    }
    buf_done(&once);
    buf_done(&twice);
    buf_done(&thrice);
    arena_reset(&q.arena);
    json_parser_free(q.json);
    return 0;
}

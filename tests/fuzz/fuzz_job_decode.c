/* Answers of providers whose answers are jobs, RunPod's and Replicate's: events come in order, what
 * polling says agrees with what the answer is, and the path to ask again holds nothing but the
 * job's id. The first byte says whose, and (bit 1) whether memory is short. */
/* layer: llm */
#include "event_order.h"
#include "llm/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP   ((size_t)1 << 26)
#define SHORT ((size_t)1 << 12)

static const struct {
    const struct llm_wire *wire;
    struct slice path;
} rows[] = {
    {&runpod_wire, {"/status/", 8}},
    {&replicate_wire, {"/predictions/", 13}},
};

static void check_path(struct slice path, struct slice prefix)
{
    ASSERT(slice_starts(path, prefix) && path.n > prefix.n && path.n <= prefix.n + 128);
    for (size_t i = prefix.n; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i], letter = c | 0x20;
        ASSERT((c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z') || c == '-' || c == '_');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct llm_provider provider = {.type = "test"};
    struct event_order order;
    struct arena arena;
    struct slice path = SLICE_NONE;
    if (size == 0)
        return 0;
    const struct llm_wire *wire = rows[data[0] & 1].wire;
    bool scarce = data[0] & 2;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    struct llm_decoder d = {.wire = wire,
                            .provider = &provider,
                            .arena = &arena,
                            .json = json_parser_new(),
                            .emit = event_order_take,
                            .ctx = &order,
                            .id_seed = SLICE("seed"),
                            .usage = LLM_USAGE_NONE};
    arena_init(&arena, NULL, scarce ? SHORT : CAP);
    event_order_init(&order, NULL, NULL);
    enum llm_poll poll = wire->poll(&d, text, &path);
    if (poll == LLM_POLL_PENDING)
        check_path(path, rows[data[0] & 1].path);
    bool ok = wire->decode_answer(&d, text);
    ASSERT(event_order_end(&order, ok) == NULL);
    ASSERT(!ok || poll == LLM_POLL_DONE || poll == LLM_POLL_FAILED);
    ASSERT(poll != LLM_POLL_FAILED || (ok && order.is_error));
    const int64_t figures[] = {d.usage.input, d.usage.output, d.usage.cached, d.usage.reasoning};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        ASSERT(figures[i] >= -1 && figures[i] <= (int64_t)1 << 49);
    event_order_done(&order);
    arena_reset(&arena);
    json_parser_free(d.json);
    return 0;
}

/* The configuration loader on any text. A text gives either a configuration or errors, the same
 * ones every time; what is given can be dumped, and no secret of the environment comes out. The
 * type `file:` of secrets is left alone: a fuzzer should not open files. */
/* layer: control */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "control/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const char secret[] = "hunter2\x01";

static const char *variable(const char *name)
{
    if (strcmp(name, "SECRET") == 0)
        return secret;
    return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static const struct config_provider_type types[] = {
    {.name = "openai", .url = "https://api.openai.com/v1", .key_env = "OPENAI_API_KEY"},
    {.name = "vllm", .needs_url = true},
};

/* One reading: everything it said, then the dump. */
static bool read_once(struct slice text, struct buf *out)
{
    const struct config_options options = {
        .env = variable, .types = types, .types_n = ARRAY_LEN(types)};
    buf_init(out, (size_t)64 << 20);
    struct config *c = config_parse(text, "t", &options, out);
    REQUIRE(c != NULL || out->n > 0);
    if (c != NULL) {
        REQUIRE(c->listeners_n > 0);
        config_dump(c, out);
    }
    config_free(c);
    return c != NULL;
}

/* The same text as what an issued key may. */
static void read_key(struct slice text)
{
    const struct config_options options = {
        .env = variable, .types = types, .types_n = ARRAY_LEN(types)};
    static const char around[] = "providers: {openai: {type: openai}}\n"
                                 "models: {chat: {targets: [openai/x]}}\n"
                                 "plans: {free: {limits: {budget: {day: 5}}, models: [chat]}}\n"
                                 "teams: {search: {limits: {requests_per_minute: 50}}}\n";
    struct config_key key = {.max_tokens = 77};
    struct arena a;
    struct buf out;
    buf_init(&out, (size_t)64 << 20);
    arena_init(&a, NULL, (size_t)64 << 20);
    struct config *c = config_parse(SLICE(around), "around", &options, &out);
    REQUIRE(c != NULL && out.n == 0);
    if (!config_parse_key(text, "key", c, &key, &a, &out))
        REQUIRE(out.n > 0 && key.max_tokens == 77);
    REQUIRE(out.n == 0 || memmem(out.p, out.n, secret, sizeof secret - 1) == NULL);
    config_free(c);
    arena_reset(&a);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    struct buf first, second;
    if (memmem(data, size, "file:", 5) != NULL)
        return 0;
    bool good = read_once(text, &first);
    REQUIRE(read_once(text, &second) == good);
    REQUIRE(slice_eq(buf_view(&first), buf_view(&second)));
    REQUIRE(first.n == 0 || memmem(first.p, first.n, secret, sizeof secret - 1) == NULL);
    buf_done(&first);
    buf_done(&second);
    read_key(text);
    return 0;
}

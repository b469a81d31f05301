/* Reading the head of a GGUF file. */
#include "gguf.h"

#include <string.h>
#include <unistd.h>

#include "base/slice.h"

#define WINDOW        ((size_t)65536)
#define TEXT_MAX      ((uint64_t)1 << 30) /* a tokenizer's largest string is far below it */
#define COUNT_MAX     ((uint64_t)1 << 24)
#define ALIGN_DEFAULT 32u
#define NESTING_MAX   4

/* Value types of metadata. */
enum gguf_type { GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_TYPES_N = 13 };
static const uint8_t type_bytes[GGUF_TYPES_N] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Tensor types: values in a block, and its bytes; 0: unknown, or withdrawn. */
static const struct {
    uint16_t values, bytes;
} blocks[] = {
    {1, 4},    {1, 2},    {32, 18},  {32, 20},   {0, 0},     {0, 0},     {32, 22},   {32, 24},
    {32, 34},  {32, 36},  {256, 84}, {256, 110}, {256, 144}, {256, 176}, {256, 210}, {256, 292},
    {256, 66}, {256, 74}, {256, 98}, {256, 50},  {32, 18},   {256, 110}, {256, 82},  {256, 136},
    {1, 1},    {1, 2},    {1, 4},    {1, 8},     {1, 8},     {256, 56},  {1, 2},
};

/* Reads the file forwards through a window. */
struct reader {
    int fd;
    uint64_t size, at; /* of the file; where the next byte comes from */
    uint64_t window_at;
    size_t window_n;
    uint32_t alignment;
    bool unsure;     /* something of a newer version was met: the rest cannot be judged */
    const char *why; /* set by the first failure */
    uint8_t window[WINDOW];
};

static bool fail(struct reader *r, const char *why)
{
    if (r->why == NULL)
        r->why = why;
    return false;
}

static bool skip(struct reader *r, uint64_t n)
{
    if (n > r->size - r->at)
        return fail(r, "its head is cut off");
    r->at += n;
    return true;
}

static bool take(struct reader *r, void *out, size_t n)
{
    if (n > r->size - r->at)
        return fail(r, "its head is cut off");
    if (r->at < r->window_at || r->at + n > r->window_at + r->window_n) {
        ssize_t got = pread(r->fd, r->window, WINDOW, (off_t)r->at);
        if (got < (ssize_t)n)
            return fail(r, "it cannot be read");
        r->window_at = r->at;
        r->window_n = (size_t)got;
    }
    memcpy(out, r->window + (r->at - r->window_at), n);
    r->at += n;
    return true;
}

/* Numbers are little-endian. */
static bool take_u32(struct reader *r, uint32_t *ret)
{
    uint8_t b[4] = {0};
    if (!take(r, b, sizeof b))
        return false;
    *ret = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return true;
}

static bool take_u64(struct reader *r, uint64_t *ret)
{
    uint32_t low, high;
    if (!take_u32(r, &low) || !take_u32(r, &high))
        return false;
    *ret = (uint64_t)high << 32 | low;
    return true;
}

/* A string of which the first `size` bytes are wanted. */
static bool take_string(struct reader *r, char *out, size_t size, uint64_t *ret_n)
{
    uint64_t n;
    if (!take_u64(r, &n))
        return false;
    if (n > TEXT_MAX)
        return fail(r, "a text in it is impossibly long");
    size_t keep = (size_t)MIN_OF(n, (uint64_t)size);
    *ret_n = n;
    return (keep == 0 || take(r, out, keep)) && skip(r, n - keep);
}

static bool skip_value(struct reader *r, uint32_t type, int depth)
{
    uint32_t of;
    uint64_t n;
    char none;
    if (type >= GGUF_TYPES_N) {
        r->unsure = true;
        return false;
    }
    if (type == GGUF_STRING)
        return take_string(r, &none, 0, &n);
    if (type != GGUF_ARRAY)
        return skip(r, type_bytes[type]);
    if (depth == NESTING_MAX || !take_u32(r, &of) || !take_u64(r, &n))
        return fail(r, "it has arrays that are nested too deeply");
    if (n > r->size)
        return fail(r, "it has an impossibly long array");
    if (of < GGUF_TYPES_N && type_bytes[of] > 0)
        return skip(r, n * type_bytes[of]);
    while (n-- > 0) {
        if (!skip_value(r, of, depth + 1))
            return false;
    }
    return true;
}

static bool read_key(struct reader *r)
{
    char name[32];
    uint64_t n;
    uint32_t type;
    if (!take_string(r, name, sizeof name, &n) || !take_u32(r, &type))
        return false;
    bool alignment = n <= sizeof name && slice_is(slice_of(name, (size_t)n), "general.alignment");
    if (!alignment || type != 4)
        return skip_value(r, type, 0);
    if (!take_u32(r, &r->alignment))
        return false;
    return (r->alignment > 0 && r->alignment <= 65536) || fail(r, "its alignment makes no sense");
}

/* Bytes of a tensor with `values` values; 0: of an unknown type. */
static uint64_t tensor_bytes(uint32_t type, uint64_t values)
{
    if (type >= ARRAY_LEN(blocks) || blocks[type].values == 0)
        return 0;
    return values / blocks[type].values * blocks[type].bytes;
}

/* `*end` becomes at least where this tensor ends, counted from the start of the data. */
static bool read_tensor(struct reader *r, uint64_t *end)
{
    char none;
    uint32_t dims, type;
    uint64_t n, values = 1, offset, past;
    if (!take_string(r, &none, 0, &n) || !take_u32(r, &dims))
        return false;
    if (dims > 8)
        return fail(r, "it has a tensor with too many dimensions");
    while (dims-- > 0) {
        if (!take_u64(r, &n))
            return false;
        if (__builtin_mul_overflow(values, n, &values) || values > UINT64_MAX / 512)
            return fail(r, "it has an impossibly large tensor");
    }
    if (!take_u32(r, &type) || !take_u64(r, &offset))
        return false;
    if (__builtin_add_overflow(offset, tensor_bytes(type, values), &past))
        return fail(r, "it has an impossibly large tensor");
    *end = MAX_OF(*end, past);
    return true;
}

static bool read_head(struct reader *r, struct gguf_info *ret)
{
    char magic[4];
    uint32_t version;
    uint64_t end = 0;
    if (r->size < 24 || !take(r, magic, sizeof magic) || memcmp(magic, "GGUF", 4) != 0)
        return fail(r, "it is no GGUF file");
    if (!take_u32(r, &version))
        return false;
    ret->version = version;
    r->unsure = version > 3; /* or big-endian */
    if (r->unsure)
        return false;
    if (version < 2)
        return fail(r, "its version of GGUF is not supported any more");
    if (!take_u64(r, &ret->tensors) || !take_u64(r, &ret->keys))
        return false;
    if (ret->tensors > COUNT_MAX || ret->keys > COUNT_MAX)
        return fail(r, "its head makes no sense");
    for (uint64_t i = 0; i < ret->keys; i++) {
        if (!read_key(r))
            return false;
    }
    for (uint64_t i = 0; i < ret->tensors; i++) {
        if (!read_tensor(r, &end))
            return false;
    }
    uint64_t data = (r->at + r->alignment - 1) / r->alignment * r->alignment;
    if (ret->tensors == 0)
        data = r->at; /* a vocabulary alone */
    if (__builtin_add_overflow(data, end, &ret->needed_bytes))
        return fail(r, "it has an impossibly large tensor");
    return true;
}

bool gguf_check(int fd, int64_t size, struct gguf_info *ret, const char **ret_why)
{
    static struct reader r; /* one at a time: commands have one thread */
    r = (struct reader){
        .fd = fd, .size = size > 0 ? (uint64_t)size : 0, .alignment = ALIGN_DEFAULT};
    *ret = (struct gguf_info){0};
    bool ok = read_head(&r, ret) &&
              (r.size >= ret->needed_bytes || fail(&r, "it is shorter than its head says"));
    *ret_why = r.why;
    return ok || r.unsure;
}

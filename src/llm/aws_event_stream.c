/* AWS's event stream framing. All integers are big-endian:
 *   total length u32, headers' length u32, CRC-32 of these 8 bytes,
 *   headers: name length u8, name, type u8, value; then the payload,
 *   CRC-32 of everything before it.
 * Source: Smithy 2.0, "Amazon Event Stream Specification"; CRC-32 is zlib's. */
#include "llm/aws_event_stream.h"

#include <zlib.h>

#include "base/json_write.h"

#define PRELUDE_BYTES     12u /* with its checksum */
#define OVERHEAD_BYTES    16u /* of a message without headers and payload */
#define HEADER_STRING     7   /* the type of a header that is a string */
#define HEADER_STRING_MAX 32767u

static uint32_t get_u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static size_t get_u16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (size_t)b[0] << 8 | b[1];
}

static uint32_t crc_of(const char *p, size_t n)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)p, n);
}

/* The headers that are read, and where they go. */
static const struct {
    struct slice name;
    size_t at; /* of its slice in struct aws_event */
} fields[] = {
    {{":event-type", 11}, offsetof(struct aws_event, type)},
    {{":exception-type", 15}, offsetof(struct aws_event, exception_type)},
    {{":error-code", 11}, offsetof(struct aws_event, error_code)},
    {{":error-message", 14}, offsetof(struct aws_event, error_message)},
    {{":content-type", 13}, offsetof(struct aws_event, content_type)},
};
#define MESSAGE_TYPE ":message-type"

/* What :message-type may say, in the order of enum aws_event_kind. */
static const char *const kinds[] = {"event", "exception", "error"};

/* Bytes of a value by its type; strings and bytes have their length in front. */
static const signed char value_bytes[] = {0, 0, 1, 2, 4, 8, -1, -1, 8, 16};

/* One header off `*in`. False: it does not fit, or is of no known type. */
static bool next_header(struct slice *in, struct slice *ret_name, int *ret_type,
                        struct slice *ret_value)
{
    size_t name_n = in->n > 0 ? (uint8_t)in->p[0] : 0;
    if (name_n == 0 || in->n < name_n + 2)
        return false;
    *ret_name = slice_of(in->p + 1, name_n);
    *ret_type = (uint8_t)in->p[name_n + 1];
    if (*ret_type >= (int)ARRAY_LEN(value_bytes))
        return false;
    const char *p = in->p + name_n + 2;
    size_t left = in->n - name_n - 2, n = 0;
    if (value_bytes[*ret_type] >= 0) {
        n = (size_t)value_bytes[*ret_type];
    } else {
        if (left < 2)
            return false;
        n = get_u16(p);
        p += 2;
        left -= 2;
    }
    if (left < n)
        return false;
    *ret_value = slice_of(p, n);
    *in = slice_of(p + n, left - n);
    return true;
}

static bool take_field(struct aws_event *ret, struct slice name, int type, struct slice value)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct slice *field = (struct slice *)(void *)((char *)ret + fields[i].at);
        if (!slice_eq(name, fields[i].name))
            continue;
        if (type != HEADER_STRING || field->p != NULL)
            return false;
        *field = value;
        return true;
    }
    return true;
}

static bool read_headers(struct slice in, struct aws_event *ret)
{
    struct slice name, value, kind = SLICE_NONE;
    int type;
    while (in.n > 0) {
        if (!next_header(&in, &name, &type, &value))
            return false;
        if (slice_eq(name, SLICE(MESSAGE_TYPE))) {
            if (type != HEADER_STRING || kind.p != NULL)
                return false;
            kind = value;
        } else if (!take_field(ret, name, type, value)) {
            return false;
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        if (slice_is(kind, kinds[i])) {
            ret->kind = (enum aws_event_kind)i;
            return true;
        }
    }
    return false;
}

/* The lengths make sense, and the checksum says that they are what was sent. */
static bool prelude_ok(const char *p)
{
    size_t total = get_u32(p), headers = get_u32(p + 4);
    return total >= OVERHEAD_BYTES && total <= AWS_EVENT_BYTES_MAX &&
           headers <= MIN_OF(total - OVERHEAD_BYTES, AWS_EVENT_HEADERS_MAX) &&
           crc_of(p, 8) == get_u32(p + 8);
}

size_t aws_event_bytes(struct slice in)
{
    return in.n >= PRELUDE_BYTES && prelude_ok(in.p) ? get_u32(in.p) : 0;
}

enum aws_event_result aws_event_next(struct slice *in, struct aws_event *ret)
{
    if (in->n < PRELUDE_BYTES)
        return AWS_EVENT_MORE;
    if (!prelude_ok(in->p))
        return AWS_EVENT_BAD;
    size_t total = get_u32(in->p), headers = get_u32(in->p + 4);
    if (in->n < total)
        return AWS_EVENT_MORE;
    if (crc_of(in->p, total - 4) != get_u32(in->p + total - 4))
        return AWS_EVENT_BAD;
    struct aws_event e = {
        .payload = slice_of(in->p + PRELUDE_BYTES + headers, total - OVERHEAD_BYTES - headers)};
    if (!read_headers(slice_of(in->p + PRELUDE_BYTES, headers), &e))
        return AWS_EVENT_BAD;
    *ret = e;
    *in = slice_of(in->p + total, in->n - total);
    return AWS_EVENT_GOT;
}

struct slice aws_event_name(const struct aws_event *e)
{
    switch (e->kind) {
    case AWS_EVENT: return e->type;
    case AWS_EXCEPTION: return e->exception_type;
    case AWS_ERROR: return SLICE("error");
    }
    NEVER("all kinds are named");
}

struct slice aws_event_data(const struct aws_event *e, struct buf *scratch)
{
    if (e->kind != AWS_ERROR)
        return e->payload;
    buf_reset(scratch);
    struct json_writer w = json_writer(scratch);
    jw_open(&w, '{');
    jw_field_string(&w, "code", e->error_code);
    jw_field_string(&w, "message", e->error_message);
    jw_close(&w, '}');
    return scratch->failed ? SLICE_NONE : buf_view(scratch);
}

static void put_u32(char *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (char)(v & 255);
}

static void put_header(struct buf *out, struct slice name, struct slice value)
{
    if (value.n > HEADER_STRING_MAX) {
        out->failed = true;
        return;
    }
    buf_char(out, (char)name.n);
    buf_slice(out, name);
    buf_char(out, HEADER_STRING);
    buf_char(out, (char)(value.n >> 8));
    buf_char(out, (char)(value.n & 255));
    buf_slice(out, value);
}

void aws_event_put(struct buf *out, const struct aws_event *e)
{
    char word[PRELUDE_BYTES] = {0};
    size_t start = out->n;
    buf_append(out, word, PRELUDE_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct slice *field = (const void *)((const char *)e + fields[i].at);
        if (field->p != NULL)
            put_header(out, fields[i].name, *field);
    }
    put_header(out, SLICE(MESSAGE_TYPE), slice_str(kinds[e->kind]));
    size_t headers = out->n - start - PRELUDE_BYTES;
    size_t total = OVERHEAD_BYTES + headers + e->payload.n;
    if (headers > AWS_EVENT_HEADERS_MAX || total > AWS_EVENT_BYTES_MAX)
        out->failed = true;
    buf_slice(out, e->payload);
    if (out->failed)
        return;
    put_u32(out->p + start, (uint32_t)total);
    put_u32(out->p + start + 4, (uint32_t)headers);
    put_u32(out->p + start + 8, crc_of(out->p + start, 8));
    put_u32(word, crc_of(out->p + start, total - 4));
    buf_append(out, word, 4);
}

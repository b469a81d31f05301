/* AWS's framing of streams: what is written can be read, and nothing that is damaged can. */
#include "base/hash.h"
#include "check.h"
#include "llm/aws_event_stream.h"

/* As Bedrock sends it; encoded by @smithy/eventstream-codec. */
static const char delta_hex[] =
    "0000009400000057b4ab9aee0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a"
    "636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d7479706507"
    "00056576656e747b22636f6e74656e74426c6f636b496e646578223a302c2264656c7461223a7b2274657874223a"
    "224869227d7d1f944657";
#define DELTA_BYTES 148

static const char payload[] = "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}";

static struct slice delta_message(uint8_t out[DELTA_BYTES])
{
    CHECK(hex_decode(SLICE(delta_hex), out, DELTA_BYTES));
    return slice_of((const char *)out, DELTA_BYTES);
}

static struct aws_event event(const char *type, struct slice data)
{
    return (struct aws_event){.kind = AWS_EVENT,
                              .type = slice_str(type),
                              .content_type = SLICE("application/json"),
                              .payload = data};
}

static void check_same(const struct aws_event *got, const struct aws_event *want)
{
    CHECK_EQ_I64(got->kind, want->kind);
    CHECK_EQ_SLICE(got->type, want->type);
    CHECK_EQ_SLICE(got->exception_type, want->exception_type);
    CHECK_EQ_SLICE(got->error_code, want->error_code);
    CHECK_EQ_SLICE(got->error_message, want->error_message);
    CHECK_EQ_SLICE(got->content_type, want->content_type);
    CHECK_EQ_SLICE(got->payload, want->payload);
}

TEST(a_message_of_bedrock)
{
    uint8_t bytes[DELTA_BYTES];
    struct slice in = delta_message(bytes);
    struct aws_event e, want = event("contentBlockDelta", SLICE(payload));
    CHECK_EQ_U64(aws_event_bytes(in), DELTA_BYTES);
    CHECK_EQ_I64(aws_event_next(&in, &e), AWS_EVENT_GOT);
    CHECK_EQ_U64(in.n, 0);
    check_same(&e, &want);
    CHECK_EQ_LIT(aws_event_name(&e), "contentBlockDelta");
    CHECK_EQ_LIT(aws_event_data(&e, NULL), payload);
    CHECK_EQ_I64(aws_event_next(&in, &e), AWS_EVENT_MORE);
}

TEST(our_own_is_the_same)
{
    uint8_t bytes[DELTA_BYTES];
    struct aws_event e = event("contentBlockDelta", SLICE(payload));
    struct buf out;
    buf_init(&out, 1 << 16);
    aws_event_put(&out, &e);
    CHECK(!out.failed);
    struct slice in = delta_message(bytes), own = buf_view(&out);
    CHECK_EQ_U64(own.n, in.n);
    struct aws_event got;
    CHECK_EQ_I64(aws_event_next(&own, &got), AWS_EVENT_GOT);
    check_same(&got, &e);
    buf_done(&out);
}

TEST(every_cut_waits)
{
    uint8_t bytes[DELTA_BYTES];
    struct slice whole = delta_message(bytes);
    struct aws_event e;
    for (size_t n = 0; n < whole.n; n++) {
        struct slice in = slice_of(whole.p, n);
        check_note("%zu bytes", n);
        CHECK_EQ_I64(aws_event_next(&in, &e), AWS_EVENT_MORE);
        CHECK_EQ_U64(in.n, n);
        CHECK_EQ_U64(aws_event_bytes(in), n < 12 ? 0 : DELTA_BYTES);
    }
}

TEST(every_flipped_bit_is_found)
{
    uint8_t bytes[DELTA_BYTES];
    struct aws_event e;
    for (size_t bit = 0; bit < DELTA_BYTES * 8u; bit++) {
        struct slice in = delta_message(bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_note("bit %zu", bit);
        CHECK_EQ_I64(aws_event_next(&in, &e), AWS_EVENT_BAD);
        CHECK_EQ_U64(in.n, DELTA_BYTES);
    }
}

/* Three messages of all kinds, and an event without a payload, in pieces of every size. */
TEST(streams_in_pieces)
{
    const struct aws_event events[] = {
        event("messageStart", SLICE("{\"role\":\"assistant\"}")),
        {.kind = AWS_EXCEPTION,
         .exception_type = SLICE("throttlingException"),
         .content_type = SLICE("application/json"),
         .payload = SLICE("{\"message\":\"slow down\"}")},
        event("empty", SLICE("")),
        {.kind = AWS_ERROR, .error_code = SLICE("Internal"), .error_message = SLICE("bad \"x\"")},
    };
    struct buf out;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        aws_event_put(&out, &events[i]);
    for (size_t step = 1; step <= out.n; step++) {
        size_t from = 0, seen = 0;
        for (size_t to = step; seen < ARRAY_LEN(events); to = MIN_OF(to + step, out.n)) {
            struct aws_event e;
            struct slice in = slice_of(out.p + from, to - from);
            while (aws_event_next(&in, &e) == AWS_EVENT_GOT)
                check_same(&e, &events[seen++]);
            from = to - in.n;
        }
        CHECK_EQ_U64(from, out.n);
    }
    buf_done(&out);
}

TEST(names_and_data_for_decoders)
{
    struct aws_event e = {
        .kind = AWS_ERROR, .error_code = SLICE("Internal"), .error_message = SLICE("bad \"x\"")};
    struct buf scratch;
    buf_init(&scratch, 1 << 10);
    CHECK_EQ_LIT(aws_event_name(&e), "error");
    CHECK_EQ_LIT(aws_event_data(&e, &scratch),
                 "{\"code\":\"Internal\",\"message\":\"bad \\\"x\\\"\"}");
    e = (struct aws_event){
        .kind = AWS_EXCEPTION, .exception_type = SLICE("ModelStreamError"), .payload = SLICE("{}")};
    CHECK_EQ_LIT(aws_event_name(&e), "ModelStreamError");
    CHECK_EQ_LIT(aws_event_data(&e, &scratch), "{}");
    buf_done(&scratch);
}

/* Headers written by hand around the one that has to be there, with correct checksums: those of an
 * event in which the same number of bytes stood in its type. */
static enum aws_event_result read_with(struct slice header, struct aws_event *ret, struct buf *out)
{
    static const char space[256];
    struct aws_event e = event("", SLICE("x"));
    /* ":event-type" and its lengths take 15 bytes, the header that replaces it as many as it has */
    CHECK(header.n >= 15 && header.n < 200);
    e.type = slice_of(space, header.n - 15);
    buf_reset(out);
    aws_event_put(out, &e);
    memcpy(out->p + 12, header.p, header.n);
    struct slice body = slice_of(out->p, out->n - 4);
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < body.n; i++) {
        crc ^= (uint8_t)body.p[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & -(crc & 1u));
    }
    crc = ~crc;
    for (int i = 3; i >= 0; i--, crc >>= 8)
        out->p[body.n + (size_t)i] = (char)(crc & 255);
    struct slice in = buf_view(out);
    return aws_event_next(&in, ret);
}

#define H(text)                                                                                    \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
static const struct {
    struct slice header; /* at least 15 bytes */
    enum aws_event_result result;
} headers[] = {
    /* of each type, of another name */
    {H("\x0d-a-flag-true-\x00"), AWS_EVENT_GOT},
    {H("\x0d-a-flag-false\x01"), AWS_EVENT_GOT},
    {H("\x0c-a-byte-----\x02z"), AWS_EVENT_GOT},
    {H("\x0b-a-short---\x03zz"), AWS_EVENT_GOT},
    {H("\x0a-an-int---\x04zzzz"), AWS_EVENT_GOT},
    {H("\x06-long-\x05zzzzzzzz"), AWS_EVENT_GOT},
    {H("\x08-blob---\x06\x00\x03zzz"), AWS_EVENT_GOT},
    {H("\x06-time-\x08zzzzzzzz"), AWS_EVENT_GOT},
    {H("\x06-uuid-\x09zzzzzzzzzzzzzzzz"), AWS_EVENT_GOT},
    {H("\x0b:event-type\x07\x00\x04type"), AWS_EVENT_GOT},
    /* no such type; one that ends too late; one that ends too early; a name of no length */
    {H("\x0d-a-flag-maybe\x0a"), AWS_EVENT_BAD},
    {H("\x08-blob---\x06\x7f\xffzzz"), AWS_EVENT_BAD},
    {H("\x08-blob---\x06\x00\x02zzz"), AWS_EVENT_BAD},
    {H("\x00\x07\x00\x0bzzzzzzzzzzz"), AWS_EVENT_BAD},
    {H("\xff\x07\x00\x0bzzzzzzzzzzz"), AWS_EVENT_BAD},
    /* ours, but no strings, or there already */
    {H("\x0b:event-type\x06\x00\x04type"), AWS_EVENT_BAD},
    {H("\x0b:event-type\x05zzzzzzzz"), AWS_EVENT_BAD},
    {H("\x0d:content-type\x07\x00\x01x"), AWS_EVENT_BAD},
    {H("\x0d:message-type\x07\x00\x05"
       "event"),
     AWS_EVENT_BAD},
};

TEST(headers_of_all_types)
{
    struct buf out;
    struct aws_event e;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        check_note("row %zu", i);
        CHECK_EQ_I64(read_with(headers[i].header, &e, &out), headers[i].result);
        if (headers[i].result == AWS_EVENT_GOT)
            CHECK_EQ_LIT(e.payload, "x");
    }
    buf_done(&out);
}

/* Preludes with a correct checksum, of lengths that cannot be. */
TEST(lengths_that_cannot_be)
{
    static const char *const preludes[] = {
        "0000000f00000000e77248b8", /* shorter than its own frame */
        "000000100000000172c5787d", /* headers longer than the message */
        "01800001000000001cfe1cb5", /* 24 MiB and a byte */
        "00030d4000020001c4246a9b", /* 128 KiB of headers and a byte */
    };
    uint8_t bytes[12];
    struct aws_event e;
    for (size_t i = 0; i < ARRAY_LEN(preludes); i++) {
        struct slice in = slice_of((const char *)bytes, sizeof bytes);
        CHECK(hex_decode(slice_str(preludes[i]), bytes, sizeof bytes));
        check_note("row %zu", i);
        CHECK_EQ_I64(aws_event_next(&in, &e), AWS_EVENT_BAD);
        CHECK_EQ_U64(aws_event_bytes(in), 0);
    }
}

TEST(what_cannot_be_written)
{
    static char big[32768];
    struct buf out;
    buf_init(&out, 1 << 17);
    struct aws_event e = event("", SLICE("x"));
    e.type = slice_of(big, sizeof big - 1);
    aws_event_put(&out, &e);
    CHECK(!out.failed);
    e.type = slice_of(big, sizeof big);
    aws_event_put(&out, &e);
    CHECK(out.failed);
    buf_done(&out);
}

/* AWS's framing of streams, application/vnd.amazon.eventstream, read and written without copying.
 * Source: Smithy 2.0, "Amazon Event Stream Specification". */
#ifndef LLM_AWS_EVENT_STREAM_H
#define LLM_AWS_EVENT_STREAM_H

#include "base/buf.h"
#include "base/slice.h"

#define AWS_EVENT_BYTES_MAX   ((size_t)24 << 20) /* of a whole message */
#define AWS_EVENT_HEADERS_MAX ((size_t)128 << 10)

enum aws_event_result {
    AWS_EVENT_MORE, /* no whole message is left */
    AWS_EVENT_GOT,
    AWS_EVENT_BAD, /* not this framing, damaged, or too large; the stream is of no further use */
};

enum aws_event_kind {
    AWS_EVENT,     /* type, payload */
    AWS_EXCEPTION, /* exception_type, payload: an error that the service's model knows */
    AWS_ERROR,     /* error_code, error_message: any other */
};

/* One message. Absent headers are SLICE_NONE. */
struct aws_event {
    enum aws_event_kind kind;    /* :message-type */
    struct slice type;           /* :event-type */
    struct slice exception_type; /* :exception-type */
    struct slice error_code;     /* :error-code */
    struct slice error_message;  /* :error-message */
    struct slice content_type;   /* :content-type */
    struct slice payload;
};

/* Takes the next whole message off `*in`; `*ret` points into `*in`'s memory. MORE and BAD leave
 * `*in` as it was. Both checksums are verified; a message that will be refused for what its first
 * 12 bytes say is refused as soon as these are there. Other headers of any type are skipped; one of
 * those above that is no string or comes twice, or a message without :message-type, is BAD. */
NODISCARD enum aws_event_result aws_event_next(struct slice *in, struct aws_event *ret);

/* How many bytes the message at the front of `in` has in all; 0: that is not known yet. Meaningful
 * after MORE, for making room at once. */
size_t aws_event_bytes(struct slice in);

/* What a wire's decode_event gets as name: the type, the exception's type, or "error". */
struct slice aws_event_name(const struct aws_event *e);
/* And as data: the payload. For AWS_ERROR {"code":...,"message":...}, written to `scratch`
 * (SLICE_NONE without memory). */
struct slice aws_event_data(const struct aws_event *e, struct buf *scratch);

/* Appends one message with the headers of its kind. A message over the limits above, or a header of
 * over 32767 bytes, marks `out` failed. */
void aws_event_put(struct buf *out, const struct aws_event *e);

#endif

/* Strict HTTP/1.1 (RFC 9112): heads and the chunked coding. One parser for both directions;
 * whatever is doubtful is refused, because other parsers stand behind and in front of us. */
#ifndef NET_HTTP1_H
#define NET_HTTP1_H

#include "net/http.h"

/* Only bytes of a token (RFC 9110 5.6.2), and at least one / only bytes that a field value may
 * have. */
bool http1_is_token(struct slice s);
bool http1_is_value(struct slice s);

enum http1_kind { HTTP1_REQUEST, HTTP1_ANSWER };

/* Looks for the end of a head in `s`. > 0: its length with the empty line. 0: more is needed.
 * Negative: refused with that HTTP status (-400, -431, -414). `*scanned` remembers how far complete
 * lines were checked, and starts at 0. */
int http1_head_length(enum http1_kind kind, struct slice s, size_t *scanned);

/* Parses a complete head, which `h` points into. `fields` has room for HTTP_FIELDS_MAX. 0, or the
 * HTTP status to refuse it with, and `*ret_why` says what was wrong. */
int http1_parse_request(struct slice s, struct http_field *fields, struct http_head *h,
                        const char **ret_why);

/* The same for an answer; 0 or -1. Framing: `chunked`, else `content_length`, else (-1) until the
 * connection closes; the caller knows about HEAD, 204 and 304. */
int http1_parse_answer(struct slice s, struct http_field *fields, struct http_head *h,
                       const char **ret_why);

enum http1_chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_DONE,
};

/* Decoder of the chunked coding; all zero at the start. */
struct http1_chunked {
    enum http1_chunk_state state;
    uint64_t left;           /* bytes of the current chunk, or its size so far */
    uint32_t digits;         /* of the size line */
    uint32_t line;           /* bytes of the size line or of the trailer line so far */
    uint32_t trailer;        /* bytes of the trailer section */
    uint64_t overhead, data; /* of the whole body */
    bool trailer_name;       /* the trailer line has its colon */
};

/* Decodes from the front of `*in`, which is moved on. 1: `*ret` is the next piece of data.
 * 0: `*in` is used up. 2: the body is complete (the rest of `*in` is the next message).
 * -1: malformed. */
int http1_chunked_next(struct http1_chunked *c, struct slice *in, struct slice *ret);

/* "1f4\r\n" for a chunk of `n` bytes; returns the length (at most 18). */
size_t http1_chunk_header(size_t n, char out[18]);

#endif

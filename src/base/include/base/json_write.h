/* JSON writing into a buffer. The writer sets commas itself; the buffer's `failed` is the only error. */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include "base/buf.h"

/* The string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_put_string(struct buf *b, struct slice s);

struct json_writer {
    struct buf *b;
    bool comma; /* a value stands before the next one */
};

static inline struct json_writer json_writer(struct buf *b)
{
    return (struct json_writer){.b = b};
}

void jw_open(struct json_writer *w, char bracket);  /* '{' or '[' */
void jw_close(struct json_writer *w, char bracket); /* '}' or ']' */
void jw_key(struct json_writer *w, const char *key); /* plain ASCII, needs no escapes */
void jw_key_slice(struct json_writer *w, struct slice key);
void jw_string(struct json_writer *w, struct slice s);
void jw_i64(struct json_writer *w, int64_t v);
void jw_double(struct json_writer *w, double v); /* not finite: null */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
void jw_raw(struct json_writer *w, struct slice json); /* already JSON */

/* Key and value in one call. */
void jw_field_string(struct json_writer *w, const char *key, struct slice s);
void jw_field_i64(struct json_writer *w, const char *key, int64_t v);
void jw_field_bool(struct json_writer *w, const char *key, bool v);

#endif

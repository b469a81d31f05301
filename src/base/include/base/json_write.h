/* JSON writing into a buffer. The writer sets commas itself; errors are the buffer's `failed`. */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include "base/buf.h"

/* How many bytes at the start of `s` stand for themselves in a string: ASCII without escapes. */
size_t json_plain(struct slice s);
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

/* For the functions below. */
static inline void jw_before_value(struct json_writer *w)
{
    if (w->comma)
        buf_char(w->b, ',');
    w->comma = true;
}

void jw_open(struct json_writer *w, char bracket);  /* '{' or '[' */
void jw_close(struct json_writer *w, char bracket); /* '}' or ']' */
/* A literal key that needs no escapes: with its comma, quotes and colon it is one append. */
static inline void jw_put_key(struct json_writer *w, const char *text, size_t n)
{
    size_t skip = w->comma ? 0 : 1;
    buf_append(w->b, text + skip, n - skip);
    w->comma = false;
}
#define jw_key(w, literal) jw_put_key((w), ",\"" literal "\":", sizeof(literal) + 3)
void jw_key_slice(struct json_writer *w, struct slice key);
void jw_string(struct json_writer *w, struct slice s);
void jw_i64(struct json_writer *w, int64_t v);
void jw_double(struct json_writer *w, double v);    /* not finite: null */
void jw_money(struct json_writer *w, int64_t nano); /* dollars, as buf_money has them */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
void jw_raw(struct json_writer *w, struct slice json); /* already JSON */

/* Key, a literal, and value in one call. */
#define jw_field_string(w, literal, s) (jw_key(w, literal), jw_string(w, s))
#define jw_field_i64(w, literal, v)    (jw_key(w, literal), jw_i64(w, v))
#define jw_field_bool(w, literal, v)   (jw_key(w, literal), jw_bool(w, v))

#endif

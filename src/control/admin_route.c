/* Helpers of the admin API's routes: queries, bodies, errors. */
#include "admin_route.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/json_write.h"

#define MESSAGE_BYTES 4096

void admin_fail(struct admin_reply *r, unsigned status, const char *fmt, ...)
{
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t used = n > 0 ? MIN_OF((size_t)n, sizeof text - 1) : 0;
    while (used > 0 && text[used - 1] == '\n')
        used--;
    buf_reset(&r->body);
    r->status = status;
    r->type = "application/json";
    struct json_writer w = json_writer(&r->body);
    jw_open(&w, '{');
    jw_key(&w, "error");
    jw_open(&w, '{');
    jw_field_string(&w, "message", slice_of(text, used));
    jw_close(&w, '}');
    jw_close(&w, '}');
}

bool admin_query(const struct admin_request *q, const char *name, struct slice *ret)
{
    struct slice rest = q->query;
    while (rest.n > 0) {
        struct slice value = slice_cut(&rest, '&'), key = slice_cut(&value, '=');
        if (!slice_is(key, name))
            continue;
        char *out = arena_str(q->arena, value);
        if (out == NULL)
            return false;
        for (size_t i = 0; i < value.n; i++)
            out[i] = out[i] == '+' ? ' ' : out[i];
        ptrdiff_t n = http_percent_decode(slice_of(out, value.n), out);
        if (n < 0)
            return false;
        out[n] = '\0';
        *ret = slice_of(out, (size_t)n);
        return true;
    }
    return false;
}

/* Some object in the document that has a key twice? Which of the two is meant is a guess. */
static bool has_duplicates(const struct admin_request *q, const struct json_doc *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->text[d->nodes[i].off] == '{' && json_duplicate_key(q->parser, d, i) != 0)
            return true;
    }
    return false;
}

bool admin_body(const struct admin_request *q, struct admin_reply *r, struct json_doc *ret)
{
    enum json_error e = json_parse(q->parser, q->body, 0, ret);
    if (e != JSON_OK)
        admin_fail(r, 400, "the body is no JSON: %s at byte %u", json_error_text(e), ret->error_at);
    else if (json_type_at(ret, 0) != JSON_OBJECT)
        admin_fail(r, 400, "the body has to be a JSON object, not %s",
                   json_type_name(json_type_at(ret, 0)));
    else if (has_duplicates(q, ret))
        admin_fail(r, 400, "the body has the same key twice in one object");
    else
        return true;
    return false;
}

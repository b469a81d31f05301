/* JSON as people like to read it, and the check that it is clean. */
#include "pretty.h"

#define LINE_MAX_BYTES 96u

struct printing {
    const struct json_doc *d;
    struct buf *out;
};

static void put_value(struct printing *pr, uint32_t node, unsigned depth);

/* Everything on one line. */
static void put_flat(struct printing *pr, uint32_t node)
{
    const struct json_doc *d = pr->d;
    enum json_type t = json_type_at(d, node);
    if (t != JSON_OBJECT && t != JSON_ARRAY) {
        buf_slice(pr->out, json_raw(d, node));
        return;
    }
    buf_char(pr->out, t == JSON_OBJECT ? '{' : '[');
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        if (i != json_first(d, node))
            buf_lit(pr->out, ", ");
        if (t == JSON_OBJECT) {
            buf_slice(pr->out, json_raw(d, i));
            buf_lit(pr->out, ": ");
            i++;
        }
        put_flat(pr, i);
    }
    buf_char(pr->out, t == JSON_OBJECT ? '}' : ']');
}

static void put_line_start(struct buf *out, unsigned depth)
{
    buf_char(out, '\n');
    for (unsigned i = 0; i < depth; i++)
        buf_lit(out, "  ");
}

static void put_members(struct printing *pr, uint32_t node, unsigned depth)
{
    const struct json_doc *d = pr->d;
    bool object = json_type_at(d, node) == JSON_OBJECT;
    buf_char(pr->out, object ? '{' : '[');
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        if (i != json_first(d, node))
            buf_char(pr->out, ',');
        put_line_start(pr->out, depth + 1);
        if (object) {
            buf_slice(pr->out, json_raw(d, i));
            buf_lit(pr->out, ": ");
            i++;
        }
        put_value(pr, i, depth + 1);
    }
    put_line_start(pr->out, depth);
    buf_char(pr->out, object ? '}' : ']');
}

static void put_value(struct printing *pr, uint32_t node, unsigned depth)
{
    enum json_type t = json_type_at(pr->d, node);
    size_t before = pr->out->n;
    put_flat(pr, node);
    bool container = t == JSON_OBJECT || t == JSON_ARRAY;
    if (!container || pr->out->n - before + (size_t)2 * depth <= LINE_MAX_BYTES ||
        json_raw(pr->d, node).n <= 2)
        return;
    pr->out->n = before;
    put_members(pr, node, depth);
}

static bool has_key_twice(struct json_parser *p, const struct json_doc *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (json_type_at(d, i) == JSON_OBJECT && json_duplicate_key(p, d, i) != 0)
            return true;
    }
    return false;
}

bool pretty_json(struct json_parser *p, struct slice text, struct buf *out, const char **ret_why)
{
    struct json_doc d;
    enum json_error e = json_parse(p, text, JSON_ALLOW_LONE_SURROGATES, &d);
    if (e != JSON_OK) {
        *ret_why = json_error_text(e);
        return false;
    }
    if (has_key_twice(p, &d)) {
        *ret_why = "an object has a key twice";
        return false;
    }
    put_value(&(struct printing){&d, out}, 0, 0);
    buf_char(out, '\n');
    return true;
}

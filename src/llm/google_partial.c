/* Arguments of a function call that Vertex AI streams piece by piece (streamFunctionCallArguments):
 * each piece names its place by a JSON path (RFC 9535, child segments only). They come in the order
 * of the text, so that the JSON can be written as it comes: what the next path does not share with
 * the one before is closed, and what it adds is opened. Source: PartialArg in types.py of
 * google-genai 3.4.0 (Python SDK). */
#include "base/json_write.h"
#include "google_internal.h"

#define SEGMENTS_MAX 16

struct segment {
    struct slice name; /* of a member; .p NULL: of an array's element */
    uint64_t index;
};

struct path {
    struct segment at[SEGMENTS_MAX];
    unsigned n;
};

/* Takes ".name" off the front. */
static bool take_name(struct slice *s, struct slice *ret)
{
    size_t n = 1;
    while (n < s->n && s->p[n] != '.' && s->p[n] != '[')
        n++;
    *ret = slice_of(s->p + 1, n - 1);
    *s = slice_from(*s, n);
    return ret->n > 0;
}

/* Takes "[0]" or "['name']" off the front. */
static bool take_bracket(struct slice *s, struct segment *ret)
{
    bool quoted = s->n > 2 && (s->p[1] == '\'' || s->p[1] == '"');
    size_t from = quoted ? 2 : 1, n = from;
    while (n < s->n && s->p[n] != (quoted ? s->p[1] : ']'))
        n++;
    struct slice inside = slice_of(s->p + from, n - from);
    n += quoted;
    if (n >= s->n || s->p[n] != ']')
        return false;
    *s = slice_from(*s, n + 1);
    if (quoted)
        ret->name = inside;
    return quoted || slice_to_u64(inside, &ret->index);
}

static bool read_path(struct slice s, struct path *ret)
{
    ret->n = 0;
    if (s.n == 0 || s.p[0] != '$')
        return false;
    s = slice_from(s, 1);
    while (s.n > 0) {
        if (ret->n == SEGMENTS_MAX)
            return false;
        struct segment *g = &ret->at[ret->n++];
        *g = (struct segment){.name = SLICE_NONE};
        if (s.p[0] == '.' ? !take_name(&s, &g->name) : s.p[0] != '[' || !take_bracket(&s, g))
            return false;
    }
    return ret->n > 0 && ret->at[0].name.p != NULL;
}

static bool same_segment(const struct segment *a, const struct segment *b)
{
    return (a->name.p == NULL) == (b->name.p == NULL) && slice_eq(a->name, b->name) &&
           a->index == b->index;
}

/* A piece of a string, as it stands inside a string of its own. */
static void put_piece(struct buf *out, struct slice inner)
{
    for (size_t i = 0; i < inner.n; i++) {
        if (inner.p[i] == '\\' || inner.p[i] == '"')
            buf_char(out, '\\');
        buf_char(out, inner.p[i]);
    }
}

static void put_quote(struct buf *out)
{
    buf_lit(out, "\\\"");
}

/* Closes what holds the segments of `p` from `from` on. */
static void close_from(const struct path *p, unsigned from, struct buf *out)
{
    for (unsigned i = p->n; i > from; i--)
        buf_char(out, p->at[i - 1].name.p != NULL ? '}' : ']');
}

/* From the place of the piece before to that of `next`. False: one is inside the other. */
static bool move(const struct google_partial *s, const struct path *next, struct buf *out)
{
    struct path was = {.n = 0};
    unsigned shared = 0;
    if (s->n > 0 && !read_path(slice_of(s->path, s->n), &was))
        return false;
    while (shared < was.n && shared < next->n && same_segment(&was.at[shared], &next->at[shared]))
        shared++;
    if (was.n > 0) {
        if (shared == was.n || shared == next->n ||
            (was.at[shared].name.p == NULL) != (next->at[shared].name.p == NULL))
            return false;
        close_from(&was, shared + 1, out);
        buf_char(out, ',');
    }
    for (unsigned i = shared; i < next->n; i++) {
        struct slice name = next->at[i].name;
        if (i > shared || was.n == 0)
            buf_char(out, name.p != NULL ? '{' : '[');
        if (name.p == NULL)
            continue;
        struct buf key;
        buf_init(&key, 6 * GOOGLE_PATH_MAX + 2);
        json_put_string(&key, name);
        google_put_inside(out, buf_view(&key));
        out->failed |= key.failed;
        buf_done(&key);
        buf_char(out, ':');
    }
    return true;
}

static bool put_value(struct google_partial *s, const struct json_doc *d, uint32_t node,
                      struct buf *out)
{
    uint32_t text = google_in(d, node, "stringValue"), more = google_in(d, node, "willContinue");
    uint32_t number = google_in(d, node, "numberValue"), flag = google_in(d, node, "boolValue");
    if (text != 0 && json_type_at(d, text) == JSON_STRING) {
        if (!s->in_string)
            put_quote(out);
        put_piece(out, json_inner(d, text));
        s->in_string = more != 0 && json_type_at(d, more) == JSON_TRUE;
        if (!s->in_string)
            put_quote(out);
        return true;
    }
    if (s->in_string)
        return false;
    if (number != 0 && json_type_at(d, number) == JSON_NUMBER)
        buf_slice(out, json_raw(d, number));
    else if (flag != 0 && json_type_at(d, flag) <= JSON_TRUE)
        buf_slice(out, json_raw(d, flag));
    else if (number == 0 && flag == 0)
        buf_lit(out, "null");
    else
        return false;
    return true;
}

bool google_partial_add(struct google_partial *s, const struct json_doc *d, uint32_t node,
                        struct arena *a, struct buf *out)
{
    struct path next;
    struct slice path = google_word(d, node, "jsonPath", a);
    if (path.n == 0 || path.n > sizeof s->path || !read_path(path, &next))
        return false;
    if (!s->in_string || !slice_eq(path, slice_of(s->path, s->n))) {
        if (s->in_string)
            put_quote(out);
        s->in_string = false;
        if (!move(s, &next, out))
            return false;
        memcpy(s->path, path.p, path.n);
        s->n = path.n;
    }
    return put_value(s, d, node, out);
}

void google_partial_end(struct google_partial *s, struct buf *out)
{
    struct path was = {.n = 0};
    if (s->in_string)
        put_quote(out);
    if (s->n > 0 && read_path(slice_of(s->path, s->n), &was))
        close_from(&was, 0, out);
    else
        buf_lit(out, "{}");
    *s = (struct google_partial){.n = 0};
}

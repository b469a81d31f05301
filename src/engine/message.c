/* The lines between Weir and an engine's shim. */
#include "message.h"

#include "base/json_write.h"

static const char *const names[] = {
#define X(id, name) name,
    SHIM_MESSAGES(X)
#undef X
};

void shim_message_put(struct buf *b, const struct shim_message *m)
{
    struct json_writer w = json_writer(b);
    jw_open(&w, '{');
    jw_field_string(&w, "type", slice_str(names[m->type]));
    if (m->number != 0)
        jw_field_i64(&w, "number", m->number);
    if (m->signal != 0)
        jw_field_i64(&w, "signal", m->signal);
    if (m->text.n > 0)
        jw_field_string(&w, "text", m->text);
    if (m->list_n > 0) {
        jw_key(&w, "list");
        jw_open(&w, '[');
        for (size_t i = 0; i < m->list_n; i++)
            jw_string(&w, m->list[i]);
        jw_close(&w, ']');
    }
    jw_close(&w, '}');
    buf_char(b, '\n');
}

static bool read_list(const struct json_doc *d, uint32_t node, struct arena *a,
                      struct shim_message *m)
{
    size_t n = 0;
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i))
        n++;
    struct slice *list = arena_zalloc(a, (n + 1) * sizeof *list);
    if (list == NULL)
        return false;
    m->list = list;
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        if (json_type_at(d, i) != JSON_STRING)
            return false;
        list[m->list_n] = json_string(d, i, a);
        if (list[m->list_n++].p == NULL)
            return false;
    }
    return true;
}

static bool read_type(const struct json_doc *d, struct shim_message *m)
{
    uint32_t type = json_get(d, 0, SLICE("type"));
    if (type == 0 || json_type_at(d, type) != JSON_STRING)
        return false;
    for (unsigned i = 0; i < SHIM_MESSAGES_N; i++) {
        if (json_string_is(d, type, slice_str(names[i]))) {
            m->type = (enum shim_message_type)i;
            return true;
        }
    }
    return false;
}

bool shim_message_read(struct json_parser *p, struct slice line, struct arena *a,
                       struct shim_message *ret)
{
    struct json_doc d;
    struct shim_message m = {0};
    if (json_parse(p, line, 0, &d) != JSON_OK || json_type_at(&d, 0) != JSON_OBJECT ||
        !read_type(&d, &m))
        return false;
    uint32_t number = json_get(&d, 0, SLICE("number")), signal = json_get(&d, 0, SLICE("signal"));
    uint32_t text = json_get(&d, 0, SLICE("text")), list = json_get(&d, 0, SLICE("list"));
    if ((number != 0 && !json_i64(&d, number, &m.number)) ||
        (signal != 0 && !json_i64(&d, signal, &m.signal)))
        return false;
    if (text != 0) {
        if (json_type_at(&d, text) != JSON_STRING)
            return false;
        m.text = json_string(&d, text, a);
        if (m.text.p == NULL)
            return false;
    }
    if (list != 0 && (json_type_at(&d, list) != JSON_ARRAY || !read_list(&d, list, a, &m)))
        return false;
    *ret = m;
    return true;
}

bool shim_line(const struct buf *in, struct slice *ret, size_t *ret_bytes)
{
    ptrdiff_t at = slice_find(buf_view(in), '\n');
    if (at < 0)
        return false;
    *ret = slice_of(in->p, (size_t)at);
    *ret_bytes = (size_t)at + 1;
    return true;
}

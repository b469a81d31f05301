/* Server-sent events, split without copying. */
#include "llm/sse.h"

static bool is_eol(char c)
{
    return c == '\n' || c == '\r';
}

/* The first LF or CR in p..end, or `end`. */
static const char *find_eol(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    const char *stop = lf != NULL ? lf : end;
    const char *cr = memchr(p, '\r', (size_t)(stop - p));
    return cr != NULL ? cr : stop;
}

/* One past the line end at `p`, which may be CRLF. */
static const char *skip_eol(const char *p, const char *end)
{
    return p + (p[0] == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1);
}

/* One past the first blank line, or NULL. The bytes before `from` were looked at already: the last
 * of them tells whether a line starts there. A CR that ends the text ends its line; should the LF
 * of a CRLF follow later, it stands at the front of what follows. */
static const char *find_event_end(struct slice text, size_t from)
{
    const char *p = text.p + from, *end = text.p + text.n;
    bool at_start = from > 0 && is_eol(p[-1]);
    if (at_start && p[-1] == '\r' && p < end && *p == '\n')
        p++;
    while (p < end) {
        if (at_start && is_eol(*p))
            return skip_eol(p, end);
        p = find_eol(p, end);
        if (p < end)
            p = skip_eol(p, end);
        at_start = true;
    }
    return NULL;
}

/* The event while its lines are read. */
struct reading {
    struct sse_event *ret;
    struct buf *scratch;
    unsigned data_lines;
};

static void add_data(struct reading *r, struct slice value)
{
    r->ret->has_data = true;
    if (r->data_lines++ == 0) {
        r->ret->data = value;
        return;
    }
    if (r->data_lines == 2) {
        buf_reset(r->scratch);
        buf_slice(r->scratch, r->ret->data);
    }
    buf_char(r->scratch, '\n');
    buf_slice(r->scratch, value);
    r->ret->data = r->scratch->failed ? SLICE_NONE : buf_view(r->scratch);
}

static void read_line(struct reading *r, struct slice line)
{
    const char *colon = memchr(line.p, ':', line.n);
    struct slice name = colon != NULL ? slice_of(line.p, (size_t)(colon - line.p)) : line;
    struct slice value = slice_of(line.p + line.n, 0);
    if (colon != NULL) {
        value = slice_of(colon + 1, line.n - name.n - 1);
        if (value.n > 0 && *value.p == ' ')
            value = slice_of(value.p + 1, value.n - 1);
    }
    if (slice_eq(name, SLICE("data")))
        add_data(r, value);
    else if (slice_eq(name, SLICE("event")))
        r->ret->name = value;
}

static void read_lines(struct sse_event *ret, struct buf *scratch)
{
    struct reading r = {.ret = ret, .scratch = scratch};
    const char *p = ret->raw.p, *end = p + ret->raw.n;
    if (slice_starts(ret->raw, SLICE("\xEF\xBB\xBF")))
        p += 3;
    while (p < end) {
        const char *eol = find_eol(p, end);
        if (eol > p)
            read_line(&r, slice_of(p, (size_t)(eol - p)));
        p = eol < end ? skip_eol(eol, end) : end;
    }
}

bool sse_next(struct slice *in, size_t *scanned, struct buf *scratch, struct sse_event *ret)
{
    const char *end = in->p + in->n, *stop;
    *ret = (struct sse_event){.has_data = false};
    if (in->n == 0)
        return false;
    if (*scanned == 0 && is_eol(*in->p)) {
        for (stop = in->p; stop < end && is_eol(*stop);)
            stop++;
    } else {
        stop = find_event_end(*in, *scanned);
    }
    if (stop == NULL) {
        *scanned = in->n;
        return false;
    }
    ret->raw = slice_of(in->p, (size_t)(stop - in->p));
    *in = slice_of(stop, (size_t)(end - stop));
    *scanned = 0;
    read_lines(ret, scratch);
    return true;
}

void sse_put_data(struct buf *out, struct slice json)
{
    const char *p = json.p, *end = json.p + json.n, *eol;
    do {
        eol = find_eol(p, end);
        buf_lit(out, "data: ");
        buf_append(out, p, (size_t)(eol - p));
        buf_char(out, '\n');
        p = eol < end ? skip_eol(eol, end) : end;
    } while (eol < end);
    buf_char(out, '\n');
}

/* Reading errors, in the shapes that providers give them. */
#include "openai_internal.h"

#define EXCERPT_MAX 300
#define NESTING_MAX 4 /* of objects within objects before a message is looked for no further */

static int member_of(struct slice k)
{
    switch (k.n) {
    case 3: return KEY_IS(k, "msg") || KEY_IS(k, "loc") ? k.p[0] : -1;
    case 4:
        if (KEY_IS(k, "type"))
            return 't';
        return KEY_IS(k, "code") ? 'c' : -1;
    case 5:
        if (KEY_IS(k, "error"))
            return 'e';
        if (KEY_IS(k, "title"))
            return 'T';
        return KEY_IS(k, "param") ? 'p' : -1;
    case 6:
        if (KEY_IS(k, "errors"))
            return 'E';
        if (KEY_IS(k, "status"))
            return 's';
        return KEY_IS(k, "detail") ? 'd' : -1;
    case 7: return KEY_IS(k, "message") || KEY_IS(k, "Message") ? 'M' : -1;
    case 10: return KEY_IS(k, "error_type") ? 'y' : -1;
    default: return -1;
    }
}

/* Nodes of the values found in one object; 0: absent or null. */
struct members {
    uint32_t error, errors, message, detail, msg, title, loc, type, error_type, status, code, param;
};

static struct members find_members(const struct json_doc *d, uint32_t node)
{
    struct members m = {0};
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        uint32_t value = json_type_at(d, k + 1) != JSON_NULL ? k + 1 : 0;
        switch (llm_key(d, k, member_of)) {
        case 'e': m.error = value; break;
        case 'E': m.errors = value; break;
        case 'M': m.message = value; break;
        case 'd': m.detail = value; break;
        case 'm': m.msg = value; break;
        case 'T': m.title = value; break;
        case 'l': m.loc = value; break;
        case 't': m.type = value; break;
        case 'y': m.error_type = value; break;
        case 's': m.status = value; break;
        case 'c': m.code = value; break;
        case 'p': m.param = value; break;
        default: break;
        }
    }
    return m;
}

/* A string with something in it. */
static bool is_text(const struct json_doc *d, uint32_t node)
{
    return node != 0 && json_type_at(d, node) == JSON_STRING && json_inner(d, node).n > 0;
}

/* Sets `*into` from a string, or a number as it is written, unless it is set. */
static void take(const struct json_doc *d, uint32_t node, struct arena *a, struct slice *into)
{
    if (node == 0 || into->p != NULL)
        return;
    if (is_text(d, node))
        *into = json_string(d, node, a);
    else if (json_type_at(d, node) == JSON_NUMBER)
        *into = json_raw(d, node);
}

/* FastAPI's {"loc": ["body", "messages", 0], "msg": ...}: the place as "messages.0". */
static struct slice place_of(const struct json_doc *d, uint32_t loc, struct arena *a)
{
    struct slice place = SLICE_NONE, part;
    if (json_type_at(d, loc) != JSON_ARRAY)
        return SLICE_NONE;
    for (uint32_t i = json_first(d, loc); i < json_end(d, loc); i = json_after(d, i)) {
        part = SLICE_NONE;
        take(d, i, a, &part);
        if (part.p == NULL || part.n > 64 || place.n > 128 || slice_eq(part, SLICE("body")))
            continue;
        place = arena_printf(a, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(place), place.n > 0 ? "." : "",
                             SLICE_ARG(part));
    }
    return place;
}

static void read_error(const struct json_doc *d, uint32_t node, struct arena *a, unsigned nesting,
                       struct llm_error *ret);

/* An error, or a list of which the first counts. */
static void read_nested(const struct json_doc *d, uint32_t node, struct arena *a, unsigned nesting,
                        struct llm_error *ret)
{
    if (nesting == NESTING_MAX)
        return;
    if (json_type_at(d, node) == JSON_ARRAY && json_first(d, node) < json_end(d, node))
        node = json_first(d, node);
    if (json_type_at(d, node) == JSON_OBJECT)
        read_error(d, node, a, nesting + 1, ret);
    else if (is_text(d, node))
        take(d, node, a, &ret->message);
}

/* What is deeper is more exact, and is taken first. */
static void read_error(const struct json_doc *d, uint32_t node, struct arena *a, unsigned nesting,
                       struct llm_error *ret)
{
    struct members m = find_members(d, node);
    if (is_text(d, m.error) && is_text(d, m.message)) { /* a class and a sentence */
        take(d, m.message, a, &ret->message);
        take(d, m.error, a, &ret->type);
    }
    const uint32_t inner[] = {m.error, m.message, m.detail, m.errors};
    for (size_t i = 0; i < ARRAY_LEN(inner); i++) {
        if (inner[i] != 0)
            read_nested(d, inner[i], a, nesting, ret);
    }
    if (m.loc != 0 && is_text(d, m.msg) && ret->message.p == NULL) {
        struct slice place = place_of(d, m.loc, a), msg = json_string(d, m.msg, a);
        if (place.n > 0 && msg.p != NULL) {
            ret->message =
                arena_printf(a, SLICE_FMT ": " SLICE_FMT, SLICE_ARG(place), SLICE_ARG(msg));
            ret->param = place;
        }
    }
    take(d, m.msg, a, &ret->message);
    take(d, m.title, a, &ret->message);
    take(d, m.type, a, &ret->type);
    take(d, m.error_type, a, &ret->type);
    if (is_text(d, m.status))
        take(d, m.status, a, &ret->type);
    take(d, m.code, a, &ret->code);
    take(d, m.param, a, &ret->param);
}

/* One past the tag at `p`; the content of scripts and styles goes with it. */
static const char *skip_tag(const char *p, const char *end)
{
    struct slice head = slice_of(p, MIN_OF((size_t)(end - p), (size_t)7));
    bool code = slice_eq_nocase(head, SLICE("<script")) ||
                (head.n >= 6 && slice_eq_nocase(slice_of(p, 6), SLICE("<style")));
    const char *close = memchr(p, '>', (size_t)(end - p));
    while (close != NULL && code) {
        const char *next = memchr(close, '<', (size_t)(end - close));
        if (next == NULL || next + 1 == end)
            return end;
        code = next[1] != '/';
        close = code ? next + 1 : memchr(next, '>', (size_t)(end - next));
    }
    return close != NULL ? close + 1 : end;
}

/* Length of the character at `p` if it is valid UTF-8 and printable, else 0. */
static size_t printable(const char *p, const char *end)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (c < 0x80)
        return c > 0x20 && c != 0x7F;
    if ((size_t)(end - p) < n || !utf8_valid(slice_of(p, n)))
        return 0;
    return c == 0xC2 && (unsigned char)p[1] < 0xA0 ? 0 : n; /* U+0080 to U+009F are controls */
}

/* The readable text of a body that is no JSON: no tags, no controls, white space as one space. */
static struct slice excerpt(struct slice body, struct arena *a)
{
    const char *p = body.p, *end = body.p + body.n;
    char *out = arena_alloc(a, EXCERPT_MAX);
    size_t n = 0;
    bool space = false, html;
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    html = p < end && *p == '<';
    while (out != NULL && p < end) {
        if (html && *p == '<') {
            p = skip_tag(p, end);
            space = true;
            continue;
        }
        size_t len = printable(p, end);
        if (n + space + len > EXCERPT_MAX)
            break;
        if (len == 0) {
            space = true;
            p++;
            continue;
        }
        if (space && n > 0)
            out[n++] = ' ';
        space = false;
        memcpy(out + n, p, len);
        n += len;
        p += len;
    }
    return n > 0 ? slice_of(out, n) : SLICE_NONE;
}

void llm_error_of(const struct json_doc *d, struct arena *a, struct llm_error *ret)
{
    *ret = (struct llm_error){.message = SLICE_NONE};
    if (json_type_at(d, 0) == JSON_STRING)
        ret->message = excerpt(json_inner(d, 0), a);
    else
        read_nested(d, 0, a, 0, ret);
    if (ret->message.p == NULL)
        ret->message = excerpt(json_raw(d, 0), a);
    if (ret->message.p == NULL)
        ret->message = SLICE("The provider gave no message.");
}

void openai_read_error(struct json_parser *p, struct arena *a, struct slice body,
                       struct llm_error *ret)
{
    struct json_doc d;
    if (json_parse(p, body, JSON_ALLOW_LONE_SURROGATES, &d) == JSON_OK) {
        llm_error_of(&d, a, ret);
        return;
    }
    *ret = (struct llm_error){.message = excerpt(body, a)};
    if (ret->message.p == NULL)
        ret->message = SLICE("The provider gave no message.");
}

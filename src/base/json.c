/* JSON grammar over the offsets that stage 1 found, and access to the nodes. */
#include "base/json.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "json_stage1.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define KEEP_CAPACITY ((size_t)1 << 20) /* larger scratch memory is given back at the next one */
#define NUMBERS_TAKEN 1024              /* numbers of parses that a parser takes at a time */

struct json_parser {
    struct json_stage1 *stage1;
    struct json_node *nodes;
    size_t nodes_size;
    uint64_t *seen; /* hash table of json_duplicate_key */
    size_t seen_size;
    uint64_t number; /* the latest that was given out */
    uint64_t latest; /* of the document in `nodes`; 0: it is none */
};

struct json_parser *json_parser_new(void)
{
    return mem_calloc(1, sizeof(struct json_parser));
}

void json_parser_free(struct json_parser *p)
{
    if (p == NULL)
        return;
    json_stage1_free(p->stage1);
    mem_free(p->nodes);
    mem_free(p->seen);
    mem_free(p);
}

const char *json_error_text(enum json_error e)
{
    switch (e) {
    case JSON_OK: return "no error";
    case JSON_EMPTY: return "empty text";
    case JSON_TOO_DEEP: return "nested deeper than 64 levels";
    case JSON_TOO_LARGE: return "too large";
    case JSON_BAD_UTF8: return "invalid UTF-8";
    case JSON_BAD_SYNTAX: return "invalid syntax";
    case JSON_BAD_ESCAPE: return "invalid escape in a string";
    case JSON_LONE_SURROGATE: return "half of a surrogate pair in a string";
    case JSON_NO_MEMORY: return "out of memory";
    }
    return "unknown error";
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};
    return names[t];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

static bool valid_number(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (p == end || !is_digit(*p))
        return false;
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p, end);
        if (p == fraction)
            return false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *exponent = p;
        p = skip_digits(p, end);
        if (p == exponent)
            return false;
    }
    return p == end;
}

/* Four hex digits at `p`, or -1. */
static inline int32_t hex4(const char *p, const char *end)
{
    static const uint8_t digit[256] = {
        /* 0x10 set: it is one */
        ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
        ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1A, ['b'] = 0x1B,
        ['c'] = 0x1C, ['d'] = 0x1D, ['e'] = 0x1E, ['f'] = 0x1F, ['A'] = 0x1A, ['B'] = 0x1B,
        ['C'] = 0x1C, ['D'] = 0x1D, ['E'] = 0x1E, ['F'] = 0x1F,
    };
    if (end - p < 4)
        return -1;
    unsigned a = digit[(unsigned char)p[0]], b = digit[(unsigned char)p[1]];
    unsigned c = digit[(unsigned char)p[2]], d = digit[(unsigned char)p[3]];
    if (!(a & b & c & d & 0x10))
        return -1;
    return (int32_t)((a & 15) << 12 | (b & 15) << 8 | (c & 15) << 4 | (d & 15));
}

static const bool simple_escape[256] = {
    ['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
    ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true,
};

/* Checks the escape whose backslash is at `p`; `*ret_next` is what follows it. */
static enum json_error check_escape(const char *p, const char *end, unsigned flags,
                                    const char **ret_next)
{
    char c = p + 1 < end ? p[1] : '\0';
    *ret_next = p += 2;
    if (likely(simple_escape[(unsigned char)c]))
        return JSON_OK;
    int32_t unit = c == 'u' ? hex4(p, end) : -1;
    if (unit < 0)
        return JSON_BAD_ESCAPE;
    *ret_next = p += 4;
    if (unit < 0xD800 || unit > 0xDFFF)
        return JSON_OK;
    int32_t low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
    if (unit < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF)
        *ret_next = p + 6;
    else if (!(flags & JSON_ALLOW_LONE_SURROGATES))
        return JSON_LONE_SURROGATE;
    return JSON_OK;
}

/* Which of the 64 bytes at `p` are backslashes, the first in the lowest bit. */
static inline uint64_t backslashes(const char *p)
{
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi8('\\'), *v = (const __m128i *)(const void *)p;
    uint64_t a = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(v), wanted));
    uint64_t b = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(v + 1), wanted));
    uint64_t c = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(v + 2), wanted));
    uint64_t d = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(v + 3), wanted));
    return a | b << 16 | c << 32 | d << 48;
#else
    uint64_t bits = 0;
    for (unsigned i = 0; i < 64; i++)
        bits |= (uint64_t)(p[i] == '\\') << i;
    return bits;
#endif
}

/* Checks the escapes of a string's inside; `p` is at its first backslash. Source code and tool
 * output have one every few bytes, which is too often for memchr. */
static enum json_error check_escapes(const char *p, const char *end, unsigned flags)
{
    enum json_error e = JSON_OK;
    while (end - p > 64 && e == JSON_OK) {
        const char *next = p + 64;
        for (uint64_t bits = backslashes(p); bits != 0 && e == JSON_OK;) {
            unsigned i = (unsigned)__builtin_ctzll(bits);
            if (likely(simple_escape[(unsigned char)p[i + 1]])) {
                bits &= ~(UINT64_C(3) << i); /* the second may be a backslash too */
                next += i == 63;
                continue;
            }
            const char *after;
            e = check_escape(p + i, end, flags, &after);
            bits = after - p < 64 ? bits & UINT64_MAX << (after - p) : 0;
            next = MAX_OF(next, after);
        }
        p = next;
    }
    while (e == JSON_OK && p < end && (p = memchr(p, '\\', (size_t)(end - p))) != NULL)
        e = check_escape(p, end, flags, &p);
    return e;
}

/* One run of the grammar over the structural offsets. */
struct walk {
    const char *text;
    const uint32_t *at;
    size_t n, i; /* structural offsets, and the current one */
    size_t len;
    unsigned flags;
    const char *backslash; /* the first one not yet passed, or the end of the text */
    struct json_node *nodes;
    uint32_t count;
    uint32_t depth;
    uint64_t objects; /* a bit per open container, the innermost lowest: whether it is an object */
    uint32_t open[JSON_MAX_DEPTH]; /* node of each open container */
};

static inline char current(const struct walk *w)
{
    return w->i < w->n ? w->text[w->at[w->i]] : '\0';
}

/* The text's next backslash from `from` on, or its end. One search of the whole text tells for each
 * string whether it has escapes. */
static const char *find_backslash(const char *from, const char *end)
{
    const char *p = memchr(from, '\\', (size_t)(end - from));
    return p != NULL ? p : end;
}

/* Adds the node of the scalar at the current offset and returns its text, which reaches up to the
 * next structural offset, less the white space. */
static inline struct slice add_scalar(struct walk *w, struct json_node **ret)
{
    const char *text = w->text;
    uint32_t off = w->at[w->i];
    size_t end = w->i + 1 < w->n ? w->at[w->i + 1] : w->len;
    char c;
    while (c = text[end - 1], c == ' ' || c == '\n' || c == '\r' || c == '\t')
        end--;
    struct json_node *node = &w->nodes[w->count++];
    *node = (struct json_node){.off = off, .end = end & 0x7fffffffu, .next = w->count};
    *ret = node;
    return slice_of(text + off, end - off);
}

static inline enum json_error string(struct walk *w)
{
    struct json_node *node;
    struct slice raw = add_scalar(w, &node);
    const char *end = raw.p + raw.n - 1;
    enum json_error e = JSON_OK;
    if (raw.n < 2 || *end != '"')
        return JSON_BAD_SYNTAX;
    if (unlikely(w->backslash < end)) {
        node->escaped = 1;
        e = check_escapes(w->backslash, end, w->flags);
        w->backslash = find_backslash(end, w->text + w->len);
    }
    w->i += e == JSON_OK;
    return e;
}

static inline bool literal_or_number(struct walk *w)
{
    struct json_node *node;
    struct slice raw = add_scalar(w, &node);
    bool ok;
    switch (*raw.p) {
    case 't': ok = slice_eq(raw, SLICE("true")); break;
    case 'f': ok = slice_eq(raw, SLICE("false")); break;
    case 'n': ok = slice_eq(raw, SLICE("null")); break;
    default: ok = valid_number(raw.p, raw.p + raw.n); break;
    }
    w->i += ok;
    return ok;
}

/* A key and its colon. */
static inline enum json_error key(struct walk *w)
{
    if (current(w) != '"')
        return JSON_BAD_SYNTAX;
    enum json_error e = string(w);
    if (e != JSON_OK)
        return e;
    if (current(w) != ':')
        return JSON_BAD_SYNTAX;
    w->i++;
    return JSON_OK;
}

static inline void close_container(struct walk *w)
{
    struct json_node *node = &w->nodes[w->open[--w->depth]];
    node->end = (w->at[w->i] + 1) & 0x7fffffffu;
    node->next = w->count;
    w->objects >>= 1;
    w->i++;
}

/* A value, or the opening bracket of one that has something in it: then `*ret_inside` is true. */
static inline enum json_error value(struct walk *w, bool *ret_inside)
{
    char c = current(w);
    if (c == '"')
        return string(w);
    if (c != '{' && c != '[')
        return w->i < w->n && literal_or_number(w) ? JSON_OK : JSON_BAD_SYNTAX;
    if (w->depth == JSON_MAX_DEPTH)
        return JSON_TOO_DEEP;
    w->objects = w->objects << 1 | (c == '{');
    w->open[w->depth++] = w->count;
    w->nodes[w->count++] = (struct json_node){.off = w->at[w->i]};
    w->i++;
    *ret_inside = current(w) != (c == '{' ? '}' : ']');
    if (!*ret_inside)
        close_container(w);
    return JSON_OK;
}

/* After a value: closing brackets, then a comma or the end. */
static inline enum json_error after_value(struct walk *w)
{
    for (; w->depth > 0; close_container(w)) {
        char c = current(w);
        if (c == ',') {
            w->i++;
            return JSON_OK;
        }
        if (c != (w->objects & 1 ? '}' : ']'))
            return JSON_BAD_SYNTAX;
    }
    return w->i == w->n ? JSON_OK : JSON_BAD_SYNTAX;
}

static enum json_error walk_values(struct walk *w)
{
    do {
        bool inside = false;
        enum json_error e = w->objects & 1 ? key(w) : JSON_OK;
        if (e == JSON_OK)
            e = value(w, &inside);
        if (e == JSON_OK && !inside)
            e = after_value(w);
        if (e != JSON_OK)
            return e;
    } while (w->depth > 0);
    return JSON_OK;
}

static bool reserve_stage1(struct json_parser *p, size_t len)
{
    size_t have = p->stage1 != NULL ? json_stage1_capacity(p->stage1) : 0;
    size_t want = 4096;
    while (want < len)
        want *= 2;
    if (have >= want && (have <= KEEP_CAPACITY || have == want))
        return true;
    json_stage1_free(p->stage1);
    p->stage1 = json_stage1_new(want);
    return p->stage1 != NULL;
}

static bool reserve_nodes(struct json_parser *p, size_t n)
{
    size_t want = 256;
    while (want < n)
        want *= 2;
    if (p->nodes_size >= want && p->nodes_size <= MAX_OF(want, KEEP_CAPACITY))
        return true;
    mem_free(p->nodes);
    p->nodes = mem_alloc(want * sizeof *p->nodes);
    p->nodes_size = p->nodes != NULL ? want : 0;
    return p->nodes != NULL;
}

static enum json_error from_stage1(enum json_stage1_result r)
{
    switch (r) {
    case STAGE1_OK: return JSON_OK;
    case STAGE1_EMPTY: return JSON_EMPTY;
    case STAGE1_BAD_UTF8: return JSON_BAD_UTF8;
    case STAGE1_NO_MEMORY: return JSON_NO_MEMORY;
    case STAGE1_BAD_SYNTAX: break;
    }
    return JSON_BAD_SYNTAX;
}

static uint64_t next_number(struct json_parser *p)
{
    static _Atomic uint64_t taken;
    if (p->number % NUMBERS_TAKEN == 0)
        p->number = atomic_fetch_add_explicit(&taken, NUMBERS_TAKEN, memory_order_relaxed);
    return ++p->number;
}

bool json_is_latest(const struct json_parser *p, const struct json_doc *d)
{
    return d->number != 0 && d->number == p->latest;
}

enum json_error json_parse(struct json_parser *p, struct slice text, unsigned flags,
                           struct json_doc *ret)
{
    struct walk w = {.text = text.p, .len = text.n, .flags = flags};
    *ret = (struct json_doc){.text = text.p};
    p->latest = 0;
    if (text.n == 0)
        return JSON_EMPTY;
    if (text.n > JSON_MAX_BYTES)
        return JSON_TOO_LARGE;
    if (!reserve_stage1(p, text.n))
        return JSON_NO_MEMORY;
    enum json_error e = from_stage1(json_stage1_run(p->stage1, text.p, text.n, &w.at, &w.n));
    if (e != JSON_OK)
        return e;
    if (w.n == 0)
        return JSON_EMPTY;
    if (!reserve_nodes(p, w.n))
        return JSON_NO_MEMORY;
    w.nodes = p->nodes;
    w.backslash = find_backslash(w.text, w.text + w.len);
    e = walk_values(&w);
    if (e != JSON_OK) {
        ret->error_at = w.i < w.n ? w.at[w.i] : (uint32_t)text.n;
        return e;
    }
    ret->nodes = w.nodes;
    ret->count = w.count;
    ret->number = p->latest = next_number(p);
    return JSON_OK;
}

static char *put_utf8(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        *out++ = (char)cp;
    } else if (cp < 0x800) {
        *out++ = (char)(0xC0 | cp >> 6);
        *out++ = (char)(0x80 | (cp & 0x3F));
    } else if (cp < 0x10000) {
        *out++ = (char)(0xE0 | cp >> 12);
        *out++ = (char)(0x80 | (cp >> 6 & 0x3F));
        *out++ = (char)(0x80 | (cp & 0x3F));
    } else {
        *out++ = (char)(0xF0 | cp >> 18);
        *out++ = (char)(0x80 | (cp >> 12 & 0x3F));
        *out++ = (char)(0x80 | (cp >> 6 & 0x3F));
        *out++ = (char)(0x80 | (cp & 0x3F));
    }
    return out;
}

/* Reads the \u escape whose digits start at `*p`, with its second half if it has one. */
static uint32_t read_unicode(const char **p, const char *end)
{
    uint32_t unit = (uint32_t)hex4(*p, end);
    *p += 4;
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit < 0xDC00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        uint32_t low = (uint32_t)hex4(*p + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *p += 6;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return 0xFFFD;
}

/* Resolves the byte or escape at `*p` into `out` (up to 4 bytes); returns the end of that. */
static inline char *unescape_one(const char **p, const char *end, char *out)
{
    static const char named[128] = {['b'] = '\b', ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r',
                                    ['t'] = '\t', ['"'] = '"',  ['\\'] = '\\', ['/'] = '/'};
    if (**p != '\\') {
        *out++ = *(*p)++;
        return out;
    }
    char c = (*p)[1];
    *p += 2;
    if (c == 'u')
        return put_utf8(out, read_unicode(p, end));
    *out++ = named[c & 127];
    return out;
}

/* Copies up to the first backslash and returns how many bytes that were. Some bytes behind them may
 * be written too: there is as much room at `out` as there is text. */
static inline size_t copy_plain(const char *p, const char *end, char *out)
{
    size_t n = 0, len = (size_t)(end - p);
#ifdef __SSE2__
    for (; len - n >= 16; n += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + n));
        _mm_storeu_si128((__m128i *)(void *)(out + n), v);
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        if (found != 0)
            return n + (size_t)__builtin_ctz((unsigned)found);
    }
#endif
    for (; n < len && p[n] != '\\'; n++)
        out[n] = p[n];
    return n;
}

size_t json_unescape(struct slice inner, char *out)
{
    const char *p = inner.p, *end = inner.p + inner.n;
    char *o = out;
    while (p < end) {
        size_t n = copy_plain(p, end, o);
        o += n;
        p += n;
        if (p < end)
            o = unescape_one(&p, end, o);
    }
    return (size_t)(o - out);
}

/* JSON text that stands inside a string, on its way to its own: what is read next, and where it
 * goes. Never more is written than was read. Passed by value, to stay in registers. */
struct unwrap {
    const char *p; /* NULL: it is not plain */
    char *o;
};
#define NOT_PLAIN ((struct unwrap){NULL, NULL})

/* Indentation is what most of such text is made of. */
static inline struct unwrap unwrap_spaces(struct unwrap u, const char *end)
{
#ifdef __SSE2__
    while (end - u.p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)u.p);
        _mm_storeu_si128((__m128i *)(void *)u.o, v);
        int spaces = _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')));
        unsigned n = (unsigned)__builtin_ctz(~(unsigned)spaces);
        u.p += n;
        u.o += n;
        if (n < 16)
            return u;
    }
#endif
    for (; u.p < end && *u.p == ' '; u.p++)
        *u.o++ = ' ';
    return u;
}

static inline struct unwrap unwrap_blank(struct unwrap u, const char *end)
{
    static const char control[256] = {['n'] = '\n', ['t'] = '\t', ['r'] = '\r'};
    while (u.p < end) {
        if (*u.p == ' ') {
            u = unwrap_spaces(u, end);
        } else if (*u.p == '\\' && control[(unsigned char)u.p[1]] != '\0') {
            *u.o++ = control[(unsigned char)u.p[1]];
            u.p += 2;
        } else {
            break;
        }
    }
    return u;
}

/* How long the escape at `p` is, whose hex digits are `lead` bytes on, with its second half: of a
 * character that is neither ASCII nor half of a pair. 0: it is another. */
static inline size_t unwrap_unicode(const char *p, const char *end, size_t lead)
{
    size_t len = lead + 4;
    int32_t unit = (size_t)(end - p) >= len ? hex4(p + lead, end) : -1;
    if (unit < 0x80 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return 0;
    if (unit < 0xD800 || unit > 0xDFFF)
        return len;
    if ((size_t)(end - p) < 2 * len || memcmp(p + len, p, lead) != 0)
        return 0;
    unit = hex4(p + len + lead, end);
    return unit >= 0xDC00 && unit <= 0xDFFF ? 2 * len : 0;
}

/* An escape of the inner text, whose backslash is two here; of \\u, all in a row. */
static inline struct unwrap unwrap_escape(struct unwrap u, const char *end)
{
    char c = end - u.p > 2 ? u.p[2] : '\0';
    if (c == 'u') {
        do {
            size_t n = unwrap_unicode(u.p, end, 3);
            if (n == 0)
                return NOT_PLAIN;
            for (; n > 0; n -= 7, u.p += 7, u.o += 6)
                memcpy(u.o, (char[6]){'\\', 'u', u.p[3], u.p[4], u.p[5], u.p[6]}, 6);
        } while (end - u.p > 2 && memcmp(u.p, "\\\\u", 3) == 0);
        return u;
    }
    bool twice = c == '\\'; /* a quote or a backslash, which is escaped again */
    if (twice)
        c = u.p[3];
    if (twice ? c != '"' && c != '\\' : !simple_escape[(unsigned char)c] || c == '"')
        return NOT_PLAIN;
    u.o[0] = '\\';
    u.o[1] = c;
    return (struct unwrap){u.p + 3 + twice, u.o + 2};
}

static inline struct unwrap unwrap_string(struct unwrap u, const char *end)
{
    if (end - u.p < 2 || u.p[0] != '\\' || u.p[1] != '"')
        return NOT_PLAIN;
    for (;;) {
        if (u.p[1] == '\\') {
            u = unwrap_escape(u, end);
            if (u.p == NULL)
                return u;
        } else if (u.p[1] == 'u') {
            size_t n = unwrap_unicode(u.p, end, 2);
            if (n == 0)
                return NOT_PLAIN;
            u.o += json_unescape(slice_of(u.p, n), u.o);
            u.p += n;
        } else { /* the opening quote */
            *u.o++ = '"';
            u.p += 2;
        }
        size_t n = copy_plain(u.p, end, u.o);
        u.p += n;
        u.o += n;
        if (u.p == end || (u.p[1] != '\\' && u.p[1] != 'u' && u.p[1] != '"'))
            return NOT_PLAIN;
        if (u.p[1] == '"') {
            *u.o = '"';
            return (struct unwrap){u.p + 2, u.o + 1};
        }
    }
}

/* What stands behind it is looked at by the caller. */
static inline struct unwrap unwrap_scalar(struct unwrap u, const char *end)
{
    static const bool of_number[256] = {
        ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true,
        ['5'] = true, ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true,
        ['-'] = true, ['+'] = true, ['.'] = true, ['e'] = true, ['E'] = true,
    };
    const char *p = u.p;
    struct slice rest = slice_of(p, (size_t)(end - p));
    if (slice_starts(rest, SLICE("true")) || slice_starts(rest, SLICE("null"))) {
        memcpy(u.o, p, 4);
        return (struct unwrap){p + 4, u.o + 4};
    }
    if (slice_starts(rest, SLICE("false"))) {
        memcpy(u.o, p, 5);
        return (struct unwrap){p + 5, u.o + 5};
    }
    while (p < end && of_number[(unsigned char)*p])
        *u.o++ = *p++;
    return valid_number(u.p, p) ? (struct unwrap){p, u.o} : NOT_PLAIN;
}

/* The root's keys so far, as written. */
struct unwrap_keys {
    struct slice key[16];
    unsigned n;
};

static bool is_new_key(struct unwrap_keys *keys, struct slice name)
{
    if (keys->n == ARRAY_LEN(keys->key) || memchr(name.p, '\\', name.n) != NULL)
        return false;
    for (unsigned i = 0; i < keys->n; i++) {
        if (slice_eq(keys->key[i], name))
            return false;
    }
    keys->key[keys->n++] = name;
    return true;
}

/* A key with its colon; `keys` NULL: not one of the root's. */
static inline struct unwrap unwrap_key(struct unwrap u, const char *end, struct unwrap_keys *keys)
{
    const char *from = u.o;
    u = unwrap_string(u, end);
    if (u.p == NULL || (keys != NULL && !is_new_key(keys, slice_of(from, (size_t)(u.o - from)))))
        return NOT_PLAIN;
    u = unwrap_blank(u, end);
    if (u.p == end || *u.p != ':')
        return NOT_PLAIN;
    *u.o = ':';
    return unwrap_blank((struct unwrap){u.p + 1, u.o + 1}, end);
}

size_t json_unwrap_object(struct slice inner, char *out)
{
    const char *end = inner.p + inner.n;
    struct unwrap u = unwrap_blank((struct unwrap){inner.p, out}, end);
    UNINITIALIZED struct unwrap_keys keys;
    uint64_t objects = 0; /* as in struct walk */
    unsigned depth = 0;
    keys.n = 0;
    if (u.p == end || *u.p != '{')
        return 0;
    do {
        if (objects & 1)
            u = unwrap_key(u, end, depth == 1 ? &keys : NULL);
        char c = u.p != NULL && u.p < end ? *u.p : '\0';
        bool open = c == '{' || c == '[', inside = false;
        if (open && depth < JSON_MAX_DEPTH) {
            depth++;
            objects = objects << 1 | (c == '{');
            *u.o = c;
            u = unwrap_blank((struct unwrap){u.p + 1, u.o + 1}, end);
            inside = u.p < end && *u.p != (c == '{' ? '}' : ']');
        } else {
            u = c == '\0' || open ? NOT_PLAIN
                : c == '\\'       ? unwrap_string(u, end)
                                  : unwrap_scalar(u, end);
        }
        if (u.p == NULL)
            return 0;
        while (!inside && depth > 0) { /* closing brackets, then a comma or the end */
            u = unwrap_blank(u, end);
            c = u.p < end ? *u.p : '\0';
            inside = c == ',';
            if (!inside && c != (objects & 1 ? '}' : ']'))
                return 0;
            *u.o++ = c;
            u.p++;
            if (inside) {
                u = unwrap_blank(u, end);
                break;
            }
            depth--;
            objects >>= 1;
        }
    } while (depth > 0);
    u = unwrap_blank(u, end);
    return u.p == end ? (size_t)(u.o - out) : 0;
}

bool json_string_is(const struct json_doc *d, uint32_t node, struct slice s)
{
    struct slice inner = json_inner(d, node);
    if (!d->nodes[node].escaped)
        return slice_eq(inner, s);
    const char *p = inner.p, *end = inner.p + inner.n;
    while (p < end) {
        char piece[4];
        size_t n = (size_t)(unescape_one(&p, end, piece) - piece);
        if (n > s.n || memcmp(s.p, piece, n) != 0)
            return false;
        s = slice_of(s.p + n, s.n - n);
    }
    return s.n == 0;
}

struct slice json_string(const struct json_doc *d, uint32_t node, struct arena *a)
{
    struct slice inner = json_inner(d, node);
    if (!d->nodes[node].escaped)
        return inner;
    char *out = arena_alloc(a, inner.n);
    return out != NULL ? slice_of(out, json_unescape(inner, out)) : SLICE_NONE;
}

uint32_t json_get(const struct json_doc *d, uint32_t node, struct slice key_name)
{
    uint32_t end = json_end(d, node);
    for (uint32_t k = json_first(d, node); k < end; k = json_after(d, k + 1)) {
        const struct json_node *at = &d->nodes[k];
        bool same = likely(!at->escaped)
                        ? at->end - at->off - 2 == key_name.n &&
                              memcmp(d->text + at->off + 1, key_name.p, key_name.n) == 0
                        : json_string_is(d, k, key_name);
        if (same)
            return k + 1;
    }
    return 0;
}

bool json_i64(const struct json_doc *d, uint32_t node, int64_t *ret)
{
    struct slice raw = json_raw(d, node);
    uint64_t magnitude;
    bool negative = raw.p[0] == '-';
    if (json_type_at(d, node) != JSON_NUMBER ||
        !slice_to_u64(slice_from(raw, negative), &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool json_double(const struct json_doc *d, uint32_t node, double *ret)
{
    struct slice raw = json_raw(d, node);
    char small[64], *text = small;
    if (json_type_at(d, node) != JSON_NUMBER)
        return false;
    if (raw.n >= sizeof small && (text = mem_alloc(raw.n + 1)) == NULL)
        return false;
    memcpy(text, raw.p, raw.n);
    text[raw.n] = '\0';
    double v = strtod(text, NULL);
    if (text != small)
        mem_free(text);
    if (!isfinite(v))
        return false;
    *ret = v;
    return true;
}

/* Hash of a key with its escapes resolved, never 0. */
static uint64_t key_hash(const struct json_doc *d, uint32_t node, bool *ret_ok)
{
    struct slice inner = json_inner(d, node);
    char small[512];
    char *out = inner.n > sizeof small ? mem_alloc(inner.n) : small;
    *ret_ok = out != NULL;
    if (out == NULL)
        return 1;
    uint64_t h = hash64(d->nodes[node].escaped ? slice_of(out, json_unescape(inner, out)) : inner);
    if (out != small)
        mem_free(out);
    return h | 1;
}

static bool reserve_seen(struct json_parser *p, size_t keys)
{
    size_t want = 64;
    while (want < keys * 2)
        want *= 2;
    if (p->seen_size < want || p->seen_size > MAX_OF(want, KEEP_CAPACITY)) {
        mem_free(p->seen);
        p->seen = mem_alloc(want * sizeof *p->seen);
        p->seen_size = p->seen != NULL ? want : 0;
    }
    if (p->seen != NULL)
        memset(p->seen, 0, want * sizeof *p->seen);
    return p->seen != NULL;
}

/* Most objects have few keys and none with an escape: comparing each with each is the quickest
 * then. False: another object. */
static bool duplicate_of_few(const struct json_doc *d, uint32_t node, uint32_t *ret)
{
    struct slice seen[8];
    size_t n = 0;
    *ret = 0;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        struct slice inner = json_inner(d, k);
        if (n == ARRAY_LEN(seen) || d->nodes[k].escaped)
            return false;
        for (size_t i = 0; i < n && *ret == 0; i++)
            *ret = slice_eq(seen[i], inner) ? k : 0;
        seen[n++] = inner;
    }
    return true;
}

/* Keys are taken as equal when their 64-bit hashes (less one bit, seeded per process) are: two
 * different keys of one object meet with odds of about n^2 / 2^64. */
uint32_t json_duplicate_key(struct json_parser *p, const struct json_doc *d, uint32_t node)
{
    size_t keys = 0, mask = 63;
    uint32_t few;
    if (duplicate_of_few(d, node, &few))
        return few;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1))
        keys++;
    if (!reserve_seen(p, keys))
        return json_first(d, node);
    while (mask + 1 < keys * 2)
        mask = mask * 2 + 1;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        bool ok;
        uint64_t h = key_hash(d, k, &ok);
        size_t at = (size_t)(h >> 1) & mask;
        while (p->seen[at] != 0 && p->seen[at] != h)
            at = (at + 1) & mask;
        if (p->seen[at] == h || !ok)
            return k;
        p->seen[at] = h;
    }
    return 0;
}

bool utf8_valid(struct slice s)
{
    return s.n == 0 || json_stage1_utf8(s.p, s.n);
}

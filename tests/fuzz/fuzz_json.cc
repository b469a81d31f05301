/* json_parse against simdjson's DOM parser, which shares stage 1 with it and nothing else: both
 * must accept the same texts and see the same values in them. Then what json.h promises about
 * nodes. */
/* layer: base */
#include <inttypes.h>
#include <simdjson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

extern "C" {
#include "base/buf.h"
#include "base/json.h"
#include "base/json_write.h"
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
}

namespace dom = simdjson::dom;

#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What differs between the two by intent is taken out of a copy of the text, which changes nothing
 * about its grammar: runs of digits outside strings are cut to two, as DOM refuses numbers that no
 * machine type holds; with `mend`, escapes of surrogates become escapes of other characters. Also
 * finds the depth. */
static std::string tamed(struct slice text, bool mend, unsigned *ret_depth)
{
    std::string out;
    bool inside = false;
    unsigned depth = 0, digits = 0;
    *ret_depth = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        digits = !inside && c >= '0' && c <= '9' ? digits + 1 : 0;
        if (digits > 2)
            continue;
        out += c;
        if (c == '"') {
            inside = !inside;
        } else if (inside && c == '\\' && i + 1 < text.n) {
            out += text.p[++i];
            if (mend && text.p[i] == 'u' && i + 2 < text.n && (text.p[i + 1] | 0x20) == 'd' &&
                strchr("89abcdefABCDEF", text.p[i + 2]) != nullptr) {
                out += '0';
                i++;
            }
        } else if (!inside && (c == '[' || c == '{')) {
            *ret_depth = MAX_OF(*ret_depth, ++depth);
        } else if (!inside && (c == ']' || c == '}')) {
            depth -= depth > 0;
        }
    }
    return out;
}

static bool dom_accepts(const std::string &text)
{
    dom::parser parser;
    REQUIRE(parser.allocate(text.size() + 64, 2000) == simdjson::SUCCESS);
    return parser.parse(simdjson::padded_string(text)).error() == simdjson::SUCCESS;
}

static std::string unescaped(const struct json_doc *d, uint32_t node)
{
    struct slice inner = json_inner(d, node);
    std::string out(inner.n, '\0');
    size_t n = json_unescape(inner, out.data());
    REQUIRE(n <= inner.n);
    out.resize(n);
    return out;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void check_string(const struct json_doc *d, uint32_t node)
{
    struct slice inner = json_inner(d, node), raw = json_raw(d, node);
    REQUIRE(raw.n >= 2 && raw.p[0] == '"' && raw.p[raw.n - 1] == '"');
    REQUIRE(d->nodes[node].escaped == (slice_find(inner, '\\') >= 0));
    REQUIRE(d->nodes[node].next == node + 1);
    std::string text = unescaped(d, node);
    struct slice s = slice_of(text.data(), text.size());
    REQUIRE(utf8_valid(s));
    REQUIRE(json_string_is(d, node, s));
    text += 'x';
    REQUIRE(!json_string_is(d, node, slice_of(text.data(), text.size())));
}

/* Duplicates and look-up, by comparing every key with every other. */
static void check_keys(struct json_parser *p, const struct json_doc *d, uint32_t node)
{
    std::vector<std::string> keys;
    uint32_t twice = 0;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        uint32_t first = k;
        std::string key = unescaped(d, k);
        uint32_t at = json_first(d, node);
        for (const std::string &earlier : keys) {
            if (earlier == key && first == k)
                first = at;
            at = json_after(d, at + 1);
        }
        if (first != k && twice == 0)
            twice = k;
        REQUIRE(json_get(d, node, slice_of(key.data(), key.size())) == first + 1);
        keys.push_back(key);
        if (keys.size() > 200)
            return;
    }
    REQUIRE(json_duplicate_key(p, d, node) == twice);
}

/* Between two values: blanks, and `separator` once unless it is 0. */
static void check_gap(const struct json_doc *d, uint32_t from, uint32_t to, char separator)
{
    REQUIRE(from <= to);
    for (uint32_t i = from; i < to; i++) {
        if (is_space(d->text[i]))
            continue;
        REQUIRE(d->text[i] == separator);
        separator = 0;
    }
    REQUIRE(separator == 0);
}

static void check_value(struct json_parser *p, const struct json_doc *d, uint32_t node)
{
    struct slice raw = json_raw(d, node);
    enum json_type type = json_type_at(d, node);
    REQUIRE(raw.n > 0 && !is_space(raw.p[0]) && !is_space(raw.p[raw.n - 1]));
    REQUIRE(json_after(d, node) > node && json_after(d, node) <= d->count);
    if (type == JSON_STRING)
        check_string(d, node);
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        REQUIRE(json_after(d, node) == node + 1);
        return;
    }
    REQUIRE(raw.p[raw.n - 1] == (type == JSON_OBJECT ? '}' : ']'));
    uint32_t at = d->nodes[node].off + 1;
    char separator = 0;
    for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
        check_gap(d, at, d->nodes[i].off, separator);
        if (type == JSON_OBJECT) {
            REQUIRE(json_type_at(d, i) == JSON_STRING && i + 1 < json_end(d, node));
            check_string(d, i);
            check_gap(d, d->nodes[i].end, d->nodes[i + 1].off, ':');
            i++;
        }
        check_value(p, d, i);
        REQUIRE(json_after(d, i) <= json_end(d, node));
        at = d->nodes[i].end;
        separator = ',';
    }
    check_gap(d, at, d->nodes[node].end - 1, 0);
    if (type == JSON_OBJECT)
        check_keys(p, d, node);
}

template <typename type> static type value_of(dom::element e)
{
    type v{};
    REQUIRE(e.get(v) == simdjson::SUCCESS);
    return v;
}

static void check_number(const struct json_doc *d, uint32_t node, dom::element e)
{
    int64_t ours = 0, theirs = 0;
    double real = 0;
    bool fits = e.get(theirs) == simdjson::SUCCESS;
    REQUIRE(json_i64(d, node, &ours) == fits && ours == theirs);
    REQUIRE(json_double(d, node, &real));
    double want = e.is_double() ? value_of<double>(e)
                  : fits        ? (double)theirs
                                : (double)value_of<uint64_t>(e);
    REQUIRE(memcmp(&real, &want, sizeof real) == 0 || (real == 0 && want == 0 && fits));
}

/* Returns the node behind `node`. */
static uint32_t check_same(const struct json_doc *d, uint32_t node, dom::element e)
{
    switch (json_type_at(d, node)) {
    case JSON_NULL: REQUIRE(e.is_null()); break;
    case JSON_TRUE: REQUIRE(value_of<bool>(e)); break;
    case JSON_FALSE: REQUIRE(!value_of<bool>(e)); break;
    case JSON_NUMBER: check_number(d, node, e); break;
    case JSON_STRING: REQUIRE(value_of<std::string_view>(e) == unescaped(d, node)); break;
    case JSON_ARRAY: {
        auto array = value_of<dom::array>(e);
        uint32_t i = json_first(d, node);
        for (dom::element inner : array)
            i = check_same(d, i, inner);
        REQUIRE(i == json_end(d, node));
        break;
    }
    case JSON_OBJECT: {
        auto object = value_of<dom::object>(e);
        uint32_t i = json_first(d, node);
        for (dom::key_value_pair member : object) {
            REQUIRE(member.key == unescaped(d, i));
            i = check_same(d, i + 1, member.value);
        }
        REQUIRE(i == json_end(d, node));
        break;
    }
    }
    return json_after(d, node);
}

/* Writes the document anew, value by value; the result is as good a text of the same values. */
static void write_value(struct json_writer *w, const struct json_doc *d, uint32_t node)
{
    enum json_type type = json_type_at(d, node);
    std::string text;
    if (type == JSON_STRING) {
        text = unescaped(d, node);
        jw_string(w, slice_of(text.data(), text.size()));
    } else if (type != JSON_ARRAY && type != JSON_OBJECT) {
        jw_raw(w, json_raw(d, node));
    } else {
        jw_open(w, type == JSON_ARRAY ? '[' : '{');
        for (uint32_t i = json_first(d, node); i < json_end(d, node); i = json_after(d, i)) {
            if (type == JSON_OBJECT) {
                text = unescaped(d, i++);
                jw_key_slice(w, slice_of(text.data(), text.size()));
            }
            write_value(w, d, i);
        }
        jw_close(w, type == JSON_ARRAY ? ']' : '}');
    }
}

static void check_rewritten(const struct json_doc *d)
{
    static struct json_parser *p = json_parser_new();
    struct buf once, again;
    struct json_doc copy;
    buf_init(&once, (size_t)1 << 30);
    buf_init(&again, (size_t)1 << 30);
    struct json_writer w = json_writer(&once);
    write_value(&w, d, 0);
    REQUIRE(json_parse(p, buf_view(&once), 0, &copy) == JSON_OK && copy.count == d->count);
    for (uint32_t i = 0; i < d->count; i++) {
        REQUIRE(copy.nodes[i].next == d->nodes[i].next);
        REQUIRE(json_type_at(&copy, i) == json_type_at(d, i));
        REQUIRE(json_type_at(d, i) != JSON_STRING || unescaped(&copy, i) == unescaped(d, i));
    }
    w = json_writer(&again);
    write_value(&w, &copy, 0);
    REQUIRE(slice_eq(buf_view(&once), buf_view(&again)));
    buf_done(&once);
    buf_done(&again);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_parser *p = json_parser_new();
    static dom::parser oracle;
    struct slice text = slice_of((const char *)data, size);
    struct json_doc d;
    unsigned depth;
    enum json_error lax = json_parse(p, text, JSON_ALLOW_LONE_SURROGATES, &d);
    REQUIRE(lax == JSON_OK || (d.error_at <= size && d.nodes == nullptr));
    REQUIRE(lax != JSON_LONE_SURROGATE && lax != JSON_TOO_LARGE && lax != JSON_NO_MEMORY);
    std::string mended = tamed(text, true, &depth);
    if (lax == JSON_TOO_DEEP || depth > JSON_MAX_DEPTH) {
        REQUIRE(lax != JSON_OK && depth > JSON_MAX_DEPTH);
        return 0;
    }
    REQUIRE((lax == JSON_OK) == dom_accepts(mended));
    if (lax == JSON_OK) {
        REQUIRE(d.count > 0 && d.nodes[0].next == d.count);
        check_gap(&d, 0, d.nodes[0].off, 0);
        check_gap(&d, d.nodes[0].end, (uint32_t)size, 0);
        check_value(p, &d, 0);
        check_rewritten(&d);
    }
    enum json_error strict = json_parse(p, text, 0, &d);
    REQUIRE(strict == lax || strict == JSON_LONE_SURROGATE);
    REQUIRE((strict == JSON_OK) == dom_accepts(tamed(text, false, &depth)));
    dom::element root;
    if (strict == JSON_OK && oracle.parse(data, size).get(root) == simdjson::SUCCESS)
        REQUIRE(check_same(&d, 0, root) == d.count);
    return 0;
}

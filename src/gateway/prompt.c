/* Prompts, looked at in the JSON that the light reading has left. */
#include "prompt.h"

#include "base/hash.h"
#include "policy/complexity.h"

/* Members that a model reads, in the order in which templates put them. */
static const struct slice read_first[] = {
    {"tools", 5},         {"system", 6},   {"systemInstruction", 17}, {"system_instruction", 18},
    {"instructions", 12}, {"messages", 8}, {"contents", 8},           {"input", 5},
    {"prompt", 6}};
#define CONVERSATION 5 /* from here on they are the conversation itself */

/* The request's JSON: what was read lightly while that is still there, else read anew. */
static bool find_doc(const struct prompt *p, struct json_doc *ret)
{
    *ret = p->request->doc;
    return (ret->text != NULL && json_is_latest(p->parser, ret)) ||
           json_parse(p->parser, p->request->body, JSON_ALLOW_LONE_SURROGATES, ret) == JSON_OK;
}

void prompt_chain(const struct prompt *p, struct prefix_chain *ret)
{
    struct json_doc d;
    prefix_begin(ret, hash64(p->request->model));
    if (find_doc(p, &d)) {
        for (size_t i = 0; i < ARRAY_LEN(read_first); i++) {
            uint32_t at = json_get(&d, 0, read_first[i]);
            if (at != 0)
                prefix_add(ret, json_raw(&d, at));
        }
    }
    prefix_end(ret);
}

/* ---- the user's last words */

static bool is_user(const struct json_doc *d, uint32_t message)
{
    for (uint32_t i = json_first(d, message); i < json_end(d, message); i = json_after(d, i + 1)) {
        if (json_string_is(d, i, SLICE("role")))
            return json_string_is(d, i + 1, SLICE("user"));
    }
    return true; /* Google's may leave it out */
}

static void take_longer(const struct json_doc *d, uint32_t node, struct slice *best)
{
    if (json_type_at(d, node) == JSON_STRING && json_inner(d, node).n > best->n)
        *best = json_inner(d, node);
}

/* The longest text of a message: its content itself, or the text of one of its parts. */
static struct slice longest_text(const struct json_doc *d, uint32_t message)
{
    struct slice best = SLICE_NONE;
    uint32_t content = json_get(d, message, SLICE("content"));
    if (content == 0)
        content = json_get(d, message, SLICE("parts"));
    if (content == 0)
        return best;
    take_longer(d, content, &best);
    if (json_type_at(d, content) != JSON_ARRAY)
        return best;
    for (uint32_t i = json_first(d, content); i < json_end(d, content); i = json_after(d, i)) {
        uint32_t text = json_type_at(d, i) == JSON_OBJECT ? json_get(d, i, SLICE("text")) : 0;
        if (text != 0)
            take_longer(d, text, &best);
    }
    return best;
}

static void look_at_conversation(const struct json_doc *d, uint32_t at, struct slice *ret_text,
                                 struct complexity_facts *f)
{
    if (json_type_at(d, at) != JSON_ARRAY) {
        f->messages = 1;
        *ret_text = json_type_at(d, at) == JSON_STRING ? json_inner(d, at) : SLICE_NONE;
        return;
    }
    for (uint32_t m = json_first(d, at); m < json_end(d, at); m = json_after(d, m)) {
        f->messages++;
        if (json_type_at(d, m) == JSON_STRING)
            *ret_text = json_inner(d, m);
        else if (json_type_at(d, m) == JSON_OBJECT && is_user(d, m))
            *ret_text = longest_text(d, m);
    }
}

/* Escapes resolved where they matter to the score: line breaks and tabs. */
static struct slice plain(struct arena *a, struct slice inner)
{
    char *out = arena_alloc(a, inner.n + 1);
    size_t n = 0;
    if (out == NULL)
        return inner;
    for (size_t i = 0; i < inner.n; i++) {
        char c = inner.p[i];
        if (c == '\\' && i + 1 < inner.n) {
            c = inner.p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        out[n++] = c;
    }
    return slice_of(out, n);
}

double prompt_complexity(const struct prompt *p)
{
    struct complexity_facts f = {.prompt_bytes = (int64_t)p->request->body.n,
                                 .images = p->request->bulk_bytes > 0};
    struct slice text = SLICE_NONE;
    struct json_doc d;
    if (!find_doc(p, &d))
        return 0;
    for (size_t i = CONVERSATION; i < ARRAY_LEN(read_first) && text.n == 0; i++) {
        uint32_t at = json_get(&d, 0, read_first[i]);
        if (at != 0)
            look_at_conversation(&d, at, &text, &f);
    }
    uint32_t tools = json_get(&d, 0, SLICE("tools"));
    if (tools != 0 && json_type_at(&d, tools) == JSON_ARRAY) {
        for (uint32_t t = json_first(&d, tools); t < json_end(&d, tools); t = json_after(&d, t))
            f.tools++;
    }
    f.schema = json_get(&d, 0, SLICE("response_format")) != 0;
    f.reasoning =
        json_get(&d, 0, SLICE("reasoning_effort")) != 0 || json_get(&d, 0, SLICE("thinking")) != 0;
    return complexity_score(plain(p->arena, slice_of(text.p, MIN_OF(text.n, (size_t)16384))), &f);
}

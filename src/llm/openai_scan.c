/* What an answer or a streamed event in OpenAI's dialect says. openai_scan_event runs once per
 * event of every stream: one pass over the members, no allocation. */
#include "base/json_write.h"
#include "openai_internal.h"

#define TOKENS_MAX ((int64_t)1 << 48) /* larger figures are nonsense, and would overflow prices */

void llm_usage_merge(struct llm_usage *into, const struct llm_usage *from)
{
    if (from->input >= 0)
        into->input = from->input;
    if (from->output >= 0)
        into->output = from->output;
    if (from->cached >= 0)
        into->cached = from->cached;
    if (from->cache_write >= 0)
        into->cache_write = from->cache_write;
    if (from->reasoning >= 0)
        into->reasoning = from->reasoning;
}

/* Members of the top level that are read. */
enum root_member {
    ROOT_CHOICES,
    ROOT_DATA,
    ROOT_ERROR,
    ROOT_MODEL,
    ROOT_OBFUSCATION,
    ROOT_OBJECT,
    ROOT_USAGE,
    ROOT_X_GROQ,
    ROOT_N
};

static int root_member_of(struct slice k)
{
    switch (k.n) {
    case 4: return KEY_IS(k, "data") ? ROOT_DATA : -1;
    case 5:
        if (KEY_IS(k, "model"))
            return ROOT_MODEL;
        if (KEY_IS(k, "usage"))
            return ROOT_USAGE;
        return KEY_IS(k, "error") ? ROOT_ERROR : -1;
    case 6:
        if (KEY_IS(k, "object"))
            return ROOT_OBJECT;
        return KEY_IS(k, "x_groq") ? ROOT_X_GROQ : -1;
    case 7: return KEY_IS(k, "choices") ? ROOT_CHOICES : -1;
    case 11: return KEY_IS(k, "obfuscation") ? ROOT_OBFUSCATION : -1;
    default: return -1;
    }
}

struct scanner {
    const struct json_doc *d;
    struct arena *a;
    const struct llm_provider *provider;
    struct llm_scan *ret;
    uint32_t key[ROOT_N]; /* nodes of the keys; 0: absent */
    uint32_t text;        /* the last string that is content; 0: none */
};

/* The value of a top-level member, or 0 where it is absent or null. */
static uint32_t root_value(const struct scanner *s, enum root_member m)
{
    uint32_t node = s->key[m] + 1;
    return s->key[m] != 0 && json_type_at(s->d, node) != JSON_NULL ? node : 0;
}

/* A string, array or object with something in it. */
static bool has_something(const struct json_doc *d, uint32_t node)
{
    const struct json_node *n = &d->nodes[node];
    switch (d->text[n->off]) {
    case '"': return n->end - n->off > 2;
    case '[':
    case '{': return n->next > node + 1;
    default: return false;
    }
}

static int token_count_of(struct slice k)
{
    switch (k.n) {
    case 12: return KEY_IS(k, "total_tokens") ? 't' : -1;
    case 13:
        if (KEY_IS(k, "prompt_tokens"))
            return 'p';
        return KEY_IS(k, "cached_tokens") ? 'c' : -1;
    case 16: return KEY_IS(k, "reasoning_tokens") ? 'r' : -1;
    case 17: return KEY_IS(k, "completion_tokens") ? 'o' : -1;
    case 18: return KEY_IS(k, "cache_write_tokens") ? 'w' : -1;
    case 21: return KEY_IS(k, "prompt_tokens_details") ? 'P' : -1;
    case 23: return KEY_IS(k, "prompt_cache_hit_tokens") ? 'h' : -1;
    case 25: return KEY_IS(k, "completion_tokens_details") ? 'O' : -1;
    default: return -1;
    }
}

/* The figures as the provider names them; -1: absent or no sensible number. */
struct counts {
    int64_t prompt, completion, total, cached, cache_write, reasoning, cache_hit;
};

static void read_count(const struct json_doc *d, uint32_t node, int64_t *ret)
{
    int64_t v;
    if (json_i64(d, node, &v) && v >= 0 && v <= TOKENS_MAX)
        *ret = v;
}

static void read_details(const struct json_doc *d, uint32_t node, struct counts *c)
{
    if (json_type_at(d, node) != JSON_OBJECT)
        return;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        switch (llm_key(d, k, token_count_of)) {
        case 'c': read_count(d, k + 1, &c->cached); break;
        case 'w': read_count(d, k + 1, &c->cache_write); break;
        case 'r': read_count(d, k + 1, &c->reasoning); break;
        default: break;
        }
    }
}

/* Output including reasoning. Where a provider counts them apart, its total tells whether it did so
 * this time. */
static int64_t output_of(const struct counts *c, unsigned quirks)
{
    if (!(quirks & QUIRK_REASONING_APART) || c->completion < 0 || c->reasoning <= 0)
        return c->completion;
    bool included = c->prompt >= 0 && c->total == c->prompt + c->completion;
    return included ? c->completion : c->completion + c->reasoning;
}

static void read_usage(struct scanner *s, uint32_t node)
{
    const struct json_doc *d = s->d;
    struct counts c = {-1, -1, -1, -1, -1, -1, -1};
    if (json_type_at(d, node) != JSON_OBJECT)
        return;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        switch (llm_key(d, k, token_count_of)) {
        case 'p': read_count(d, k + 1, &c.prompt); break;
        case 'o': read_count(d, k + 1, &c.completion); break;
        case 't': read_count(d, k + 1, &c.total); break;
        case 'h': read_count(d, k + 1, &c.cache_hit); break;
        case 'P':
        case 'O': read_details(d, k + 1, &c); break;
        default: break;
        }
    }
    if (c.cached < 0 && s->provider->quirks & QUIRK_CACHE_HIT_TOKENS)
        c.cached = c.cache_hit;
    s->ret->usage = (struct llm_usage){c.prompt, output_of(&c, s->provider->quirks), c.cached,
                                       c.cache_write, c.reasoning};
    s->ret->has_usage = c.prompt >= 0 || c.completion >= 0;
}

static int usage_of(struct slice k)
{
    return k.n == 5 && KEY_IS(k, "usage") ? 0 : -1;
}

static void read_x_groq(struct scanner *s, uint32_t node)
{
    const struct json_doc *d = s->d;
    if (json_type_at(d, node) != JSON_OBJECT)
        return;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        if (llm_key(d, k, usage_of) == 0)
            read_usage(s, k + 1);
    }
}

/* Members of a delta or a message that hold something for the user. */
static int content_member_of(struct slice k)
{
    bool found = false;
    switch (k.n) {
    case 5: found = KEY_IS(k, "audio"); break;
    case 6: found = KEY_IS(k, "images"); break;
    case 7: found = KEY_IS(k, "content") || KEY_IS(k, "refusal"); break;
    case 9: found = KEY_IS(k, "reasoning"); break;
    case 10: found = KEY_IS(k, "tool_calls"); break;
    case 13: found = KEY_IS(k, "function_call"); break;
    case 17: found = KEY_IS(k, "reasoning_content") || KEY_IS(k, "reasoning_details"); break;
    default: break;
    }
    return found ? 0 : -1;
}

/* has_something, and if that is a string, then it is one that may differ from event to event. */
static bool is_content(struct scanner *s, uint32_t node)
{
    if (!has_something(s->d, node))
        return false;
    if (json_type_at(s->d, node) == JSON_STRING)
        s->text = node;
    return true;
}

static bool has_content(struct scanner *s, uint32_t node)
{
    const struct json_doc *d = s->d;
    if (json_type_at(d, node) != JSON_OBJECT)
        return false;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        if (llm_key(d, k, content_member_of) == 0 && is_content(s, k + 1))
            return true;
    }
    return false;
}

static int choice_member_of(struct slice k)
{
    switch (k.n) {
    case 4: return KEY_IS(k, "text") ? 't' : -1;
    case 5: return KEY_IS(k, "delta") ? 'd' : -1;
    case 7: return KEY_IS(k, "message") ? 'd' : -1;
    case 13: return KEY_IS(k, "finish_reason") ? 'f' : -1;
    default: return -1;
    }
}

/* An empty finish_reason is none. */
static void read_finish_reason(struct scanner *s, uint32_t node)
{
    if (json_type_at(s->d, node) != JSON_STRING || !has_something(s->d, node))
        return;
    if (!s->ret->finished)
        s->ret->finish_reason = json_inner(s->d, node);
    s->ret->finished = true;
}

static bool read_choice(struct scanner *s, uint32_t node)
{
    const struct json_doc *d = s->d;
    bool content = false;
    if (json_type_at(d, node) != JSON_OBJECT)
        return false;
    for (uint32_t k = json_first(d, node); k < json_end(d, node); k = json_after(d, k + 1)) {
        switch (llm_key(d, k, choice_member_of)) {
        case 'd': content |= has_content(s, k + 1); break;
        case 't': content |= is_content(s, k + 1); break;
        case 'f': read_finish_reason(s, k + 1); break;
        default: break;
        }
    }
    s->ret->content |= content;
    s->ret->output_units += content;
    return true;
}

/* Absent or null counts as empty: the caller knows whether that will do. */
static bool read_choices(struct scanner *s)
{
    const struct json_doc *d = s->d;
    uint32_t node = root_value(s, ROOT_CHOICES);
    if (node == 0)
        return true;
    if (json_type_at(d, node) != JSON_ARRAY)
        return false;
    for (uint32_t c = json_first(d, node); c < json_end(d, node); c = json_after(d, c)) {
        if (!read_choice(s, c))
            return false;
    }
    return true;
}

/* {"error": ...} that is not null, false or "", or {"object": "error", ...}. */
static bool is_error(const struct scanner *s)
{
    const struct json_doc *d = s->d;
    uint32_t error = root_value(s, ROOT_ERROR), object = root_value(s, ROOT_OBJECT);
    if (error != 0 && json_type_at(d, error) != JSON_FALSE &&
        (json_type_at(d, error) != JSON_STRING || has_something(d, error)))
        return true;
    return object != 0 && json_type_at(d, object) == JSON_STRING &&
           json_string_is(d, object, SLICE("error"));
}

/* Finds the members of the top level. False: it is no object, or says one of them twice. */
static bool read_root(struct scanner *s)
{
    const struct json_doc *d = s->d;
    if (json_type_at(d, 0) != JSON_OBJECT)
        return false;
    for (uint32_t k = json_first(d, 0); k < json_end(d, 0); k = json_after(d, k + 1)) {
        int m = llm_key(d, k, root_member_of);
        if (m < 0)
            continue;
        if (s->key[m] != 0)
            return false;
        s->key[m] = k;
    }
    return true;
}

/* What events and whole answers have in common. */
static bool scan(struct scanner *s)
{
    const struct json_doc *d = s->d;
    struct llm_scan *ret = s->ret;
    if (!read_root(s))
        return false;
    uint32_t model = root_value(s, ROOT_MODEL), usage = root_value(s, ROOT_USAGE);
    uint32_t x_groq = root_value(s, ROOT_X_GROQ);
    if (model != 0 && json_type_at(d, model) == JSON_STRING)
        ret->model = json_inner(d, model);
    if (s->key[ROOT_USAGE] != 0)
        ret->usage_member = llm_span_of(d, s->key[ROOT_USAGE]);
    if (usage != 0)
        read_usage(s, usage);
    if (x_groq != 0 && !ret->has_usage && s->provider->quirks & QUIRK_USAGE_IN_X_GROQ)
        read_x_groq(s, x_groq);
    if (likely(!is_error(s)))
        return read_choices(s);
    ret->is_error = true;
    llm_error_of(d, s->a, &ret->error);
    return true;
}

bool openai_scan_doc(const struct json_doc *d, struct arena *a, const struct llm_provider *provider,
                     struct llm_scan *ret)
{
    struct scanner s = {.d = d, .a = a, .provider = provider, .ret = ret};
    *ret = (struct llm_scan){.usage = LLM_USAGE_NONE};
    return scan(&s);
}

static bool open_scan(struct json_parser *p, struct slice text, struct json_doc *d,
                      struct llm_scan *ret)
{
    *ret = (struct llm_scan){.usage = LLM_USAGE_NONE};
    return json_parse(p, text, JSON_ALLOW_LONE_SURROGATES, d) == JSON_OK;
}

static bool scan_event(struct scanner *s, struct json_parser *p, struct slice data,
                       struct json_doc *d)
{
    struct llm_scan *ret = s->ret;
    if (unlikely(slice_starts(data, SLICE("[DONE]")))) {
        *ret = (struct llm_scan){.done = true, .usage = LLM_USAGE_NONE};
        return true;
    }
    if (!open_scan(p, data, d, ret) || !scan(s))
        return false;
    uint32_t choices = root_value(s, ROOT_CHOICES);
    ret->usage_only = ret->has_usage && (choices == 0 || !has_something(d, choices));
    return true;
}

bool openai_scan_event(struct json_parser *p, struct arena *a, const struct llm_provider *provider,
                       struct slice data, struct llm_scan *ret)
{
    struct json_doc d;
    struct scanner s = {.d = &d, .a = a, .provider = provider, .ret = ret};
    return scan_event(&s, p, data, &d);
}

static void add_hole(struct llm_repeat *last, struct slice data, struct slice text)
{
    uint16_t from = (uint16_t)(text.p - data.p), to = (uint16_t)(from + text.n);
    unsigned at = last->holes++;
    if (at > 0 && last->hole[0].from > from) {
        last->hole[1] = last->hole[0];
        at = 0;
    }
    last->hole[at].from = from;
    last->hole[at].to = to;
}

/* Keeps an event that says nothing but some text. OpenAI pads such events to hide how long the text
 * is ("obfuscation"), so that two strings differ each time. */
static void remember(struct llm_repeat *last, const struct scanner *s, struct slice data)
{
    const struct llm_scan *scan = s->ret;
    if (s->text == 0 || data.n > LLM_REPEAT_MAX || scan->finished || scan->has_usage ||
        scan->is_error)
        return;
    memcpy(last->text, data.p, data.n);
    last->n = (uint16_t)data.n;
    last->holes = 0;
    last->scan = *scan;
    if (scan->model.p != NULL)
        last->scan.model.p = last->text + (scan->model.p - data.p);
    add_hole(last, data, json_inner(s->d, s->text));
    uint32_t padding = root_value(s, ROOT_OBFUSCATION);
    if (padding != 0 && json_type_at(s->d, padding) == JSON_STRING && has_something(s->d, padding))
        add_hole(last, data, json_inner(s->d, padding));
}

/* How many bytes at the start of `s` can be no end of a string and need no closer look: plain ones,
 * escapes of two letters, and valid UTF-8. */
static size_t text_length(struct slice s)
{
    size_t i = json_plain(s);
    while (i < s.n) {
        size_t end = i;
        while (end < s.n && (signed char)s.p[end] < 0)
            end++;
        if (end > i && !utf8_valid(slice_of(s.p + i, end - i)))
            return i;
        if (end == i && s.n - i > 1 && s.p[i] == '\\' &&
            memchr("\"\\/bfnrt", s.p[i + 1], 8) != NULL)
            end = i + 2;
        if (end == i)
            return i;
        i = end + json_plain(slice_from(s, end));
    }
    return i;
}

/* Is `data` the latest event with other, non-empty texts in its holes? Tells how much each has
 * grown. */
static bool repeats(const struct llm_repeat *last, struct slice data, int32_t grown[2])
{
    size_t at = 0;
    if (last->n == 0)
        return false;
    for (unsigned i = 0; i < last->holes; i++) {
        size_t same = last->hole[i].from - at;
        if (data.n < same || memcmp(data.p, last->text + at, same) != 0)
            return false;
        data = slice_from(data, same);
        size_t n = text_length(data); /* ends at a quote, which is in what follows */
        if (n == 0)
            return false;
        grown[i] = (int32_t)n - (last->hole[i].to - last->hole[i].from);
        data = slice_from(data, n);
        at = last->hole[i].to;
    }
    return data.n == last->n - at && memcmp(data.p, last->text + at, data.n) == 0;
}

/* Where what stood at `at` is now. */
static uint32_t moved(const struct llm_repeat *last, uint32_t at, const int32_t grown[2])
{
    int32_t by = 0;
    for (unsigned i = 0; i < last->holes; i++)
        by += last->hole[i].to <= at ? grown[i] : 0;
    return (uint32_t)((int32_t)at + by);
}

bool openai_scan_next_event(struct llm_repeat *last, struct json_parser *p, struct arena *a,
                            const struct llm_provider *provider, struct slice data,
                            struct llm_scan *ret)
{
    struct json_doc d;
    struct scanner s = {.d = &d, .a = a, .provider = provider, .ret = ret};
    int32_t grown[2];
    if (repeats(last, data, grown)) {
        const struct llm_span *was = &last->scan.usage_member;
        *ret = last->scan;
        if (was->value_end > 0)
            ret->usage_member = (struct llm_span){
                moved(last, was->key, grown), moved(last, was->key_end, grown),
                moved(last, was->value, grown), moved(last, was->value_end, grown)};
        if (ret->model.p != NULL)
            ret->model.p = data.p + moved(last, (uint32_t)(ret->model.p - last->text), grown);
        return true;
    }
    if (!scan_event(&s, p, data, &d))
        return false;
    remember(last, &s, data);
    return true;
}

bool openai_scan_answer(struct json_parser *p, struct arena *a, const struct llm_provider *provider,
                        enum llm_op op, struct slice body, struct llm_scan *ret)
{
    struct json_doc d;
    struct scanner s = {.d = &d, .a = a, .provider = provider, .ret = ret};
    if (!open_scan(p, body, &d, ret) || !scan(&s))
        return false;
    if (ret->is_error)
        return true;
    uint32_t list = root_value(&s, op == LLM_EMBEDDINGS ? ROOT_DATA : ROOT_CHOICES);
    if (list == 0 || json_type_at(&d, list) != JSON_ARRAY)
        return false;
    if (op == LLM_EMBEDDINGS) {
        ret->content = has_something(&d, list);
        if (ret->has_usage && ret->usage.output < 0)
            ret->usage.output = 0;
    }
    ret->done = true;
    return true;
}

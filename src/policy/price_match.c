/* Rules of the public price data: equals, starts_with, ends_with, contains, or, and, and the few
 * forms of regular expression that name dated snapshots or leave speech models out. */
#include "price_match.h"

#include "price_table.h"

#define RULES_MAX   20000u /* of one provider */
#define PATTERN_MAX 80     /* bytes, without a suffix */

enum rule_kind {
    RULE_NAME,
    RULE_ID, /* as a name, if the model's patterns take it: the search for names is faster */
    RULE_PATTERN,
    RULE_EXCEPT,
    RULE_DROPPED
};
struct price_rule {
    struct slice text;
    uint32_t model;
    enum rule_kind kind;
};

void price_rules_init(struct price_rules *r, const struct json_doc *d, struct arena *arena,
                      const char *suffix)
{
    *r = (struct price_rules){.d = d, .arena = arena, .suffix = suffix};
    buf_init(&r->list, RULES_MAX * sizeof(struct price_rule));
}

void price_rules_done(struct price_rules *r)
{
    buf_done(&r->list);
}

static struct price_rule *rules_of(const struct price_rules *r, size_t *ret_n)
{
    *ret_n = r->list.n / sizeof(struct price_rule);
    return (struct price_rule *)(void *)r->list.p;
}

/* "BEFORE text BEHIND" with the suffix, in lower case, as a rule of the model. */
static void add(struct price_rules *r, uint32_t model, enum rule_kind kind, const char *before,
                struct slice text, const char *behind)
{
    const char *suffix = r->suffix != NULL ? r->suffix : "";
    struct slice s =
        arena_printf(r->arena, "%s" SLICE_FMT "%s%s", before, SLICE_ARG(text), behind, suffix);
    struct price_rule row = {s, model, kind};
    if (s.p == NULL) {
        r->failed = true;
        return;
    }
    char *p = (char *)(uintptr_t)s.p; /* just made, and ours */
    for (size_t i = 0; i < s.n; i++)
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] - 'A' + 'a') : p[i];
    buf_append(&r->list, &row, sizeof row);
}

/* ---------------------------------------------------------------- regular expressions */

/* A character as it stands, "\." for a dot. False: it means something else. */
static bool literal_char(struct slice *s, char *out)
{
    static const char special[] = ".*+?|()[]{}^$\\";
    char c = s->p[0];
    bool escaped = c == '\\' && s->n > 1 && strchr(special, s->p[1]) != NULL;
    if (!escaped && (strchr(special, c) != NULL || c == '#'))
        return false;
    *out = escaped ? s->p[1] : c;
    *s = slice_from(*s, escaped ? 2 : 1);
    return *out != '*' && *out != '\0';
}

/* "\d" or "\d{8}": how many digits, 0: it is something else. */
static unsigned digits(struct slice *s)
{
    uint64_t n = 1;
    if (!slice_starts(*s, SLICE("\\d")))
        return 0;
    struct slice rest = slice_from(*s, 2);
    if (rest.n > 0 && rest.p[0] == '{') {
        ptrdiff_t end = slice_find(rest, '}');
        if (end < 2 || !slice_to_u64(slice_of(rest.p + 1, (size_t)end - 1), &n) || n < 1 || n > 16)
            return 0;
        rest = slice_from(rest, (size_t)end + 1);
    }
    *s = rest;
    return (unsigned)n;
}

/* "^gpt-5\.4-\d{4}-\d{2}-\d{2}$" as "gpt-5.4-####-##-##"; "^a\d" as "a#*". */
static bool dated_pattern(struct slice s, struct buf *out)
{
    if (!slice_starts(s, SLICE("^")))
        return false;
    s = slice_from(s, 1);
    while (s.n > 0) {
        char c;
        unsigned n = digits(&s);
        if (n > 0) {
            for (unsigned i = 0; i < n; i++)
                buf_char(out, '#');
        } else if (slice_is(s, "$")) {
            return out->n > 0;
        } else if (literal_char(&s, &c)) {
            buf_char(out, c);
        } else {
            return false;
        }
    }
    buf_char(out, '*');
    return out->n > 1;
}

/* "^(?!.*-[tT][tT][sS](?:$|-))": names that do not have "-tts" at their end or before a dash. */
static bool without_word(struct slice s, struct buf *out)
{
    static const char begin[] = "^(?!.*", end[] = "(?:$|-))";
    if (!slice_starts(s, SLICE("^(?!.*")))
        return false;
    s = slice_from(s, sizeof begin - 1);
    while (s.n > 0 && !slice_is(s, end)) {
        char c = s.p[0];
        bool both = s.n >= 4 && c == '[' && s.p[3] == ']' && s.p[1] != s.p[2] &&
                    (s.p[1] | 0x20) == (s.p[2] | 0x20) && (s.p[1] | 0x20) >= 'a' &&
                    (s.p[1] | 0x20) <= 'z';
        if (both) {
            buf_char(out, s.p[1]);
            s = slice_from(s, 4);
        } else if (literal_char(&s, &c)) {
            buf_char(out, c);
        } else {
            return false;
        }
    }
    return s.n > 0 && out->n > 0;
}

static bool add_regex(struct price_rules *r, uint32_t model, struct slice text, bool negative)
{
    struct buf out;
    buf_init(&out, 1024);
    bool ok = negative ? without_word(text, &out) : dated_pattern(text, &out);
    ok = ok && !out.failed && out.n <= PATTERN_MAX;
    if (ok && negative) {
        add(r, model, RULE_EXCEPT, "*", buf_view(&out), "");
        add(r, model, RULE_EXCEPT, "*", buf_view(&out), "-*");
    } else if (ok) {
        add(r, model, RULE_PATTERN, "", buf_view(&out), "");
    }
    buf_done(&out);
    return ok;
}

/* ---------------------------------------------------------------- rules */

/* A rule without parts. `negative`: only one that leaves names out is wanted. */
static bool add_leaf(struct price_rules *r, uint32_t model, uint32_t key, bool negative)
{
    static const struct {
        const char *key;
        enum rule_kind kind;
        const char *before, *behind;
    } forms[] = {
        {"equals", RULE_NAME, "", ""},
        {"starts_with", RULE_PATTERN, "", "*"},
        {"ends_with", RULE_PATTERN, "*", ""},
        {"contains", RULE_PATTERN, "*", "*"},
    };
    if (json_type_at(r->d, key + 1) != JSON_STRING)
        return false;
    struct slice text = json_string(r->d, key + 1, r->arena), name = json_inner(r->d, key);
    if (text.p == NULL || text.n == 0)
        return false;
    if (slice_is(name, "regex"))
        return add_regex(r, model, text, negative);
    for (size_t i = 0; i < ARRAY_LEN(forms) && !negative; i++) {
        bool name_only = forms[i].kind == RULE_NAME;
        if (!slice_is(name, forms[i].key))
            continue;
        if (text.n > (name_only ? PRICE_ID_MAX : PATTERN_MAX) || slice_find(text, '*') >= 0 ||
            slice_find(text, '#') >= 0)
            return false;
        for (size_t k = 0; k < text.n; k++)
            if ((unsigned char)text.p[k] < 0x20 || text.p[k] == 0x7f)
                return false;
        add(r, model, forms[i].kind, forms[i].before, text, forms[i].behind);
        return true;
    }
    return false;
}

static bool one_member(const struct price_rules *r, uint32_t node)
{
    return json_type_at(r->d, node) == JSON_OBJECT &&
           json_first(r->d, node) < json_end(r->d, node) &&
           json_after(r->d, json_first(r->d, node) + 1) == json_end(r->d, node);
}

/* "and" of one rule that takes names in and one that leaves some out. */
static bool add_and(struct price_rules *r, uint32_t model, uint32_t list)
{
    size_t before = r->list.n;
    if (json_type_at(r->d, list) != JSON_ARRAY)
        return false;
    uint32_t first = json_first(r->d, list), end = json_end(r->d, list);
    uint32_t second = first < end ? json_after(r->d, first) : end;
    if (second >= end || json_after(r->d, second) != end || !one_member(r, first) ||
        !one_member(r, second))
        return false;
    if (add_leaf(r, model, json_first(r->d, first), false) &&
        add_leaf(r, model, json_first(r->d, second), true))
        return true;
    r->list.n = before;
    return false;
}

static void add_rule(struct price_rules *r, uint32_t model, uint32_t node)
{
    if (!one_member(r, node)) {
        r->left_out++;
        return;
    }
    uint32_t key = json_first(r->d, node);
    if (!slice_is(json_inner(r->d, key), "or")) {
        bool both = slice_is(json_inner(r->d, key), "and");
        if (!(both ? add_and(r, model, key + 1) : add_leaf(r, model, key, false)))
            r->left_out++;
        return;
    }
    if (json_type_at(r->d, key + 1) != JSON_ARRAY) {
        r->left_out++;
        return;
    }
    for (uint32_t i = json_first(r->d, key + 1); i < json_end(r->d, key + 1);
         i = json_after(r->d, i))
        add_rule(r, model, i); /* as deep as the parser lets it */
}

/* An exception holds for all patterns of its model, so where one of several is meant the patterns
 * cannot be told apart: none is better than a wrong one. Names of an `and` are not restricted. */
static void check_exceptions(struct price_rules *r, size_t from)
{
    size_t n, patterns = 0, excepts = 0;
    struct price_rule *rules = rules_of(r, &n);
    for (size_t i = from; i < n; i++) {
        patterns += rules[i].kind == RULE_PATTERN;
        excepts += rules[i].kind == RULE_EXCEPT;
    }
    if (excepts == 0 || patterns == 1)
        return;
    for (size_t i = from; i < n; i++)
        if (rules[i].kind != RULE_NAME)
            rules[i].kind = RULE_DROPPED;
    r->left_out++;
}

void price_rules_add(struct price_rules *r, uint32_t model, struct slice id, uint32_t node)
{
    size_t before = r->list.n / sizeof(struct price_rule);
    if (node == 0)
        return;
    add_rule(r, model, node);
    check_exceptions(r, before);
    add(r, model, RULE_ID, "", id, "");
}

/* Whether the patterns of `rules[from..to)`, all of one model, take the name. */
static bool model_takes(const struct price_rule *rules, size_t from, size_t to, struct slice name)
{
    bool taken = false;
    for (size_t i = from; i < to; i++) {
        bool fits = (rules[i].kind == RULE_PATTERN || rules[i].kind == RULE_EXCEPT) &&
                    price_pattern_fits(rules[i].text, name);
        if (fits && rules[i].kind == RULE_EXCEPT)
            return false;
        taken |= fits;
    }
    return taken;
}

/* Whether a model before that of rule `at` takes its name, or the name stands there before. */
static bool taken_before(const struct price_rule *rules, size_t at)
{
    for (size_t i = 0; i < at;) {
        size_t to = i;
        while (to < at && rules[to].model == rules[i].model)
            to++;
        if (rules[i].model != rules[at].model && model_takes(rules, i, to, rules[at].text))
            return true;
        for (; i < to; i++)
            if (rules[i].kind == RULE_NAME && slice_eq(rules[i].text, rules[at].text))
                return true;
    }
    return false;
}

/* Whether the patterns of its own model take the id at `at`, which is the last rule of the model.
 */
static bool own_patterns_take(const struct price_rule *rules, size_t at)
{
    size_t from = at;
    while (from > 0 && rules[from - 1].model == rules[at].model)
        from--;
    return model_takes(rules, from, at, rules[at].text);
}

bool price_rules_resolve(struct price_rules *r)
{
    size_t n;
    struct price_rule *rules = rules_of(r, &n);
    for (size_t i = 0; i < n; i++) {
        bool id = rules[i].kind == RULE_ID;
        if (!id && rules[i].kind != RULE_NAME)
            continue;
        bool keep = (!id || own_patterns_take(rules, i)) && !taken_before(rules, i);
        rules[i].kind = keep ? RULE_NAME : RULE_DROPPED;
    }
    return !r->failed && !r->list.failed;
}

static void put_kind(const struct price_rules *r, uint32_t model, enum rule_kind kind,
                     const char *member, struct json_writer *w)
{
    size_t n, found = 0;
    const struct price_rule *rules = rules_of(r, &n);
    for (size_t i = 0; i < n; i++) {
        if (rules[i].model != model || rules[i].kind != kind)
            continue;
        if (found++ == 0) {
            jw_key_slice(w, slice_str(member));
            jw_open(w, '[');
        }
        jw_string(w, rules[i].text);
    }
    if (found > 0)
        jw_close(w, ']');
}

void price_rules_put(const struct price_rules *r, uint32_t model, struct json_writer *w)
{
    put_kind(r, model, RULE_NAME, "names", w);
    put_kind(r, model, RULE_PATTERN, "patterns", w);
    put_kind(r, model, RULE_EXCEPT, "except", w);
}

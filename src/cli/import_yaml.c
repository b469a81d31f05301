/* Somebody else's YAML. */
#include "import_yaml.h"

#include <stdio.h>

#define MERGE_DEPTH 8

bool yvalue_load(const struct import *im, struct slice text, yaml_document_t *ret)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        fputs("weir import: out of memory\n", stderr);
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    bool ok = yaml_parser_load(&parser, ret) != 0;
    if (!ok)
        fprintf(stderr, "%s:%zu: %s\n", im->file, parser.problem_mark.line + 1,
                parser.problem != NULL ? parser.problem : "this is no YAML");
    yaml_parser_delete(&parser);
    return ok;
}

static const yaml_node_t *node_of(struct yvalue v)
{
    return v.id != 0 ? yaml_document_get_node(v.doc, v.id) : NULL;
}

bool yvalue_is_map(struct yvalue v)
{
    return v.id != 0 && node_of(v)->type == YAML_MAPPING_NODE;
}

bool yvalue_is_list(struct yvalue v)
{
    return v.id != 0 && node_of(v)->type == YAML_SEQUENCE_NODE;
}

size_t yvalue_line(struct yvalue v)
{
    return v.id != 0 ? node_of(v)->start_mark.line + 1 : 0;
}

struct slice yvalue_text(struct yvalue v)
{
    const yaml_node_t *n = node_of(v);
    if (n == NULL || n->type != YAML_SCALAR_NODE)
        return SLICE_NONE;
    struct slice s = slice_of((const char *)n->data.scalar.value, n->data.scalar.length);
    bool plain = n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool null =
        plain && (slice_is(s, "~") || slice_eq_nocase(s, SLICE("null")) || slice_is(s, "None"));
    return null ? SLICE_NONE : s;
}

bool yvalue_true(struct yvalue v)
{
    struct slice s = yvalue_text(v);
    return slice_eq_nocase(s, SLICE("true")) || slice_eq_nocase(s, SLICE("yes")) ||
           slice_eq_nocase(s, SLICE("on"));
}

static struct yvalue own(struct yvalue map, struct slice key)
{
    const yaml_node_t *n = node_of(map);
    if (n == NULL || n->type != YAML_MAPPING_NODE)
        return (struct yvalue){map.doc, 0};
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        if (slice_eq(yvalue_text((struct yvalue){map.doc, p->key}), key))
            return (struct yvalue){map.doc, p->value};
    }
    return (struct yvalue){map.doc, 0};
}

/* The `at`-th map that `map` takes in by `<<`, or none. */
static struct yvalue merged(struct yvalue map, unsigned at)
{
    struct yvalue m = own(map, SLICE("<<"));
    if (yvalue_is_map(m))
        return at == 0 ? m : (struct yvalue){map.doc, 0};
    const yaml_node_t *n = node_of(m);
    if (n == NULL || n->type != YAML_SEQUENCE_NODE ||
        at >= (size_t)(n->data.sequence.items.top - n->data.sequence.items.start))
        return (struct yvalue){map.doc, 0};
    return (struct yvalue){map.doc, n->data.sequence.items.start[at]};
}

static struct yvalue get_at(struct yvalue map, struct slice key, unsigned depth)
{
    struct yvalue v = own(map, key);
    for (unsigned i = 0; !yvalue_is(v) && depth < MERGE_DEPTH; i++) {
        struct yvalue m = merged(map, i);
        if (!yvalue_is(m))
            break;
        v = get_at(m, key, depth + 1);
    }
    return v;
}

struct yvalue yvalue_get(struct yvalue map, const char *key)
{
    struct yvalue v = get_at(map, slice_str(key), 0);
    const yaml_node_t *n = node_of(v);
    bool nothing = n != NULL && n->type == YAML_SCALAR_NODE && yvalue_text(v).p == NULL;
    return nothing ? (struct yvalue){map.doc, 0} : v;
}

/* The pair `*i` of `map`, counted on through the maps that it takes in; `*i` becomes what is left.
 */
static bool pair_at(struct yvalue map, unsigned *i, unsigned depth, struct yvalue *ret_key,
                    struct yvalue *ret_value)
{
    const yaml_node_t *n = node_of(map);
    if (n == NULL || n->type != YAML_MAPPING_NODE)
        return false;
    unsigned count = (unsigned)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
    if (*i < count) {
        *ret_key = (struct yvalue){map.doc, n->data.mapping.pairs.start[*i].key};
        *ret_value = (struct yvalue){map.doc, n->data.mapping.pairs.start[*i].value};
        return true;
    }
    *i -= count;
    for (unsigned k = 0; depth < MERGE_DEPTH; k++) {
        struct yvalue m = merged(map, k);
        if (!yvalue_is(m))
            return false;
        if (pair_at(m, i, depth + 1, ret_key, ret_value))
            return true;
    }
    return false;
}

bool yvalue_next(struct yvalue of, unsigned *i, struct yvalue *ret_key, struct yvalue *ret_value)
{
    const yaml_node_t *n = node_of(of);
    if (yvalue_is_list(of)) {
        if (*i >= (size_t)(n->data.sequence.items.top - n->data.sequence.items.start))
            return false;
        *ret_key = (struct yvalue){of.doc, 0};
        *ret_value = (struct yvalue){of.doc, n->data.sequence.items.start[(*i)++]};
        return true;
    }
    for (;;) {
        unsigned left = *i;
        if (!pair_at(of, &left, 0, ret_key, ret_value))
            return false;
        ++*i;
        struct slice key = yvalue_text(*ret_key);
        struct yvalue first = get_at(of, key, 0);
        if (!slice_is(key, "<<") && first.id == ret_value->id)
            return true;
    }
}

/* From libyaml's events to a tree. */
#include "yaml_tree.h"

#include <stdlib.h>
#include <yaml.h>

#define ANCHORS_MAX 1000

struct anchor {
    struct anchor *next;
    struct slice name;
    struct ynode *node; /* NULL while its value is still being read */
};

struct builder {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    struct slice text;
    struct arena *arena;
    struct config_diag *d;
    struct anchor *anchors; /* newest first */
    size_t anchors_n, values_n;
};

static struct config_pos pos_of(yaml_mark_t mark)
{
    return (struct config_pos){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static struct config_pos event_pos(const struct builder *b)
{
    return pos_of(b->event.start_mark);
}

struct ynode *ynode_new(struct arena *arena, enum ynode_kind kind, struct config_pos pos)
{
    struct ynode *node = arena_new(arena, struct ynode);
    if (node != NULL) {
        node->kind = kind;
        node->pos = pos;
    }
    return node;
}

struct ynode *ynode_literal(struct arena *arena, struct slice text, struct config_pos pos)
{
    struct ynode *node = ynode_new(arena, YNODE_TEXT, pos);
    if (node != NULL) {
        node->plain = node->literal = true;
        node->text = text;
    }
    return node;
}

bool ynode_add(struct arena *arena, struct ynode *to, struct slice key, struct ynode *value)
{
    struct ypair *pair = arena_new(arena, struct ypair);
    struct ynode *name = ynode_literal(arena, key, value != NULL ? value->pos : to->pos);
    if (pair == NULL || name == NULL || value == NULL)
        return false;
    struct ypair **tail = &to->first;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *pair = (struct ypair){.key = name, .value = value};
    *tail = pair;
    to->n++;
    return true;
}

struct ynode *ynode_get(const struct ynode *map, const char *key)
{
    for (struct ypair *pair = map->first; pair != NULL; pair = pair->next) {
        if (slice_is(pair->key->text, key))
            return pair->value;
    }
    return NULL;
}

bool ynode_is_null(const struct ynode *node)
{
    return node->kind == YNODE_TEXT && node->plain && !node->literal &&
           (node->text.n == 0 || slice_is(node->text, "~") || slice_is(node->text, "null") ||
            slice_is(node->text, "Null") || slice_is(node->text, "NULL"));
}

/* libyaml names a broken byte by its offset only. */
static struct config_pos offset_pos(struct slice text, size_t offset)
{
    struct config_pos pos = {1, 1};
    for (size_t i = 0; i < MIN_OF(offset, text.n); i++) {
        if (text.p[i] == '\n') {
            pos.line++;
            pos.column = 1;
        } else if (((unsigned char)text.p[i] & 0xC0) != 0x80) {
            pos.column++;
        }
    }
    return pos;
}

/* An unquoted ${NAME} inside {} or [] is the one syntax error that our own syntax invites. */
static const char *syntax_hint(const struct builder *b, uint32_t line)
{
    struct slice rest = b->text, row = SLICE_NONE;
    for (uint32_t i = 0; i < line && rest.n > 0; i++)
        row = slice_cut(&rest, '\n');
    return row.n > 1 && memmem(row.p, row.n, "${", 2) != NULL
               ? "; inside {} and [], `\"${NAME}\"` needs its quotes"
               : "";
}

static void report_syntax(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    const char *problem = p->problem != NULL ? p->problem : "broken";
    struct config_pos pos;
    switch (p->error) {
    case YAML_MEMORY_ERROR: diag_no_memory(b->d); return;
    case YAML_READER_ERROR:
        pos = offset_pos(b->text, p->problem_offset);
        diag_error(b->d, pos, "YAML: %s", problem);
        return;
    default: pos = pos_of(p->problem_mark);
    }
    if (p->context != NULL && p->context_mark.line + 1 != pos.line)
        diag_error(b->d, pos, "YAML: %s, %s that starts in line %zu%s", problem, p->context,
                   p->context_mark.line + 1, syntax_hint(b, pos.line));
    else if (p->context != NULL)
        diag_error(b->d, pos, "YAML: %s, %s%s", problem, p->context, syntax_hint(b, pos.line));
    else
        diag_error(b->d, pos, "YAML: %s%s", problem, syntax_hint(b, pos.line));
}

/* Moves on to the next event; false: it could not be had, and that has been reported. */
static bool next(struct builder *b)
{
    if (b->has_event)
        yaml_event_delete(&b->event);
    b->has_event = yaml_parser_parse(&b->parser, &b->event) == 1;
    if (!b->has_event)
        report_syntax(b);
    return b->has_event;
}

static struct ynode *fail(struct builder *b, const char *text)
{
    diag_error(b->d, event_pos(b), "%s", text);
    return NULL;
}

static struct ynode *no_memory(struct builder *b)
{
    diag_no_memory(b->d);
    return NULL;
}

static struct ynode *build(struct builder *b, unsigned depth);

/* Takes note of the current event's anchor. */
static bool anchor_begin(struct builder *b, const yaml_char_t *name, struct anchor **ret)
{
    *ret = NULL;
    if (name == NULL)
        return true;
    if (++b->anchors_n > ANCHORS_MAX)
        return fail(b, "too many anchors") != NULL;
    struct anchor *a = arena_new(b->arena, struct anchor);
    if (a != NULL)
        a->name = arena_copy(b->arena, slice_str((const char *)name));
    if (a == NULL || a->name.p == NULL)
        return no_memory(b) != NULL;
    a->next = b->anchors;
    b->anchors = *ret = a;
    return true;
}

/* Reports a mistake that does not keep the rest from being read. */
static struct ynode *build_broken(struct builder *b, const char *text)
{
    struct ynode *node = ynode_new(b->arena, YNODE_TEXT, event_pos(b));
    if (node == NULL)
        return no_memory(b);
    node->broken = true;
    diag_error(b->d, node->pos, "%s", text);
    return node;
}

/* The texts of anchors, aliases and tags are not shown: `secret: *hunter2` may be a password that
 * lacks its quotes. */
static struct ynode *build_alias(struct builder *b)
{
    struct slice name = slice_str((const char *)b->event.data.alias.anchor);
    for (struct anchor *a = b->anchors; a != NULL; a = a->next) {
        if (!slice_eq(a->name, name))
            continue;
        if (a->node != NULL)
            return a->node;
        return build_broken(b, "this alias stands inside its own anchor");
    }
    return build_broken(b, "this alias has no anchor (text that starts with `*` needs quotes)");
}

static struct ynode *build_text(struct builder *b)
{
    struct slice text =
        slice_of((const char *)b->event.data.scalar.value, b->event.data.scalar.length);
    struct ynode *node = ynode_new(b->arena, YNODE_TEXT, event_pos(b));
    if (node == NULL)
        return no_memory(b);
    node->plain = b->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = arena_copy(b->arena, text);
    return node->text.p != NULL ? node : no_memory(b);
}

int ynode_text_order(struct slice a, struct config_pos at, struct slice b, struct config_pos bt)
{
    size_t n = MIN_OF(a.n, b.n);
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (order != 0)
        return order;
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    if (at.line != bt.line)
        return at.line < bt.line ? -1 : 1;
    return at.column < bt.column ? -1 : at.column > bt.column;
}

static int key_order(const void *left, const void *right)
{
    const struct ynode *a = *(struct ynode *const *)left, *b = *(struct ynode *const *)right;
    return ynode_text_order(a->text, a->pos, b->text, b->pos);
}

static void check_duplicates(struct builder *b, const struct ynode *map)
{
    if (map->n < 2)
        return;
    struct ynode **keys = arena_alloc(b->arena, map->n * sizeof *keys);
    if (keys == NULL) {
        no_memory(b);
        return;
    }
    size_t n = 0;
    for (struct ypair *pair = map->first; pair != NULL; pair = pair->next) {
        if (!pair->key->broken)
            keys[n++] = pair->key;
    }
    qsort(keys, n, sizeof *keys, key_order);
    for (size_t i = 1; i < n; i++) {
        if (slice_eq(keys[i]->text, keys[i - 1]->text))
            diag_error(b->d, keys[i]->pos, "duplicate key %s, already in line %u",
                       diag_quote(b->d, keys[i]->text), keys[i - 1]->pos.line);
    }
}

/* The key at the current event; NULL: reported, and the end. */
static struct ynode *build_key(struct builder *b, unsigned depth)
{
    if (b->event.type != YAML_SCALAR_EVENT) {
        struct ynode *key = build_broken(b, "a key must be plain text");
        return key != NULL && build(b, depth + 1) != NULL ? key : NULL;
    }
    if (b->event.data.scalar.tag != NULL || b->event.data.scalar.anchor != NULL)
        return build_broken(b, "tags and anchors are not allowed at a key");
    struct ynode *key = build_text(b);
    if (key != NULL && key->plain && slice_is(key->text, "<<"))
        return build_broken(b,
                            "merge keys (`<<`) are not supported; an alias for a whole value is");
    return key;
}

static struct ynode *build_group(struct builder *b, bool map, unsigned depth)
{
    yaml_event_type_t end = map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    struct ynode *node = ynode_new(b->arena, map ? YNODE_MAP : YNODE_LIST, event_pos(b));
    if (node == NULL)
        return no_memory(b);
    if (depth >= YAML_TREE_MAX_DEPTH)
        return fail(b, "nested too deeply");
    struct ypair **tail = &node->first;
    while (next(b) && b->event.type != end) {
        struct ypair *pair = arena_new(b->arena, struct ypair);
        if (pair == NULL)
            return no_memory(b);
        if (map && ((pair->key = build_key(b, depth)) == NULL || !next(b)))
            return NULL;
        if ((pair->value = build(b, depth + 1)) == NULL)
            return NULL;
        *tail = pair;
        tail = &pair->next;
        node->n++;
    }
    if (!b->has_event)
        return NULL;
    if (map)
        check_duplicates(b, node);
    return node;
}

/* The value at the current event; NULL: reported. */
static struct ynode *build(struct builder *b, unsigned depth)
{
    const yaml_char_t *tag = NULL, *name = NULL;
    struct anchor *anchor;
    struct ynode *node;
    yaml_event_type_t type = b->event.type;
    if (++b->values_n > YAML_TREE_MAX_VALUES)
        return fail(b, "too many values");
    if (type == YAML_ALIAS_EVENT)
        return build_alias(b);
    if (type == YAML_SCALAR_EVENT) {
        tag = b->event.data.scalar.tag;
        name = b->event.data.scalar.anchor;
    } else if (type == YAML_SEQUENCE_START_EVENT) {
        tag = b->event.data.sequence_start.tag;
        name = b->event.data.sequence_start.anchor;
    } else {
        tag = b->event.data.mapping_start.tag;
        name = b->event.data.mapping_start.anchor;
    }
    if (tag != NULL)
        diag_error(b->d, event_pos(b),
                   "tags are not supported (text that starts with `!` needs quotes)");
    if (!anchor_begin(b, name, &anchor))
        return NULL;
    if (type == YAML_SCALAR_EVENT)
        node = build_text(b);
    else
        node = build_group(b, type == YAML_MAPPING_START_EVENT, depth);
    if (anchor != NULL)
        anchor->node = node;
    return node;
}

static bool skip(struct builder *b, unsigned events)
{
    while (events > 0 && next(b))
        events--;
    return events == 0;
}

/* The whole stream; NULL: reported. */
static struct ynode *build_stream(struct builder *b)
{
    if (!skip(b, 2)) /* to the start of the stream, then of the document */
        return NULL;
    if (b->event.type == YAML_STREAM_END_EVENT) {
        struct ynode *empty = ynode_new(b->arena, YNODE_MAP, (struct config_pos){1, 1});
        return empty != NULL ? empty : no_memory(b);
    }
    struct ynode *root = next(b) ? build(b, 0) : NULL;
    if (root == NULL || !skip(b, 2)) /* to the end of the document, then to what follows */
        return NULL;
    if (b->event.type != YAML_STREAM_END_EVENT)
        return fail(b, "a second document; only one is allowed");
    return root;
}

struct ynode *yaml_tree_parse(struct slice text, struct arena *arena, struct config_diag *d)
{
    struct builder b = {.text = text, .arena = arena, .d = d};
    if (text.n > YAML_TREE_MAX_BYTES) {
        diag_error(d, (struct config_pos){0, 0}, "larger than 4 MiB");
        return NULL;
    }
    if (slice_starts(text, SLICE("\xEF\xBB\xBF"))) /* a mark that would count as a column */
        b.text = slice_from(text, 3);
    if (!yaml_parser_initialize(&b.parser)) {
        diag_no_memory(d);
        return NULL;
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)(b.text.n > 0 ? b.text.p : ""),
                                 b.text.n);
    struct ynode *root = build_stream(&b);
    if (b.has_event)
        yaml_event_delete(&b.event);
    yaml_parser_delete(&b.parser);
    return root;
}

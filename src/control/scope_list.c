/* Scopes of a snapshot: the ring of keys is asked for each digest that there can be. */
#include "scope_list.h"

#include "base/hash.h"
#include "base/mem.h"

#define FIRST_SIZE  64
#define STORE_PAGE  1000
#define ARENA_BYTES ((size_t)16 << 20)

static bool add(struct scope_list *l, const struct gw_scope *s)
{
    if (s->live == NULL)
        return true;
    if (l->n == l->size) {
        size_t size = l->size > 0 ? 2 * l->size : FIRST_SIZE;
        void *p = mem_realloc(l->item, size * sizeof *l->item);
        if (p == NULL)
            return false;
        l->item = p;
        l->size = size;
    }
    l->item[l->n++] = s;
    return true;
}

static bool add_key(struct scope_list *l, const struct gw_snapshot *s,
                    const uint8_t digest[SHA256_BYTES])
{
    const struct gw_key *k = gw_key_ring_peek(s->keys, digest);
    return k == NULL || add(l, &k->scope);
}

static bool add_file_keys(struct scope_list *l, const struct config *c, const struct gw_snapshot *s)
{
    bool ok = true;
    for (size_t i = 0; i < c->keys_n && ok; i++) {
        uint8_t digest[SHA256_BYTES];
        ok = c->keys[i].sha256.n > 0 ? hex_decode(c->keys[i].sha256, digest, sizeof digest)
                                     : hash_sha256(c->keys[i].secret, digest);
        ok = ok && add_key(l, s, digest);
    }
    return ok;
}

static bool add_issued_keys(struct scope_list *l, const struct gw_snapshot *s,
                            struct key_store *keys)
{
    struct arena a;
    struct buf error;
    struct slice after = SLICE_NONE;
    size_t n = STORE_PAGE;
    bool ok = true;
    buf_init(&error, 1024);
    while (ok && n == STORE_PAGE) { /* pages, so that memory is bounded */
        struct stored_key *list = NULL;
        char *last = NULL;
        arena_init(&a, NULL, ARENA_BYTES);
        ok = key_store_list(keys, after, STORE_PAGE, &a, &list, &n, &error) == KEY_OK;
        for (size_t i = 0; i < n && ok; i++)
            ok = add_key(l, s, list[i].digest);
        if (ok && n == STORE_PAGE)
            last = mem_strndup(list[n - 1].name.p, list[n - 1].name.n);
        mem_free((char *)after.p);
        after = slice_str(last);
        ok = ok && (n < STORE_PAGE || last != NULL);
        arena_reset(&a);
    }
    mem_free((char *)after.p);
    buf_done(&error);
    return ok;
}

bool scope_list_fill(struct scope_list *l, const struct config *c, const struct gw_snapshot *s,
                     struct key_store *keys)
{
    bool ok = true;
    l->n = 0;
    for (size_t i = 0; i < s->organisations_n; i++)
        ok = add(l, &s->organisations[i]) && ok;
    for (size_t i = 0; i < s->teams_n; i++)
        ok = add(l, &s->teams[i]) && ok;
    ok = add_file_keys(l, c, s) && ok;
    if (keys != NULL)
        ok = add_issued_keys(l, s, keys) && ok;
    for (size_t i = 0; i < s->use_cases_n; i++)
        ok = add(l, &s->use_case_list[i].scope) && ok;
    for (size_t i = 0; i < s->models_n; i++)
        ok = add(l, &s->model_list[i].scope) && ok;
    return ok;
}

void scope_list_done(struct scope_list *l)
{
    mem_free(l->item);
    *l = (struct scope_list){0};
}

const struct gw_scope *scope_list_find(const struct scope_list *l, enum scope_kind kind,
                                       struct slice name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->item[i]->kind == kind && slice_eq(l->item[i]->name, name))
            return l->item[i];
    }
    return NULL;
}

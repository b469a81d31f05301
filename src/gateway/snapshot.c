/* The life of a snapshot, and what names mean in it. */
#include "gateway/snapshot.h"

#include "base/mem.h"

#define SNAPSHOT_MAGIC 0x534e4150u
#define ARENA_LIMIT    ((size_t)256 << 20)
#define HINTS_MAX      4

struct gw_snapshot *gw_snapshot_new(void)
{
    struct gw_snapshot *s = mem_calloc(1, sizeof *s);
    struct gw_key_ring *keys = gw_key_ring_new();
    if (s == NULL || keys == NULL) {
        mem_free(s);
        gw_key_ring_free(keys);
        return NULL;
    }
    s->keys = keys;
    s->magic = SNAPSHOT_MAGIC;
    s->refs = 1;
    arena_init(&s->arena, NULL, ARENA_LIMIT);
    return s;
}

struct gw_snapshot *gw_snapshot_ref(struct gw_snapshot *s)
{
    CHECK_MAGIC(s, SNAPSHOT_MAGIC);
    s->refs++;
    return s;
}

void gw_snapshot_unref(struct gw_snapshot *s)
{
    CHECK_MAGIC(s, SNAPSHOT_MAGIC);
    if (--s->refs > 0)
        return;
    for (size_t i = 0; i < s->providers_n; i++) {
        struct gw_provider *p = &s->provider_list[i];
        upstream_unref(p->upstream);
        gate_unref(p->gate);
        gw_credential_unref(p->credential);
    }
    for (size_t i = 0; i < s->tls_n; i++)
        tls_server_context_unref(s->tls[i]);
    gw_key_ring_free(s->keys);
    price_book_unref(s->prices);
    secret_box_free(s->secrets);
    arena_reset(&s->arena);
    s->magic = 0;
    mem_free(s);
}

static bool fits(struct slice pattern, struct slice label)
{
    return gw_allows(&pattern, 1, label);
}

void gw_target_complete(const struct gw_snapshot *s, struct gw_target *t)
{
    const struct gw_provider *p = t->provider;
    t->price = p->price_own;
    for (size_t i = 0; i < s->price_overrides_n && t->price == NULL; i++) {
        if (fits(s->price_overrides[i].pattern, t->label))
            t->price = &s->price_overrides[i].price;
    }
    if (t->price == NULL && s->prices != NULL)
        t->price = price_find(s->prices, slice_str(p->row->type), t->model);
    t->estimate = estimate_get(t->label);
    t->id = hash64(t->label);
    t->weight = 1;
    t->quality = 0;
    t->max_complexity = 100;
    t->context = 0;
    t->region = -1;
}

static bool provider_has(const struct gw_provider *p, struct slice model)
{
    for (size_t i = 0; i < p->models_n; i++) {
        if (slice_eq(p->models[i], model))
            return true;
    }
    return false;
}

bool gw_exposes(const struct gw_snapshot *s, struct slice provider, struct slice model)
{
    for (size_t i = 0; i < s->expose_n; i++) {
        struct slice rest = s->expose[i], head = slice_cut(&rest, '/');
        if (slice_is(s->expose[i], "*"))
            return true;
        if (!slice_eq(head, provider))
            continue;
        bool prefix = rest.n > 0 && rest.p[rest.n - 1] == '*';
        if (prefix ? slice_starts(model, slice_of(rest.p, rest.n - 1)) : slice_eq(model, rest))
            return true;
    }
    return false;
}

/* "provider/model": the target when the provider exists and may be asked for. */
static bool split_target(const struct gw_snapshot *s, struct slice name, struct gw_target *ret)
{
    struct slice rest = name, head = slice_cut(&rest, '/');
    if (head.n == name.n || rest.n == 0)
        return false;
    struct gw_provider *p = strmap_get(&s->providers, head);
    if (p == NULL || p->engine || !gw_exposes(s, head, rest))
        return false;
    *ret = (struct gw_target){.provider = p, .model = rest, .label = name};
    return true;
}

static void add_hint(struct arena *a, struct slice *hint, struct slice text)
{
    if (hint->n == 0)
        *hint = arena_printf(a, "`%.*s`", SLICE_ARG(text));
    else
        *hint = arena_printf(a, "%.*s, `%.*s`", SLICE_ARG(*hint), SLICE_ARG(text));
}

/* A bare name: the providers that list it; else those whose lists are not known. */
static unsigned bare_name(const struct gw_snapshot *s, struct slice name, struct arena *a,
                          struct gw_provider **ret, struct slice *ret_hint)
{
    unsigned found = 0;
    for (int listed = 1; listed >= 0 && found == 0; listed--) {
        for (size_t i = 0; i < s->providers_n; i++) {
            struct gw_provider *p = &s->provider_list[i];
            bool may = listed ? provider_has(p, name) : p->models_n == 0;
            if (p->engine || !may || !gw_exposes(s, p->name, name))
                continue;
            *ret = p;
            if (++found <= HINTS_MAX)
                add_hint(a, ret_hint,
                         arena_printf(a, "%.*s/%.*s", SLICE_ARG(p->name), SLICE_ARG(name)));
        }
    }
    return found;
}

/* Names close to `name`, nearest first, as far as they are close at all. */
static void hint_near(const struct gw_snapshot *s, struct slice name, struct arena *a,
                      struct slice *ret_hint)
{
    unsigned limit = MAX_OF((unsigned)name.n / 3, 2u), given = 0;
    for (unsigned distance = 0; distance <= limit && given < HINTS_MAX; distance++) {
        for (size_t i = 0; i < s->models_n && given < HINTS_MAX; i++) {
            struct slice have = s->model_list[i].name;
            if (slice_distance(name, have, limit) == distance) {
                add_hint(a, ret_hint, have);
                given++;
            }
        }
    }
    for (size_t i = 0; i < s->models_n && given == 0 && i < HINTS_MAX; i++)
        add_hint(a, ret_hint, s->model_list[i].name);
}

enum gw_resolved gw_resolve(const struct gw_snapshot *s, struct slice name, struct arena *a,
                            const struct gw_model **ret_model, struct gw_target *ret_target,
                            struct slice *ret_hint)
{
    struct gw_provider *p = NULL;
    *ret_hint = SLICE_NONE;
    *ret_model = strmap_get(&s->models, name);
    if (*ret_model != NULL)
        return RESOLVED_MODEL;
    if (split_target(s, name, ret_target))
        return RESOLVED_TARGET;
    unsigned n = bare_name(s, name, a, &p, ret_hint);
    if (n == 1) {
        struct slice label = arena_printf(a, "%.*s/%.*s", SLICE_ARG(p->name), SLICE_ARG(name));
        *ret_target = (struct gw_target){.provider = p, .model = name, .label = label};
        return RESOLVED_TARGET;
    }
    if (n > 1)
        return RESOLVED_AMBIGUOUS;
    hint_near(s, name, a, ret_hint);
    return RESOLVED_NOTHING;
}

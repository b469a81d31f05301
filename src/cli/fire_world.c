/* The gateway of `weir check --fire`: the configuration's own, but with the fault server behind it,
 * no credentials, and time that runs faster. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fire.h"
#include "net/server.h"
#include "observe/log.h"
#include "observe/metrics.h"

#define ARENA_BYTES ((size_t)256 << 20)
#define BODY_BYTES  ((size_t)4 << 20)
#define SILENT_NS   (50 * NS_PER_MS) /* what a silent target is waited for */
#define PATIENT_NS  (10 * NS_PER_S)
#define FAR_NANO    (LIMIT_AMOUNT_MAX - 1) /* a budget that nobody uses up here */

/* As mem_must: there is no going on without it. */
static void must(bool ok)
{
    if (!ok)
        NEVER("out of memory");
}

/* ---- targets */

static size_t find_endpoint(const struct fire *f, struct slice label)
{
    size_t i = 0;
    while (i < f->endpoints_n && !slice_eq(f->endpoint[i].label, label))
        i++;
    return i;
}

static void list_endpoints(struct fire *f)
{
    const struct gw_snapshot *s = f->snapshot;
    size_t most = 0;
    for (size_t i = 0; i < s->models_n; i++)
        most += s->model_list[i].targets_n;
    f->endpoint = mem_must(arena_zalloc(&f->arena, (most + 1) * sizeof *f->endpoint));
    f->alias = mem_must(arena_zalloc(&f->arena, (s->models_n + 1) * sizeof *f->alias));
    for (size_t i = 0; i < s->models_n; i++) {
        struct gw_model *m = &s->model_list[i];
        struct fire_alias *a = &f->alias[f->aliases_n];
        if (strmap_get(&s->models, m->name) != m || m->targets_n == 0)
            continue; /* nobody can ask for it */
        a->model = m;
        for (size_t t = 0; t < m->targets_n; t++) {
            size_t e = find_endpoint(f, m->targets[t].label);
            if (e == f->endpoints_n)
                f->endpoint[f->endpoints_n++] = (struct fire_endpoint){
                    .label = m->targets[t].label, .row = m->targets[t].provider->row};
            a->endpoint[t] = e;
        }
        f->aliases_n++;
    }
}

/* The provider as one target sees it: the same but for where it is, and how long is waited. */
static struct gw_provider *copy_provider(struct fire *f, const struct gw_provider *from,
                                         struct upstream *to, int64_t silent_ns)
{
    struct gw_provider *p = mem_must(arena_alloc(&f->arena, sizeof *p));
    *p = *from;
    p->upstream = to;
    p->credential = NULL;
    p->fields = SLICE("User-Agent: weir\r\nAccept-Encoding: identity\r\n");
    for (unsigned i = 0; i < TIMEOUTS_N; i++)
        p->timeouts.ns[i] = PATIENT_NS;
    for (unsigned i = TIMEOUT_HEAD; i <= TIMEOUT_BETWEEN_TOKENS; i++)
        p->timeouts.ns[i] = from->timeouts.ns[i] > 0 ? silent_ns : 0;
    if (p->keys_n > 0) {
        p->keys = mem_must(arena_alloc(&f->arena, p->keys_n * sizeof *p->keys));
        for (size_t i = 0; i < p->keys_n; i++)
            p->keys[i] = (struct gw_provider_key){p->fields, from->keys[i].live};
    }
    return p;
}

static void redirect(struct fire *f, const struct fire_alias *a, struct gw_model *m,
                     const struct gw_target *from, int64_t silent_ns)
{
    for (size_t i = 0; i < m->targets_n; i++) {
        m->targets[i] = from[i];
        m->targets[i].provider =
            copy_provider(f, from[i].provider, f->endpoint[a->endpoint[i]].upstream, silent_ns);
    }
}

const struct gw_provider *fire_configured(const struct fire *f, const struct gw_provider *p)
{
    const struct gw_provider *list = f->snapshot->provider_list;
    size_t i = 0;
    while (list[i].engine != p->engine || !slice_eq(list[i].name, p->name))
        i++;
    return &list[i];
}

int64_t fire_silence_ns(const struct gw_provider *p)
{
    int64_t head = p->timeouts.ns[TIMEOUT_HEAD], first = p->timeouts.ns[TIMEOUT_FIRST_TOKEN];
    return head > 0 && first > 0 ? MIN_OF(head, first) : MAX_OF(head, first);
}

/* ---- aliases */

static void *copy_of(struct fire *f, const void *from, size_t n)
{
    void *p = mem_must(arena_alloc(&f->arena, n));
    return memcpy(p, from, n);
}

static struct slice named(struct fire *f, const char *prefix, struct slice name)
{
    struct slice s = arena_printf(&f->arena, "%s%.*s", prefix, SLICE_ARG(name));
    must(s.p != NULL);
    return s;
}

static void loosen_set(struct limit_set *set)
{
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        if (k < LIMIT_BUDGET_HOUR || set->most[k] == LIMIT_NONE)
            set->most[k] = LIMIT_NONE;
        else
            set->most[k] = FAR_NANO;
    }
}

/* A copy of its own, which limits nothing but still has a budget where there was one. */
static void loosen(struct gw_scope *s)
{
    loosen_set(&s->set);
    s->downgrade_from_percent = 0;
}

static void add_model(struct strmap *map, struct slice name, struct gw_model *m)
{
    if (!strmap_add(map, name, m))
        NEVER("there is room, and nobody else has such names");
}

struct slice fire_tight_name(struct fire *f, struct slice alias, enum limit_kind kind)
{
    struct slice s =
        arena_printf(&f->arena, FIRE_TIGHT "%s/%.*s", limit_kind_name(kind), SLICE_ARG(alias));
    must(s.p != NULL);
    return s;
}

/* The alias with one of its limits, and counts of its own, for each of them. */
static void add_tight(struct fire *f, const struct gw_model *m, const struct limit_set *set,
                      struct strmap *map)
{
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        if (set->most[k] == LIMIT_NONE)
            continue;
        struct slice name = fire_tight_name(f, m->name, (enum limit_kind)k);
        struct gw_model *tight = copy_of(f, m, sizeof *m);
        tight->scope.set = limit_set_none;
        tight->scope.set.most[k] = set->most[k];
        tight->scope.live = mem_must(limit_scope_get(f->limits, SCOPE_MODEL, name));
        add_model(map, name, tight);
    }
}

/* The alias with its hedges and a budget of its own for them. Who is silent is not waited for long,
 * whatever the configuration says: that is looked at apart. */
static void add_hedge(struct fire *f, struct fire_alias *a, const struct gw_model *was,
                      struct strmap *map)
{
    struct slice name = named(f, FIRE_HEDGE, was->name);
    struct gw_model *m = copy_of(f, a->silent, sizeof *m);
    m->targets = copy_of(f, was->targets, was->targets_n * sizeof *was->targets);
    redirect(f, a, m, was->targets, SILENT_NS);
    for (size_t i = 0; i < m->targets_n; i++)
        m->targets[i].provider->timeouts.ns[TIMEOUT_HEAD] = SILENT_NS;
    m->hedge_after_ns = MIN_OF(was->hedge_after_ns, FIRE_HEDGE_NS);
    m->live = mem_must(model_live_get(name, was->strategy == ROUTE_PREFIX));
    add_model(map, name, m);
    a->hedge = m;
    a->hedge_after_ns = was->hedge_after_ns;
}

/* The alias as requests see it here, and its forms for special purposes. */
static void add_alias(struct fire *f, struct fire_alias *a, struct strmap *map)
{
    const struct gw_model was = *a->model;
    struct gw_model *m = a->model, *silent;
    size_t bytes = was.targets_n * sizeof *was.targets;
    m->hedge_after_ns = 0; /* it would hide what comes of a silent target */
    silent = copy_of(f, m, sizeof *m);
    m->targets = copy_of(f, was.targets, bytes);
    silent->targets = copy_of(f, was.targets, bytes);
    redirect(f, a, m, was.targets, PATIENT_NS);
    redirect(f, a, silent, was.targets, SILENT_NS);
    a->silent = silent;
    a->set = m->scope.set;
    loosen(&m->scope);
    loosen(&silent->scope);
    add_model(map, m->name, m);
    add_model(map, named(f, FIRE_SILENT, m->name), silent);
    if (was.hedge_after_ns != 0)
        add_hedge(f, a, &was, map);
    add_tight(f, m, &a->set, map);
    for (size_t i = 0; i < m->targets_n; i++) {
        struct slice one = named(f, FIRE_ONE, m->targets[i].label);
        if (strmap_get(map, one) != NULL)
            continue;
        struct gw_model *alone = copy_of(f, m, sizeof *m);
        struct gw_target *t = copy_of(f, &m->targets[i], sizeof *t);
        t->lacks = t->lacks_by_table = 0; /* another alias may say otherwise of the same */
        *alone = (struct gw_model){
            .name = m->name, .metric_id = m->metric_id, .targets = t, .targets_n = 1};
        add_model(map, one, alone);
    }
}

static void add_aliases(struct fire *f)
{
    struct strmap map;
    must(strmap_init(&map, &f->snapshot->arena,
                     (3 + LIMIT_KINDS_N) * f->aliases_n + f->endpoints_n + 1));
    for (size_t i = 0; i < f->aliases_n; i++)
        add_alias(f, &f->alias[i], &map);
    f->snapshot->models = map;
}

/* ---- keys */

struct slice fire_add_key(struct fire *f, const struct gw_key *key)
{
    uint8_t digest[SHA256_BYTES];
    struct slice token = arena_printf(&f->arena, "fire-%u", ++f->tokens_n);
    if (token.p == NULL || !hash_sha256(token, digest) ||
        !gw_key_ring_put(f->snapshot->keys, digest, key, 0))
        return SLICE_NONE;
    return token;
}

static const struct gw_scope *loose_copy(struct fire *f, const struct gw_scope *s)
{
    if (s == NULL)
        return NULL;
    struct gw_scope *c = copy_of(f, s, sizeof *s);
    loosen(c);
    return c;
}

struct gw_key fire_nobody(void)
{
    return (struct gw_key){
        .scope = {.name = SLICE("nobody"), .kind = SCOPE_KEY, .set = limit_set_none},
        .rules = {.retention_days = -1},
        .priority = PRIORITY_NORMAL};
}

static void add_loose_key(struct fire *f, struct fire_key *k)
{
    struct gw_key *c = mem_must(arena_zalloc(&f->arena, sizeof *c));
    if (k->key != NULL)
        *c = *k->key;
    else
        *c = fire_nobody();
    c->models_n = c->networks_n = 0; /* which aliases it may use is looked at apart */
    c->max_tokens = LIMIT_NONE;
    c->expires_ns = 0;
    c->disabled = false;
    c->user_set = NULL;
    loosen(&c->scope);
    c->team = loose_copy(f, c->team);
    c->organisation = loose_copy(f, c->organisation);
    if (c->use_case != NULL) {
        struct gw_use_case *u = copy_of(f, c->use_case, sizeof *u);
        loosen(&u->scope);
        c->use_case = u;
    }
    k->token = fire_add_key(f, c);
    k->may = mem_must(arena_zalloc(&f->arena, f->endpoints_n + 1));
    k->why = mem_must(arena_zalloc(&f->arena, (f->endpoints_n + 1) * sizeof *k->why));
    must(k->token.p != NULL);
}

static bool same_list(const struct slice *a, size_t a_n, const struct slice *b, size_t b_n)
{
    bool same = a_n == b_n;
    for (size_t i = 0; i < a_n && same; i++)
        same = slice_eq(a[i], b[i]);
    return same;
}

bool fire_has_budget(const struct gw_scope *s)
{
    bool any = false;
    for (unsigned k = LIMIT_BUDGET_HOUR; k < LIMIT_KINDS_N && s != NULL; k++)
        any = any || s->set.most[k] != LIMIT_NONE;
    return any;
}

static bool is_budgeted(const struct gw_key *k)
{
    return fire_has_budget(&k->scope) || fire_has_budget(k->team) ||
           fire_has_budget(k->organisation);
}

/* May both use the same, as far as targets go? */
static bool same_rights(const struct gw_key *a, const struct gw_key *b)
{
    return same_list(a->models, a->models_n, b->models, b->models_n) &&
           same_list(a->providers, a->providers_n, b->providers, b->providers_n) &&
           same_list(a->regions, a->regions_n, b->regions, b->regions_n) &&
           a->rules.location == b->rules.location && a->rules.no_training == b->rules.no_training &&
           a->rules.retention_days == b->rules.retention_days && a->use_case == b->use_case &&
           is_budgeted(a) == is_budgeted(b);
}

const struct gw_key *fire_key_of(const struct fire *f, const struct config_key *c)
{
    uint8_t digest[SHA256_BYTES];
    bool ok = c->sha256.n > 0 ? hex_decode(c->sha256, digest, sizeof digest)
                              : hash_sha256(c->secret, digest);
    const struct gw_key *k = ok ? gw_key_ring_peek(f->snapshot->keys, digest) : NULL;
    bool counts =
        k != NULL && !k->disabled && (k->expires_ns == 0 || k->expires_ns > clock_wall_ns());
    return counts ? k : NULL;
}

static void list_keys(struct fire *f)
{
    const struct config *c = f->loaded.config;
    f->key = mem_must(arena_zalloc(&f->arena, (c->keys_n + 1) * sizeof *f->key));
    for (size_t i = 0; i < c->keys_n && f->snapshot->auth_keys; i++) {
        const struct gw_key *k = fire_key_of(f, &c->keys[i]);
        size_t at = 0;
        if (k == NULL)
            continue;
        while (at < f->keys_n && !same_rights(f->key[at].key, k))
            at++;
        if (at == f->keys_n)
            f->key[f->keys_n++] = (struct fire_key){.name = c->keys[i].name, .key = k};
        f->key[at].n++;
    }
    if (f->keys_n == 0) /* clients need none, or all keys are issued later on */
        f->key[f->keys_n++] = (struct fire_key){.n = 1};
    for (size_t i = 0; i < f->keys_n; i++)
        add_loose_key(f, &f->key[i]);
}

/* ---- the gateway */

/* Nothing takes longer than it has to. */
static void hurry(struct fire *f)
{
    struct gw_snapshot *s = f->snapshot;
    f->health = s->health;
    s->probe_ns = 0;
    if (s->health.v[HEALTH_EJECTION] > 0)
        s->health.v[HEALTH_EJECTION] = FIRE_EJECTION_NS;
    s->health.v[HEALTH_MAX_EJECTION] = FIRE_EJECTION_NS;
    s->health.v[HEALTH_SLOW_START] = MIN_OF(s->health.v[HEALTH_SLOW_START], NS_PER_MS);
    s->health.v[HEALTH_SLOW_FACTOR] = 0;
    s->retry.backoff_ns = MIN_OF(s->retry.backoff_ns, NS_PER_MS);
    s->retry.max_backoff_ns = MIN_OF(s->retry.max_backoff_ns, 2 * NS_PER_MS);
    target_live_configure(&s->health);
}

static void drop_tls(struct gw_snapshot *s)
{
    for (size_t i = 0; i < s->tls_n; i++)
        tls_server_context_unref(TAKE(s->tls[i]));
}

static bool start_gateway(struct fire *f, struct buf *errors)
{
    struct slice path = arena_printf(&f->arena, "%s/gateway", f->dir);
    struct slice at = arena_printf(&f->arena, "unix:%s/gateway", f->dir);
    const struct upstream_config door = {.unix_path = path};
    f->listen_fd = at.p != NULL ? net_listen(at, false) : -ENOMEM;
    if (f->listen_fd < 0) {
        buf_printf(errors, "no socket in %s: %s\n", f->dir, strerror(-f->listen_fd));
        return false;
    }
    const struct gw_listen listen = {.fds = &f->listen_fd, .fds_n = 1, .unix_socket = true};
    const struct gateway_config config = {.workers = 1,
                                          .listen = &listen,
                                          .listen_n = 1,
                                          .connections = 100000,
                                          .body_memory_bytes = INT64_C(1) << 30,
                                          .snapshot = f->snapshot,
                                          .limits = f->limits,
                                          .wall_offset_ns = clock_wall_ns() - clock_mono_ns()};
    if (!log_start(LOG_ERROR, "off"))
        buf_lit(errors, "the log cannot be started\n");
    f->door = upstream_new(&door);
    f->fetcher = fetcher_new(NULL, NULL);
    f->gateway = gateway_start(&config);
    if (f->gateway == NULL || f->door == NULL || f->fetcher == NULL)
        buf_lit(errors, "the gateway cannot be started\n");
    return f->gateway != NULL && f->door != NULL && f->fetcher != NULL;
}

/* Local engines take requests as if their processes were up. */
static void open_engines(struct fire *f)
{
    const struct config *c = f->loaded.config;
    for (size_t i = 0; i < c->engines_n; i++) {
        const struct config_engine *e = &c->engines[i];
        for (size_t p = 0; p < f->snapshot->providers_n; p++) {
            const struct gw_provider *its = &f->snapshot->provider_list[p];
            if (its->engine && slice_eq(its->name, e->name))
                gate_set_state(its->gate, GATE_OPEN, e->slots, e->queue);
        }
    }
}

/* Nobody can be reached but the fault server, whatever is asked for. */
static bool cut_off(struct fire *f)
{
    struct slice path = arena_printf(&f->arena, "%s/closed", f->dir);
    const struct upstream_config nobody = {.unix_path = path};
    struct upstream *u = path.p != NULL ? upstream_new(&nobody) : NULL;
    for (size_t i = 0; i < f->snapshot->providers_n && u != NULL; i++) {
        struct gw_provider *p = &f->snapshot->provider_list[i];
        upstream_unref(p->upstream);
        p->upstream = upstream_ref(u);
    }
    upstream_unref(u);
    return u != NULL;
}

static bool make_dir(struct fire *f, struct buf *errors)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/weir-fire-XXXXXX", tmp != NULL && *tmp ? tmp : "/tmp");
    if (mkdtemp(f->dir) != NULL)
        return true;
    buf_printf(errors, "%s: %s\n", f->dir, strerror(errno));
    f->dir[0] = '\0';
    return false;
}

bool fire_open(struct fire *f, const struct service_options *options, struct buf *errors)
{
    struct buf again;
    *f = (struct fire){.listen_fd = -1};
    arena_init(&f->arena, NULL, ARENA_BYTES);
    buf_init(&f->answer.body, BODY_BYTES);
    if (!loaded_read(&f->loaded, options, errors))
        return false;
    /* each limit of a key's users is fired with a user of its own */
    f->limits = limit_registry_new(LIMIT_KINDS_N * (f->loaded.config->keys_n + 1));
    const struct builder_links links = {
        .limits = f->limits, .data_dir = f->loaded.data_dir[0] ? f->loaded.data_dir : NULL};
    f->builder = f->limits != NULL ? builder_new(&links) : NULL;
    buf_init(&again, (size_t)1 << 20); /* the same warnings again */
    f->snapshot =
        f->builder != NULL ? builder_build(f->builder, f->loaded.config, "/run", &again) : NULL;
    buf_done(&again);
    if (f->snapshot == NULL) {
        buf_lit(errors, "out of memory\n");
        return false;
    }
    if (!make_dir(f, errors))
        return false;
    list_endpoints(f);
    f->server = fire_server_new(f->endpoint, f->endpoints_n, f->dir, &f->arena, errors);
    if (f->server == NULL)
        return false;
    if (!cut_off(f)) {
        buf_lit(errors, "out of memory\n");
        return false;
    }
    open_engines(f);
    add_aliases(f);
    list_keys(f);
    hurry(f);
    drop_tls(f->snapshot);
    f->snapshot->auth_keys = true;
    return start_gateway(f, errors);
}

void fire_close(struct fire *f)
{
    char path[256];
    fetcher_free(TAKE(f->fetcher));
    if (f->gateway != NULL) {
        gateway_stop(TAKE(f->gateway));
        log_stop();
    }
    upstream_unref(TAKE(f->door));
    fire_server_free(TAKE(f->server));
    if (f->snapshot != NULL)
        gw_snapshot_unref(TAKE(f->snapshot));
    builder_free(TAKE(f->builder));
    loaded_done(&f->loaded);
    if (f->dir[0] != '\0') {
        snprintf(path, sizeof path, "%s/gateway", f->dir);
        unlink(path);
        rmdir(f->dir);
    }
    if (f->limits != NULL)
        limit_registry_free(TAKE(f->limits));
    metric_shards_free();
    buf_done(&f->answer.body);
    arena_reset(&f->arena);
}

void fire_calm(struct fire *f)
{
    const struct gw_snapshot *s = f->snapshot;
    for (size_t i = 0; i < f->endpoints_n; i++) {
        fire_fault_set(&f->endpoint[i], FAULT_NONE);
        f->endpoint[i].asked = 0;
    }
    for (size_t i = 0; i < f->aliases_n; i++) {
        const struct gw_model *m = f->alias[i].model;
        for (size_t t = 0; t < m->targets_n; t++) {
            if (m->targets[t].live != NULL)
                target_live_reset(m->targets[t].live);
        }
    }
    for (size_t i = 0; i < s->providers_n; i++) {
        const struct gw_provider *p = &s->provider_list[i];
        for (size_t k = 0; k < p->keys_n; k++) {
            if (p->keys[k].live != NULL)
                target_live_reset(p->keys[k].live);
        }
    }
}

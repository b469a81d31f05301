/* Snapshots from configurations. */
#include "control/build.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "build_egress.h"
#include "build_identity.h"
#include "build_models.h"
#include "build_prices.h"
#include "config_policy.h"
#include "credentials.h"

#define COMMENT_NS (15 * NS_PER_S) /* an open stream is never silent for longer */

struct upstream_entry {
    struct list node;
    char *key;
    struct upstream *upstream;
};

struct builder {
    struct list upstreams;
    struct credentials *credentials;
    struct builder_links links;
    uint64_t version;
};

struct builder *builder_new(const struct builder_links *links)
{
    struct builder *b = mem_calloc(1, sizeof *b);
    struct credentials *cs = credentials_new();
    if (b == NULL || cs == NULL) {
        mem_free(b);
        credentials_free(cs);
        return NULL;
    }
    list_init(&b->upstreams);
    b->credentials = cs;
    if (links != NULL)
        b->links = *links;
    return b;
}

struct credentials *builder_credentials(struct builder *b)
{
    return b->credentials;
}

static void entry_free(struct upstream_entry *e)
{
    list_remove(&e->node);
    upstream_unref(e->upstream);
    mem_free(e->key);
    mem_free(e);
}

void builder_free(struct builder *b)
{
    if (b == NULL)
        return;
    list_foreach (it, &b->upstreams)
        entry_free(container_of(it, struct upstream_entry, node));
    credentials_free(b->credentials);
    mem_free(b);
}

void builder_settle(struct builder *b, const struct gw_snapshot *s)
{
    list_foreach (it, &b->upstreams) {
        struct upstream_entry *e = container_of(it, struct upstream_entry, node);
        bool used = false;
        for (size_t i = 0; i < s->providers_n; i++)
            used = used || s->provider_list[i].upstream == e->upstream;
        if (!used)
            entry_free(e);
    }
    credentials_settle(b->credentials, s);
    target_live_configure(&s->health);
}

void build_fail(struct build *b, const char *what, struct slice name, const char *why)
{
    buf_printf(b->errors, "%s: %s `%.*s`: %s\n", b->config->path.n ? b->config->path.p : "weir",
               what, SLICE_ARG(name), why);
    b->failed = true;
}

struct slice build_copy(struct build *b, struct slice s)
{
    struct slice c = arena_copy(b->arena, s);
    if (c.p == NULL)
        build_fail(b, "configuration", SLICE("memory"), "out of memory");
    return c;
}

void *build_make(struct build *b, size_t n, size_t size)
{
    void *p = arena_zalloc(b->arena, MAX_OF(n, (size_t)1) * size);
    if (p == NULL)
        build_fail(b, "configuration", SLICE("memory"), "out of memory");
    return p;
}

static struct slice *copy_list(struct build *b, const struct config_list *l)
{
    struct slice *out = build_make(b, l->n, sizeof *out);
    for (size_t i = 0; i < l->n && out != NULL; i++)
        out[i] = build_copy(b, l->item[i]);
    return out;
}

/* The upstream of that key: the one there is, or a new one. The result is a reference. */
static struct upstream *get_upstream(struct build *b, struct slice key,
                                     const struct upstream_config *uc)
{
    list_foreach (it, &b->builder->upstreams) {
        struct upstream_entry *e = container_of(it, struct upstream_entry, node);
        if (slice_is(key, e->key))
            return upstream_ref(e->upstream);
    }
    struct upstream_entry *e = mem_calloc(1, sizeof *e);
    char *k = mem_strndup(key.p, key.n);
    struct upstream *u = e != NULL && k != NULL ? upstream_new(uc) : NULL;
    if (u == NULL) {
        mem_free(e);
        mem_free(k);
        return NULL;
    }
    *e = (struct upstream_entry){.key = k, .upstream = u};
    list_push_back(&b->builder->upstreams, &e->node);
    return upstream_ref(u);
}

static void op_targets(struct build *b, struct gw_provider *p)
{
    for (unsigned op = 0; op < LLM_OPS_N; op++)
        p->op_target[op] = arena_printf(b->arena, "%.*s%.*s", SLICE_ARG(p->base_path),
                                        SLICE_ARG(llm_op_path((enum llm_op)op)));
}

static void provider_upstream(struct build *b, const struct config_provider *c,
                              struct gw_provider *p)
{
    struct net_url url;
    const char *why;
    struct upstream_config uc = {.max_connections = c->max_connections};
    struct slice text = c->url.n > 0 ? c->url : slice_str(p->row->base_url);
    if (!net_url_parse(text, &url, &why)) {
        build_fail(b, "url of provider", c->name, why);
        return;
    }
    uc.host = url.host;
    uc.port = url.port;
    uc.sni = c->sni;
    p->base_path = build_copy(b, url.path);
    op_targets(b, p);
    if (!egress_proxy(&b->config->egress, c, &url, b->arena, &uc, &why)) {
        build_fail(b, "egress proxy of provider", c->name, why);
        return;
    }
    if (url.tls) {
        struct buf error;
        buf_init(&error, 1024);
        uc.tls = egress_tls(&b->config->egress, c, &error);
        buf_char(&error, '\0');
        if (uc.tls == NULL)
            build_fail(b, "TLS of provider", c->name, error.p);
        buf_done(&error);
        if (uc.tls == NULL)
            return;
    }
    struct slice key = egress_key(&b->config->egress, c, &url, &uc, b->arena);
    p->upstream = key.p != NULL ? get_upstream(b, key, &uc) : NULL;
    tls_client_context_unref(uc.tls);
    if (p->upstream == NULL)
        build_fail(b, "provider", c->name, "out of memory or too many upstreams");
}

#define PLAIN_FIELDS "User-Agent: weir\r\nAccept-Encoding: identity\r\n"

/* Room that a provider's header lines need, with one of its keys. */
static size_t lines_bytes(const struct config_provider *p, struct slice key)
{
    size_t n = sizeof PLAIN_FIELDS + sizeof "Authorization: Api-Key \r\n" /* the longest */ + key.n;
    for (size_t k = 0; k < p->headers.n; k++)
        n += p->headers.key[k].n + p->headers.value[k].n + 4;
    return n;
}

/* The same of all of them among the secrets. */
static size_t secret_bytes(const struct config *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->providers_n; i++) {
        const struct config_provider *p = &c->providers[i];
        n += lines_bytes(p, p->api_key);
        for (size_t k = 0; k < p->api_keys.n; k++)
            n += lines_bytes(p, p->api_keys.item[k]);
    }
    return n;
}

/* The header that carries a key, by how the provider wants it. */
static void put_key(struct build *b, struct buf *lines, const struct config_provider *c,
                    struct slice key, enum llm_auth auth)
{
    struct slice put_before, name = llm_auth_header(auth, &put_before);
    struct buf value;
    size_t before = lines->n;
    buf_init(&value, 65536);
    buf_slice(&value, put_before);
    buf_slice(&value, key);
    http_put_field(lines, name, buf_view(&value));
    if (lines->n == before)
        build_fail(b, "api_key of provider", c->name, "it has characters that no header can carry");
    if (value.p != NULL)
        mem_wipe(value.p, value.n);
    buf_done(&value);
}

/* What has to be fetched, and what signs. */
static void provider_credential(struct build *b, const struct config_provider *c,
                                struct gw_provider *p)
{
    struct buf why;
    buf_init(&why, 1024);
    if (!credentials_get(b->builder->credentials, b->config, c, &p->credential, &why)) {
        buf_char(&why, '\0');
        build_fail(b, "credentials of provider", c->name, why.failed ? "out of memory" : why.p);
    }
    buf_done(&why);
    p->region = build_copy(b, c->cloud.region);
    p->api_version = build_copy(b, c->cloud.api_version);
}

/* All header lines of requests with that key; empty: without one. */
static struct slice provider_fields(struct build *b, const struct config_provider *c,
                                    const struct gw_provider *p, struct slice key)
{
    struct buf lines;
    buf_init(&lines, 65536);
    if (!buf_reserve(&lines, MIN_OF(lines_bytes(c, key), (size_t)65536)))
        build_fail(b, "provider", c->name,
                   "its headers are too long"); /* growing would leave copies */
    buf_lit(&lines, PLAIN_FIELDS);
    if (key.n > 0)
        put_key(b, &lines, c, key, p->row->auth);
    for (size_t i = 0; i < c->headers.n; i++)
        http_put_field(&lines, c->headers.key[i], c->headers.value[i]);
    struct slice out = secret_copy(b->snapshot->secrets, buf_view(&lines));
    if (out.p == NULL)
        build_fail(b, "provider", c->name, "its headers are too long");
    mem_wipe(lines.p, lines.n);
    buf_done(&lines);
    return out;
}

/* Its credentials: fixed header lines, several of them, or what makes them. */
static void provider_keys(struct build *b, const struct config_provider *c, struct gw_provider *p)
{
    p->keys = c->api_keys.n > 0 ? build_make(b, c->api_keys.n, sizeof *p->keys) : NULL;
    for (size_t i = 0; i < c->api_keys.n && p->keys != NULL; i++) {
        struct slice label = arena_printf(b->arena, "%.*s#%zu", SLICE_ARG(c->name), i + 1);
        p->keys[i].fields = provider_fields(b, c, p, c->api_keys.item[i]);
        p->keys[i].live = target_live_get(label);
        p->keys_n++;
    }
    p->fields = p->keys != NULL ? p->keys[0].fields
                                : provider_fields(b, c, p, p->client_key ? SLICE_NONE : c->api_key);
    provider_credential(b, c, p);
}

static void set_timeouts(struct gw_timeouts *t, const struct config_timeouts *own,
                         const struct config_timeouts *all)
{
    const int64_t pairs[TIMEOUTS_N][2] = {
        [TIMEOUT_QUEUE] = {own->queue_ns, all->queue_ns},
        [TIMEOUT_CONNECT] = {own->connect_ns, all->connect_ns},
        [TIMEOUT_TLS] = {own->tls_ns, all->tls_ns},
        [TIMEOUT_WRITE] = {own->write_ns, all->write_ns},
        [TIMEOUT_HEAD] = {own->head_ns, all->head_ns},
        [TIMEOUT_FIRST_TOKEN] = {own->first_token_ns, all->first_token_ns},
        [TIMEOUT_BETWEEN_TOKENS] = {own->between_tokens_ns, all->between_tokens_ns},
        [TIMEOUT_TOTAL] = {own->total_ns, all->total_ns},
    };
    for (unsigned i = 0; i < TIMEOUTS_N; i++)
        t->ns[i] = pairs[i][0] >= 0 ? pairs[i][0] : pairs[i][1];
}

static void set_lacks(unsigned char lack[FEATURES_N], const struct config_list *names,
                      enum llm_lack what)
{
    enum llm_feature f;
    for (size_t i = 0; i < names->n; i++) {
        if (llm_feature_find(names->item[i], &f))
            lack[f] = (unsigned char)what;
    }
}

static void default_lacks(unsigned char lack[FEATURES_N])
{
    for (unsigned f = 0; f < FEATURES_N; f++)
        lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
}

static void build_provider(struct build *b, const struct config_provider *c, struct gw_provider *p)
{
    p->name = build_copy(b, c->name);
    p->row = llm_provider_find(c->type);
    p->row = llm_provider_variant(p->row, c->cloud.surface);
    p->row = llm_provider_variant(p->row, c->cloud.publisher);
    p->row = llm_provider_variant(p->row, c->cloud.body);
    p->client_key = slice_is(c->api_key, "client");
    b->snapshot->wants_client_key |= p->client_key;
    p->gated = c->max_inflight > 0 || c->adaptive_inflight;
    p->probe_by_completion = c->probe_with == CONFIG_PROBE_COMPLETION;
    p->self_hosted = c->cost_per_hour >= 0 || config_is_self_hosted(c->type);
    p->governance = config_governance(c);
    p->models = copy_list(b, &c->models);
    p->models_n = c->models.n;
    set_timeouts(&p->timeouts, &c->timeouts, &b->config->timeouts);
    default_lacks(p->lack);
    set_lacks(p->lack, &c->drop_unsupported, LACK_DROP);
    set_lacks(p->lack, &c->refuse_unsupported, LACK_REFUSE);
    provider_keys(b, c, p);
    p->place = build_copy(b, config_provider_place(c));
    p->ledger_id = build_ledger_id(b, NAME_PROVIDER, c->name);
    build_hardware(b, p, c->name, c->cost_per_hour, c->replicas);
    if (p->gated) {
        p->gate = gate_get(arena_printf(b->arena, "provider/%.*s", SLICE_ARG(c->name)));
        if (p->gate != NULL && c->adaptive_inflight)
            gate_set_adaptive(p->gate, c->max_inflight, c->queue);
        else if (p->gate != NULL)
            gate_set_limits(p->gate, c->max_inflight, c->queue);
        else
            build_fail(b, "provider", c->name, "out of memory");
    }
    provider_upstream(b, c, p);
}

static void build_engine(struct build *b, const struct config_engine *c, struct gw_provider *p)
{
    struct upstream_config uc = {0};
    struct slice path = arena_printf(b->arena, "%s/%.*s.sock", b->run_dir, SLICE_ARG(c->name));
    p->name = build_copy(b, c->name);
    p->row = llm_provider_find(SLICE("llama-server"));
    default_lacks(p->lack);
    p->engine = p->gated = true;
    p->self_hosted = true;
    p->governance = config_engine_governance;
    p->base_path = SLICE("/v1");
    op_targets(b, p);
    p->fields = SLICE(PLAIN_FIELDS);
    set_timeouts(&p->timeouts, &c->timeouts, &b->config->timeouts);
    p->place = CONFIG_ENGINE_PLACE;
    p->ledger_id = build_ledger_id(b, NAME_PROVIDER, SLICE("engine"));
    build_hardware(b, p, arena_printf(b->arena, "engine/%.*s", SLICE_ARG(c->name)),
                   c->cost_per_hour, 1);
    p->gate = gate_get(arena_printf(b->arena, "engine/%.*s", SLICE_ARG(c->name)));
    uc.unix_path = path;
    p->upstream = path.p != NULL
                      ? get_upstream(b, arena_printf(b->arena, "unix:%.*s", SLICE_ARG(path)), &uc)
                      : NULL;
    if (p->gate == NULL || p->upstream == NULL)
        build_fail(b, "engine", c->name, "out of memory or too many upstreams");
}

static void build_passthrough(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->passthrough_n = c->passthrough_n;
    s->passthrough = build_make(b, c->passthrough_n, sizeof *s->passthrough);
    for (size_t i = 0; i < c->passthrough_n && s->passthrough != NULL; i++) {
        struct gw_passthrough *p = &s->passthrough[i];
        p->path = build_copy(b, c->passthrough[i].path);
        p->prefix = p->path.n > 0 && p->path.p[p->path.n - 1] == '*';
        p->path.n -= p->prefix;
        for (size_t k = 0; k < s->providers_n; k++) {
            struct gw_provider *candidate = &s->provider_list[k];
            if (!candidate->engine && slice_eq(candidate->name, c->passthrough[i].to))
                p->provider = candidate;
        }
        if (p->provider == NULL)
            build_fail(b, "passthrough to", c->passthrough[i].to, "there is no such provider");
    }
}

static void build_tls(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->tls_n = c->listeners_n;
    s->tls = build_make(b, c->listeners_n, sizeof(struct tls_server_context *));
    for (size_t i = 0; i < c->listeners_n && s->tls != NULL; i++) {
        const struct config_tls *t = &c->listeners[i].tls;
        struct buf error;
        if (t->cert.n == 0)
            continue;
        buf_init(&error, 1024);
        s->tls[i] = tls_server_context_new(t->cert.p, t->key.p,
                                           t->client_ca.n > 0 ? t->client_ca.p : NULL, &error);
        buf_char(&error, '\0');
        if (s->tls[i] == NULL)
            build_fail(b, "TLS of listener", c->listeners[i].address, error.p);
        buf_done(&error);
    }
}

static void build_limits(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    s->limits = (struct gw_limits){.body_bytes = c->limits.body_bytes,
                                   .answer_bytes = c->limits.answer_bytes,
                                   .event_bytes = c->limits.event_bytes,
                                   .commit_hold_ns = c->server.commit_hold_ns,
                                   .comment_ns = MIN_OF(c->server.commit_hold_ns, COMMENT_NS)};
    s->server = (struct net_server_limits){.head_ns = c->server.head_ns,
                                           .idle_ns = c->server.idle_ns,
                                           .body_ns = c->server.body_idle_ns,
                                           .write_ns = c->server.write_ns};
    s->forward_up = copy_list(b, &c->forward_request);
    s->forward_up_n = c->forward_request.n;
    s->forward_down = copy_list(b, &c->forward_answer);
    s->forward_down_n = c->forward_answer.n;
    s->cors_origins = copy_list(b, &c->cors_origins);
    s->cors_n = c->cors_origins.n;
    s->trusted_n = c->trusted_proxies.n;
    s->trusted = build_make(b, s->trusted_n, sizeof *s->trusted);
    for (size_t i = 0; i < s->trusted_n && s->trusted != NULL; i++) {
        if (!net_prefix_parse(c->trusted_proxies.item[i], &s->trusted[i]))
            build_fail(b, "trusted proxy", c->trusted_proxies.item[i], "no address or prefix");
    }
}

static void build_all(struct build *b)
{
    const struct config *c = b->config;
    struct gw_snapshot *s = b->snapshot;
    size_t n = c->providers_n + c->engines_n;
    s->expose = copy_list(b, &c->expose);
    s->expose_n = c->expose.n;
    s->provider_list = build_make(b, n, sizeof *s->provider_list);
    s->secrets = secret_box_new(secret_bytes(c));
    if (s->secrets == NULL)
        build_fail(b, "configuration", SLICE("memory"), "out of memory");
    if (b->failed || s->provider_list == NULL || !strmap_init(&s->providers, b->arena, n))
        return;
    s->providers_n = n;
    for (size_t i = 0; i < c->providers_n; i++) {
        build_provider(b, &c->providers[i], &s->provider_list[i]);
        if (!strmap_add(&s->providers, s->provider_list[i].name, &s->provider_list[i]))
            build_fail(b, "provider", c->providers[i].name, "the name is taken");
    }
    for (size_t i = 0; i < c->engines_n; i++)
        build_engine(b, &c->engines[i], &s->provider_list[c->providers_n + i]);
    build_prices(b);
    build_models(b);
    build_identities(b);
    build_issued_keys(b);
    build_passthrough(b);
    build_tls(b);
    build_limits(b);
    build_retry(b);
    if (!b->failed) {
        build_models_json(b);
        build_warn_unpriced(b);
        build_warn_costs(b);
    }
}

struct gw_snapshot *builder_build(struct builder *builder, const struct config *c,
                                  const char *run_dir, struct buf *errors)
{
    struct gw_snapshot *s = gw_snapshot_new();
    if (s == NULL) {
        buf_lit(errors, "out of memory\n");
        return NULL;
    }
    struct build b = {.builder = builder,
                      .links = &builder->links,
                      .config = c,
                      .run_dir = run_dir,
                      .errors = errors,
                      .snapshot = s,
                      .arena = &s->arena};
    s->version = ++builder->version;
    build_all(&b);
    if (!b.failed)
        return s;
    gw_snapshot_unref(s);
    return NULL;
}

bool builder_check_key(struct builder *builder, const struct gw_snapshot *s, const struct config *c,
                       const struct stored_key *k, struct buf *errors)
{
    return build_key_fits(&builder->links, s, c, k, errors);
}

bool builder_put_key(struct builder *builder, struct gw_snapshot *s, const struct config *c,
                     const struct stored_key *k, struct buf *errors)
{
    struct build b = {.builder = builder,
                      .links = &builder->links,
                      .config = c,
                      .errors = errors,
                      .snapshot = s,
                      .arena = gw_key_ring_arena(s->keys)};
    build_put_issued(&b, k);
    return !b.failed;
}

void builder_remove_key(struct builder *builder, struct gw_snapshot *s, struct slice name)
{
    gw_key_ring_keep(s->keys, name, NULL, 0);
}

const struct config_provider_type *builder_provider_types(size_t *ret_n)
{
    static struct config_provider_type types[64];
    size_t n;
    const struct llm_provider *rows = llm_providers(&n);
    ASSERT(n <= ARRAY_LEN(types));
    for (size_t i = 0; i < n; i++)
        types[i] = (struct config_provider_type){.name = rows[i].type,
                                                 .url = rows[i].base_url,
                                                 .key_env = rows[i].key_env,
                                                 .needs_url = rows[i].base_url == NULL};
    *ret_n = n;
    return types;
}

/* The gateway in a box. See world.h. */
#include "world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "limits_inner.h"

#define BODY_MEMORY ((int64_t)64 << 20)

static const struct {
    const char *name, *type;
    bool gated, engine, client_key;
} provider_rows[PROVIDERS_N] = {
    [ALPHA] = {"alpha", "openai", false, false, false},
    [BETA] = {"beta", "openai", false, false, false},
    [GAMMA] = {"gamma", "openai", false, false, false},
    [DELTA] = {"delta", "openai", false, false, false},
    [HOUSE] = {"house", "vllm", true, false, false},
    [TINY] = {"tiny", "llama-server", true, true, false},
    [OWN] = {"own", "openai", false, false, true},
    [MISTRAL] = {"mist", "mistral", false, false, false},
    [MODAL] = {"modal", "modal", false, false, false},
    [CLAUDE] = {"claude", "anthropic", false, false, false},
    [GEMINI] = {"gemini", "gemini", false, false, false},
    [REPLICATE] = {"replicate", "replicate", false, false, false},
    [AZURE] = {"azure", "azure", false, false, false},
};

static const struct {
    const char *name;
    int targets[6]; /* ends with -1 */
} model_rows[] = {
    {"one", {ALPHA, -1}},
    {"two", {ALPHA, BETA, -1}},
    {"three", {ALPHA, BETA, GAMMA, -1}},
    {"four", {ALPHA, BETA, GAMMA, DELTA, -1}},
    {"five", {ALPHA, BETA, GAMMA, DELTA, ALPHA, -1}},
    {"house", {HOUSE, -1}},
    {"house-twice", {HOUSE, HOUSE, ALPHA, -1}},
    {"house-tiny", {HOUSE, HOUSE, TINY, -1}},
    {"house-five", {HOUSE, HOUSE, HOUSE, HOUSE, HOUSE, -1}},
    {"tiny", {TINY, -1}},
    {"own", {OWN, -1}},
    {"mistral", {MISTRAL, -1}},
    {"modal", {MODAL, -1}},
    {"claude", {CLAUDE, -1}},
    {"gemini", {GEMINI, -1}},
    {"replicate", {REPLICATE, -1}},
    {"azure", {AZURE, -1}},
    {"claude-first", {CLAUDE, ALPHA, -1}},
    {"claude-last", {ALPHA, CLAUDE, -1}},
    {"wires", {ALPHA, CLAUDE, GEMINI, -1}},
};
#define MODELS_N ARRAY_LEN(model_rows)

static void *of_arena(struct gw_snapshot *s, size_t bytes)
{
    return mem_must(arena_zalloc(&s->arena, bytes));
}

static void fill_provider(struct world *w, struct gw_snapshot *s, unsigned i)
{
    static const int64_t limits[TIMEOUTS_N] = {
#define X(id, key, standard, what) (standard),
        GW_TIMEOUTS(X)
#undef X
    };
    struct gw_provider *p = &s->provider_list[i];
    p->name = slice_str(provider_rows[i].name);
    p->row = llm_provider_find(slice_str(provider_rows[i].type));
    if (i == AZURE)
        p->row = llm_provider_variant(p->row, SLICE("classic"));
    for (unsigned f = 0; f < FEATURES_N; f++)
        p->lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
    p->upstream = upstream_ref(w->up[i]);
    p->gated = provider_rows[i].gated;
    p->engine = provider_rows[i].engine;
    p->client_key = provider_rows[i].client_key;
    p->gate = p->gated ? gate_ref(i == HOUSE ? w->house : w->tiny) : NULL;
    p->base_path = SLICE("/v1");
    for (unsigned op = 0; op < LLM_OPS_N; op++)
        p->op_target[op] =
            arena_printf(&s->arena, "/v1%.*s", SLICE_ARG(llm_op_path((enum llm_op)op)));
    p->fields = arena_copy(&s->arena, SLICE("User-Agent: weir\r\n"));
    memcpy(p->timeouts.ns, limits, sizeof limits);
    p->models = of_arena(s, sizeof *p->models);
    p->models[0] = i == ALPHA || i == BETA ? SLICE("both") : SLICE("another");
    p->models_n = 1;
    ASSERT(strmap_add(&s->providers, p->name, p));
}

void snapshot_retarget(struct gw_model *m, struct gw_snapshot *s, const int *providers, size_t n)
{
    m->targets = of_arena(s, n * sizeof *m->targets);
    for (m->targets_n = 0; m->targets_n < n; m->targets_n++) {
        struct gw_target *t = &m->targets[m->targets_n];
        t->provider = &s->provider_list[providers[m->targets_n]];
        t->model = arena_printf(&s->arena, "m%zu", m->targets_n);
        t->label = arena_printf(&s->arena, "%.*s/m%zu", SLICE_ARG(t->provider->name), m->targets_n);
    }
}

struct gw_model *snapshot_model(struct gw_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->models_n; i++) {
        if (slice_is(s->model_list[i].name, name))
            return &s->model_list[i];
    }
    return NULL;
}

void snapshot_watch(struct gw_model *m)
{
    m->live = mem_must(model_live_get(m->name, false));
    m->live->retries = (struct retry_budget){0};
    m->live->hedges = (struct hedge_budget){0};
    for (size_t i = 0; i < m->targets_n; i++)
        m->targets[i].live = mem_must(target_live_get(m->targets[i].label));
}

/* Every alias counts what its requests hold, so that whatever they fail to give back is seen. */
static void fill_model(struct world *w, struct gw_snapshot *s, unsigned i)
{
    struct gw_model *m = &s->model_list[i];
    m->name = slice_str(model_rows[i].name);
    m->scope = (struct gw_scope){.name = m->name, .kind = SCOPE_MODEL, .set = limit_set_none};
    m->scope.live = mem_must(limit_scope_get(w->limits, SCOPE_MODEL, m->name));
    m->metric_id = metric_model_id(m->name);
    size_t n = 0;
    while (model_rows[i].targets[n] >= 0)
        n++;
    snapshot_retarget(m, s, model_rows[i].targets, n);
    ASSERT(strmap_add(&s->models, m->name, m));
}

static void fill_rest(struct gw_snapshot *s)
{
    struct gw_key *key = of_arena(s, sizeof *key);
    uint8_t digest[SHA256_BYTES];
    key->scope = (struct gw_scope){.name = SLICE("team"), .kind = SCOPE_KEY};
    ASSERT(hash_sha256(SLICE("sk-good"), digest));
    ASSERT(gw_key_ring_put(s->keys, digest, key, 0));
    s->wants_client_key = true;
    s->passthrough = of_arena(s, 2 * sizeof *s->passthrough);
    s->passthrough[0] =
        (struct gw_passthrough){SLICE("/v1/audio/"), true, snapshot_provider(s, ALPHA)};
    s->passthrough[1] =
        (struct gw_passthrough){SLICE("/v1/files"), false, snapshot_provider(s, BETA)};
    s->passthrough_n = 2;
    s->expose = of_arena(s, sizeof *s->expose);
    s->expose[0] = SLICE("*");
    s->expose_n = 1;
    s->models_json = SLICE("{\"object\":\"list\",\"data\":[]}");
    s->limits = (struct gw_limits){.body_bytes = 4 << 20,
                                   .answer_bytes = 1 << 20,
                                   .event_bytes = 65536,
                                   .commit_hold_ns = 10 * NS_PER_S,
                                   .comment_ns = 5 * NS_PER_S};
    s->retry = (struct gw_retry){.attempts = ATTEMPTS_MAX};
    s->max_ejected = 50;
}

struct gw_provider *snapshot_provider(struct gw_snapshot *s, unsigned i)
{
    return &s->provider_list[i];
}

struct gw_key *snapshot_add_key(struct gw_snapshot *s, const char *name, enum gw_priority priority)
{
    struct gw_key *k = of_arena(s, sizeof *k);
    uint8_t digest[SHA256_BYTES];
    *k = (struct gw_key){.scope = {.name = slice_str(name), .kind = SCOPE_KEY},
                         .rules.retention_days = -1,
                         .priority = priority,
                         .max_tokens = LIMIT_NONE};
    ASSERT(hash_sha256(arena_printf(&s->arena, "sk-%s", name), digest));
    ASSERT(gw_key_ring_put(s->keys, digest, k, 0));
    return k;
}

static struct gw_snapshot *snapshot_new(struct world *w, snapshot_edit_fn *edit)
{
    struct gw_snapshot *s = mem_must(gw_snapshot_new());
    s->providers_n = PROVIDERS_N;
    s->provider_list = of_arena(s, PROVIDERS_N * sizeof *s->provider_list);
    s->models_n = MODELS_N;
    s->model_list = of_arena(s, MODELS_N * sizeof *s->model_list);
    ASSERT(strmap_init(&s->providers, &s->arena, PROVIDERS_N));
    ASSERT(strmap_init(&s->models, &s->arena, MODELS_N));
    for (unsigned i = 0; i < PROVIDERS_N; i++)
        fill_provider(w, s, i);
    for (unsigned i = 0; i < MODELS_N; i++)
        fill_model(w, s, i);
    fill_rest(s);
    if (edit != NULL)
        edit(s);
    return s;
}

/* Gates live in a registry of the process: a test that failed must not spoil the next one. */
static struct gate *gate_of_its_own(const char *name)
{
    static unsigned count;
    char text[32];
    int n = snprintf(text, sizeof text, "%s/%u", name, count++);
    return mem_must(gate_get(slice_of(text, (size_t)n)));
}

static struct ledger *open_books(struct world *w, uint32_t rows)
{
    struct buf why;
    struct ledger_config c = {.folder = w->folder,
                              .lanes = 1,
                              .spool_rows = rows,
                              .open_rows = 1024,
                              .refuse_when_full = true};
    buf_init(&why, 4096);
    struct ledger *l = mem_must(ledger_open(&c, &why));
    buf_done(&why);
    return l;
}

static void forget(void *ctx, struct slice label, struct target_live *t)
{
    (void)ctx;
    (void)label;
    target_live_reset(t);
}

static struct world *world_make(snapshot_edit_fn *edit, unsigned workers, uint32_t rows)
{
    static const int fds[] = {-1};
    static const struct gw_listen listen = {.fds = fds, .fds_n = 1};
    struct world *w = calloc(1, sizeof *w);
    ASSERT(w != NULL);
    log_clear();
    for (unsigned i = 0; i < PROVIDERS_N; i++)
        w->up[i] = fake_upstream(slice_str(provider_rows[i].name));
    w->house = gate_of_its_own("house");
    w->tiny = gate_of_its_own("tiny");
    gate_set_limits(w->house, 1, 2);
    gate_set_state(w->tiny, GATE_OPEN, 1, 2);
    target_live_each(forget, NULL); /* what earlier tests did to them */
    w->limits = mem_must(limit_registry_new(100));
    if (rows > 0) {
        snprintf(w->folder, sizeof w->folder, "%s/weir-books-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        ASSERT(mkdtemp(w->folder) != NULL);
        w->ledger = open_books(w, rows);
    }
    struct gw_snapshot *s = snapshot_new(w, edit);
    struct gateway_config config = {.workers = workers,
                                    .limits = w->limits,
                                    .ledger = w->ledger,
                                    .listen = &listen,
                                    .listen_n = 1,
                                    .connections = 1000,
                                    .body_memory_bytes = BODY_MEMORY,
                                    .snapshot = s};
    w->gateway = mem_must(gateway_start(&config));
    gw_snapshot_unref(s);
    w->worker = &w->gateway->workers[0];
    w->loop = &w->worker->loop;
    return w;
}

struct world *world_new(snapshot_edit_fn *edit)
{
    return world_make(edit, 1, 0);
}

struct world *world_new_threads(snapshot_edit_fn *edit, unsigned workers)
{
    return world_make(edit, workers, 0);
}

struct world *world_new_books(snapshot_edit_fn *edit, uint32_t rows)
{
    return world_make(edit, 1, rows);
}

int64_t world_rows(const struct world *w)
{
    struct ledger_counts n;
    ledger_counts(w->ledger, &n);
    return n.spooled;
}

int64_t world_rows_lost(const struct world *w)
{
    struct ledger_counts n;
    ledger_counts(w->ledger, &n);
    return n.lost;
}

static void remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(folder);
}

/* What was open when it was closed would stand in it as crashed. */
static void close_books(struct world *w)
{
    struct ledger_counts n;
    if (w->ledger == NULL)
        return;
    ledger_close(w->ledger);
    w->ledger = open_books(w, 1024);
    ledger_counts(w->ledger, &n);
    CHECK_EQ_I64(n.crashed, 0);
    ledger_close(TAKE(w->ledger));
    remove_folder(w->folder);
}

void world_install(struct world *w, snapshot_edit_fn *edit)
{
    struct gw_snapshot *s = snapshot_new(w, edit);
    gateway_install(w->gateway, s);
    gw_snapshot_unref(s);
}

void world_reload(struct world *w, snapshot_edit_fn *edit)
{
    world_install(w, edit);
    loop_turn(w->loop);
}

unsigned world_snapshots(const struct world *w)
{
    return w->up[MODAL]->refs - 1; /* which nobody else refers to while it has no calls */
}

void world_stop(struct world *w)
{
    if (w->gateway == NULL)
        return;
    loop_let_run(w->loop);
    gateway_stop(TAKE(w->gateway));
}

void world_free(struct world *w)
{
    world_stop(w);
    limit_registry_free(w->limits);
    close_books(w);
    CHECK_EQ_I64(w->house->refs, 1);
    CHECK_EQ_I64(w->tiny->refs, 1);
    gate_unref(w->house);
    gate_unref(w->tiny);
    for (unsigned i = 0; i < PROVIDERS_N; i++) {
        CHECK_EQ_I64(w->up[i]->refs, 1);
        upstream_unref(w->up[i]);
    }
    metric_shards_free();
    log_clear();
    free(w);
}

static bool has_text(struct slice s, const char *text)
{
    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

int64_t world_metric(const char *name, const char *label)
{
    struct buf b;
    int64_t sum = 0;
    buf_init(&b, 1 << 20);
    metric_render(&b);
    CHECK(!b.failed);
    struct slice rest = buf_view(&b);
    while (rest.n > 0) {
        struct slice value = slice_cut(&rest, '\n'), key = slice_cut(&value, '}');
        if (!slice_starts(key, slice_str(name)) || key.n <= strlen(name) ||
            key.p[strlen(name)] != '{' || !has_text(key, label))
            continue;
        value = slice_trim(value);
        bool negative = value.n > 0 && *value.p == '-';
        uint64_t n = 0;
        CHECK(slice_to_u64(slice_from(value, negative), &n));
        sum += negative ? -(int64_t)n : (int64_t)n;
    }
    buf_done(&b);
    return sum;
}

int64_t world_gauge(const char *name)
{
    return world_metric(name, "");
}

static void check_gate(struct gate *g)
{
    CHECK_EQ_I64(g->permits.held, 0);
    CHECK_EQ_I64(g->permits.waiting_n, 0);
}

/* No reservation and no place is left, and what was refused or never begun counts nothing. */
static void check_limits(struct world *w)
{
    for (unsigned i = 0; i < MODELS_N; i++) {
        struct slice name = slice_str(model_rows[i].name);
        const struct limit_scope *s = limit_scope_get(w->limits, SCOPE_MODEL, name);
        CHECK_EQ_I64(s->open_n, 0);
        CHECK_EQ_I64(s->concurrency, 0);
        CHECK_EQ_I64(s->stale_input + s->stale_output, 0);
    }
}

void world_check_rest(struct world *w)
{
    loop_turn(w->loop); /* late grants */
    CHECK_EQ_I64(w->worker->open_n, 0);
    CHECK_EQ_I64(w->gateway->open, 0);
    CHECK_EQ_I64(calls_open(w->loop), 0);
    CHECK_EQ_I64(w->loop->timers.count, 0);
    CHECK_EQ_I64(w->gateway->budget.used_bytes, 0);
    CHECK_EQ_I64((int64_t)w->worker->out.n, 0);
    CHECK_EQ_I64(log_lines(), w->started);
    check_gate(w->house);
    check_gate(w->tiny);
    check_limits(w);
    CHECK_EQ_I64(w->worker->waits_n, 0);
    CHECK_EQ_I64(world_gauge("llm_inflight"), 0);
    CHECK_EQ_I64(world_gauge("llm_queue_depth"), 0);
}

struct slice chat_body(const char *model, unsigned how)
{
    static char text[512];
    int n = snprintf(text, sizeof text,
                     "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s%s}",
                     model, how & ASK_STREAM ? ",\"stream\":true" : "",
                     how & ASK_USAGE ? ",\"stream_options\":{\"include_usage\":true}" : "");
    return slice_of(text, (size_t)n);
}

struct slice messages_body(const char *model, bool stream)
{
    static char text[512];
    int n = snprintf(text, sizeof text,
                     "{\"model\":\"%s\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\","
                     "\"content\":\"hi\"}]%s}",
                     model, stream ? ",\"stream\":true" : "");
    return slice_of(text, (size_t)n);
}

struct net_stream *ask_path(struct world *w, enum http_method method, const char *path,
                            const char *fields, struct slice body)
{
    struct client_request r = {.method = method,
                               .path = path,
                               .fields = fields,
                               .content_length = body.n > 0 ? (int64_t)body.n : -1};
    w->started++;
    struct net_stream *s = client_new(w->loop, &r);
    if (s->state == CLIENT_OPEN)
        client_body(s, body, true);
    return s;
}

struct net_stream *ask(struct world *w, const char *model, unsigned how)
{
    return ask_path(w, HTTP_POST, "/v1/chat/completions", NULL, chat_body(model, how));
}

struct exchange *exchange_of(const struct net_stream *s)
{
    CHECK(s->state == CLIENT_OPEN && s->data != NULL);
    return s->data;
}

void answer_json(struct call *c, unsigned status, struct slice body)
{
    call_head(c, status, JSON_HEAD, (int64_t)body.n);
    if (c->lease != NULL)
        call_body(c, body, true);
}

void answer_stream(struct call *c, struct slice events)
{
    call_head(c, 200, SSE_HEAD, -1);
    call_piece(c, events);
    if (c->lease != NULL)
        call_end(c);
}

/* --- JSON */

static struct json_parser *parser(void)
{
    static struct json_parser *p;
    if (p == NULL)
        p = mem_must(json_parser_new());
    return p;
}

__attribute__((destructor)) static void free_parser(void)
{
    json_parser_free(parser());
}

bool json_valid(struct slice text)
{
    struct json_doc d;
    return json_parse(parser(), text, 0, &d) == JSON_OK;
}

struct slice json_member(struct slice text, const char *path)
{
    struct json_doc d;
    struct slice rest = slice_str(path);
    uint32_t node = 0;
    if (json_parse(parser(), text, 0, &d) != JSON_OK)
        return SLICE_NONE;
    while (rest.n > 0) {
        struct slice key = slice_cut(&rest, '.');
        uint64_t index;
        if (json_type_at(&d, node) == JSON_ARRAY && slice_to_u64(key, &index)) {
            uint32_t i = json_first(&d, node), end = json_end(&d, node);
            for (; i < end && index > 0; index--)
                i = json_after(&d, i);
            node = i < end ? i : 0;
        } else {
            node = json_type_at(&d, node) == JSON_OBJECT ? json_get(&d, node, key) : 0;
        }
        if (node == 0)
            return SLICE_NONE;
    }
    return json_type_at(&d, node) == JSON_STRING ? json_inner(&d, node) : json_raw(&d, node);
}

/* --- what came out */

void check_error_is(const struct net_stream *s, unsigned status, const char *type, const char *code)
{
    struct slice body = text_view(&s->body);
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK_EQ_I64(s->status, status);
    CHECK_EQ_SLICE(client_field(s, "content-type"), SLICE("application/json"));
    CHECK(client_field(s, "x-request-id").n > 0);
    CHECK(json_member(body, "error.message").n > 0);
    CHECK_EQ_SLICE(json_member(body, "error.type"), slice_str(type));
    CHECK_EQ_SLICE(json_member(body, "error.code"), slice_str(code));
    CHECK(json_member(body, "error.param").n > 0);
}

void check_error(const struct net_stream *s, enum gw_error e)
{
    const struct gw_error_row *row = gw_error_row(e);
    check_error_is(s, row->status, row->type, row->code);
    CHECK_EQ_I64(log_number("status"), row->status);
    CHECK(log_text_is("reason", row->code));
}

void check_stream_error(const struct net_stream *s, const char *before, const char *type,
                        const char *code)
{
    struct slice body = text_view(&s->body), head = slice_str(before);
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK_EQ_I64(s->status, 200);
    CHECK(s->close_after);
    CHECK_EQ_SLICE(slice_of(body.p, MIN_OF(body.n, head.n)), head);
    struct slice event = slice_from(body, head.n);
    CHECK(slice_starts(event, SLICE("data: ")));
    CHECK(event.n > 8 && slice_eq(slice_from(event, event.n - 2), SLICE("\n\n")));
    struct slice json = slice_of(event.p + 6, event.n - 8);
    CHECK(slice_find(json, '\n') < 0);
    CHECK(json_member(json, "error.message").n > 0);
    CHECK_EQ_SLICE(json_member(json, "error.type"), slice_str(type));
    CHECK_EQ_SLICE(json_member(json, "error.code"), slice_str(code));
}

void check_stream_complete(const struct net_stream *s, const char *want)
{
    CHECK_EQ_I64(s->state, CLIENT_ENDED);
    CHECK_EQ_I64(s->status, 200);
    CHECK_EQ_SLICE(text_view(&s->body), slice_str(want));
}

static bool ends_with(struct slice body, struct slice last)
{
    return body.n >= last.n && slice_eq(slice_from(body, body.n - last.n), last);
}

bool answer_is_whole(const struct net_stream *s)
{
    struct slice body = text_view(&s->body), type;
    if (s->status == 204 || s->status == 0 || s->head_only)
        return s->status != 0 && body.n == 0;
    type = client_field(s, "content-type");
    if (slice_is(type, "application/json") && client_field(s, "x-weir-target").n > 0)
        return json_valid(body);
    if (slice_is(type, "application/json"))
        return json_valid(body) && (size_t)s->content_length == body.n;
    if (!slice_is(type, "text/event-stream"))
        return s->content_length < 0 || (size_t)s->content_length == body.n;
    if (s->close_after)
        return body.n > 4 && slice_eq(slice_from(body, body.n - 4), SLICE("}}\n\n")) &&
               (memmem(body.p, body.n, "data: {\"error\":", 15) != NULL ||
                memmem(body.p, body.n, "event: error\ndata: {", 20) != NULL);
    return ends_with(body, SLICE(EV_DONE)) || ends_with(body, SLICE(AV_STOP)) ||
           memmem(body.p, body.n, "event: response.completed\n", 26) != NULL ||
           memmem(body.p, body.n, "event: response.incomplete\n", 27) != NULL;
}

static struct slice last_line(void)
{
    CHECK(log_lines() > 0);
    struct slice line = log_line(log_lines() - 1);
    CHECK(json_valid(line));
    return line;
}

int64_t log_number(const char *key)
{
    uint64_t v;
    struct slice raw = json_member(last_line(), key);
    return slice_to_u64(raw, &v) ? (int64_t)v : -1;
}

bool log_text_is(const char *key, const char *want)
{
    return slice_is(json_member(last_line(), key), want);
}

unsigned log_attempts(void)
{
    char path[32];
    for (unsigned n = 0;; n++) {
        snprintf(path, sizeof path, "attempts.%u", n);
        if (json_member(last_line(), path).p == NULL)
            return n;
    }
}

bool log_attempt_is(unsigned i, const char *target, const char *outcome)
{
    char path[2][40];
    snprintf(path[0], sizeof path[0], "attempts.%u.target", i);
    snprintf(path[1], sizeof path[1], "attempts.%u.outcome", i);
    return slice_is(json_member(last_line(), path[0]), target) &&
           slice_is(json_member(last_line(), path[1]), outcome);
}

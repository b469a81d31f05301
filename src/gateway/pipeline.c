/* The steps of an exchange, in the order of the table at the end. */
#include "base/clock.h"
#include "base/mem.h"
#include "inflate.h"
#include "place.h"
#include "rescue.h"
#include "respond.h"
#include "worker.h"

#define POOL_BODY_BYTES ((size_t)1 << 20) /* larger bodies are read on the thread pool */

/* What stands at the client port, beside the health checks of server.c. */
enum endpoint_kind {
    ENDPOINT_HEALTH,
    ENDPOINT_LLM,
    ENDPOINT_MODELS,
    ENDPOINT_MODEL,
    ENDPOINT_KEY,
    ENDPOINT_PASS
};

struct endpoint {
    struct slice path;
    enum http_method method;
    enum endpoint_kind kind;
    enum llm_op op;
    const struct llm_dialect *dialect;
    const char *allow; /* of a 405 */
};

#define ENDPOINT(path, method, kind, op, dialect)                                                  \
    {                                                                                              \
        {(path), sizeof(path) - 1}, HTTP_##method, ENDPOINT_##kind, (op), &(dialect), #method      \
    }

/* Clients whose base URL lacks /v1 are served too. */
static const struct endpoint endpoints[] = {
    ENDPOINT("/v1/chat/completions", POST, LLM, LLM_CHAT, openai_dialect),
    ENDPOINT("/v1/responses", POST, LLM, LLM_CHAT, responses_dialect),
    ENDPOINT("/v1/messages", POST, LLM, LLM_CHAT, anthropic_dialect),
    ENDPOINT("/v1/messages/count_tokens", POST, LLM, LLM_COUNT_TOKENS, anthropic_dialect),
    ENDPOINT("/v1/completions", POST, LLM, LLM_COMPLETIONS, completions_dialect),
    ENDPOINT("/v1/embeddings", POST, LLM, LLM_EMBEDDINGS, openai_dialect),
    ENDPOINT("/v1/models", GET, MODELS, 0, openai_dialect),
    ENDPOINT("/v1/key", GET, KEY, 0, openai_dialect),
    ENDPOINT("/chat/completions", POST, LLM, LLM_CHAT, openai_dialect),
    ENDPOINT("/responses", POST, LLM, LLM_CHAT, responses_dialect),
    ENDPOINT("/completions", POST, LLM, LLM_COMPLETIONS, completions_dialect),
    ENDPOINT("/embeddings", POST, LLM, LLM_EMBEDDINGS, openai_dialect),
    ENDPOINT("/models", GET, MODELS, 0, openai_dialect),
    /* server.c answers their GETs; what comes here is another method */
    ENDPOINT("/livez", GET, HEALTH, 0, openai_dialect),
    ENDPOINT("/readyz", GET, HEALTH, 0, openai_dialect),
    ENDPOINT("/health", GET, HEALTH, 0, openai_dialect),
    ENDPOINT("/ready", GET, HEALTH, 0, openai_dialect),
    ENDPOINT("/health/liveliness", GET, HEALTH, 0, openai_dialect),
    ENDPOINT("/health/readiness", GET, HEALTH, 0, openai_dialect),
};
static const struct endpoint model_endpoint =
    ENDPOINT("/v1/models/", GET, MODEL, 0, openai_dialect);
static const struct endpoint pass_endpoint = {.kind = ENDPOINT_PASS, .dialect = &openai_dialect};

/* Google's dialect names model and method in the path: /v1beta/models/MODEL:METHOD. */
static const struct endpoint google_endpoint =
    ENDPOINT("/v1beta/models/", POST, LLM, LLM_CHAT, google_dialect);
static const struct endpoint google_array_endpoint =
    ENDPOINT("/v1beta/models/", POST, LLM, LLM_CHAT, google_array_dialect);

/* Model and method of such a path. False: it is none. */
static bool split_google(struct slice path, struct slice *ret_model, struct slice *ret_method)
{
    static const struct slice roots[] = {{"/v1beta/models/", 15}, {"/v1/models/", 11}};
    struct slice rest = SLICE_NONE;
    for (size_t i = 0; i < ARRAY_LEN(roots) && rest.n == 0; i++) {
        if (slice_starts(path, roots[i]))
            rest = slice_from(path, roots[i].n);
    }
    size_t colon = rest.n; /* the last one: models have colons in their names too */
    while (colon > 0 && rest.p[colon - 1] != ':')
        colon--;
    if (colon < 2)
        return false;
    *ret_method = slice_from(rest, colon);
    *ret_model = slice_of(rest.p, colon - 1);
    return slice_is(*ret_method, "streamGenerateContent") ||
           slice_is(*ret_method, "generateContent");
}

static const struct endpoint *find_google(struct exchange *x, const struct http_head *h)
{
    struct slice model, method;
    if (!split_google(x->path, &model, &method))
        return NULL;
    x->url_stream = slice_is(method, "streamGenerateContent");
    x->url_model = model;
    bool array = x->url_stream && !slice_is(request_query(h, SLICE("alt")), "sse");
    return array ? &google_array_endpoint : &google_endpoint;
}

static const struct endpoint *find_endpoint(struct exchange *x, const struct http_head *h)
{
    struct slice path = x->path;
    const struct endpoint *google = find_google(x, h);
    if (google != NULL)
        return google;
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        if (slice_eq(endpoints[i].path, path))
            return &endpoints[i];
    }
    bool one = slice_starts(path, model_endpoint.path) && path.n > model_endpoint.path.n;
    return one ? &model_endpoint : NULL;
}

static const struct gw_passthrough *find_passthrough(const struct gw_snapshot *s, struct slice path)
{
    const struct gw_passthrough *best = NULL; /* the longest that fits */
    for (size_t i = 0; i < s->passthrough_n; i++) {
        const struct gw_passthrough *p = &s->passthrough[i];
        bool fits = p->prefix ? slice_starts(path, p->path) : slice_eq(path, p->path);
        if (fits && (best == NULL || p->path.n > best->path.n))
            best = p;
    }
    return best;
}

/* Whose clients ask for what is not there. */
static const struct llm_dialect *dialect_of(struct slice path)
{
    static const struct {
        struct slice root;
        const struct llm_dialect *dialect;
    } rows[] = {{{"/v1beta/", 8}, &google_dialect}, {{"/v1/messages", 12}, &anthropic_dialect}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_starts(path, rows[i].root))
            return rows[i].dialect;
    }
    return &openai_dialect;
}

static enum step_result step_read_head(struct exchange *x)
{
    const struct http_head *h = x->head;
    x->method = h->method;
    enum gw_error e = request_read_head(x, h);
    if (e == GW_BAD_REQUEST)
        return exchange_refuse(x, e, "malformed percent-encoding in the path");
    if (e != GW_OK)
        return exchange_refuse(x, e, NULL);
    if (x->cors_origin.n > 0 && h->method == HTTP_OPTIONS) {
        respond_preflight(x);
        pipeline_to_settle(x);
        return STEP_AGAIN;
    }
    x->endpoint = find_endpoint(x, h);
    x->dialect = x->endpoint != NULL ? x->endpoint->dialect : &openai_dialect;
    if (x->endpoint == NULL) {
        bool leaves = request_path_leaves(x->path); /* the upstream would look elsewhere */
        x->passthrough = leaves ? NULL : find_passthrough(x->snapshot, x->path);
        if (x->passthrough == NULL)
            x->dialect = dialect_of(x->path);
        if (x->passthrough == NULL)
            return exchange_refuse(x, GW_NOT_FOUND, "Unknown request URL: %s %.*s",
                                   http_method_text(h->method), SLICE_ARG(x->path));
        x->endpoint = &pass_endpoint;
        if (!request_keep_pass_fields(x, h))
            return exchange_refuse(x, GW_NO_MEMORY, NULL);
    } else if (h->method != x->endpoint->method &&
               !(h->method == HTTP_HEAD && x->endpoint->method == HTTP_GET)) {
        x->allow = x->endpoint->allow;
        return exchange_refuse(x, GW_METHOD, "Use %s for %.*s.", x->endpoint->allow,
                               SLICE_ARG(x->path));
    }
    return STEP_NEXT;
}

static enum step_result step_authenticate(struct exchange *x)
{
    uint8_t digest[SHA256_BYTES];
    struct slice key = request_api_key(x->head);
    if (key.n == 0 && x->dialect->id == DIALECT_GOOGLE)
        key = request_query(x->head, SLICE("key"));
    if (x->snapshot->wants_client_key && key.n > 0) {
        x->client_key = arena_copy(&x->arena, key);
        if (x->client_key.p == NULL)
            return exchange_refuse(x, GW_NO_MEMORY, NULL);
    }
    if (!x->snapshot->auth_keys)
        return STEP_NEXT;
    if (key.n == 0)
        return exchange_refuse(x, GW_NO_KEY, NULL);
    if (!hash_sha256(key, digest))
        return exchange_refuse(x, GW_INTERNAL, NULL);
    x->key = gw_key_ring_find(x->snapshot->keys, digest, clock_wall_ns());
    if (x->key == NULL)
        return exchange_refuse(x, GW_BAD_KEY, NULL);
    return identity_network_fits(x) ? STEP_NEXT : exchange_refuse(x, GW_NETWORK, NULL);
}

/* What needs no target is answered here. */
static enum step_result step_local(struct exchange *x)
{
    if (x->endpoint->kind == ENDPOINT_MODELS)
        respond_models(x);
    else if (x->endpoint->kind == ENDPOINT_KEY)
        respond_key(x);
    else if (x->endpoint->kind == ENDPOINT_MODEL)
        return respond_model(x, slice_from(x->path, model_endpoint.path.n));
    else
        return STEP_NEXT;
    pipeline_to_settle(x);
    return STEP_AGAIN;
}

static enum step_result step_read_body(struct exchange *x)
{
    const struct http_head *h = x->head;
    if (x->error != GW_OK)
        return STEP_REPLY; /* found out while the body came */
    if (x->body_done)
        return STEP_NEXT;
    if (x->endpoint->kind ==
        ENDPOINT_PASS) { /* it is relayed as it comes, once a target takes it */
        x->pass_bytes = h->chunked ? STREAM_UNKNOWN : (size_t)MAX_OF(h->content_length, INT64_C(0));
        return STEP_NEXT;
    }
    if (h->content_length > x->snapshot->limits.body_bytes)
        return exchange_refuse(
            x, GW_BODY_TOO_LARGE, "The request body has %lld bytes; at most %lld are allowed.",
            (long long)h->content_length, (long long)x->snapshot->limits.body_bytes);
    x->announced = (size_t)MAX_OF(h->content_length, INT64_C(0));
    struct slice coding = http_field_get(h, HTTP_CONTENT_ENCODING);
    if (coding.n > 0 && !slice_eq_nocase(coding, SLICE("identity"))) {
        enum gw_error e = inflate_new(coding, &x->inflate);
        if (e != GW_OK)
            return exchange_refuse(x, e, NULL);
    }
    enum step_result r = exchange_wait(x, WAIT_BODY);
    net_stream_read_body(x->client); /* it may come, and the client may leave, during the call */
    return r;
}

static enum gw_error append_body(struct exchange *x, struct slice data)
{
    size_t limit = (size_t)x->snapshot->limits.body_bytes, total = x->body.n + data.n;
    if (total > limit)
        return GW_BODY_TOO_LARGE;
    /* Once an eighth is here there is room for all of it: to grow step by step copies it each time.
     */
    size_t room = total < x->announced && x->announced / 8 <= total ? x->announced : total;
    if (!block_reserve(&x->worker->loop.blocks, &x->body, room - x->body.n)) {
        metric_count(x->worker->metrics, MP_BODY_REFUSED, 1);
        return GW_BODY_MEMORY;
    }
    memcpy(x->body.p + x->body.n, data.p, data.n);
    x->body.n += data.n;
    return GW_OK;
}

void exchange_body(struct exchange *x, struct slice data)
{
    x->bytes_in += (int64_t)data.n;
    if (x->endpoint->kind == ENDPOINT_PASS) {
        relay_request_body(x, data, false);
        return;
    }
    if (x->error != GW_OK)
        return;
    if (x->client != NULL && net_stream_body_bytes(x->client) > x->snapshot->limits.body_bytes)
        x->error = GW_BODY_TOO_LARGE;
    else
        x->error = x->inflate == NULL
                       ? append_body(x, data)
                       : inflate_feed(x->inflate, data, &x->worker->loop.blocks, &x->body,
                                      (size_t)x->snapshot->limits.body_bytes);
    if (x->error != GW_OK)
        exchange_wake(x, WAIT_BODY);
}

void exchange_body_end(struct exchange *x)
{
    if (x->endpoint->kind == ENDPOINT_PASS) {
        relay_request_body(x, SLICE_NONE, true);
        return;
    }
    if (x->inflate != NULL && x->error == GW_OK && !inflate_complete(x->inflate))
        x->error = GW_BODY_UNPACK;
    inflate_free(TAKE(x->inflate)); /* it may be larger than the body */
    x->body_done = true;
    exchange_wake(x, WAIT_BODY);
}

/* A large body is read off the loop. Nothing of the exchange is touched but what the job holds. */
struct parse_job {
    uv_work_t work;
    struct exchange *exchange;
    struct json_parser *json;
    struct llm_bad_request bad;
    bool ok, done;
};

static void run_job(uv_work_t *work)
{
    struct parse_job *j = container_of(work, struct parse_job, work);
    struct exchange *x = j->exchange;
    j->ok = x->dialect->read_request(j->json, &x->arena, x->endpoint->op,
                                     slice_of(x->body.p, x->body.n), &x->request, &j->bad);
}

static void finish_job(uv_work_t *work, int status)
{
    struct parse_job *j = container_of(work, struct parse_job, work);
    struct exchange *x = j->exchange;
    net_now(&x->worker->loop);
    j->done = true;
    j->ok = j->ok && status == 0;
    exchange_wake(x, WAIT_PARSE);
}

static enum step_result start_job(struct exchange *x)
{
    struct parse_job *j = mem_calloc(1, sizeof *j);
    struct json_parser *json = json_parser_new();
    if (j == NULL || json == NULL) {
        mem_free(j);
        json_parser_free(json);
        return exchange_refuse(x, GW_NO_MEMORY, NULL);
    }
    j->exchange = x;
    j->json = json;
    x->job = j;
    uv_queue_work(&x->worker->loop.uv, &j->work, run_job, finish_job);
    return exchange_wait(x, WAIT_PARSE);
}

static bool parse_here(struct exchange *x, struct llm_bad_request *bad)
{
    return x->dialect->read_request(x->worker->json, &x->arena, x->endpoint->op,
                                    slice_of(x->body.p, x->body.n), &x->request, bad);
}

/* A model's name that came in a path: what one in a body has been checked for. */
static bool is_model_name(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7F)
            return false;
    }
    return name.n <= LLM_MODEL_MAX && utf8_valid(name);
}

static enum step_result step_parse(struct exchange *x)
{
    struct llm_bad_request bad;
    bool ok;
    if (x->endpoint->kind == ENDPOINT_PASS)
        return STEP_NEXT;
    if (x->job != NULL) {
        ASSERT(x->job->done);
        ok = x->job->ok;
        bad = x->job->bad;
        json_parser_free(x->job->json);
        mem_free(TAKE(x->job));
    } else if (x->body.n > POOL_BODY_BYTES) {
        return start_job(x);
    } else {
        ok = parse_here(x, &bad);
    }
    if (!ok && bad.no_memory)
        return exchange_refuse(x, GW_NO_MEMORY, NULL);
    if (!ok) {
        x->param = arena_copy(&x->arena, slice_str(bad.param));
        x->code = bad.code;
        return exchange_refuse(x, GW_INVALID_BODY, "%s", bad.message);
    }
    if (!is_model_name(x->url_model)) {
        x->param = SLICE("model");
        return exchange_refuse(x, GW_INVALID_BODY, "The path names no valid model.");
    }
    if (x->url_model.n > 0) {
        x->request.model = x->url_model;
        x->request.stream = x->url_stream;
    }
    x->request.model = arena_copy(&x->arena, x->request.model); /* outlives the body */
    return x->request.model.p != NULL ? STEP_NEXT : exchange_refuse(x, GW_NO_MEMORY, NULL);
}

static enum step_result step_route(struct exchange *x)
{
    struct slice hint, name = x->request.model;
    if (x->passthrough != NULL) {
        x->direct = (struct gw_target){.provider = x->passthrough->provider,
                                       .label = x->passthrough->provider->name};
        return STEP_NEXT;
    }
    switch (gw_resolve(x->snapshot, name, &x->arena, &x->model, &x->direct, &hint)) {
    case RESOLVED_MODEL: x->metric_id = x->model->metric_id; break;
    case RESOLVED_TARGET:
        x->metric_id = worker_label_id(x->worker, name, false);
        gw_target_complete(x->snapshot, &x->direct);
        break;
    case RESOLVED_AMBIGUOUS:
        x->param = SLICE("model");
        return exchange_refuse(x, GW_MODEL_AMBIGUOUS,
                               "Several providers may have the model `%.*s`; ask for one of %.*s.",
                               SLICE_ARG(name), SLICE_ARG(hint));
    case RESOLVED_NOTHING:
        x->param = SLICE("model");
        if (hint.n == 0)
            return exchange_refuse(x, GW_MODEL_NOT_FOUND, "The model `%.*s` does not exist.",
                                   SLICE_ARG(name));
        return exchange_refuse(x, GW_MODEL_NOT_FOUND,
                               "The model `%.*s` does not exist. There are: %.*s.", SLICE_ARG(name),
                               SLICE_ARG(hint));
    }
    metric_add(x->worker->metrics, MM_INFLIGHT, x->metric_id, 0, 1);
    x->counted_inflight = true;
    return STEP_NEXT;
}

void exchange_set_model(struct exchange *x, const struct gw_model *m)
{
    metric_add(x->worker->metrics, MM_INFLIGHT, x->metric_id, 0, -1);
    x->model = m;
    x->metric_id = m->metric_id;
    metric_add(x->worker->metrics, MM_INFLIGHT, x->metric_id, 0, 1);
}

static enum step_result step_admit(struct exchange *x)
{
    enum gw_error e = identity_resolve(x);
    if (e == GW_OK)
        e = admit_request(x);
    if (e == GW_OK)
        e = route_begin(x);
    if (e == GW_OK && !rescue_begin(x))
        e = GW_NO_MEMORY;
    return e == GW_OK ? STEP_NEXT : exchange_refuse(x, e, NULL);
}

/* Why the latest attempt failed, as the client is to hear it. */
struct failure {
    enum gw_error error;
    unsigned status;
    struct llm_error upstream;
    struct slice message, param, retry_fields, down_fields, upstream_id;
};

static struct failure failure_of(const struct exchange *x)
{
    return (struct failure){.error = x->error,
                            .status = x->upstream_status,
                            .upstream = x->upstream_error,
                            .message = x->message,
                            .param = x->param,
                            .retry_fields = x->retry_fields,
                            .down_fields = x->down_fields,
                            .upstream_id = x->upstream_id};
}

static void restore(struct exchange *x, const struct failure *f)
{
    x->error = f->error;
    x->upstream_status = f->status;
    x->upstream_error = f->upstream;
    x->message = f->message;
    x->param = f->param;
    x->retry_fields = f->retry_fields;
    x->down_fields = f->down_fields;
    x->upstream_id = f->upstream_id;
}

/* The request was not for this target, or the key was not: no news where another one failed. */
static bool is_unfit(enum gw_error e)
{
    return e == GW_UNSUPPORTED || e == GW_NO_OPERATION || e == GW_TARGET_FORBIDDEN ||
           e == GW_UNPRICED;
}

static enum step_result step_attempt(struct exchange *x)
{
    const struct gw_target *t;
    enum gw_error e = x->route.order_n > 0 ? GW_NO_TARGET : GW_INTERNAL;
    struct failure before = failure_of(x);
    while ((t = route_next(x)) != NULL) {
        struct limit_hold hold;
        restore(x, &(struct failure){0}); /* what an earlier one failed of is its own */
        e = admit_reserve(x, t, &hold);
        if (e == GW_OK)
            e = attempt_start(x, t, &hold);
        if (e == GW_OK)
            return STEP_NEXT;
        if (!gw_error_row(e)->try_another)
            break;
        x->error = e;
        if (!is_unfit(e))
            before = failure_of(x);
    }
    if (before.error == GW_OK || (!is_unfit(e) && e != GW_NO_TARGET))
        return exchange_refuse(x, e, NULL);
    restore(x, &before); /* the request was good for another target, which failed */
    return STEP_REPLY;
}

/* May what went wrong with the attempt be mended by another? */
static bool may_try_another(struct exchange *x, const struct attempt *a)
{
    return gw_error_row(a->error)->try_another && x->stage < STAGE_DELIVERING &&
           x->body.p != NULL && route_goes_on(x, a);
}

static enum step_result step_relay(struct exchange *x)
{
    struct attempt *a = x->attempt;
    if (!attempt_over(a)) {
        if (!place_held(a))
            return exchange_wait(x, WAIT_PLACE);
        attempt_send(a);
        if (!attempt_over(a))
            return exchange_wait(x, WAIT_UPSTREAM);
    }
    x->error = a->error;
    if (a->error == GW_OK)
        return STEP_NEXT;
    if (x->stage == STAGE_DELIVERING ? rescue_cut(x, a) : may_try_another(x, a)) {
        x->step--;
        bool paused = x->route.resume_ns > net_now(&x->worker->loop);
        return paused ? exchange_wait(x, WAIT_PAUSE) : STEP_AGAIN;
    }
    return STEP_REPLY;
}

static enum step_result step_settle(struct exchange *x)
{
    exchange_settle(x);
    return STEP_DONE;
}

static const struct {
    const char *name;
    enum step_result (*run)(struct exchange *x);
} steps[] = {
    {"read_head", step_read_head}, {"authenticate", step_authenticate},
    {"local", step_local},         {"read_body", step_read_body},
    {"parse", step_parse},         {"route", step_route},
    {"admit", step_admit},         {"attempt", step_attempt},
    {"relay", step_relay},         {"settle", step_settle},
};
#define STEP_PARSE  4
#define STEP_SETTLE (ARRAY_LEN(steps) - 1)

enum step_result pipeline_step(struct exchange *x)
{
    return steps[x->step].run(x);
}

const char *pipeline_step_name(const struct exchange *x)
{
    return steps[x->step].name;
}

bool pipeline_asks_model(const struct exchange *x)
{
    return x->endpoint != NULL &&
           (x->endpoint->kind == ENDPOINT_LLM || x->endpoint->kind == ENDPOINT_PASS);
}

bool pipeline_find(struct slice path, struct pipeline_place *ret)
{
    struct slice model = SLICE_NONE, method = SLICE_NONE;
    if (split_google(path, &model, &method)) {
        *ret = (struct pipeline_place){.dialect = &google_dialect,
                                       .op = LLM_CHAT,
                                       .model = model,
                                       .stream = slice_is(method, "streamGenerateContent")};
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        if (endpoints[i].kind != ENDPOINT_LLM || !slice_eq(endpoints[i].path, path))
            continue;
        *ret = (struct pipeline_place){.dialect = endpoints[i].dialect, .op = endpoints[i].op};
        return true;
    }
    return false;
}

void pipeline_to_settle(struct exchange *x)
{
    x->step = STEP_SETTLE;
}

void pipeline_to_parse(struct exchange *x, enum llm_op op)
{
    x->step = STEP_PARSE;
    x->body_done = true;
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        if (endpoints[i].kind == ENDPOINT_LLM && endpoints[i].op == op && x->endpoint == NULL)
            x->endpoint = &endpoints[i];
    }
    x->dialect = x->endpoint->dialect;
}

/* What would become of a request that nobody has made: the way of pipeline.c from the body to the
 * route, without an exchange. */
#include "base/clock.h"
#include "base/hash.h"
#include "explain.h"
#include "translate.h"
#include "worker.h"

/* A request as far as it has come. */
struct judged {
    const struct explain_ask *q;
    const struct llm_dialect *dialect;
    struct llm_request request;
    struct llm_bad_request bad;
    const struct gw_model *model; /* NULL: `direct` */
    struct gw_target direct;
    const struct gw_use_case *use_case;
    enum route_strategy asked;
    struct slice message; /* of the error, when it says more than the row */
};

static enum gw_error read_request(struct judged *j)
{
    const struct explain_ask *q = j->q;
    struct pipeline_place place;
    struct slice rest = q->path, path = slice_cut(&rest, '?');
    if (!pipeline_find(path, &place)) {
        j->message = SLICE("No requests to models go to this path.");
        return GW_NOT_FOUND;
    }
    j->dialect = place.dialect;
    if (!place.dialect->read_request(q->parser, q->arena, place.op, q->body, &j->request,
                                     &j->bad)) {
        j->message = slice_str(j->bad.message);
        return j->bad.no_memory ? GW_NO_MEMORY : GW_INVALID_BODY;
    }
    if (place.model.n > 0) {
        j->request.model = place.model;
        j->request.stream = place.stream;
    }
    return GW_OK;
}

static enum gw_error resolve(struct judged *j)
{
    const struct explain_ask *q = j->q;
    struct slice hint, name = j->request.model;
    switch (gw_resolve(q->snapshot, name, q->arena, &j->model, &j->direct, &hint)) {
    case RESOLVED_MODEL: return GW_OK;
    case RESOLVED_TARGET: gw_target_complete(q->snapshot, &j->direct); return GW_OK;
    case RESOLVED_AMBIGUOUS:
        j->message = arena_printf(q->arena, "One of these has to be meant: %.*s.", SLICE_ARG(hint));
        return GW_MODEL_AMBIGUOUS;
    case RESOLVED_NOTHING: break;
    }
    if (hint.n > 0)
        j->message = arena_printf(q->arena, "There is no model `%.*s`. There are: %.*s.",
                                  SLICE_ARG(name), SLICE_ARG(hint));
    return GW_MODEL_NOT_FOUND;
}

static enum gw_error identify(struct judged *j)
{
    const struct explain_ask *q = j->q;
    const struct gw_key *k = q->key;
    const struct identity_ask ask = {.snapshot = q->snapshot,
                                     .key = k,
                                     .request = &j->request,
                                     .parser = q->parser,
                                     .arena = q->arena};
    enum gw_error e = identity_use_case(&ask, q->use_case, &j->use_case, &j->message);
    if (e == GW_OK)
        e = identity_strategy(k, q->priority, &j->asked, &j->message);
    if (e == GW_OK && k != NULL && !gw_allows(k->models, k->models_n, j->request.model))
        e = GW_MODEL_FORBIDDEN;
    return e;
}

/* Nobody is left: why. */
static enum gw_error say_unfit(struct judged *j, const struct route *r)
{
    const struct gw_target *t = route_incapable(r);
    unsigned lacks = t != NULL ? r->verdict[t - r->list].lacks : 0;
    if (t != NULL && lacks == 0)
        return GW_NO_OPERATION;
    j->message = SLICE(ROUTE_TOO_LONG);
    if (t == NULL)
        return GW_UNSUPPORTED;
    enum llm_feature f = llm_need_feature((unsigned)__builtin_ctz(lacks));
    j->message = arena_printf(j->q->arena, TRANSLATE_LACKS,
                              SLICE_ARG(slice_str(llm_feature_name(f, j->dialect->id))),
                              SLICE_ARG(t->label));
    return GW_UNSUPPORTED;
}

static enum gw_error judge_route(struct judged *j, struct route *r)
{
    const struct explain_ask *q = j->q;
    const struct gw_model *m = j->model;
    size_t body = q->body.n;
    struct route_query rq = {
        .snapshot = q->snapshot,
        .key = q->key,
        .use_case = j->use_case,
        .model = m,
        .dialect = j->dialect,
        .asked = j->asked,
        .prompt_bytes = (int64_t)(body - MIN_OF(j->request.bulk_bytes, body)),
        .session = q->session,
        .prompt = {.request = &j->request, .parser = q->parser, .arena = q->arena},
        .random = random_u64(),
        .turn = m != NULL && m->live != NULL
                    ? atomic_load_explicit(&m->live->turn, memory_order_relaxed)
                    : 0,
        .now_ns = q->now_ns,
        .wall_s = q->wall_ns / NS_PER_S};
    *r = (struct route){.list = m != NULL ? m->targets : &j->direct,
                        .n = m != NULL ? (unsigned)m->targets_n : 1};
    enum gw_error e = route_judge(&rq, r);
    return e == GW_UNSUPPORTED ? say_unfit(j, r) : e;
}

static void put_error(struct json_writer *w, enum gw_error e, struct slice message)
{
    const struct gw_error_row *row = gw_error_row(e);
    jw_key(w, "error");
    jw_open(w, '{');
    jw_field_i64(w, "status", row->status);
    jw_field_string(w, "code", slice_str(row->code));
    jw_field_string(w, "message", message.n > 0 ? message : slice_str(row->message));
    jw_close(w, '}');
}

void gateway_explain_ask(const struct explain_ask *q, struct buf *json_out)
{
    struct judged j = {.q = q, .asked = ROUTE_STRATEGIES_N};
    struct explain_record e;
    struct route r = {.list = NULL};
    enum gw_error error = read_request(&j);
    if (error == GW_OK)
        error = resolve(&j);
    if (error == GW_OK)
        error = identify(&j);
    if (error == GW_OK)
        error = judge_route(&j, &r);
    explain_begin(&e, j.request.model, j.model);
    explain_put_route(&e, &r);
    e.stream = j.request.stream;
    struct json_writer w = json_writer(json_out);
    jw_open(&w, '{');
    explain_put_json(&w, &e);
    if (error != GW_OK)
        put_error(&w, error, j.message);
    jw_close(&w, '}');
}

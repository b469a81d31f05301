/* The memory of the latest decisions: see gateway/explain.h. Each worker writes into a ring of its
 * own, under a lock that the control thread takes for as long as it looks for one id and copies one
 * record. Ids stand apart, so that the search touches little memory. */
#include "explain.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "worker.h"

struct explain_ring {
    pthread_mutex_t lock;
    uint64_t written;
    uint8_t id[EXPLAIN_RECORDS][16];
    struct explain_record record[EXPLAIN_RECORDS];
};

struct explain_ring *explain_ring_new(void)
{
    struct explain_ring *r = mem_calloc(1, sizeof *r);
    if (r != NULL)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

void explain_ring_free(struct explain_ring *r)
{
    if (r == NULL)
        return;
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/* ---- writing */

static struct explain_name keep(struct explain_record *e, struct slice s)
{
    struct explain_name name = {e->text_n, (uint16_t)MIN_OF(s.n, (size_t)EXPLAIN_NAME)};
    if (name.n > 0) /* gcc makes `rep movs` of a short memcpy, which is slow to start */
        memmove(e->text + e->text_n, s.p, name.n);
    e->text_n = (uint16_t)(e->text_n + name.n);
    return name;
}

void explain_begin(struct explain_record *e, struct slice model, const struct gw_model *alias)
{
    memset(e, 0, offsetof(struct explain_record, candidate));
    e->model = keep(e, model);
    if (alias != NULL && !slice_eq(alias->name, model))
        e->alias = keep(e, alias->name);
}

static void put_candidate(struct explain_record *e, const struct route *r, unsigned i,
                          unsigned place)
{
    const struct route_verdict *v = &r->verdict[i];
    e->candidate[e->shown++] = (struct explain_candidate){.target = keep(e, r->list[i].label),
                                                          .reason = (uint8_t)v->reason,
                                                          .lacks = v->lacks,
                                                          .state = (uint8_t)v->state,
                                                          .skipped = (uint8_t)v->skipped,
                                                          .place = (uint8_t)place,
                                                          .fallback = r->list[i].fallback,
                                                          .score = v->score};
}

/* Those of the order first, then those that are out as they stand. */
void explain_put_route(struct explain_record *e, const struct route *r)
{
    uint64_t in = 0;
    e->routed = r->verdict != NULL;
    if (!e->routed)
        return;
    e->chosen = r->n > 1;
    e->strategy = (uint8_t)r->strategy;
    e->panic = r->panic;
    e->partial = r->part;
    e->complexity = r->complexity;
    for (unsigned i = 0; i < r->order_n; i++) {
        unsigned at = r->order != NULL ? r->order[i] : i;
        in |= UINT64_C(1) << at;
        if (e->shown < EXPLAIN_SHOWN)
            put_candidate(e, r, at, i + 1);
    }
    for (unsigned i = 0; i < r->n && e->shown < EXPLAIN_SHOWN; i++) {
        if (!(in >> i & 1))
            put_candidate(e, r, i, 0);
    }
    e->others = (uint16_t)(r->n - e->shown);
}

static uint32_t since_us(const struct exchange *x, int64_t ns)
{
    int64_t us = (ns - x->started_ns) / NS_PER_US;
    return ns == 0 ? UINT32_MAX : (uint32_t)MIN_OF(MAX_OF(us, INT64_C(0)), INT64_C(0xfffffffe));
}

static void put_attempt(struct explain_record *e, const struct exchange *x, const struct attempt *a)
{
    const struct gw_provider *p = a->target.provider;
    bool numbered = a->key != NULL && p->keys_n > 0;
    e->attempt[e->attempts_n++] = (struct explain_attempt){
        .target = keep(e, a->target.label),
        .status = (uint16_t)a->status,
        .error = (uint8_t)a->error,
        .overlong = a->overlong,
        .key = numbered ? (uint8_t)MIN_OF(a->key - p->keys + 1, (ptrdiff_t)UINT8_MAX) : 0,
        .start_us = since_us(x, a->started_ns),
        .sent_us = since_us(x, attempt_out_ns(a)),
        .first_us = since_us(x, a->first_content_ns),
        .end_us = since_us(x, a->ended_ns)};
}

/* All records are more than a core's cache holds. What one like this one needs of the next is asked
 * for at the end: it comes while the next request is under way. */
void explain_note(struct exchange *x, const char *reason, unsigned status)
{
    struct explain_ring *r = x->worker->explain;
    bool let_in = x->request.model.n > 0 || x->admission != NULL;
    if (!let_in || !pipeline_asks_model(x))
        return; /* who has no key shall not make others' records go */
    route_note_skipped(x);
    pthread_mutex_lock(&r->lock);
    size_t at = r->written++ % EXPLAIN_RECORDS;
    struct explain_record *e = &r->record[at];
    memcpy(r->id[at], x->raw_id, sizeof x->raw_id);
    explain_begin(e, x->request.model, x->model);
    explain_put_route(e, &x->route);
    for (unsigned i = 0; i < x->attempts_n; i++)
        put_attempt(e, x, x->attempts[i]);
    e->wall_ns = exchange_wall_ns(x);
    e->reason = reason;
    e->status = (uint16_t)status;
    e->stream = x->request.stream;
    const struct explain_record *next = &r->record[r->written % EXPLAIN_RECORDS];
    FETCH(next, (size_t)((const char *)&e->candidate[e->shown] - (const char *)e), true);
    FETCH(next->attempt, e->attempts_n * sizeof *e->attempt, true);
    FETCH(next->text, e->text_n, true);
    pthread_mutex_unlock(&r->lock);
}

/* ---- telling */

static void put_name(struct json_writer *w, const struct explain_record *e, struct explain_name n)
{
    jw_string(w, slice_of(e->text + n.at, n.n));
}

static void put_lacks(struct json_writer *w, unsigned lacks)
{
    jw_key(w, "lacks");
    jw_open(w, '[');
    for (unsigned i = 0; i < LLM_NEEDS_N; i++) {
        if (lacks >> i & 1)
            jw_string(w, slice_str(llm_need_name(i)));
    }
    jw_close(w, ']');
}

static void put_candidates(struct json_writer *w, const struct explain_record *e)
{
    jw_key(w, "candidates");
    jw_open(w, '[');
    for (unsigned i = 0; i < e->shown; i++) {
        const struct explain_candidate *c = &e->candidate[i];
        jw_open(w, '{');
        jw_key(w, "target");
        put_name(w, e, c->target);
        if (c->place > 0)
            jw_field_i64(w, "place", c->place);
        jw_field_string(w, "reason", slice_str(route_reason_name((enum route_reason)c->reason)));
        if (c->lacks != 0)
            put_lacks(w, c->lacks);
        if (c->state < HEALTH_STATES_N)
            jw_field_string(w, "state", slice_str(health_state_name((enum health_state)c->state)));
        if (e->chosen && c->place > 0) {
            jw_key(w, "score");
            jw_double(w, c->score);
        }
        if (c->fallback)
            jw_field_bool(w, "fallback", true);
        if (c->skipped != GW_OK)
            jw_field_string(w, "skipped", slice_str(gw_error_row((enum gw_error)c->skipped)->code));
        jw_close(w, '}');
    }
    jw_close(w, ']');
    jw_field_i64(w, "others", e->others);
}

/* A field that is left out where it did not come to that. */
#define put_time(w, literal, us)                                                                   \
    do {                                                                                           \
        if ((us) != UINT32_MAX)                                                                    \
            jw_field_i64((w), literal, (us));                                                      \
    } while (0)

static void put_attempts(struct json_writer *w, const struct explain_record *e)
{
    jw_key(w, "attempts");
    jw_open(w, '[');
    for (unsigned i = 0; i < e->attempts_n; i++) {
        const struct explain_attempt *a = &e->attempt[i];
        jw_open(w, '{');
        jw_key(w, "target");
        put_name(w, e, a->target);
        jw_field_string(w, "outcome",
                        slice_str(attempt_outcome((enum gw_error)a->error, a->overlong)));
        if (a->status != 0)
            jw_field_i64(w, "status", a->status);
        if (a->key != 0)
            jw_field_i64(w, "key", a->key);
        put_time(w, "start_us", a->start_us);
        put_time(w, "sent_us", a->sent_us);
        put_time(w, "first_us", a->first_us);
        put_time(w, "end_us", a->end_us);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

void explain_put_json(struct json_writer *w, const struct explain_record *e)
{
    jw_key(w, "model");
    put_name(w, e, e->model);
    if (e->alias.n > 0) {
        jw_key(w, "served_as");
        put_name(w, e, e->alias);
    }
    jw_field_bool(w, "stream", e->stream);
    if (e->chosen) {
        enum route_strategy s = (enum route_strategy)e->strategy;
        jw_field_string(w, "strategy", slice_str(route_strategy_name(s)));
        if (s == ROUTE_COMPLEXITY) {
            jw_key(w, "complexity");
            jw_double(w, e->complexity);
        }
        jw_field_bool(w, "panic", e->panic);
        if (e->partial)
            jw_field_bool(w, "partial", true);
    }
    if (e->routed)
        put_candidates(w, e);
}

static bool find(struct explain_ring *r, const uint8_t id[16], struct explain_record *ret)
{
    pthread_mutex_lock(&r->lock);
    size_t n = MIN_OF(r->written, (uint64_t)EXPLAIN_RECORDS), i = 0;
    while (i < n && memcmp(r->id[i], id, 16) != 0)
        i++;
    if (i < n)
        *ret = r->record[i];
    pthread_mutex_unlock(&r->lock);
    return i < n;
}

static void put_record(struct json_writer *w, const struct explain_record *e, const uint8_t raw[16])
{
    char id[LEDGER_ID_TEXT], time[CLOCK_RFC3339_SIZE];
    ledger_id_text(raw, id);
    clock_format_rfc3339(e->wall_ns, time);
    jw_open(w, '{');
    jw_field_string(w, "request_id", slice_str(id));
    jw_field_string(w, "time", slice_str(time));
    explain_put_json(w, e);
    put_attempts(w, e);
    jw_field_i64(w, "status", e->status);
    jw_field_string(w, "reason", slice_str(e->reason));
    jw_close(w, '}');
}

bool gateway_explain(struct gateway *g, struct slice request_id, struct buf *json_out)
{
    UNINITIALIZED struct explain_record e;
    uint8_t id[16];
    if (!ledger_id_read(request_id, id))
        return false;
    for (unsigned i = 0; i < g->workers_n; i++) {
        if (!find(g->workers[i].explain, id, &e))
            continue;
        struct json_writer w = json_writer(json_out);
        put_record(&w, &e, id);
        return true;
    }
    return false;
}

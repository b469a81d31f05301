/* The admin API of targets: how each one and each credential fares, and an operator's hand on it.
 */
#include <stdlib.h>

#include "admin_access.h"
#include "admin_route.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "gateway/snapshot.h"
#include "observe/log.h"

struct listed {
    struct slice label;
    struct target_live *live;
};

struct listing {
    struct listed *item; /* NULL: they are counted */
    size_t n, size;
};

static void collect(void *ctx, struct slice label, struct target_live *t)
{
    struct listing *l = ctx;
    if (l->item != NULL && l->n < l->size)
        l->item[l->n] = (struct listed){label, t};
    l->n += l->item == NULL || l->n < l->size;
}

static int by_label(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    int order = memcmp(x->label.p, y->label.p, MIN_OF(x->label.n, y->label.n));
    return order != 0 ? order : x->label.n < y->label.n ? -1 : x->label.n > y->label.n;
}

/* "provider#1", where a target is "provider/model". */
static bool is_credential(struct slice label)
{
    ptrdiff_t sharp = slice_find(label, '#'), slash = slice_find(label, '/');
    return sharp >= 0 && (slash < 0 || sharp < slash);
}

static void put_until(struct json_writer *w, const struct target_view *v, int64_t now_ns,
                      int64_t wall_ns)
{
    char text[CLOCK_RFC3339_SIZE];
    if (v->until_ns <= now_ns || v->until_ns == INT64_MAX)
        return;
    clock_format_rfc3339(wall_ns + (v->until_ns - now_ns), text);
    jw_field_string(w, "until", slice_str(text));
    jw_field_i64(w, "remaining_ms", (v->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void put_times(struct json_writer *w, const struct target_view *v,
                      const struct target_live *t)
{
    if (v->first_ns > 0)
        jw_field_i64(w, "first_us", v->first_ns / NS_PER_US);
    int64_t p50 = target_live_first_quantile(t, 0.5);
    if (p50 > 0) {
        jw_field_i64(w, "first_p50_us", p50 / NS_PER_US);
        jw_field_i64(w, "first_p95_us", target_live_first_quantile(t, 0.95) / NS_PER_US);
        jw_field_i64(w, "first_p99_us", target_live_first_quantile(t, 0.99) / NS_PER_US);
    }
    if (v->gap_ns > 0)
        jw_field_i64(w, "gap_us", v->gap_ns / NS_PER_US);
}

/* The aliases that it stands behind. */
static void put_models(struct json_writer *w, const struct gw_snapshot *s,
                       const struct target_live *t)
{
    jw_key(w, "models");
    jw_open(w, '[');
    for (size_t m = 0; m < s->models_n; m++) {
        const struct gw_model *model = &s->model_list[m];
        bool in = false;
        for (size_t i = 0; i < model->targets_n; i++)
            in |= model->targets[i].live == t;
        if (in)
            jw_string(w, model->name);
    }
    jw_close(w, ']');
}

static void put_target(const struct admin_request *q, struct json_writer *w, const struct listed *l)
{
    const struct admin_hooks *h = q->hooks;
    struct target_view v;
    int64_t now_ns, wall_ns;
    h->times(h->ctx, &now_ns, &wall_ns);
    target_live_look(l->live, now_ns, &v);
    jw_open(w, '{');
    jw_field_string(w, "target", l->label);
    jw_field_string(w, "state", slice_str(health_state_name(v.state)));
    jw_field_string(w, "reason", slice_str(health_reason_name(v.reason)));
    put_until(w, &v, now_ns, wall_ns);
    jw_key(w, "share");
    jw_double(w, v.share);
    jw_field_i64(w, "inflight", v.inflight);
    jw_field_i64(w, "failures_in_a_row", v.failures_in_a_row);
    jw_field_i64(w, "ejections", v.ejections);
    jw_field_i64(w, "window_answers", v.window_answers);
    jw_field_i64(w, "window_failures", v.window_failures);
    put_times(w, &v, l->live);
    if (!is_credential(l->label))
        put_models(w, h->snapshot(h->ctx), l->live);
    jw_close(w, '}');
}

/* All of them, by name. False: no memory, which the reply says. */
static bool list_all(const struct admin_request *q, struct admin_reply *r, struct listing *ret)
{
    *ret = (struct listing){.item = NULL};
    target_live_each(collect, ret);
    ret->size = ret->n;
    ret->n = 0;
    ret->item = arena_alloc(q->arena, (ret->size + 1) * sizeof *ret->item);
    if (ret->item == NULL) {
        admin_fail(r, 503, "out of memory");
        return false;
    }
    target_live_each(collect, ret);
    qsort(ret->item, ret->n, sizeof *ret->item, by_label);
    return true;
}

static void get_targets(const struct admin_request *q, struct admin_reply *r)
{
    struct listing l;
    if (!list_all(q, r, &l))
        return;
    struct json_writer w = json_writer(&r->body);
    jw_open(&w, '{');
    for (int credentials = 0; credentials <= 1; credentials++) {
        jw_key_slice(&w, credentials ? SLICE("credentials") : SLICE("targets"));
        jw_open(&w, '[');
        for (size_t i = 0; i < l.n; i++) {
            if (is_credential(l.item[i].label) == credentials)
                put_target(q, &w, &l.item[i]);
        }
        jw_close(&w, ']');
    }
    jw_close(&w, '}');
}

/* The one that the path names. False: the reply says that there is none. */
static bool find_target(const struct admin_request *q, struct admin_reply *r, struct listed *ret)
{
    struct listing l;
    if (!list_all(q, r, &l))
        return false;
    for (size_t i = 0; i < l.n; i++) {
        *ret = l.item[i];
        if (slice_eq(ret->label, q->param))
            return true;
    }
    admin_fail(r, 404, "there is no target or credential `%.*s`", SLICE_ARG(q->param));
    return false;
}

static void changed(const struct admin_request *q, struct admin_reply *r, const struct listed *l,
                    const char *what)
{
    struct json_writer w = json_writer(&r->body);
    log_event(LOG_INFO, what, "`%.*s`, by a caller with the role %s", SLICE_ARG(l->label),
              admin_role_name(q->role));
    put_target(q, &w, l);
}

static void post_drain(const struct admin_request *q, struct admin_reply *r)
{
    struct listed l;
    if (!find_target(q, r, &l))
        return;
    target_live_drain(l.live, true);
    changed(q, r, &l, "target.drained");
}

static void post_enable(const struct admin_request *q, struct admin_reply *r)
{
    struct listed l;
    if (!find_target(q, r, &l))
        return;
    target_live_drain(l.live, false);
    changed(q, r, &l, "target.enabled");
}

static void post_reset(const struct admin_request *q, struct admin_reply *r)
{
    struct listed l;
    if (!find_target(q, r, &l))
        return;
    target_live_reset(l.live);
    changed(q, r, &l, "target.reset");
}

static const struct admin_route rows[] = {
    {"/admin/v1/targets", HTTP_GET, ROLE_VIEWER, false, 0, get_targets},
    {"/admin/v1/targets/**/drain", HTTP_POST, ROLE_OPERATOR, false, 0, post_drain},
    {"/admin/v1/targets/**/enable", HTTP_POST, ROLE_OPERATOR, false, 0, post_enable},
    {"/admin/v1/targets/**/reset", HTTP_POST, ROLE_OPERATOR, false, 0, post_reset},
};
const struct admin_table admin_target_routes = {rows, ARRAY_LEN(rows)};

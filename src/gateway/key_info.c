/* What a client may know of its own key: limits, use and spend. */
#include "admit.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "worker.h"

static const char *const period_names[LIMIT_BUDGETS_N] = {"hour", "day", "week", "month"};

static void put_time(struct json_writer *w, int64_t wall_ns)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(wall_ns, text);
    jw_string(w, slice_str(text));
}

static void put_limit(struct json_writer *w, enum limit_kind k, int64_t most, int64_t used)
{
    jw_open(w, '{');
    jw_field_string(w, "limit", slice_str(limit_kind_name(k)));
    jw_field_i64(w, "most", most);
    jw_field_i64(w, "used", used);
    jw_field_i64(w, "left", MAX_OF(most - used, INT64_C(0)));
    jw_close(w, '}');
}

static void put_budget(struct json_writer *w, struct limit_registry *r, unsigned b, int64_t most,
                       int64_t used)
{
    jw_open(w, '{');
    jw_field_string(w, "period", slice_str(period_names[b]));
    jw_key(w, "since");
    put_time(w, limit_period_start(r, b));
    jw_key(w, "spent_usd");
    jw_money(w, used);
    if (most != LIMIT_NONE) {
        jw_key(w, "budget_usd");
        jw_money(w, most);
    }
    jw_close(w, '}');
}

static void put_scope(struct json_writer *w, struct exchange *x, const struct gw_scope *s)
{
    struct limit_registry *r = x->worker->gateway->config.limits;
    int64_t used[LIMIT_KINDS_N];
    if (s == NULL || s->live == NULL)
        return;
    limit_used(r, s->live, net_now(&x->worker->loop), used);
    jw_open(w, '{');
    jw_field_string(w, "scope", slice_str(scope_kind_name(s->kind)));
    jw_field_string(w, "name", s->name);
    jw_key(w, "limits");
    jw_open(w, '[');
    for (unsigned k = 0; k < LIMIT_BUDGET_HOUR; k++) {
        if (s->set.most[k] != LIMIT_NONE)
            put_limit(w, (enum limit_kind)k, s->set.most[k], used[k]);
    }
    jw_close(w, ']');
    jw_key(w, "spend");
    jw_open(w, '[');
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++)
        put_budget(w, r, b, s->set.most[LIMIT_BUDGET_HOUR + b], used[LIMIT_BUDGET_HOUR + b]);
    jw_close(w, ']');
    jw_close(w, '}');
}

static void put_patterns(struct json_writer *w, const struct slice *patterns, size_t n)
{
    jw_open(w, '[');
    for (size_t i = 0; i < n; i++)
        jw_string(w, patterns[i]);
    jw_close(w, ']');
}

void key_info_put(struct exchange *x, struct buf *out)
{
    const struct gw_key *k = x->key;
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_field_string(&w, "object", SLICE("key"));
    if (k == NULL) {
        jw_field_bool(&w, "keyless", true);
        jw_close(&w, '}');
        return;
    }
    jw_field_string(&w, "name", k->scope.name);
    if (k->plan.n > 0)
        jw_field_string(&w, "plan", k->plan);
    if (k->use_case != NULL)
        jw_field_string(&w, "use_case", k->use_case->scope.name);
    if (k->expires_ns != 0) {
        jw_key(&w, "expires");
        put_time(&w, k->expires_ns);
    }
    if (k->max_tokens != LIMIT_NONE)
        jw_field_i64(&w, "max_tokens", k->max_tokens);
    if (k->models_n > 0) {
        jw_key(&w, "models");
        put_patterns(&w, k->models, k->models_n);
    }
    jw_key(&w, "scopes");
    jw_open(&w, '[');
    put_scope(&w, x, &k->scope);
    put_scope(&w, x, k->team);
    put_scope(&w, x, k->organisation);
    put_scope(&w, x, k->use_case != NULL ? &k->use_case->scope : NULL);
    jw_close(&w, ']');
    jw_close(&w, '}');
}

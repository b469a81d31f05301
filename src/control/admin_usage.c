/* Routes of the admin API that tell of use and money: the ledger, budgets, limits and prices. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "admin_route.h"
#include "base/clock.h"
#include "control/usage_report.h"
#include "llm/provider.h"
#include "policy/calendar.h"
#include "reading.h"
#include "usage_line.h"

#define LIMIT_USUAL 100
#define LIMIT_MOST  1000
#define GIVEN_MOST  ARRAY_LEN(((struct config_alerts *)NULL)->percent)

static struct usage_ask ask_of(const struct admin_request *q, struct admin_reply *r)
{
    return (struct usage_ask){.reader = q->hooks->reading->usage,
                              .query = q->query,
                              .wall_ns = q->hooks->reading->wall_ns,
                              .arena = q->arena,
                              .out = &r->body};
}

/* Is there anything to be read? */
static bool have_reading(const struct admin_request *q, struct admin_reply *r)
{
    if (q->hooks->reading != NULL)
        return true;
    admin_fail(r, 503, "this gateway keeps no ledger");
    return false;
}

static void run_report(const struct admin_request *q, struct admin_reply *r,
                       bool (*report)(struct usage_ask *))
{
    if (!have_reading(q, r))
        return;
    struct usage_ask ask = ask_of(q, r);
    if (!report(&ask))
        admin_fail(r, ask.status, "%s", ask.why);
}

static void get_usage(const struct admin_request *q, struct admin_reply *r)
{
    run_report(q, r, usage_report);
}

static void get_why(const struct admin_request *q, struct admin_reply *r)
{
    run_report(q, r, usage_report_why);
}

static void get_forecast(const struct admin_request *q, struct admin_reply *r)
{
    run_report(q, r, usage_report_forecast);
}

/* ---- scopes: budgets and limits */

/* Which scopes are asked for, and where the page begins. */
struct scope_page {
    const struct scope_list *scopes;
    int kind; /* -1: all */
    struct slice name;
    size_t at;
    int64_t limit;
};

/* "team/search": where a page ended. */
static struct slice place_of(const struct gw_scope *s, struct arena *a)
{
    return arena_printf(a, "%s/%.*s", scope_kind_name(s->kind), SLICE_ARG(s->name));
}

static bool find_place(struct usage_ask *ask, struct slice after, struct scope_page *p)
{
    struct slice name = after, kind = slice_cut(&name, '/');
    for (size_t i = 0; i < p->scopes->n; i++) {
        const struct gw_scope *s = p->scopes->item[i];
        if (slice_is(kind, scope_kind_name(s->kind)) && slice_eq(name, s->name)) {
            p->at = i + 1;
            return true;
        }
    }
    return usage_fail(ask, 400,
                      "`after` names no scope: take it from `next`, and begin anew when "
                      "that has been removed");
}

static bool read_scope_page(struct usage_ask *ask, const struct admin_request *q, int64_t most,
                            struct scope_page *ret)
{
    const char *kinds[SCOPE_KINDS_N + 1] = {NULL};
    struct slice kind = SLICE_NONE, limit = SLICE_NONE, after = SLICE_NONE;
    *ret = (struct scope_page){
        .scopes = alerts_scopes(q->hooks->reading->alerts), .kind = -1, .limit = LIMIT_USUAL};
    const struct usage_param params[] = {
        {"kind", &kind}, {"name", &ret->name}, {"limit", &limit}, {"after", &after}};
    for (unsigned k = 0; k < SCOPE_KINDS_N; k++)
        kinds[k] = scope_kind_name((enum scope_kind)k);
    if (!usage_params(ask, params, ARRAY_LEN(params)) ||
        (limit.n > 0 && !usage_number(ask, "limit", limit, 1, most, &ret->limit)) ||
        (kind.n > 0 && (ret->kind = usage_word(ask, "kind", kind, kinds)) < 0))
        return false;
    return after.n == 0 || find_place(ask, after, ret);
}

static bool fits(const struct scope_page *p, const struct gw_scope *s)
{
    return (p->kind < 0 || (int)s->kind == p->kind) &&
           (p->name.p == NULL || slice_eq(p->name, s->name));
}

/* Calls `put` for the scopes of the page; returns the last of them when there are more, or NULL. */
static const struct gw_scope *each_of_page(const struct scope_page *p, void *ctx,
                                           bool (*put)(void *ctx, const struct gw_scope *s))
{
    const struct gw_scope *last = NULL;
    int64_t n = 0;
    for (size_t i = p->at; i < p->scopes->n; i++) {
        const struct gw_scope *s = p->scopes->item[i];
        if (!fits(p, s))
            continue;
        if (n == p->limit)
            return last;
        n += put(ctx, s);
        last = s;
    }
    return NULL;
}

static void put_scope_name(struct json_writer *w, const struct gw_scope *s)
{
    jw_field_string(w, "kind", slice_str(scope_kind_name(s->kind)));
    jw_field_string(w, "name", s->name);
}

static void put_next(struct json_writer *w, const struct gw_scope *last, struct arena *a)
{
    if (last != NULL)
        jw_field_string(w, "next", place_of(last, a));
}

struct scope_writer {
    const struct admin_request *q;
    struct json_writer *w;
};

static void put_budget(struct scope_writer *sw, const struct gw_scope *s, unsigned budget,
                       int64_t used)
{
    static const char *const periods[] = {"hour", "day", "week", "month"};
    const struct reading *rd = sw->q->hooks->reading;
    int64_t limit = s->set.most[LIMIT_BUDGET_HOUR + budget], given[GIVEN_MOST];
    int64_t start = limit_period_start(rd->limits, budget);
    struct usage_window window = {start, calendar_next((enum calendar_period)budget, start)};
    struct json_writer *w = sw->w;
    jw_open(w, '{');
    put_scope_name(w, s);
    jw_field_string(w, "period", slice_str(periods[budget]));
    usage_put_window(w, &window);
    jw_key(w, "limit");
    usage_put_money(w, limit);
    jw_key(w, "used");
    usage_put_money(w, used);
    jw_key(w, "used_percent");
    jw_double(w, limit > 0 ? (double)used * 100 / (double)limit : 100);
    jw_key(w, "forecast");
    int64_t forecast = alerts_forecast(rd->alerts, s, budget, used, rd->wall_ns);
    if (forecast >= 0)
        usage_put_money(w, forecast);
    else
        jw_null(w);
    jw_key(w, "alerts");
    jw_open(w, '[');
    size_t n = alerts_given(rd->alerts, s, budget, start, given, GIVEN_MOST);
    for (size_t i = 0; i < n; i++)
        jw_i64(w, given[i]);
    jw_close(w, ']');
    jw_close(w, '}');
}

static bool put_budgets(void *ctx, const struct gw_scope *s)
{
    struct scope_writer *sw = ctx;
    int64_t used[LIMIT_KINDS_N];
    bool any = false;
    for (unsigned b = 0; b < LIMIT_BUDGETS_N; b++) {
        if (s->set.most[LIMIT_BUDGET_HOUR + b] == LIMIT_NONE)
            continue;
        if (!any)
            limit_used(sw->q->hooks->reading->limits, s->live, clock_mono_ns(), used);
        put_budget(sw, s, b, used[LIMIT_BUDGET_HOUR + b]);
        any = true;
    }
    return any;
}

static bool put_limits(void *ctx, const struct gw_scope *s)
{
    struct scope_writer *sw = ctx;
    int64_t used[LIMIT_KINDS_N];
    limit_used(sw->q->hooks->reading->limits, s->live, clock_mono_ns(), used);
    jw_open(sw->w, '{');
    put_scope_name(sw->w, s);
    jw_key(sw->w, "limits");
    jw_open(sw->w, '{');
    for (unsigned k = 0; k < LIMIT_KINDS_N; k++) {
        int64_t most = s->set.most[k];
        bool money = k >= LIMIT_BUDGET_HOUR;
        if (most == LIMIT_NONE)
            continue;
        jw_key_slice(sw->w, slice_str(limit_kind_name((enum limit_kind)k)));
        jw_open(sw->w, '{');
        jw_key(sw->w, "limit");
        money ? usage_put_money(sw->w, most) : jw_i64(sw->w, most);
        jw_key(sw->w, "used");
        money ? usage_put_money(sw->w, used[k]) : jw_i64(sw->w, used[k]);
        jw_close(sw->w, '}');
    }
    jw_close(sw->w, '}');
    jw_close(sw->w, '}');
    return true;
}

/* A page of scopes as {"<member>":[...], "next":...}. */
static void run_scopes(const struct admin_request *q, struct admin_reply *r, struct slice member,
                       int64_t most, bool (*put)(void *ctx, const struct gw_scope *s))
{
    struct scope_page page;
    if (!have_reading(q, r))
        return;
    struct usage_ask ask = ask_of(q, r);
    if (!read_scope_page(&ask, q, most, &page)) {
        admin_fail(r, ask.status, "%s", ask.why);
        return;
    }
    struct json_writer w = json_writer(&r->body);
    struct scope_writer sw = {.q = q, .w = &w};
    jw_open(&w, '{');
    jw_key_slice(&w, member);
    jw_open(&w, '[');
    const struct gw_scope *last = each_of_page(&page, &sw, put);
    jw_close(&w, ']');
    put_next(&w, last, q->arena);
    jw_close(&w, '}');
}

static void get_budgets(const struct admin_request *q, struct admin_reply *r)
{
    run_scopes(q, r, SLICE("budgets"), LIMIT_MOST, put_budgets);
}

static void get_limits(const struct admin_request *q, struct admin_reply *r)
{
    run_scopes(q, r, SLICE("scopes"), LIMIT_MOST, put_limits);
}

/* ---- prices */

static void put_tiers(struct json_writer *w, const struct price_tier *tiers, unsigned n)
{
    jw_key(w, "tiers");
    jw_open(w, '[');
    for (unsigned t = 0; t < n; t++) {
        jw_open(w, '{');
        jw_field_i64(w, "from_tokens", tiers[t].from_tokens);
        for (unsigned i = 0; i < PRICE_ITEMS_N; i++) {
            if (tiers[t].rate[i] == PRICE_UNKNOWN)
                continue;
            jw_key_slice(w, slice_str(price_item_names[i]));
            usage_put_money(w, tiers[t].rate[i]);
        }
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

static void put_price(struct json_writer *w, const struct price *p)
{
    jw_field_string(w, "unit", SLICE("dollars per million"));
    put_tiers(w, p->tier, p->tiers_n);
    jw_key(w, "windows");
    jw_open(w, '[');
    for (unsigned i = 0; i < p->windows_n; i++) {
        jw_open(w, '{');
        jw_field_i64(w, "from_s", p->window[i].from_s);
        jw_field_i64(w, "to_s", p->window[i].to_s);
        put_tiers(w, p->window[i].tier, p->window[i].tiers_n);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

/* The price of "provider/model", and where it is from. NULL: not known. */
static const struct price *price_of(const struct gw_snapshot *s, const struct gw_provider *p,
                                    struct slice label, struct slice model, const char **ret_source)
{
    *ret_source = "configuration";
    if (p->price_own != NULL)
        return p->price_own;
    for (size_t i = 0; i < s->price_overrides_n; i++) {
        if (gw_allows(&s->price_overrides[i].pattern, 1, label))
            return &s->price_overrides[i].price;
    }
    *ret_source = "table";
    return s->prices != NULL ? price_find(s->prices, slice_str(p->row->type), model) : NULL;
}

static void get_prices(const struct admin_request *q, struct admin_reply *r)
{
    struct slice label = SLICE_NONE;
    const struct usage_param params[] = {{"model", &label}};
    if (!have_reading(q, r))
        return;
    struct usage_ask ask = ask_of(q, r);
    const struct gw_snapshot *s = alerts_snapshot(q->hooks->reading->alerts);
    if (!usage_params(&ask, params, ARRAY_LEN(params))) {
        admin_fail(r, ask.status, "%s", ask.why);
        return;
    }
    struct slice model = label, provider = slice_cut(&model, '/');
    if (s == NULL || provider.n == 0 || model.n == 0) {
        admin_fail(r, s == NULL ? 503 : 400,
                   s == NULL ? "not yet" : "say which: ?model=provider/model");
        return;
    }
    const struct gw_provider *p = strmap_get(&s->providers, provider);
    if (p == NULL) {
        admin_fail(r, 404, "there is no provider `%.*s`", SLICE_ARG(provider));
        return;
    }
    const char *source;
    const struct price *price = price_of(s, p, label, model, &source);
    struct json_writer w = json_writer(&r->body);
    jw_open(&w, '{');
    jw_field_string(&w, "model", label);
    jw_field_bool(&w, "known", price != NULL);
    if (s->prices != NULL)
        jw_field_string(&w, "table_date", price_book_date(s->prices));
    if (price != NULL) {
        jw_field_string(&w, "source", slice_str(source));
        put_price(&w, price);
    }
    jw_close(&w, '}');
}

/* Puts the text in the place of the file at once, or not at all. False: see errno. */
static bool replace_file(const char *path, struct slice text)
{
    char fresh[4200];
    int n = snprintf(fresh, sizeof fresh, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof fresh) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    while (ok && text.n > 0) {
        ssize_t put = write(fd, text.p, text.n);
        ok = put > 0 || (put < 0 && errno == EINTR);
        text = slice_from(text, put > 0 ? (size_t)put : 0);
    }
    ok = ok && fsync(fd) == 0;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    return ok && rename(fresh, path) == 0;
}

static void post_prices(const struct admin_request *q, struct admin_reply *r)
{
    char path[4160];
    struct buf why;
    if (!have_reading(q, r))
        return;
    buf_init(&why, 8192);
    struct price_book *book = price_book_with(q->body, &why);
    int n = snprintf(path, sizeof path, "%s/prices.json", q->hooks->reading->data_dir);
    if (book == NULL) {
        admin_fail(r, 400, "%.*s", SLICE_ARG(buf_view(&why)));
    } else if (n < 0 || (size_t)n >= sizeof path || !replace_file(path, q->body)) {
        admin_fail(r, 500, "the table cannot be kept: %s", strerror(errno));
    } else if (!q->hooks->reload(q->hooks->ctx, &why)) {
        admin_fail(r, 422, "the table is kept, but the configuration cannot be read again: %.*s",
                   SLICE_ARG(buf_view(&why)));
    } else {
        struct json_writer w = json_writer(&r->body);
        jw_open(&w, '{');
        jw_field_string(&w, "table_date", price_book_date(book));
        jw_close(&w, '}');
    }
    if (book != NULL)
        price_book_unref(book);
    buf_done(&why);
}

static const struct admin_route routes[] = {
    {"/admin/v1/usage", HTTP_GET, ROLE_VIEWER, false, 0, get_usage},
    {"/admin/v1/usage/why", HTTP_GET, ROLE_VIEWER, false, 0, get_why},
    {"/admin/v1/usage/forecast", HTTP_GET, ROLE_VIEWER, false, 0, get_forecast},
    {"/admin/v1/budgets", HTTP_GET, ROLE_VIEWER, false, 0, get_budgets},
    {"/admin/v1/limits", HTTP_GET, ROLE_VIEWER, false, 0, get_limits},
    {"/admin/v1/prices", HTTP_GET, ROLE_VIEWER, false, 0, get_prices},
    {"/admin/v1/prices", HTTP_POST, ROLE_ADMIN, false, ADMIN_TABLE_BYTES, post_prices},
};

const struct admin_table admin_usage_routes = {routes, ARRAY_LEN(routes)};

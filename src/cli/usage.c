/* `weir usage`: what was used and what it cost, why that grew, and what it will be. */
#include "usage.h"

#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "command.h"
#include "options.h"

#define QUERY_MAX  ((size_t)4096)
#define ARENA_MAX  ((size_t)256 << 20)
#define PAGE_LINES 1000
#define PAGES_MAX  100
#define TOP_USUAL  1000

struct usage_args {
    const char *by, *step, *from, *to, *last, *month, *model, *key, *team, *use_case;
    const char *top, *format, *period, *data, *config;
    bool last_month, why, forecast, csv, json, chart, ascii;
};

/* ---- answers */

int64_t usage_member_i64(const struct json_doc *d, uint32_t node, const char *name)
{
    uint32_t at = json_get(d, node, slice_str(name));
    int64_t v = -1;
    return at != 0 && json_type_at(d, at) == JSON_NUMBER && json_i64(d, at, &v) ? v : -1;
}

double usage_member_double(const struct json_doc *d, uint32_t node, const char *name)
{
    uint32_t at = json_get(d, node, slice_str(name));
    double v = -1;
    return at != 0 && json_type_at(d, at) == JSON_NUMBER && json_double(d, at, &v) ? v : -1;
}

struct slice usage_member_text(const struct json_doc *d, uint32_t node, const char *name,
                               struct arena *a)
{
    uint32_t at = json_get(d, node, slice_str(name));
    if (at == 0 || json_type_at(d, at) != JSON_STRING)
        return SLICE_NONE;
    struct slice s = json_string(d, at, a);
    return s.p != NULL ? arena_copy(a, s) : SLICE_NONE;
}

static void read_row(const struct json_doc *d, uint32_t node, struct arena *a, struct usage_row *r)
{
    *r = (struct usage_row){.name = usage_member_text(d, node, "name", a),
                            .local = usage_member_text(d, node, "local", a),
                            .start = usage_member_text(d, node, "start", a),
                            .p50_ms = usage_member_double(d, node, "p50_ms"),
                            .p95_ms = usage_member_double(d, node, "p95_ms"),
                            .p99_ms = usage_member_double(d, node, "p99_ms"),
                            .first_p95_ms = usage_member_double(d, node, "first_p95_ms"),
                            .cost = usage_member_i64(d, node, "cost_nano"),
                            .users = usage_member_i64(d, node, "users")};
    const struct {
        int64_t *to;
        const char *name;
    } members[] = {{&r->idle, "idle_cost_nano"},
                   {&r->unpriced, "unpriced"},
                   {&r->requests, "requests"},
                   {&r->refused, "refused"},
                   {&r->failed, "failed"},
                   {&r->crashed, "crashed"},
                   {&r->attempts, "attempts"},
                   {&r->input, "input_tokens"},
                   {&r->output, "output_tokens"},
                   {&r->cached, "cached_tokens"},
                   {&r->cache_write, "cache_write_tokens"},
                   {&r->reasoning, "reasoning_tokens"},
                   {&r->estimated, "estimated_tokens"}};
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        *members[i].to = usage_member_i64(d, node, members[i].name);
}

static bool no_sense(void)
{
    fputs("weir usage: the gateway's answer makes no sense\n", stderr);
    return false;
}

/* Adds a page; the first one begins the JSON of all, the last one ends it. */
static bool add_page(struct usage_report_rows *r, const struct json_doc *d, struct slice *ret_next)
{
    uint32_t lines = json_get(d, 0, SLICE("lines")), total = json_get(d, 0, SLICE("total"));
    bool first = r->json.n == 0;
    if (lines == 0 || total == 0 || json_type_at(d, lines) != JSON_ARRAY)
        return no_sense();
    struct slice inner = json_raw(d, lines);
    inner = slice_trim(slice_of(inner.p + 1, inner.n - 2));
    if (first) {
        r->by = usage_member_text(d, 0, "by", &r->arena);
        r->step = usage_member_text(d, 0, "step", &r->arena);
        r->first_day = usage_member_text(d, 0, "first_day", &r->arena);
        r->last_day = usage_member_text(d, 0, "last_day", &r->arena);
        read_row(d, total, &r->arena, &r->total);
        buf_slice(&r->json, slice_of(d->text, d->nodes[lines].off + 1));
    } else if (inner.n > 0) {
        buf_char(&r->json, ',');
    }
    buf_slice(&r->json, inner);
    *ret_next = usage_member_text(d, 0, "next", &r->arena);
    for (uint32_t i = json_first(d, lines); i < json_end(d, lines); i = json_after(d, i)) {
        if (r->n == r->size) {
            size_t size = r->size > 0 ? r->size * 2 : PAGE_LINES;
            void *p = mem_realloc(r->row, size * sizeof *r->row);
            r->row = mem_must(p);
            r->size = size;
        }
        read_row(d, i, &r->arena, &r->row[r->n++]);
    }
    if (ret_next->n == 0) {
        buf_lit(&r->json, "],\"total\":");
        buf_slice(&r->json, json_raw(d, total));
        buf_lit(&r->json, "}\n");
    }
    return true;
}

/* ---- questions */

static void put_param(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    if (out->n > 0)
        buf_char(out, '&');
    buf_printf(out, "%s=", name);
    for (const char *c = value; *c != '\0'; c++) {
        unsigned char ch = (unsigned char)*c;
        bool plain = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= 'a' && ch <= 'z') || strchr("-._~", ch) != NULL;
        if (plain)
            buf_char(out, *c);
        else
            buf_printf(out, "%%%02X", ch);
    }
}

/* One period, in one of the ways to name it. */
static void put_time(struct buf *out, const struct usage_args *g)
{
    const char *from = g->from != NULL    ? g->from
                       : g->last != NULL  ? g->last
                       : g->month != NULL ? g->month
                       : g->last_month    ? "last-month"
                                          : NULL;
    put_param(out, "from", from);
    put_param(out, "to", g->to);
}

/* "use-case" is how people write it on a command line; "day" is the total by the day. */
static void read_by(struct usage_args *g)
{
    static const char *const steps[] = {"minute", "hour", "day", "month"};
    if (g->by != NULL && strcmp(g->by, "use-case") == 0)
        g->by = "use_case";
    for (size_t i = 0; g->by != NULL && i < ARRAY_LEN(steps); i++) {
        if (strcmp(g->by, steps[i]) != 0)
            continue;
        g->by = "total";
        g->step = steps[i];
    }
}

static int show(struct buf *out)
{
    bool ok = !out->failed && fwrite(out->p, 1, out->n, stdout) == out->n;
    if (out->failed)
        fputs("weir usage: out of memory\n", stderr);
    buf_done(out);
    return ok ? 0 : 1;
}

static bool is_format(const struct usage_args *g, const char *name)
{
    return (g->format != NULL && strcmp(g->format, name) == 0) ||
           (g->csv && strcmp(name, "csv") == 0) || (g->json && strcmp(name, "json") == 0);
}

/* The name that `--why` and `--forecast` are about, if one of the filters says it. */
static void put_subject(struct buf *query, const struct usage_args *g)
{
    const struct {
        const char *by, *name;
    } subjects[] = {
        {"model", g->model}, {"key", g->key}, {"team", g->team}, {"use_case", g->use_case}};
    const char *by = g->by;
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
        by = subjects[i].name != NULL ? subjects[i].by : by;
    put_param(query, "by", by);
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
        put_param(query, "name", subjects[i].name);
    put_param(query, "limit", g->top);
}

/* --why and --forecast: one answer. */
static int tell(struct usage_from *from, const struct usage_args *g, const struct usage_look *look)
{
    struct buf query, answer, out;
    struct json_doc d;
    struct arena a;
    struct json_parser *parser = mem_must(json_parser_new());
    buf_init(&query, QUERY_MAX);
    buf_init(&answer, USAGE_OUT_MAX);
    buf_init(&out, USAGE_OUT_MAX);
    arena_init(&a, NULL, ARENA_MAX);
    if (g->forecast)
        put_param(&query, "period", g->period);
    put_subject(&query, g);
    if (!g->forecast)
        put_time(&query, g);
    bool ok = !query.failed &&
              usage_ask(from, g->why ? ASK_WHY : ASK_FORECAST, buf_view(&query), &answer);
    if (ok && (json_parse(parser, buf_view(&answer), 0, &d) != JSON_OK ||
               json_type_at(&d, 0) != JSON_OBJECT))
        ok = no_sense();
    if (ok && is_format(g, "json")) {
        buf_slice(&out, buf_view(&answer));
        buf_char(&out, '\n');
    } else if (ok && g->why) {
        usage_put_why(&out, &d, &a, look);
    } else if (ok) {
        usage_put_forecast(&out, &d, &a, look);
    }
    buf_done(&query);
    buf_done(&answer);
    arena_reset(&a);
    json_parser_free(parser);
    int status = show(&out);
    return ok ? status : 1;
}

static void put_report_query(struct buf *query, const struct usage_args *g)
{
    bool stepped = g->step != NULL && strcmp(g->step, "whole") != 0;
    put_param(query, "by", g->by);
    put_param(query, "step", g->step);
    put_param(query, "model", g->model);
    put_param(query, "key", g->key);
    put_param(query, "team", g->team);
    put_param(query, "use_case", g->use_case);
    put_param(query, "limit", !stepped && g->top != NULL ? g->top : "1000");
    put_time(query, g);
}

/* All pages, or the first where the most expensive stand. */
static bool read_pages(struct usage_from *from, const struct usage_args *g,
                       struct usage_report_rows *r)
{
    struct json_parser *parser = mem_must(json_parser_new());
    struct buf query, answer;
    struct json_doc d;
    struct slice next = SLICE_NONE;
    buf_init(&query, QUERY_MAX);
    buf_init(&answer, USAGE_OUT_MAX);
    bool ok = true;
    put_report_query(&query, g);
    size_t base = query.n;
    for (int page = 0; ok && page < PAGES_MAX && (page == 0 || next.n > 0); page++) {
        query.n = base;
        if (next.n > 0)
            put_param(&query, "after", next.p); /* copies of the arena end in a NUL */
        buf_reset(&answer);
        ok = !query.failed && usage_ask(from, ASK_REPORT, buf_view(&query), &answer);
        if (ok && (json_parse(parser, buf_view(&answer), 0, &d) != JSON_OK ||
                   json_type_at(&d, 0) != JSON_OBJECT))
            ok = no_sense();
        ok = ok && add_page(r, &d, &next);
    }
    uint64_t top = TOP_USUAL;
    bool whole = slice_is(r->step, "whole") && !slice_is(r->by, "total");
    (void)!(g->top == NULL || slice_to_u64(slice_str(g->top), &top));
    r->more = next.n > 0 || (whole && r->n >= top);
    buf_done(&query);
    buf_done(&answer);
    json_parser_free(parser);
    return ok;
}

static int report(struct usage_from *from, const struct usage_args *g,
                  const struct usage_look *look)
{
    struct usage_report_rows r = {0};
    struct buf out;
    int status = 1;
    arena_init(&r.arena, NULL, ARENA_MAX);
    buf_init(&r.json, USAGE_OUT_MAX);
    buf_init(&out, USAGE_OUT_MAX);
    if (read_pages(from, g, &r)) {
        if (is_format(g, "json"))
            buf_slice(&out, buf_view(&r.json));
        else if (is_format(g, "csv"))
            usage_put_csv(&out, &r);
        else
            usage_put_table(&out, &r, look);
        status = show(&out);
    }
    buf_done(&out);
    buf_done(&r.json);
    arena_reset(&r.arena);
    mem_free(r.row);
    return status;
}

static bool check_args(struct usage_args *g)
{
    uint64_t top;
    const char *wrong = NULL;
    int times = (g->from != NULL) + (g->last != NULL) + (g->month != NULL) + g->last_month;
    int names = (g->model != NULL) + (g->key != NULL) + (g->team != NULL) + (g->use_case != NULL);
    bool tells = g->why || g->forecast;
    read_by(g);
    if (times > 1 || (g->to != NULL && g->from == NULL))
        wrong = "name one time: --from and --to, --last 30d, --month 2026-10 or --last-month";
    else if (tells && (names > 1 || g->step != NULL))
        wrong = "--why and --forecast take one of --model, --key, --team and --use-case, and no "
                "--step";
    else if (g->forecast && (times > 0 || g->to != NULL))
        wrong = "--forecast is about the --period under way";
    else if (g->format != NULL && strcmp(g->format, "table") != 0 &&
             strcmp(g->format, "csv") != 0 && strcmp(g->format, "json") != 0)
        wrong = "--format is table, csv or json";
    else if (g->csv + g->json + (g->format != NULL) > 1)
        wrong = "name one of --csv, --json and --format";
    else if (g->top != NULL && (!slice_to_u64(slice_str(g->top), &top) || top < 1 || top > 1000))
        wrong = "--top is a number from 1 to 1000";
    else if (g->why && g->forecast)
        wrong = "--why and --forecast are two questions";
    else if (tells && is_format(g, "csv"))
        wrong = "--why and --forecast are told in words, or as JSON (--json)";
    else if (g->period != NULL && !g->forecast)
        wrong = "--period belongs to --forecast";
    if (wrong != NULL)
        fprintf(stderr, "weir usage: %s; see weir usage --help\n", wrong);
    if (!tells && g->by == NULL)
        g->by = "model";
    return wrong == NULL;
}

static const char usage_line[] =
    "usage [--by WHAT] [--last-month | --month 2026-10 | --last 30d | --from TIME [--to TIME]]\n"
    "       weir usage --why [--use-case NAME]\n"
    "       weir usage --forecast [--by WHAT]\n";

int cmd_usage(int argc, char **argv)
{
    struct usage_args g = {.by = NULL};
    const struct option_row rows[] = {
        {"--by",
         "model, provider, target, key, team, organisation, use-case, user; hour, day, month",
         &g.by, NULL},
        {"--step", "a line for each hour, day or month as well", &g.step, NULL},
        {"--last-month", "the whole of last month; default: this month", NULL, &g.last_month},
        {"--month", "a month, such as 2026-10", &g.month, NULL},
        {"--last", "the time before now: 12h; 30d is today and the 29 days before", &g.last, NULL},
        {"--from", "2026-11-01, yesterday, last-week, or RFC 3339", &g.from, NULL},
        {"--to", "the same; a date includes its day", &g.to, NULL},
        {"--model", "only this model", &g.model, NULL},
        {"--key", "only this key", &g.key, NULL},
        {"--team", "only this team", &g.team, NULL},
        {"--use-case", "only this use case", &g.use_case, NULL},
        {"--top", "so many of the most expensive", &g.top, NULL},
        {"--why", "why the cost grew: users, requests, tokens, price", NULL, &g.why},
        {"--forecast", "what it will have been at the period's end", NULL, &g.forecast},
        {"--period", "of the forecast: day, week or month", &g.period, NULL},
        {"--format", "table, csv or json", &g.format, NULL},
        {"--csv", "for a spreadsheet", NULL, &g.csv},
        {"--json", "for a program", NULL, &g.json},
        {"--chart", "bars, also when this is no terminal", NULL, &g.chart},
        {"--ascii", "no characters beyond ASCII", NULL, &g.ascii},
        {"--data", "folder of the gateway", &g.data, NULL},
        {"--config", "its configuration, for the timezone when it does not run", &g.config, NULL},
    };
    int n = options_read(argc, argv, usage_line, rows, ARRAY_LEN(rows), 0);
    if (n < 0)
        return options_status(n);
    if (!check_args(&g))
        return 2;
    struct usage_from from = {.data = g.data, .config = g.config};
    struct usage_look look = usage_look_of(1, g.ascii, g.chart);
    int status = g.why || g.forecast ? tell(&from, &g, &look) : report(&from, &g, &look);
    usage_from_done(&from);
    return from.wrong ? 2 : status;
}

/* `weir explain`: why a request went where it went, or where one would go now. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin_call.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "command.h"

#define REQUEST_MAX ((size_t)32 << 20)

static const char usage_line[] =
    "explain ID | FILE [--path /v1/messages] [--key NAME]\n"
    "       ID: a request that was made, its x-weir-request-id (wr-...)\n"
    "       FILE: a request's JSON (- is standard input), as it would be routed now\n";

struct question {
    const char *path, *key, *use_case, *priority, *session;
};

static bool is_id(const char *word)
{
    return strncmp(word, "wr-", 3) == 0 && strlen(word) == 24 && access(word, F_OK) != 0;
}

static bool read_file(const char *name, struct buf *out)
{
    char piece[65536];
    size_t n;
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
    if (f == NULL) {
        fprintf(stderr, "weir explain: %s: %s\n", name, strerror(errno));
        return false;
    }
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_append(out, piece, n);
    bool ok = !ferror(f);
    if (f != stdin)
        fclose(f);
    if (!ok || out->failed)
        fprintf(stderr, "weir explain: %s: %s\n", name,
                ok ? "longer than any request may be" : strerror(errno));
    return ok && !out->failed;
}

/* The question, around the request that `file` holds. */
static bool put_question(struct admin_call *c, const char *file, const struct question *q)
{
    const struct {
        struct slice name;
        const char *value;
    } members[] = {{SLICE("path"), q->path},
                   {SLICE("key"), q->key},
                   {SLICE("use_case"), q->use_case},
                   {SLICE("priority"), q->priority},
                   {SLICE("session"), q->session}};
    struct buf request;
    struct json_doc d;
    buf_init(&request, REQUEST_MAX);
    bool ok = read_file(file, &request);
    enum json_error e = ok ? json_parse(c->parser, buf_view(&request), 0, &d) : JSON_OK;
    if (e != JSON_OK)
        fprintf(stderr, "weir explain: %s is no JSON: %s at byte %u\n", file, json_error_text(e),
                d.error_at);
    struct json_writer w = json_writer(&c->body);
    jw_open(&w, '{');
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (members[i].value == NULL)
            continue;
        jw_key_slice(&w, members[i].name);
        jw_string(&w, slice_str(members[i].value));
    }
    jw_key(&w, "body");
    jw_raw(&w, buf_view(&request));
    jw_close(&w, '}');
    buf_done(&request);
    return ok && e == JSON_OK;
}

/* ---- the answer, for people */

static void print_what(struct admin_call *c)
{
    struct slice id = admin_call_text(c, 0, "request_id"), time = admin_call_text(c, 0, "time");
    struct slice served = admin_call_text(c, 0, "served_as");
    struct slice strategy = admin_call_text(c, 0, "strategy");
    struct slice complexity = admin_call_text(c, 0, "complexity");
    if (id.n > 0)
        printf("%.*s  %.*s\n", SLICE_ARG(id), SLICE_ARG(time));
    printf("model %.*s", SLICE_ARG(admin_call_text(c, 0, "model")));
    if (served.n > 0)
        printf(", served as %.*s", SLICE_ARG(served));
    if (strategy.n > 0)
        printf(", strategy %.*s", SLICE_ARG(strategy));
    if (complexity.n > 0)
        printf(", complexity %.*s", SLICE_ARG(complexity));
    if (slice_is(admin_call_text(c, 0, "panic"), "true"))
        fputs(", panic: too many are ejected, so health is not looked at", stdout);
    if (slice_is(admin_call_text(c, 0, "stream"), "true"))
        fputs(", stream", stdout);
    putchar('\n');
}

/* "lacks_feature: tools, images" */
static struct slice with_lacks(struct admin_call *c, struct slice reason, uint32_t list)
{
    for (uint32_t i = json_first(&c->doc, list); i < json_end(&c->doc, list);
         i = json_after(&c->doc, i))
        reason = arena_printf(&c->arena, "%.*s%s %.*s", SLICE_ARG(reason),
                              i == json_first(&c->doc, list) ? ":" : ",",
                              SLICE_ARG(json_string(&c->doc, i, &c->arena)));
    return reason;
}

/* What kept it out, or put it behind others. */
static struct slice why_of(struct admin_call *c, uint32_t candidate)
{
    bool ordered = admin_call_text(c, candidate, "place").n > 0;
    struct slice reason = admin_call_text(c, candidate, "reason");
    struct slice skipped = admin_call_text(c, candidate, "skipped");
    struct slice state = admin_call_text(c, candidate, "state");
    if (skipped.n > 0)
        return arena_printf(&c->arena, "skipped: %.*s", SLICE_ARG(skipped));
    uint32_t lacks = admin_call_list(c, candidate, "lacks");
    if (!slice_is(reason, "ok"))
        return lacks != 0 ? with_lacks(c, reason, lacks) : reason;
    if (!ordered && slice_is(admin_call_text(c, 0, "partial"), "true"))
        return SLICE("not needed");
    return slice_is(state, "drained") || slice_is(state, "denied") ? state : SLICE_NONE;
}

static void print_candidates(struct admin_call *c)
{
    static const char *const titles[] = {"#", "CANDIDATE", "STATE", "SCORE", "", "WHY NOT"};
    uint32_t list = admin_call_list(c, 0, "candidates");
    struct grid g = {.titles = titles, .columns = ARRAY_LEN(titles), .arena = &c->arena};
    if (list == 0)
        return;
    for (uint32_t i = json_first(&c->doc, list); i < json_end(&c->doc, list);
         i = json_after(&c->doc, i)) {
        struct slice place = admin_call_text(c, i, "place");
        bool fallback = slice_is(admin_call_text(c, i, "fallback"), "true");
        grid_add(&g, place.n > 0 ? place : SLICE("-"));
        grid_add(&g, admin_call_text(c, i, "target"));
        grid_add(&g, admin_call_text(c, i, "state"));
        grid_add(&g, admin_call_text(c, i, "score"));
        grid_add(&g, fallback ? SLICE("fallback") : SLICE_NONE);
        grid_add(&g, why_of(c, i));
    }
    putchar('\n');
    grid_print(&g);
    grid_done(&g);
    int64_t others = admin_call_number(c, 0, "others", 0);
    if (others > 0)
        printf("and %lld more\n", (long long)others);
}

static void add_ms(struct grid *g, struct admin_call *c, uint32_t node, const char *key)
{
    int64_t us = admin_call_number(c, node, key, -1);
    grid_add(g, us >= 0 ? arena_printf(&c->arena, "%.1f ms", (double)us / 1000) : SLICE_NONE);
}

static void print_attempts(struct admin_call *c)
{
    static const char *const titles[] = {"ATTEMPT", "TARGET", "KEY",   "OUTCOME",
                                         "STATUS",  "BEGAN",  "FIRST", "ENDED"};
    uint32_t list = admin_call_list(c, 0, "attempts");
    struct grid g = {.titles = titles, .columns = ARRAY_LEN(titles), .arena = &c->arena};
    int number = 0;
    if (list == 0 || json_first(&c->doc, list) == json_end(&c->doc, list))
        return;
    for (uint32_t i = json_first(&c->doc, list); i < json_end(&c->doc, list);
         i = json_after(&c->doc, i)) {
        grid_add(&g, arena_printf(&c->arena, "%d", ++number));
        grid_add(&g, admin_call_text(c, i, "target"));
        grid_add(&g, admin_call_text(c, i, "key"));
        grid_add(&g, admin_call_text(c, i, "outcome"));
        grid_add(&g, admin_call_text(c, i, "status"));
        add_ms(&g, c, i, "start_us");
        add_ms(&g, c, i, "first_us");
        add_ms(&g, c, i, "end_us");
    }
    putchar('\n');
    grid_print(&g);
    grid_done(&g);
}

static void print_end(struct admin_call *c)
{
    uint32_t error = admin_call_list(c, 0, "error");
    struct slice status = admin_call_text(c, 0, "status");
    putchar('\n');
    if (error != 0)
        printf("it would be refused: %.*s %.*s: %.*s\n",
               SLICE_ARG(admin_call_text(c, error, "status")),
               SLICE_ARG(admin_call_text(c, error, "code")),
               SLICE_ARG(admin_call_text(c, error, "message")));
    else if (status.n > 0)
        printf("the client got %.*s: %.*s\n", SLICE_ARG(status),
               SLICE_ARG(admin_call_text(c, 0, "reason")));
    else
        fputs("it would be tried in this order; limits and budgets were not looked at\n", stdout);
}

static int ask(struct admin_call *c, const char *word, const struct question *q)
{
    bool id = is_id(word);
    buf_lit(&c->path, "/admin/v1/explain");
    if (id) {
        buf_char(&c->path, '/');
        admin_call_escape(c, slice_str(word));
    } else if (!put_question(c, word, q)) {
        return 1;
    }
    if (!admin_call_run(c, id ? "GET" : "POST"))
        return 1;
    if (c->json) {
        printf("%.*s\n", SLICE_ARG(buf_view(&c->answer)));
        return 0;
    }
    print_what(c);
    print_candidates(c);
    print_attempts(c);
    print_end(c);
    return 0;
}

int cmd_explain(int argc, char **argv)
{
    struct question q = {.path = NULL};
    struct admin_call c;
    admin_call_init(&c, "explain", REQUEST_MAX + 65536);
    const struct option_row rows[] = {
        {"--path", "where the request goes; else /v1/chat/completions", &q.path, NULL},
        {"--key", "the name of the client's key; without, none is looked at", &q.key, NULL},
        {"--use-case", "as x-weir-use-case", &q.use_case, NULL},
        {"--priority", "as x-weir-priority: cost, quality or balanced", &q.priority, NULL},
        {"--session", "as x-weir-session", &q.session, NULL},
        admin_call_json_row(&c),
        admin_call_data_row(&c),
    };
    int status, words = options_read(argc, argv, usage_line, rows, ARRAY_LEN(rows), 1);
    if (words == 1) {
        status = ask(&c, argv[1], &q);
    } else if (words == 0) {
        fputs("weir explain: which request? see weir explain --help\n", stderr);
        status = 2;
    } else {
        status = options_status(words);
    }
    admin_call_done(&c);
    return status;
}

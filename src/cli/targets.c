/* `weir targets`: how targets and credentials fare, and an operator's hand on them. */
#include <stdio.h>

#include "admin_call.h"
#include "command.h"

#define TARGETS_PATH "/admin/v1/targets"

static const char usage_line[] = "targets [drain|enable|reset TARGET]\n"
                                 "       drain: nothing new goes there, until it is enabled\n"
                                 "       reset: all that was learned of it is forgotten\n";

static void add_ms(struct grid *g, struct admin_call *c, uint32_t node, const char *key)
{
    int64_t us = admin_call_number(c, node, key, -1);
    grid_add(g, us >= 0 ? arena_printf(&c->arena, "%.0f ms", (double)us / 1000) : SLICE_NONE);
}

/* "12 s", "3 min", of what is left. */
static void add_rest(struct grid *g, struct admin_call *c, uint32_t node)
{
    int64_t ms = admin_call_number(c, node, "remaining_ms", -1);
    struct slice text = SLICE_NONE;
    if (ms >= 120000)
        text = arena_printf(&c->arena, "%lld min", (long long)(ms / 60000));
    else if (ms >= 0)
        text = arena_printf(&c->arena, "%.1f s", (double)ms / 1000);
    grid_add(g, text);
}

static void add_row(struct grid *g, struct admin_call *c, uint32_t node)
{
    struct slice reason = admin_call_text(c, node, "reason");
    int64_t failures = admin_call_number(c, node, "window_failures", 0);
    int64_t answers = admin_call_number(c, node, "window_answers", 0);
    struct slice share = admin_call_text(c, node, "share");
    grid_add(g, admin_call_text(c, node, "target"));
    grid_add(g, admin_call_text(c, node, "state"));
    grid_add(g, slice_is(reason, "none") ? SLICE_NONE : reason);
    add_rest(g, c, node);
    grid_add(g, slice_is(share, "1") ? SLICE_NONE : share);
    grid_add(g, admin_call_text(c, node, "inflight"));
    grid_add(g, arena_printf(&c->arena, "%lld of %lld", (long long)failures, (long long)answers));
    add_ms(g, c, node, "first_us");
    add_ms(g, c, node, "first_p50_us");
    add_ms(g, c, node, "first_p95_us");
    add_ms(g, c, node, "first_p99_us");
    add_ms(g, c, node, "gap_us");
}

static void print_all(struct admin_call *c)
{
    static const char *const titles[] = {"TARGET", "STATE", "REASON", "FOR", "SHARE", "INFLIGHT",
                                         "FAILED", "FIRST", "P50",    "P95", "P99",   "GAP"};
    static const char *const lists[] = {"targets", "credentials"};
    struct grid g = {.titles = titles, .columns = ARRAY_LEN(titles), .arena = &c->arena};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        uint32_t list = admin_call_list(c, 0, lists[l]);
        for (uint32_t i = list > 0 ? json_first(&c->doc, list) : 0;
             list > 0 && i < json_end(&c->doc, list); i = json_after(&c->doc, i))
            add_row(&g, c, i);
    }
    if (g.n > 0)
        grid_print(&g);
    else
        fputs("weir targets: there are none\n", stderr);
    grid_done(&g);
}

static int show(struct admin_call *c)
{
    buf_lit(&c->path, TARGETS_PATH);
    if (!admin_call_run(c, "GET"))
        return 1;
    if (c->json)
        printf("%.*s\n", SLICE_ARG(buf_view(&c->answer)));
    else
        print_all(c);
    return 0;
}

static int change(struct admin_call *c, const char *verb, const char *target)
{
    buf_lit(&c->path, TARGETS_PATH "/");
    admin_call_escape(c, slice_str(target));
    buf_printf(&c->path, "/%s", verb);
    if (!admin_call_run(c, "POST"))
        return 1;
    if (c->json)
        printf("%.*s\n", SLICE_ARG(buf_view(&c->answer)));
    else
        printf("%s is %.*s\n", target, SLICE_ARG(admin_call_text(c, 0, "state")));
    return 0;
}

static bool is_verb(const char *word)
{
    static const char *const verbs[] = {"drain", "enable", "reset"};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(word, verbs[i]) == 0)
            return true;
    }
    fprintf(stderr, "weir targets: there is no command `%s`; see weir targets --help\n", word);
    return false;
}

int cmd_targets(int argc, char **argv)
{
    struct admin_call c;
    admin_call_init(&c, "targets", 1);
    const struct option_row rows[] = {admin_call_json_row(&c), admin_call_data_row(&c)};
    int status, words = options_read(argc, argv, usage_line, rows, ARRAY_LEN(rows), 2);
    if (words < 0) {
        status = options_status(words);
    } else if (words == 0) {
        status = show(&c);
    } else if (!is_verb(argv[1])) {
        status = 2;
    } else if (words == 1) {
        fprintf(stderr, "weir targets %s: which target? see weir targets --help\n", argv[1]);
        status = 2;
    } else {
        status = change(&c, argv[1], argv[2]);
    }
    admin_call_done(&c);
    return status;
}

/* Where `weir usage` has its answers from. */
#include <stdio.h>
#include <string.h>

#include "admin_socket.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control/service.h"
#include "control/usage_report.h"
#include "datadir.h"
#include "policy/calendar.h"
#include "usage.h"

#define QUERY_MAX ((size_t)8192)
#define ARENA_MAX ((size_t)256 << 20)

static const char *const paths[] = {[ASK_REPORT] = "/admin/v1/usage",
                                    [ASK_WHY] = "/admin/v1/usage/why",
                                    [ASK_FORECAST] = "/admin/v1/usage/forecast"};

/* The timezone that the gateway would count in; without a configuration it is UTC. */
static void set_zone(const struct usage_from *f)
{
    struct service_options o = {.config_path = f->config, .data_dir = f->data, .version = ""};
    struct buf errors;
    buf_init(&errors, (size_t)1 << 16);
    struct config *c = service_load(&o, &errors);
    bool ok = c != NULL && c->timezone.n > 0 && calendar_set_zone(c->timezone);
    if (!ok && f->config != NULL)
        fprintf(stderr, "weir usage: %s cannot be used: days are those of UTC\n", f->config);
    if (!ok && !calendar_set_zone(SLICE("UTC")))
        fputs("weir usage: days are those of the machine's timezone\n", stderr);
    config_free(c);
    buf_done(&errors);
}

static bool open_here(struct usage_from *f)
{
    char dir[DATADIR_MAX], folder[DATADIR_MAX + 16];
    struct buf error;
    if (!datadir_find(f->data, dir, sizeof dir)) {
        fputs("weir usage: there is no data folder (--data)\n", stderr);
        return false;
    }
    snprintf(folder, sizeof folder, "%s/ledger", dir);
    set_zone(f);
    buf_init(&error, 8192);
    f->reader = usage_open(folder, &error);
    if (f->reader == NULL)
        fprintf(stderr,
                "weir usage: no gateway runs with the data folder %s, and %.*s; is it another "
                "(--data)?\n",
                dir, SLICE_ARG(buf_view(&error)));
    buf_done(&error);
    return f->reader != NULL;
}

static bool ask_here(struct usage_from *f, enum usage_question what, struct slice query,
                     struct buf *answer)
{
    struct arena a;
    arena_init(&a, NULL, ARENA_MAX);
    struct usage_ask q = {.reader = f->reader,
                          .query = query,
                          .wall_ns = clock_wall_ns(),
                          .arena = &a,
                          .out = answer};
    bool ok = what == ASK_REPORT ? usage_report(&q)
              : what == ASK_WHY  ? usage_report_why(&q)
                                 : usage_report_forecast(&q);
    if (!ok)
        fprintf(stderr, "weir usage: %s\n", q.why);
    f->wrong = !ok && q.status == 400;
    arena_reset(&a);
    return ok;
}

bool usage_ask(struct usage_from *f, enum usage_question what, struct slice query,
               struct buf *answer)
{
    struct buf path;
    int status = 0;
    if (!f->opened) {
        f->here = !admin_socket_up(f->data);
        if (f->here && !open_here(f))
            return false;
        f->opened = true;
    }
    if (f->here)
        return ask_here(f, what, query, answer);
    buf_init(&path, QUERY_MAX);
    buf_printf(&path, "%s?%.*s", paths[what], SLICE_ARG(query));
    buf_char(&path, '\0');
    bool ok = !path.failed;
    if (!ok)
        fputs("weir usage: that is too long\n", stderr);
    ok = ok && admin_socket_call("usage", f->data, "GET", path.p, SLICE_NONE, answer, &status);
    buf_done(&path);
    if (ok && status != 200)
        admin_socket_error("usage", status, buf_view(answer));
    f->wrong = ok && status == 400;
    return ok && status == 200;
}

void usage_from_done(struct usage_from *f)
{
    if (f->reader != NULL)
        usage_close(f->reader);
    f->reader = NULL;
}

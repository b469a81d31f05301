/* Firing what an alias says of answers that break off, and of none at all. */
#include "fire.h"

static bool holds(const struct buf *b, const char *what)
{
    return b->n > 0 && memmem(b->p, b->n, what, strlen(what)) != NULL;
}

static void say(struct fire *f, const char *kind, const struct fire_alias *a, bool ok,
                struct slice how)
{
    struct slice name = a->model->name;
    fire_row(f, kind, name, SLICE_NONE, ok ? FIRE_OK : FIRE_FAILED, how);
    fire_print(f, "%s: %s%.*s: %.*s\n", kind, ok ? "" : "FAILED ", SLICE_ARG(name), SLICE_ARG(how));
}

/* A stream that breaks off after three events, at the first target that is asked. */
static void fire_rescue(struct fire *f, const struct fire_alias *a)
{
    const struct gw_model *m = a->model;
    struct slice broke = SLICE_NONE;
    fire_calm(f);
    fire_ask(f, a->key->token, m->name, false); /* whose turn it is */
    for (size_t t = 0; t < m->targets_n; t++) {
        struct fire_endpoint *e = fire_endpoint_of(f, a, t);
        if (slice_is(e->label, f->answer.target)) {
            fire_fault_set(e, FAULT_CUT_LATER);
            broke = e->label;
        }
    }
    fire_ask(f, a->key->token, m->name, true);
    struct buf *body = &f->answer.body;
    const char *mark =
        holds(body, "x-weir-rescued: ") ? memmem(body->p, body->n, "rescued: ", 9) : NULL;
    if (fire_is_good(f, true) && mark != NULL) {
        struct slice rest = slice_from(buf_view(body), (size_t)(mark - body->p) + 9);
        struct slice by = slice_cut(&rest, '\n');
        say(f, "rescue", a, true,
            arena_printf(&f->arena, "cut after 3 events by %.*s, ends whole by %.*s",
                         SLICE_ARG(broke), SLICE_ARG(by)));
    } else if (holds(body, "\"error\":")) {
        say(f, "rescue", a, true,
            arena_printf(&f->arena, "cut after 3 events by %.*s, ends with an error event: %.*s",
                         SLICE_ARG(broke), SLICE_ARG(fire_say(f))));
    } else {
        say(f, "rescue", a, false,
            arena_printf(&f->arena, "cut after 3 events by %.*s: %.*s", SLICE_ARG(broke),
                         SLICE_ARG(fire_say(f))));
    }
}

/* All targets fail: the text comes. */
static void fire_last_resort(struct fire *f, const struct fire_alias *a)
{
    fire_calm(f);
    for (size_t t = 0; t < a->model->targets_n; t++)
        fire_fault_set(fire_endpoint_of(f, a, t), FAULT_STATUS_500);
    fire_ask(f, a->key->token, a->model->name, false);
    bool ok = f->answer.status == 200 && f->answer.last_resort;
    say(f, "last_resort", a, ok, ok ? SLICE("all targets fail, the text comes") : fire_say(f));
}

void fire_streams(struct fire *f)
{
    for (size_t i = 0; i < f->aliases_n; i++) {
        const struct fire_alias *a = &f->alias[i];
        if (a->key != NULL && a->model->rescue == RESCUE_CONTINUE)
            fire_rescue(f, a);
        if (a->key != NULL && a->model->last_resort.n > 0)
            fire_last_resort(f, a);
    }
    fire_calm(f);
}

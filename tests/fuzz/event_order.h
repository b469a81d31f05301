/* The order in which decoders give events (llm/neutral.h, enum llm_event_kind), as a checker that
 * stands between a decoder and whoever takes its events:
 *
 *   struct event_order order;
 *   event_order_init(&order, emit, ctx);        // emit NULL: only check
 *   struct llm_decoder d = {.emit = event_order_take, .ctx = &order, ...};
 *   ... feed the decoder ...
 *   ASSERT(event_order_end(&order, decode_end's result) == NULL);
 *   event_order_done(&order);
 *
 * `fault` is the first thing that was wrong, or NULL. */
#ifndef TESTS_EVENT_ORDER_H
#define TESTS_EVENT_ORDER_H

#include "base/arena.h"
#include "llm/neutral.h"

struct event_order_choice {
    struct event_order_choice *next;
    unsigned index, parts;
    bool finished;
};
struct event_order_open {
    struct event_order_open *next;
    unsigned choice, part;
    enum llm_part_kind kind;
};

struct event_order {
    llm_emit_fn *emit;
    void *ctx;
    const char *fault;
    struct arena arena;
    struct event_order_choice *choices;
    struct event_order_open *open, *spare;
    bool started, ended, is_error;
};

static inline void event_order_init(struct event_order *o, llm_emit_fn *emit, void *ctx)
{
    *o = (struct event_order){.emit = emit, .ctx = ctx};
    arena_init(&o->arena, NULL, (size_t)1 << 26);
}

static inline void event_order_done(struct event_order *o)
{
    arena_reset(&o->arena);
}

static inline struct event_order_choice *event_order_choice_at(struct event_order *o,
                                                               unsigned index)
{
    struct event_order_choice *c = o->choices;
    while (c != NULL && c->index != index)
        c = c->next;
    if (c == NULL && (c = arena_new(&o->arena, struct event_order_choice)) != NULL) {
        c->index = index;
        c->next = o->choices;
        o->choices = c;
    }
    return c;
}

/* Where the open part is linked, or the list's end. */
static inline struct event_order_open **event_order_find(struct event_order *o, unsigned choice,
                                                         unsigned part)
{
    struct event_order_open **at = &o->open;
    while (*at != NULL && ((*at)->choice != choice || (*at)->part != part))
        at = &(*at)->next;
    return at;
}

static inline const char *event_order_part(struct event_order *o, struct event_order_choice *c,
                                           const struct llm_event *e)
{
    for (struct event_order_open *p = o->open; p != NULL; p = p->next) {
        if (p->choice == e->choice && (p->kind != PART_TOOL_CALL || e->part_kind != PART_TOOL_CALL))
            return "a part begins while another is open, and they are not both tool calls";
    }
    if (c->finished)
        return "a part begins after its choice has finished";
    if (e->part != c->parts++)
        return "a part's number is not the count of the parts before it";
    struct event_order_open *p = o->spare;
    if (p != NULL)
        o->spare = p->next;
    else if ((p = arena_new(&o->arena, struct event_order_open)) == NULL)
        return "no memory";
    *p = (struct event_order_open){o->open, e->choice, e->part, e->part_kind};
    o->open = p;
    return NULL;
}

/* What belongs to a part that has to be open. */
static inline const char *event_order_inside(struct event_order *o, const struct llm_event *e)
{
    struct event_order_open **at = event_order_find(o, e->choice, e->part), *p = *at;
    if (p == NULL)
        return "an event of a part that is not open";
    if (e->kind == EVENT_SIGNATURE && p->kind != PART_REASONING)
        return "a signature of a part that is not reasoning";
    if (e->kind == EVENT_CITATION && (p->kind != PART_TEXT || e->citation == NULL))
        return "a citation that is none, or of a part that is not text";
    if (e->kind == EVENT_PART_END) {
        *at = p->next;
        p->next = o->spare;
        o->spare = p;
    }
    return NULL;
}

static inline const char *event_order_finish(struct event_order *o, struct event_order_choice *c)
{
    for (struct event_order_open *p = o->open; p != NULL; p = p->next) {
        if (p->choice == c->index)
            return "a choice finishes with a part open";
    }
    if (c->finished)
        return "a choice finishes twice";
    c->finished = true;
    return NULL;
}

static inline const char *event_order_last(struct event_order *o, const struct llm_event *e)
{
    o->ended = true;
    o->is_error = e->kind == EVENT_ERROR;
    if (o->is_error)
        return e->error == NULL || e->error->message.p == NULL ? "an error that says nothing"
                                                               : NULL;
    if (o->choices == NULL)
        return "an end without a choice";
    for (struct event_order_choice *c = o->choices; c != NULL; c = c->next) {
        if (!c->finished)
            return "an end before every choice has finished";
    }
    return NULL;
}

static inline const char *event_order_check(struct event_order *o, const struct llm_event *e)
{
    if (o->ended)
        return "an event after the end";
    if (e->kind == EVENT_PING)
        return NULL;
    if (e->kind == EVENT_START && o->started)
        return "a second start";
    if (e->kind != EVENT_START && e->kind != EVENT_ERROR && !o->started)
        return "an event before the start";
    struct event_order_choice *c = NULL;
    if (e->kind != EVENT_START && e->kind != EVENT_END && e->kind != EVENT_ERROR &&
        (c = event_order_choice_at(o, e->choice)) == NULL)
        return "no memory";
    switch (e->kind) {
    case EVENT_START: o->started = true; return NULL;
    case EVENT_PART: return event_order_part(o, c, e);
    case EVENT_DELTA:
    case EVENT_SIGNATURE:
    case EVENT_CITATION:
    case EVENT_PART_END: return event_order_inside(o, e);
    case EVENT_LOGPROBS: return c->finished ? "logprobs after the finish" : NULL;
    case EVENT_FINISH: return event_order_finish(o, c);
    default: return event_order_last(o, e);
    }
}

/* An llm_emit_fn: checks the event and passes it on. */
static inline void event_order_take(void *order, const struct llm_event *e)
{
    struct event_order *o = order;
    const char *fault = event_order_check(o, e);
    if (o->fault == NULL)
        o->fault = fault;
    if (o->emit != NULL)
        o->emit(o->ctx, e);
}

/* After the decoder's last call, whose result is `ok`. Returns the first fault, or NULL. */
static inline const char *event_order_end(struct event_order *o, bool ok)
{
    if (o->fault == NULL && ok && !o->ended)
        o->fault = "taken as whole, but neither an end nor an error came";
    if (o->fault == NULL && !ok && o->ended && !o->is_error)
        o->fault = "an end came, but it is taken as broken";
    return o->fault;
}

#endif

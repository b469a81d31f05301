/* Whole answers from events, and events in the order that sequential dialects need. */
#include "llm/neutral.h"

/* Text that comes piece by piece. */
struct gathered {
    char *p;
    size_t n, size;
};

/* A part that text may still come to. */
struct llm_open_part {
    struct llm_open_part *next; /* the one begun before */
    unsigned choice, number;
    struct llm_part *part;
    struct gathered text;
};

/* A choice, and where more goes. */
struct llm_open_choice {
    struct llm_choice choice; /* first: the answer's list goes on from one to the next */
    struct llm_part **parts;
    struct llm_cited **citations;
};

#define TEXT_LEAST 256 /* bytes of the first piece that has to grow */

static bool gather(struct arena *a, struct gathered *g, struct slice more)
{
    if (g->n + more.n > g->size) {
        size_t size = g->n == 0 ? more.n : MAX_OF((g->n + more.n) * 2, (size_t)TEXT_LEAST);
        char *grown = arena_alloc(a, size);
        if (grown == NULL)
            return false;
        if (g->n > 0)
            memcpy(grown, g->p, g->n);
        g->p = grown;
        g->size = size;
    }
    if (more.n > 0)
        memcpy(g->p + g->n, more.p, more.n);
    g->n += more.n;
    return true;
}

static struct slice text_of(const struct gathered *g)
{
    return g->p != NULL ? slice_of(g->p, g->n) : SLICE("");
}

/* Where the list of open parts points at the event's own, or at its end. */
static struct llm_open_part **find_part(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_open_part **at = &c->open;
    while (*at != NULL && ((*at)->choice != e->choice || (*at)->number != e->part))
        at = &(*at)->next;
    return at;
}

/* Joins what came to it. */
static void close_part(struct llm_open_part *o)
{
    struct llm_text text = {text_of(&o->text)};
    if (o->part->kind == PART_TOOL_CALL && !o->part->custom)
        o->part->arguments = text;
    else
        o->part->text = text;
}

/* The choice with this number, made where it is missing; NULL: no memory. */
static struct llm_open_choice *open_choice_of(struct llm_collector *c, unsigned index)
{
    struct llm_choice **at = &c->answer->choices;
    while (*at != NULL && (*at)->index < index)
        at = &(*at)->next;
    if (*at != NULL && (*at)->index == index)
        return container_of(*at, struct llm_open_choice, choice);
    struct llm_open_choice *made = arena_new(c->arena, struct llm_open_choice);
    if (made == NULL)
        return NULL;
    made->choice.index = index;
    made->choice.next = *at;
    made->parts = &made->choice.parts;
    made->citations = &made->choice.citations;
    *at = &made->choice;
    return made;
}

static struct llm_choice *choice_of(struct llm_collector *c, unsigned index)
{
    struct llm_open_choice *o = open_choice_of(c, index);
    return o != NULL ? &o->choice : NULL;
}

/* The copy of a slice that may be absent. */
static struct slice keep(struct llm_collector *c, struct slice s)
{
    struct slice copy = s.p != NULL ? arena_copy(c->arena, s) : SLICE_NONE;
    c->answer->failed |= s.p != NULL && copy.p == NULL;
    return copy;
}

static bool begin_part(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_open_choice *choice = open_choice_of(c, e->choice);
    struct llm_open_part *o = arena_new(c->arena, struct llm_open_part);
    struct llm_part *p = arena_new(c->arena, struct llm_part);
    if (choice == NULL || o == NULL || p == NULL)
        return false;
    LLM_APPEND(choice->parts, p);
    p->kind = e->part_kind;
    p->id = keep(c, e->id);
    p->name = keep(c, e->name);
    p->custom = e->custom;
    p->at = e->part;
    p->native_json = keep(c, e->json);
    p->family = e->family;
    *o = (struct llm_open_part){.next = c->open, .choice = e->choice, .number = e->part, .part = p};
    c->open = o;
    return true;
}

static bool add_citation(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_open_choice *choice = open_choice_of(c, e->choice);
    struct llm_cited *cited = arena_new(c->arena, struct llm_cited);
    if (choice == NULL || cited == NULL)
        return false;
    cited->part = e->part;
    cited->citation = *e->citation;
    struct llm_citation *copy = &cited->citation;
    copy->url = keep(c, copy->url);
    copy->title.inner = keep(c, copy->title.inner);
    copy->cited.inner = keep(c, copy->cited.inner);
    copy->own_json = keep(c, copy->own_json);
    LLM_APPEND(choice->citations, cited);
    return true;
}

static bool add_logprobs(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_choice *choice = choice_of(c, e->choice);
    if (choice == NULL)
        return false;
    struct slice had = choice->logprobs_json;
    choice->logprobs_json = had.n == 0 ? arena_copy(c->arena, e->json)
                                       : arena_printf(c->arena, SLICE_FMT "," SLICE_FMT,
                                                      SLICE_ARG(had), SLICE_ARG(e->json));
    return choice->logprobs_json.p != NULL;
}

static bool add_finish(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_choice *choice = choice_of(c, e->choice);
    if (choice == NULL)
        return false;
    choice->finish = e->finish;
    choice->stop_sequence = keep(c, e->stop_sequence);
    choice->refusal.inner = keep(c, e->text.inner);
    return true;
}

static void take_error(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_answer *r = c->answer;
    r->is_error = true;
    r->error_status = e->status;
    r->error = (struct llm_error){.message = keep(c, e->error->message),
                                  .type = keep(c, e->error->type),
                                  .code = keep(c, e->error->code),
                                  .param = keep(c, e->error->param)};
}

static bool collect(struct llm_collector *c, const struct llm_event *e)
{
    struct llm_open_part **at = find_part(c, e), *o = *at;
    switch (e->kind) {
    case EVENT_START:
        c->answer->id = keep(c, e->id);
        c->answer->model = keep(c, e->model);
        return true;
    case EVENT_PART: return begin_part(c, e);
    case EVENT_DELTA: return o == NULL || gather(c->arena, &o->text, e->text.inner);
    case EVENT_SIGNATURE:
        if (o == NULL)
            return true;
        o->part->signature = keep(c, e->signature);
        o->part->family = e->family;
        o->part->redacted = e->redacted;
        return true;
    case EVENT_CITATION: return add_citation(c, e);
    case EVENT_LOGPROBS: return add_logprobs(c, e);
    case EVENT_FINISH: return add_finish(c, e);
    case EVENT_END: c->answer->whole = true; return true;
    case EVENT_ERROR: take_error(c, e); return true;
    case EVENT_PART_END:
        if (o == NULL)
            return true;
        close_part(o);
        *at = o->next;
        return true;
    case EVENT_PING: break;
    }
    return true;
}

void llm_collect(void *collector, const struct llm_event *e)
{
    struct llm_collector *c = collector;
    if (!c->answer->failed && !collect(c, e))
        c->answer->failed = true;
}

bool llm_collect_end(struct llm_collector *c)
{
    for (struct llm_open_part *o = c->open; o != NULL; o = o->next)
        close_part(o);
    return !c->answer->failed;
}

/* An event of a part whose turn has not come. */
struct llm_waiting {
    struct llm_waiting *next;
    struct llm_event event;
    struct llm_citation citation;
    struct gathered text; /* of a DELTA, to which the part's next ones are added */
};

static bool of_a_part(const struct llm_event *e)
{
    switch (e->kind) {
    case EVENT_PART:
    case EVENT_DELTA:
    case EVENT_SIGNATURE:
    case EVENT_CITATION:
    case EVENT_PART_END: return true;
    default: return false;
    }
}

static bool copy_slice(struct arena *a, struct slice *s)
{
    if (s->p == NULL)
        return true;
    *s = arena_copy(a, *s);
    return s->p != NULL;
}

static bool add_delta(struct llm_sequencer *s, struct llm_waiting *w, const struct llm_event *e)
{
    bool ok = gather(s->arena, &w->text, e->text.inner);
    w->event.text.inner = text_of(&w->text);
    return ok;
}

static bool wait_for_turn(struct llm_sequencer *s, const struct llm_event *e)
{
    struct llm_waiting **tail = &s->waiting, *same = NULL; /* the latest of the same part */
    for (; *tail != NULL; tail = &(*tail)->next)
        same = (*tail)->event.part == e->part ? *tail : same;
    if (e->kind == EVENT_DELTA && same != NULL && same->event.kind == EVENT_DELTA)
        return add_delta(s, same, e);
    struct llm_waiting *w = arena_new(s->arena, struct llm_waiting);
    if (w == NULL)
        return false;
    w->event = *e;
    struct llm_event *c = &w->event;
    bool ok = copy_slice(s->arena, &c->id) && copy_slice(s->arena, &c->name) &&
              copy_slice(s->arena, &c->signature) && copy_slice(s->arena, &c->json);
    if (e->kind == EVENT_DELTA)
        ok = ok && add_delta(s, w, e);
    if (e->citation != NULL) {
        w->citation = *e->citation;
        c->citation = &w->citation;
        ok = ok && copy_slice(s->arena, &w->citation.url) &&
             copy_slice(s->arena, &w->citation.title.inner) &&
             copy_slice(s->arena, &w->citation.cited.inner) &&
             copy_slice(s->arena, &w->citation.own_json);
    }
    *tail = w;
    return ok;
}

static void pass(struct llm_sequencer *s, const struct llm_event *e)
{
    if (e->kind == EVENT_PART) {
        s->is_open = true;
        s->open = e->part;
        s->open_kind = e->part_kind;
    } else if (e->kind == EVENT_PART_END) {
        s->is_open = false;
    }
    s->emit(s->ctx, e);
}

/* Lets through what waits, part by part, until one of them is still open at its end. */
static void let_through(struct llm_sequencer *s)
{
    struct llm_waiting **at = &s->waiting;
    while (*at != NULL) {
        struct llm_waiting *w = *at;
        if (s->is_open && w->event.part != s->open) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        pass(s, &w->event);
        if (!s->is_open)
            at = &s->waiting; /* the next part's turn */
    }
}

/* The sequencer of this choice, made where it is missing; NULL: no memory. */
static struct llm_sequencer *sequencer_of(struct llm_sequencer *first, unsigned choice)
{
    struct llm_sequencer **at = &first;
    while (*at != NULL && (*at)->choice != choice)
        at = &(*at)->next;
    if (*at != NULL)
        return *at;
    *at = arena_new(first->arena, struct llm_sequencer);
    if (*at != NULL)
        **at = (struct llm_sequencer){
            .emit = first->emit, .ctx = first->ctx, .arena = first->arena, .choice = choice};
    return *at;
}

void llm_sequence(void *sequencer, const struct llm_event *e)
{
    struct llm_sequencer *first = sequencer;
    struct llm_sequencer *s = first->failed ? NULL : sequencer_of(first, e->choice);
    if (s == NULL) {
        first->failed = true;
        return;
    }
    if (of_a_part(e) && (s->is_open ? e->part != s->open : s->waiting != NULL)) {
        first->failed = !wait_for_turn(s, e);
        return;
    }
    pass(s, e);
    if (e->kind == EVENT_PART_END)
        let_through(s);
}

void llm_sequence_cut(struct llm_sequencer *first, bool calls)
{
    for (struct llm_sequencer *s = first; s != NULL; s = s->next) {
        const struct llm_event e = {.kind = EVENT_PART_END,
                                    .choice = s->choice,
                                    .part = s->open,
                                    .part_kind = s->open_kind};
        s->waiting = NULL;
        if (s->is_open && (calls || s->open_kind != PART_TOOL_CALL))
            pass(s, &e);
        s->is_open = false;
    }
}

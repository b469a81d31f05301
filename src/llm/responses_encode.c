/* Answers in OpenAI's Responses dialect: the run of events of a stream, and whole answers.
 *
 * Texts and refusals that follow each other are the content of one message; any other part is an
 * item of its own. An item is done when the next begins or the answer finishes, since only then it
 * is known whether it was cut. A failure is an `error` event and then response.failed, in OpenAI's
 * own order: the Vercel AI SDK tells it twice the other way round, and Codex looks at the latter.
 */
#include "responses_internal.h"

/* What begins with `event:` and ends before the number of the event. */
#define EVENT_HEAD(type) SLICE("event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":")

#define FAILED_BYTES ((size_t)1 << 16) /* of memory, for an answer of which nothing is left */

/* ---- Events. */

struct event {
    struct json_writer w;
    size_t from; /* where its data begins in the buffer */
};

static struct event event_open(struct llm_encoder *e, struct responses_answer *r, struct slice head)
{
    buf_slice(e->out, head);
    buf_i64(e->out, r->sequence++);
    return (struct event){{.b = e->out, .comma = true}, e->out->n};
}

/* JSON of the client's and the provider's own may have line breaks between its tokens, which would
 * end a line of data; inside of strings there are none. */
static void event_close(struct event *ev)
{
    struct buf *b = ev->w.b;
    buf_lit(b, "}");
    for (size_t i = ev->from; i < b->n && !b->failed; i++) {
        if (b->p[i] == '\n' || b->p[i] == '\r')
            b->p[i] = ' ';
    }
    buf_lit(b, "\n\n");
}

static void put_lifecycle(struct llm_encoder *e, struct responses_answer *r, struct slice head,
                          enum responses_status status, const struct llm_event *error)
{
    struct event ev = event_open(e, r, head);
    jw_key(&ev.w, "response");
    responses_put_response(&ev.w, e, r, status, error != NULL ? error->error : NULL,
                           error != NULL ? error->status : 0);
    event_close(&ev);
}

static void put_item_event(struct llm_encoder *e, struct responses_answer *r, struct slice head,
                           bool begun)
{
    struct event ev = event_open(e, r, head);
    jw_field_i64(&ev.w, "output_index", r->last->index);
    jw_key(&ev.w, "item");
    responses_put_item(&ev.w, r->last, begun);
    event_close(&ev);
}

/* An event that says where the open part is; more may follow. */
static struct event part_event(struct llm_encoder *e, struct responses_answer *r, struct slice head)
{
    struct event ev = event_open(e, r, head);
    buf_slice(e->out, r->place);
    return ev;
}

static void put_part_text(struct llm_encoder *e, struct responses_answer *r, struct slice head,
                          struct slice key, const struct responses_text *text, bool logprobs)
{
    struct event ev = part_event(e, r, head);
    jw_key_slice(&ev.w, key);
    responses_put_text(&ev.w, text);
    if (logprobs) {
        jw_key(&ev.w, "logprobs");
        jw_open(&ev.w, '[');
        if (r->last->content->logprobs.n > 0)
            responses_put_json(&ev.w, &r->last->content->logprobs);
        jw_close(&ev.w, ']');
    }
    event_close(&ev);
}

static void put_content_event(struct llm_encoder *e, struct responses_answer *r, struct slice head)
{
    struct event ev = part_event(e, r, head);
    jw_key(&ev.w, "part");
    responses_put_content(&ev.w, r->last->content);
    event_close(&ev);
}

static void put_summary_event(struct llm_encoder *e, struct responses_answer *r, struct slice head)
{
    struct event ev = part_event(e, r, head);
    jw_key(&ev.w, "part");
    jw_open(&ev.w, '{');
    jw_field_string(&ev.w, "type", SLICE("summary_text"));
    jw_key(&ev.w, "text");
    responses_put_text(&ev.w, &r->last->text);
    jw_close(&ev.w, '}');
    event_close(&ev);
}

/* ---- Parts. */

static bool is_refusal(const struct responses_answer *r)
{
    return r->last->kind == ITEM_MESSAGE && r->last->content->refusal;
}

/* The head of the deltas of the open part, and what stands behind their text. */
static struct slice delta_head(const struct responses_answer *r)
{
    switch (r->last->kind) {
    case ITEM_MESSAGE:
        return r->last->content->refusal ? EVENT_HEAD("response.refusal.delta")
                                         : EVENT_HEAD("response.output_text.delta");
    case ITEM_REASONING: return EVENT_HEAD("response.reasoning_summary_text.delta");
    case ITEM_FUNCTION: return EVENT_HEAD("response.function_call_arguments.delta");
    case ITEM_CUSTOM: return EVENT_HEAD("response.custom_tool_call_input.delta");
    }
    NEVER("a kind of item has its deltas");
}

/* `,"item_id":...` and the numbers that go with it. */
static bool set_place(struct llm_encoder *e, struct responses_answer *r)
{
    const struct responses_item *i = r->last;
    struct buf b;
    buf_init(&b, 4096);
    struct json_writer w = {.b = &b, .comma = true};
    jw_field_string(&w, "item_id", i->id);
    jw_field_i64(&w, "output_index", i->index);
    if (i->kind == ITEM_MESSAGE)
        jw_field_i64(&w, "content_index", i->contents_n - 1);
    else if (i->kind == ITEM_REASONING)
        jw_field_i64(&w, "summary_index", 0);
    r->place = b.failed ? SLICE_NONE : arena_copy(e->arena, buf_view(&b));
    buf_done(&b);
    return r->place.p != NULL;
}

static void item_done(struct llm_encoder *e, struct responses_answer *r)
{
    if (r->item_open)
        put_item_event(e, r, EVENT_HEAD("response.output_item.done"), false);
    r->item_open = false;
}

/* Blocks that only another family knows have no place here. */
static bool is_foreign(enum llm_part_kind kind)
{
    return kind != PART_TEXT && kind != PART_REFUSAL && kind != PART_REASONING &&
           kind != PART_TOOL_CALL;
}

static enum responses_item_kind item_kind(enum llm_part_kind kind, bool custom)
{
    switch (kind) {
    case PART_REASONING: return ITEM_REASONING;
    case PART_TOOL_CALL: return custom ? ITEM_CUSTOM : ITEM_FUNCTION;
    default: return ITEM_MESSAGE;
    }
}

static bool part_begin(struct llm_encoder *e, struct responses_answer *r,
                       const struct llm_event *event)
{
    enum responses_item_kind kind = item_kind(event->part_kind, event->custom);
    if (is_foreign(event->part_kind))
        return true;
    bool joins = r->item_open && kind == ITEM_MESSAGE && r->last->kind == ITEM_MESSAGE;
    if (!joins) {
        item_done(e, r);
        if (responses_add_item(e, r, kind, event->id, event->name) == NULL)
            return false;
        r->item_open = true;
        put_item_event(e, r, EVENT_HEAD("response.output_item.added"), true);
    }
    if (kind == ITEM_MESSAGE &&
        responses_add_content(e, r, event->part_kind == PART_REFUSAL) == NULL)
        return false;
    if (!set_place(e, r))
        return false;
    if (kind == ITEM_MESSAGE)
        put_content_event(e, r, EVENT_HEAD("response.content_part.added"));
    r->part_open = true;
    return true;
}

static struct responses_text *open_text(struct responses_answer *r)
{
    return r->last->kind == ITEM_MESSAGE ? &r->last->content->text : &r->last->text;
}

/* `logprobs`: elements, or empty. */
static void put_delta(struct llm_encoder *e, struct responses_answer *r, struct slice text,
                      struct slice logprobs)
{
    buf_slice(e->out, delta_head(r));
    buf_i64(e->out, r->sequence++);
    buf_slice(e->out, r->place);
    buf_lit(e->out, ",\"delta\":\"");
    buf_slice(e->out, text);
    if (r->last->kind == ITEM_MESSAGE && !r->last->content->refusal) {
        buf_lit(e->out, "\",\"logprobs\":[");
        buf_slice(e->out, logprobs);
        buf_lit(e->out, "]}\n\n");
    } else {
        buf_lit(e->out, "\"}\n\n");
    }
}

static bool part_delta(struct llm_encoder *e, struct responses_answer *r,
                       const struct llm_event *event)
{
    struct responses_text *t = open_text(r);
    if (event->text.inner.n == 0)
        return true;
    if (r->last->kind == ITEM_REASONING && t->n == 0)
        put_summary_event(e, r, EVENT_HEAD("response.reasoning_summary_part.added"));
    if (!responses_add_text(e, r, t, event->text.inner))
        return false;
    put_delta(e, r, event->text.inner, SLICE_NONE);
    return true;
}

/* They belong to a text that has been sent: an empty delta carries them. */
static bool part_logprobs(struct llm_encoder *e, struct responses_answer *r,
                          const struct llm_event *event)
{
    if (r->last->kind != ITEM_MESSAGE || r->last->content->refusal || event->json.n == 0)
        return true;
    struct responses_text *t = &r->last->content->logprobs;
    if ((t->n > 0 && !responses_add_text(e, r, t, SLICE(","))) ||
        !responses_add_text(e, r, t, event->json))
        return false;
    struct event ev = part_event(e, r, delta_head(r));
    jw_field_string(&ev.w, "delta", SLICE(""));
    jw_key(&ev.w, "logprobs");
    jw_open(&ev.w, '[');
    jw_raw(&ev.w, event->json);
    jw_close(&ev.w, ']');
    event_close(&ev);
    return true;
}

static bool part_citation(struct llm_encoder *e, struct responses_answer *r,
                          const struct llm_event *event)
{
    if (r->last->kind != ITEM_MESSAGE || is_refusal(r))
        return true;
    struct event ev = part_event(e, r, EVENT_HEAD("response.output_text.annotation.added"));
    jw_field_i64(&ev.w, "annotation_index", r->last->content->annotations_n);
    jw_key(&ev.w, "annotation");
    responses_put_citation(&ev.w, event->citation);
    event_close(&ev);
    return responses_add_citation(e, r, event->citation);
}

static void part_end(struct llm_encoder *e, struct responses_answer *r)
{
    const struct responses_text *t = open_text(r);
    r->part_open = false;
    switch (r->last->kind) {
    case ITEM_MESSAGE:
        if (is_refusal(r))
            put_part_text(e, r, EVENT_HEAD("response.refusal.done"), SLICE("refusal"), t, false);
        else
            put_part_text(e, r, EVENT_HEAD("response.output_text.done"), SLICE("text"), t, true);
        put_content_event(e, r, EVENT_HEAD("response.content_part.done"));
        break;
    case ITEM_REASONING:
        if (t->n == 0)
            break;
        put_part_text(e, r, EVENT_HEAD("response.reasoning_summary_text.done"), SLICE("text"), t,
                      false);
        put_summary_event(e, r, EVENT_HEAD("response.reasoning_summary_part.done"));
        break;
    case ITEM_FUNCTION:
        put_part_text(e, r, EVENT_HEAD("response.function_call_arguments.done"), SLICE("arguments"),
                      t, false);
        break;
    case ITEM_CUSTOM:
        put_part_text(e, r, EVENT_HEAD("response.custom_tool_call_input.done"), SLICE("input"), t,
                      false);
        break;
    }
}

/* ---- The answer. */

static bool start(struct llm_encoder *e, struct slice id, struct slice model)
{
    if (e->state != NULL)
        return true;
    struct responses_answer *r = responses_answer_new(e, id, model);
    if (r == NULL)
        return false;
    e->state = r;
    put_lifecycle(e, r, EVENT_HEAD("response.created"), STATUS_IN_PROGRESS, NULL);
    put_lifecycle(e, r, EVENT_HEAD("response.in_progress"), STATUS_IN_PROGRESS, NULL);
    return true;
}

/* A refusal that is said with the end of the answer only. */
static bool put_refusal(struct llm_encoder *e, struct responses_answer *r, struct llm_text text)
{
    const struct llm_event part = {.kind = EVENT_PART, .part_kind = PART_REFUSAL};
    const struct llm_event delta = {.kind = EVENT_DELTA, .text = text};
    if (!part_begin(e, r, &part) || !part_delta(e, r, &delta))
        return false;
    part_end(e, r);
    return true;
}

static bool finish(struct llm_encoder *e, struct responses_answer *r, const struct llm_event *event)
{
    if (r->finished)
        return true;
    if (r->part_open)
        part_end(e, r);
    if (event->text.inner.n > 0 && !r->refused && !put_refusal(e, r, event->text))
        return false;
    r->finished = true;
    r->finish = event->finish;
    if (r->item_open)
        r->last->cut = responses_status_of(r) == STATUS_INCOMPLETE;
    item_done(e, r);
    return true;
}

static void end(struct llm_encoder *e, struct responses_answer *r)
{
    enum responses_status status = responses_status_of(r);
    r->ended = true;
    put_lifecycle(e, r,
                  status == STATUS_COMPLETED ? EVENT_HEAD("response.completed")
                                             : EVENT_HEAD("response.incomplete"),
                  status, NULL);
}

static void put_or_null(struct json_writer *w, struct slice s)
{
    if (s.n > 0)
        jw_string(w, s);
    else
        jw_null(w);
}

/* The members of an `error` event behind its number. */
static void put_error_members(struct json_writer *w, const struct llm_error *error, unsigned status)
{
    jw_field_string(w, "code", responses_error_code(error, status));
    jw_field_string(w, "message", error->message);
    jw_key(w, "param");
    put_or_null(w, error->param);
}

static void fail(struct llm_encoder *e, struct responses_answer *r, const struct llm_event *event)
{
    r->ended = true;
    if (r->item_open)
        r->last->cut = true;
    struct event ev = event_open(e, r, EVENT_HEAD("error"));
    put_error_members(&ev.w, event->error, event->status);
    event_close(&ev);
    put_lifecycle(e, r, EVENT_HEAD("response.failed"), STATUS_FAILED, event);
}

/* Events of the part that is open. */
static bool encode_part(struct llm_encoder *e, struct responses_answer *r,
                        const struct llm_event *event)
{
    switch (event->kind) {
    case EVENT_DELTA: return part_delta(e, r, event);
    case EVENT_LOGPROBS: return part_logprobs(e, r, event);
    case EVENT_CITATION: return part_citation(e, r, event);
    case EVENT_SIGNATURE:
        return r->last->kind != ITEM_REASONING ||
               responses_sign(e, r->last, event->signature, event->family, event->redacted);
    case EVENT_PART_END: part_end(e, r); return true;
    default: return true;
    }
}

static bool encode(struct llm_encoder *e, const struct llm_event *event)
{
    if (event->kind == EVENT_PING || event->choice > 0) /* nobody could have asked for a second */
        return true;
    bool is_start = event->kind == EVENT_START;
    if (!start(e, is_start ? event->id : SLICE_NONE, is_start ? event->model : SLICE_NONE))
        return false;
    struct responses_answer *r = e->state;
    if (r->ended)
        return true;
    switch (event->kind) {
    case EVENT_PART: return part_begin(e, r, event);
    case EVENT_FINISH: return finish(e, r, event);
    case EVENT_END: end(e, r); return true;
    case EVENT_ERROR: fail(e, r, event); return true;
    default: return !r->part_open || encode_part(e, r, event);
    }
}

static void responses_encode(struct llm_encoder *e, const struct llm_event *event)
{
    if (!encode(e, event))
        e->out->failed = true;
}

/* ---- Whole answers. */

static bool add_part(struct llm_encoder *e, struct responses_answer *r, const struct llm_part *p)
{
    enum responses_item_kind kind = item_kind(p->kind, p->custom);
    if (is_foreign(p->kind))
        return true;
    bool joins = r->last != NULL && kind == ITEM_MESSAGE && r->last->kind == ITEM_MESSAGE;
    if (!joins && responses_add_item(e, r, kind, p->id, p->name) == NULL)
        return false;
    if (kind == ITEM_MESSAGE && responses_add_content(e, r, p->kind == PART_REFUSAL) == NULL)
        return false;
    struct llm_text text = kind == ITEM_FUNCTION ? llm_call_text(e->arena, p) : p->text;
    if (!responses_add_text(e, r, open_text(r), text.inner))
        return false;
    return kind != ITEM_REASONING || p->signature.n == 0 ||
           responses_sign(e, r->last, p->signature, p->family, p->redacted);
}

static bool add_citations(struct llm_encoder *e, struct responses_answer *r,
                          const struct llm_choice *choice, const struct llm_part *p)
{
    for (const struct llm_cited *c = choice->citations; c != NULL; c = c->next) {
        if (c->part == p->at && !responses_add_citation(e, r, &c->citation))
            return false;
    }
    return true;
}

static bool add_choice(struct llm_encoder *e, struct responses_answer *r,
                       const struct llm_choice *choice)
{
    struct slice logprobs = choice->logprobs_json;
    for (const struct llm_part *p = choice->parts; p != NULL; p = p->next) {
        if (!add_part(e, r, p))
            return false;
        if (p->kind != PART_TEXT)
            continue;
        if (!add_citations(e, r, choice, p) ||
            !responses_add_text(e, r, &r->last->content->logprobs, logprobs))
            return false;
        logprobs = SLICE_NONE; /* they are not told apart by part: all go with the first */
    }
    r->finish = choice->finish;
    if (choice->refusal.inner.n > 0 && !r->refused) {
        const struct llm_part refusal = {.kind = PART_REFUSAL, .text = choice->refusal};
        if (!add_part(e, r, &refusal))
            return false;
    }
    if (r->last != NULL)
        r->last->cut = responses_status_of(r) == STATUS_INCOMPLETE;
    return true;
}

static void responses_write_answer(struct llm_encoder *e, const struct llm_answer *answer)
{
    struct responses_answer *r = responses_answer_new(e, answer->id, answer->model);
    if (r == NULL || (answer->choices != NULL && !add_choice(e, r, answer->choices))) {
        e->out->failed = true;
        return;
    }
    struct json_writer w = json_writer(e->out);
    responses_put_response(&w, e, r, responses_status_of(r), NULL, 0);
}

/* ---- Errors. */

static void responses_put_error(struct buf *out, unsigned status, const struct llm_error *error,
                                struct slice request_id)
{
    (void)request_id; /* it is in the answer's x-request-id, where the SDKs look */
    struct llm_error shown = *error;
    shown.type = responses_error_type(error, status);
    openai_put_error(out, &shown);
}

/* Of a stream whose own state is not at hand: what is not known of it has the values that say
 * nothing. */
static void put_failed_response(struct json_writer *w, unsigned status,
                                const struct llm_error *error, struct slice request_id)
{
    struct arena a;
    const struct llm_chat chat = {.max_tokens = -1, .parallel = -1};
    struct llm_encoder e = {.arena = &a, .chat = &chat, .id = request_id};
    arena_init(&a, NULL, FAILED_BYTES);
    struct responses_answer *r = responses_answer_new(&e, SLICE_NONE, SLICE_NONE);
    if (r == NULL)
        w->b->failed = true;
    else
        responses_put_response(w, &e, r, STATUS_FAILED, error, status);
    arena_reset(&a);
}

static void responses_put_error_event(struct buf *out, unsigned status,
                                      const struct llm_error *error, struct slice request_id)
{
    struct json_writer w = {.b = out, .comma = true};
    buf_slice(out, EVENT_HEAD("error"));
    buf_lit(out, "0");
    put_error_members(&w, error, status);
    buf_lit(out, "}\n\n");
    buf_slice(out, EVENT_HEAD("response.failed"));
    buf_lit(out, "1");
    w = (struct json_writer){.b = out, .comma = true};
    jw_key(&w, "response");
    put_failed_response(&w, status, error, request_id);
    buf_lit(out, "}\n\n");
}

const struct llm_dialect responses_dialect = {.id = DIALECT_RESPONSES,
                                              .name = "responses",
                                              .family = FAMILY_OPENAI,
                                              .wire = &responses_wire,
                                              .read_request = responses_read_request,
                                              .read_chat = responses_read_chat,
                                              .sequential = true,
                                              .stream_type = {"text/event-stream", 17},
                                              .keep_alive = {": waiting\n\n", 11},
                                              .encode = responses_encode,
                                              .write_answer = responses_write_answer,
                                              .put_error = responses_put_error,
                                              .put_error_event = responses_put_error_event};

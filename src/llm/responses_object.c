/* The response object of OpenAI's Responses: an answer with its items, as both streams and whole
 * answers carry it. Members that the official SDKs' types require are always there. `instructions`
 * is null: what is put in front of the model is not for everybody to see who reads its answer. */
#include "responses_internal.h"

#define BYTES_MAX   ((size_t)64 << 20) /* of all texts of one answer */
#define PIECE_LEAST 512
#define PIECE_MOST  ((size_t)1 << 20)
#define ID_PART_MAX 40 /* of the answer's id in those of its items: ids have 64 bytes at most */

struct responses_piece {
    struct responses_piece *next;
    size_t n, size;
    char bytes[];
};

/* The part of an id that makes it different from others. */
static struct slice id_core(struct slice id)
{
    static const struct slice prefix = {"resp_", 5};
    if (slice_starts(id, prefix))
        id = slice_from(id, prefix.n);
    return id.n > ID_PART_MAX ? slice_from(id, id.n - ID_PART_MAX) : id;
}

struct responses_answer *responses_answer_new(struct llm_encoder *e, struct slice id,
                                              struct slice model)
{
    struct responses_answer *r = arena_new(e->arena, struct responses_answer);
    if (r == NULL)
        return NULL;
    if (id.n == 0)
        id = e->id;
    r->id = arena_printf(e->arena, "%s" SLICE_FMT, slice_starts(id, SLICE("resp_")) ? "" : "resp_",
                         SLICE_ARG(id));
    r->model = arena_copy(e->arena, model.n > 0 ? model : e->chat->model);
    return r->id.p != NULL && r->model.p != NULL ? r : NULL;
}

struct responses_item *responses_add_item(struct llm_encoder *e, struct responses_answer *r,
                                          enum responses_item_kind kind, struct slice call_id,
                                          struct slice name)
{
    static const char *const prefixes[] = {[ITEM_MESSAGE] = "msg",
                                           [ITEM_REASONING] = "rs",
                                           [ITEM_FUNCTION] = "fc",
                                           [ITEM_CUSTOM] = "ctc"};
    struct responses_item *item = arena_new(e->arena, struct responses_item);
    if (item == NULL)
        return NULL;
    const struct llm_tool *tool = responses_tool(e->chat, name);
    if (tool != NULL && tool->space.n > 0) {
        item->space = tool->space;
        name = responses_inner_name(tool);
    }
    item->kind = kind;
    item->index = r->items_n;
    item->id = arena_printf(e->arena, "%s_" SLICE_FMT "_%u", prefixes[kind],
                            SLICE_ARG(id_core(r->id)), r->items_n);
    item->call_id = arena_copy(e->arena, call_id);
    item->name = arena_copy(e->arena, name);
    if (item->id.p == NULL || item->call_id.p == NULL || item->name.p == NULL)
        return NULL;
    *(r->last != NULL ? &r->last->next : &r->first) = item;
    r->last = item;
    r->items_n++;
    return item;
}

struct responses_content *responses_add_content(struct llm_encoder *e, struct responses_answer *r,
                                                bool refusal)
{
    struct responses_item *item = r->last;
    struct responses_content *c = arena_new(e->arena, struct responses_content);
    if (c == NULL)
        return NULL;
    c->refusal = refusal;
    r->refused |= refusal;
    *(item->content != NULL ? &item->content->next : &item->contents) = c;
    item->content = c;
    item->contents_n++;
    return c;
}

bool responses_add_text(struct llm_encoder *e, struct responses_answer *r, struct responses_text *t,
                        struct slice more)
{
    if (more.n > BYTES_MAX - r->bytes)
        return false;
    r->bytes += more.n;
    while (more.n > 0) {
        struct responses_piece *p = t->last;
        if (p == NULL || p->n == p->size) {
            size_t size = MIN_OF(t->n, PIECE_MOST); /* as much again as there is */
            size = MAX_OF(size, more.n);
            size = MAX_OF(size, (size_t)PIECE_LEAST);
            struct responses_piece *made = arena_alloc(e->arena, sizeof *made + size);
            if (made == NULL)
                return false;
            *made = (struct responses_piece){.size = size};
            *(p != NULL ? &p->next : &t->first) = made;
            t->last = p = made;
        }
        size_t n = MIN_OF(more.n, p->size - p->n);
        memcpy(p->bytes + p->n, more.p, n);
        p->n += n;
        t->n += n;
        more = slice_from(more, n);
    }
    return true;
}

bool responses_add_citation(struct llm_encoder *e, struct responses_answer *r,
                            const struct llm_citation *citation)
{
    struct responses_content *c = r->last->content;
    struct buf b;
    buf_init(&b, BYTES_MAX);
    struct json_writer w = json_writer(&b);
    if (c->annotations_n > 0)
        buf_char(&b, ',');
    responses_put_citation(&w, citation);
    bool ok = !b.failed && responses_add_text(e, r, &c->annotations, buf_view(&b));
    c->annotations_n++;
    buf_done(&b);
    return ok;
}

bool responses_sign(struct llm_encoder *e, struct responses_item *item, struct slice signature,
                    enum llm_family family, bool redacted)
{
    bool marked = redacted && family != FAMILY_OPENAI;
    struct slice s = signature;
    if (marked)
        s = arena_printf(e->arena, RESPONSES_REDACTED SLICE_FMT, SLICE_ARG(s));
    if (s.p != NULL)
        s = llm_signature_mark(e->arena, s, family, FAMILY_OPENAI);
    if (s.p != NULL)
        item->encrypted_content = arena_copy(e->arena, s);
    return item->encrypted_content.p != NULL;
}

enum responses_status responses_status_of(const struct responses_answer *r)
{
    if (r->finish == FINISH_LENGTH || (r->finish == FINISH_FILTER && !r->refused))
        return STATUS_INCOMPLETE;
    return STATUS_COMPLETED;
}

static void put_pieces(struct buf *b, const struct responses_text *t)
{
    for (const struct responses_piece *p = t->first; p != NULL; p = p->next)
        buf_append(b, p->bytes, p->n);
}

void responses_put_text(struct json_writer *w, const struct responses_text *t)
{
    jw_before_value(w);
    buf_char(w->b, '"');
    put_pieces(w->b, t);
    buf_char(w->b, '"');
}

void responses_put_json(struct json_writer *w, const struct responses_text *t)
{
    jw_before_value(w);
    put_pieces(w->b, t);
}

static void put_list(struct json_writer *w, const struct responses_text *elements)
{
    jw_open(w, '[');
    if (elements->n > 0)
        responses_put_json(w, elements);
    jw_close(w, ']');
}

void responses_put_content(struct json_writer *w, const struct responses_content *c)
{
    jw_open(w, '{');
    if (c->refusal) {
        jw_field_string(w, "type", SLICE("refusal"));
        jw_key(w, "refusal");
        responses_put_text(w, &c->text);
    } else {
        jw_field_string(w, "type", SLICE("output_text"));
        jw_key(w, "annotations");
        put_list(w, &c->annotations);
        jw_key(w, "logprobs");
        put_list(w, &c->logprobs);
        jw_key(w, "text");
        responses_put_text(w, &c->text);
    }
    jw_close(w, '}');
}

static void put_message(struct json_writer *w, const struct responses_item *item, bool begun)
{
    jw_key(w, "content");
    jw_open(w, '[');
    for (const struct responses_content *c = item->contents; c != NULL && !begun; c = c->next)
        responses_put_content(w, c);
    jw_close(w, ']');
    jw_field_string(w, "role", SLICE("assistant"));
}

static void put_reasoning(struct json_writer *w, const struct responses_item *item, bool begun)
{
    jw_key(w, "summary");
    jw_open(w, '[');
    if (!begun && item->text.n > 0) {
        jw_open(w, '{');
        jw_field_string(w, "type", SLICE("summary_text"));
        jw_key(w, "text");
        responses_put_text(w, &item->text);
        jw_close(w, '}');
    }
    jw_close(w, ']');
    if (item->encrypted_content.n > 0)
        jw_field_string(w, "encrypted_content", item->encrypted_content);
}

static void put_call(struct json_writer *w, const struct responses_item *item, bool begun)
{
    static const struct responses_text none = {.n = 0};
    if (item->kind == ITEM_FUNCTION)
        jw_key(w, "arguments");
    else
        jw_key(w, "input");
    responses_put_text(w, begun ? &none : &item->text);
    jw_field_string(w, "call_id", item->call_id);
    jw_field_string(w, "name", item->name);
    if (item->space.n > 0)
        jw_field_string(w, "namespace", item->space);
}

void responses_put_item(struct json_writer *w, const struct responses_item *item, bool begun)
{
    static const struct {
        struct slice type;
        void (*put)(struct json_writer *w, const struct responses_item *item, bool begun);
    } kinds[] = {
        [ITEM_MESSAGE] = {{"message", 7}, put_message},
        [ITEM_REASONING] = {{"reasoning", 9}, put_reasoning},
        [ITEM_FUNCTION] = {{"function_call", 13}, put_call},
        [ITEM_CUSTOM] = {{"custom_tool_call", 16}, put_call},
    };
    jw_open(w, '{');
    jw_field_string(w, "id", item->id);
    jw_field_string(w, "type", kinds[item->kind].type);
    if (item->kind != ITEM_REASONING)
        jw_field_string(w, "status",
                        begun       ? SLICE("in_progress")
                        : item->cut ? SLICE("incomplete")
                                    : SLICE("completed"));
    kinds[item->kind].put(w, item, begun);
    jw_close(w, '}');
}

/* A citation without URL is of a document that the request brought along: it has no file_id, and
 * what it cites is said beside the members that OpenAI knows. */
void responses_put_citation(struct json_writer *w, const struct llm_citation *c)
{
    if (c->family == FAMILY_OPENAI && c->own_json.n > 0) {
        jw_raw_line(w, c->own_json);
        return;
    }
    jw_open(w, '{');
    if (c->url.n > 0) {
        jw_field_string(w, "type", SLICE("url_citation"));
        jw_field_i64(w, "start_index", MAX_OF(c->start, (int64_t)0));
        jw_field_i64(w, "end_index", MAX_OF(c->end, (int64_t)0));
        jw_field_text(w, "title", c->title);
        jw_field_string(w, "url", c->url);
    } else {
        jw_field_string(w, "type", SLICE("file_citation"));
        jw_field_string(w, "file_id", SLICE(""));
        jw_field_text(w, "filename", c->title);
        jw_field_i64(w, "index", MAX_OF(c->document, (int64_t)0));
    }
    if (c->cited.inner.n > 0)
        jw_field_text(w, "cited_text", c->cited);
    jw_close(w, '}');
}

static void put_usage(struct json_writer *w, const struct llm_usage *u)
{
    if (u == NULL || (u->input < 0 && u->output < 0)) {
        jw_null(w);
        return;
    }
    int64_t input = MAX_OF(u->input, (int64_t)0), output = MAX_OF(u->output, (int64_t)0);
    jw_open(w, '{');
    jw_field_i64(w, "input_tokens", input);
    jw_key(w, "input_tokens_details");
    jw_open(w, '{');
    jw_field_i64(w, "cached_tokens", MAX_OF(u->cached, (int64_t)0));
    jw_field_i64(w, "cache_write_tokens", MAX_OF(u->cache_write, (int64_t)0));
    jw_close(w, '}');
    jw_field_i64(w, "output_tokens", output);
    jw_key(w, "output_tokens_details");
    jw_open(w, '{');
    jw_field_i64(w, "reasoning_tokens", MAX_OF(u->reasoning, (int64_t)0));
    jw_close(w, '}');
    jw_field_i64(w, "total_tokens", input + output);
    jw_close(w, '}');
}

/* The codes are those that clients know: Codex gives up at once for some, and waits for others. */
static const struct {
    unsigned status;
    struct slice code, type;
} errors[] = {
    {400, {"invalid_prompt", 14}, {"invalid_request_error", 21}},
    {401, {"invalid_api_key", 15}, {"invalid_request_error", 21}},
    {403, {"invalid_prompt", 14}, {"invalid_request_error", 21}},
    {404, {"model_not_found", 15}, {"invalid_request_error", 21}},
    {413, {"invalid_prompt", 14}, {"invalid_request_error", 21}},
    {422, {"invalid_prompt", 14}, {"invalid_request_error", 21}},
    {429, {"rate_limit_exceeded", 19}, {"rate_limit_error", 16}},
    {503, {"server_is_overloaded", 20}, {"server_error", 12}},
    {529, {"server_is_overloaded", 20}, {"server_error", 12}},
};

struct slice responses_error_code(const struct llm_error *error, unsigned status)
{
    if (error->code.n > 0 && (error->code.p[0] < '0' || error->code.p[0] > '9'))
        return error->code;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].status == status)
            return errors[i].code;
    }
    return SLICE("server_error");
}

struct slice responses_error_type(const struct llm_error *error, unsigned status)
{
    if (error->type.n > 0)
        return error->type;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].status == status)
            return errors[i].type;
    }
    return SLICE("server_error");
}

static void put_word(struct json_writer *w, struct slice word)
{
    if (word.n > 0)
        jw_string(w, word);
    else
        jw_null(w);
}

/* What the request said, or what stands for it when it said nothing. */
static void put_json(struct json_writer *w, struct slice said, struct slice otherwise)
{
    jw_raw(w, said.n > 0 ? said : otherwise);
}

static void put_request_members(struct json_writer *w, const struct llm_chat *c)
{
    jw_key(w, "max_output_tokens");
    if (c->max_tokens >= 0)
        jw_i64(w, c->max_tokens);
    else
        jw_null(w);
    jw_key(w, "metadata");
    put_json(w, c->metadata_json, SLICE("{}"));
    jw_field_bool(w, "parallel_tool_calls", c->parallel != 0);
    jw_key(w, "previous_response_id");
    jw_null(w);
    jw_key(w, "prompt_cache_key");
    put_word(w, c->cache_key);
    jw_key(w, "reasoning");
    jw_open(w, '{');
    jw_key(w, "effort");
    put_word(w, c->effort);
    jw_key(w, "summary");
    put_word(w, c->show);
    jw_close(w, '}');
    jw_key(w, "safety_identifier");
    put_word(w, c->user);
    jw_field_string(w, "service_tier", c->service_tier.n > 0 ? c->service_tier : SLICE("default"));
    jw_field_bool(w, "store", false);
    jw_key(w, "temperature");
    put_json(w, c->temperature, SLICE("1.0"));
    jw_key(w, "text");
    jw_open(w, '{');
    responses_put_text_members(w, c);
    jw_close(w, '}');
    jw_key(w, "tool_choice");
    responses_put_choice(w, c);
    jw_key(w, "tools");
    jw_open(w, '[');
    const struct llm_tool *before = NULL;
    for (const struct llm_tool *t = c->tools; t != NULL; before = t, t = t->next)
        responses_put_tool(w, c, t, before);
    jw_close(w, ']');
    jw_field_i64(w, "top_logprobs", MAX_OF(c->top_logprobs, (int64_t)0));
    jw_key(w, "top_p");
    put_json(w, c->top_p, SLICE("1.0"));
    jw_field_string(w, "truncation", SLICE("disabled"));
}

static void put_error(struct json_writer *w, const struct llm_error *error, unsigned status)
{
    if (error == NULL) {
        jw_null(w);
        return;
    }
    jw_open(w, '{');
    jw_field_string(w, "code", responses_error_code(error, status));
    jw_field_string(w, "message", error->message);
    jw_close(w, '}');
}

void responses_put_response(struct json_writer *w, const struct llm_encoder *e,
                            const struct responses_answer *r, enum responses_status status,
                            const struct llm_error *error, unsigned error_status)
{
    static const struct slice statuses[] = {[STATUS_IN_PROGRESS] = {"in_progress", 11},
                                            [STATUS_COMPLETED] = {"completed", 9},
                                            [STATUS_INCOMPLETE] = {"incomplete", 10},
                                            [STATUS_FAILED] = {"failed", 6}};
    jw_open(w, '{');
    jw_field_string(w, "id", r->id);
    jw_field_string(w, "object", SLICE("response"));
    jw_field_i64(w, "created_at", e->created_s);
    jw_field_string(w, "status", statuses[status]);
    jw_field_bool(w, "background", false);
    jw_key(w, "error");
    put_error(w, error, error_status);
    jw_key(w, "incomplete_details");
    if (status == STATUS_INCOMPLETE) {
        jw_open(w, '{');
        jw_field_string(w, "reason",
                        r->finish == FINISH_LENGTH ? SLICE("max_output_tokens")
                                                   : SLICE("content_filter"));
        jw_close(w, '}');
    } else {
        jw_null(w);
    }
    jw_key(w, "instructions");
    jw_null(w);
    jw_field_string(w, "model", r->model);
    jw_key(w, "output");
    jw_open(w, '[');
    for (const struct responses_item *i = r->first; i != NULL && status != STATUS_IN_PROGRESS;
         i = i->next)
        responses_put_item(w, i, false);
    jw_close(w, ']');
    put_request_members(w, e->chat);
    jw_key(w, "usage");
    put_usage(w, status != STATUS_IN_PROGRESS ? e->usage : NULL);
    jw_close(w, '}');
}

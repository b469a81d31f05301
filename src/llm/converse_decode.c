/* Bedrock's Converse as a provider's wire: answers and the events of ConverseStream. Sources: the
 * service model bedrock-runtime 2023-09-30 in botocore 1.44.5 (shapes, enums, HTTP statuses of the
 * exceptions); AWS, "Prompt caching" (inputTokens are the ones not cached); signature and
 * redactedContent may come in several pieces (openinference#3276, inspect_ai#5217, 2026-09);
 * streams of OpenAI's models count cached tokens into inputTokens (bifrost#6942, 2026-09). */
#include <openssl/evp.h>

#include "converse_internal.h"

#define FIGURE_MAX ((int64_t)1 << 48)

/* One content block under way. */
struct block {
    struct block *next;
    int64_t index; /* the wire's */
    unsigned part;
    enum llm_part_kind kind;
    bool open;
    bool skipped;           /* of the provider's own tools, or of a kind that has no place */
    bool has_text;          /* TOOL_CALL: some of its arguments came */
    bool redacted;          /* REASONING: the signature is all of it */
    struct slice signature; /* REASONING: what came so far, in the arena */
};

struct converse_state {
    enum llm_family family;
    struct block *blocks; /* the latest first; those that have ended are used again */
    unsigned parts;       /* begun so far */
};

/* What is being read. */
struct reading {
    struct llm_decoder *d;
    const struct json_doc *doc;
    struct converse_state *s;
};

enum llm_family converse_family(struct slice model)
{
    return converse_model_has(model, "anthropic.") ? FAMILY_ANTHROPIC : FAMILY_AMAZON;
}

struct slice converse_base64(struct arena *a, struct slice bytes)
{
    char *p = arena_alloc(a, (bytes.n + 2) / 3 * 4 + 1);
    if (p == NULL)
        return SLICE_NONE;
    if (bytes.n > INT32_MAX / 2)
        return SLICE_NONE;
    int n = EVP_EncodeBlock((unsigned char *)p, (const unsigned char *)bytes.p, (int)bytes.n);
    return slice_of(p, (size_t)n);
}

/* NULL: no memory. */
static struct converse_state *state_of(struct llm_decoder *d)
{
    struct converse_state *s = d->state;
    if (s == NULL && (s = arena_new(d->arena, struct converse_state)) != NULL) {
        s->family = converse_family(d->model);
        d->state = s;
    }
    return s;
}

/* A member that is there and not null, or 0; `object` may be 0 or no object. */
static uint32_t member(const struct reading *r, uint32_t object, const char *key)
{
    uint32_t node = json_get(r->doc, object, slice_str(key));
    return node != 0 && json_type_at(r->doc, node) != JSON_NULL ? node : 0;
}

static uint32_t typed(const struct reading *r, uint32_t object, const char *key,
                      enum json_type type)
{
    if (json_type_at(r->doc, object) != JSON_OBJECT)
        return 0;
    uint32_t node = member(r, object, key);
    return node != 0 && json_type_at(r->doc, node) == type ? node : 0;
}

/* Absent or of another type: an empty text. */
static struct llm_text text_of(const struct reading *r, uint32_t object, const char *key)
{
    uint32_t node = typed(r, object, key, JSON_STRING);
    return node != 0 ? llm_text_at(r->doc, node) : LLM_NO_TEXT;
}

static struct slice word_of(const struct reading *r, uint32_t object, const char *key)
{
    uint32_t node = typed(r, object, key, JSON_STRING);
    return node != 0 ? json_string(r->doc, node, r->d->arena) : SLICE_NONE;
}

static int64_t figure_of(const struct reading *r, uint32_t object, const char *key)
{
    int64_t v;
    uint32_t node = typed(r, object, key, JSON_NUMBER);
    return node != 0 && json_i64(r->doc, node, &v) && v >= 0 && v <= FIGURE_MAX ? v : -1;
}

/* ---- Blocks. */

static struct block *find_block(const struct converse_state *s, int64_t index)
{
    struct block *b = s->blocks;
    while (b != NULL && (!b->open || b->index != index))
        b = b->next;
    return b;
}

static struct block *new_block(const struct reading *r, int64_t index)
{
    struct block *b = r->s->blocks;
    while (b != NULL && b->open)
        b = b->next;
    if (b == NULL) {
        b = arena_new(r->d->arena, struct block);
        if (b == NULL)
            return NULL;
        b->next = r->s->blocks;
        r->s->blocks = b;
    }
    *b = (struct block){.next = b->next, .index = index, .open = true};
    return b;
}

static void end_block(const struct reading *r, struct block *b)
{
    b->open = false;
    if (b->skipped)
        return;
    if (b->signature.n > 0) {
        struct llm_event e = {.kind = EVENT_SIGNATURE,
                              .part = b->part,
                              .signature = b->signature,
                              .redacted = b->redacted,
                              .family = r->s->family};
        r->d->emit(r->d->ctx, &e);
    }
    if (b->kind == PART_TOOL_CALL && !b->has_text)
        llm_emit_delta(r->d, 0, b->part, (struct llm_text){SLICE("{}")});
    llm_emit_part_end(r->d, 0, b->part);
}

/* Ends what may not be open while a part of this kind begins. */
static void end_blocks(const struct reading *r, bool calls_too)
{
    for (struct block *b = r->s->blocks; b != NULL; b = b->next) {
        if (b->open && !b->skipped && (calls_too || b->kind != PART_TOOL_CALL))
            end_block(r, b);
    }
}

static struct block *begin_block(const struct reading *r, int64_t index, enum llm_part_kind kind,
                                 struct slice id, struct slice name)
{
    end_blocks(r, kind != PART_TOOL_CALL);
    struct block *b = new_block(r, index);
    if (b == NULL)
        return NULL;
    b->kind = kind;
    b->part = r->s->parts++;
    llm_emit_start(r->d, SLICE_NONE, SLICE_NONE);
    llm_emit_part(r->d, 0, b->part, kind, id, name);
    return b;
}

/* The block that what has just come belongs to: begun if there is none. NULL: it is of another
 * kind, or no memory. */
static struct block *block_for(const struct reading *r, int64_t index, enum llm_part_kind kind)
{
    struct block *b = find_block(r->s, index);
    if (b == NULL)
        return begin_block(r, index, kind, SLICE_NONE, SLICE_NONE);
    return b->kind == kind || b->skipped ? b : NULL;
}

static bool add_text(const struct reading *r, int64_t index, enum llm_part_kind kind,
                     struct llm_text text)
{
    if (text.inner.n == 0)
        return true;
    struct block *b = block_for(r, index, kind);
    if (b == NULL)
        return false;
    if (!b->skipped)
        llm_emit_delta(r->d, 0, b->part, text);
    return true;
}

/* ---- Signatures. */

static bool decode_base64(struct slice s, char *out, size_t *ret_n)
{
    if (s.n % 4 != 0 || s.n > INT32_MAX)
        return false;
    int n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)s.p, (int)s.n);
    if (n < 0)
        return false;
    *ret_n = (size_t)n;
    for (size_t i = s.n; i > 0 && i + 2 > s.n && s.p[i - 1] == '='; i--)
        *ret_n -= 1; /* padding was decoded as zeros */
    return true;
}

/* The base64 of the bytes of two; .p NULL: they are none, or no memory. */
static struct slice join_base64(struct arena *a, struct slice first, struct slice second)
{
    size_t n, more;
    if (first.n == 0 || first.p[first.n - 1] != '=')
        return arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(first), SLICE_ARG(second));
    char *bytes = arena_alloc(a, first.n + second.n);
    if (bytes == NULL || !decode_base64(first, bytes, &n) ||
        !decode_base64(second, bytes + n, &more))
        return SLICE_NONE;
    return converse_base64(a, slice_of(bytes, n + more));
}

static bool add_signature(const struct reading *r, int64_t index, struct slice piece, bool redacted)
{
    if (piece.n == 0)
        return true;
    struct block *b = block_for(r, index, PART_REASONING);
    if (b == NULL || (b->signature.n > 0 && b->redacted != redacted))
        return false;
    struct arena *a = r->d->arena;
    struct slice had = b->signature;
    b->redacted = redacted;
    b->signature = redacted ? join_base64(a, had, piece)
                   : had.n > 0
                       ? arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(had), SLICE_ARG(piece))
                       : arena_copy(a, piece);
    return b->signature.p != NULL;
}

/* ---- Citations. */

/* The texts of an array of {"text"}, joined; in the arena where there are several. */
static struct llm_text joined_texts(const struct reading *r, uint32_t array)
{
    struct llm_text all = LLM_NO_TEXT, more;
    for (uint32_t i = json_first(r->doc, array); i < json_end(r->doc, array);
         i = json_after(r->doc, i)) {
        more = text_of(r, i, "text");
        if (all.inner.n == 0)
            all = more;
        else if (more.inner.n > 0)
            all.inner = arena_printf(r->d->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(all.inner),
                                     SLICE_ARG(more.inner));
    }
    return all;
}

/* The kinds of location that count documents, and what they call them. */
static const struct {
    const char *kind, *document;
} locations[] = {
    {"documentChar", "documentIndex"},
    {"documentPage", "documentIndex"},
    {"documentChunk", "documentIndex"},
    {"searchResultLocation", "searchResultIndex"},
};

static bool add_citation(const struct reading *r, int64_t index, uint32_t node)
{
    struct block *b = block_for(r, index, PART_TEXT);
    if (b == NULL || b->skipped)
        return b != NULL;
    struct llm_citation c = {.title = text_of(r, node, "title"),
                             .start = -1,
                             .end = -1,
                             .document = -1,
                             .own_json = json_raw(r->doc, node),
                             .family = FAMILY_AMAZON};
    uint32_t content = typed(r, node, "sourceContent", JSON_ARRAY);
    uint32_t location = typed(r, node, "location", JSON_OBJECT), where;
    if (content != 0)
        c.cited = joined_texts(r, content);
    if (location != 0 && (where = typed(r, location, "web", JSON_OBJECT)) != 0)
        c.url = word_of(r, where, "url");
    for (size_t i = 0; location != 0 && i < ARRAY_LEN(locations); i++) {
        where = typed(r, location, locations[i].kind, JSON_OBJECT);
        if (where != 0)
            c.document = figure_of(r, where, locations[i].document);
    }
    struct llm_event e = {.kind = EVENT_CITATION, .part = b->part, .citation = &c};
    r->d->emit(r->d->ctx, &e);
    return true;
}

/* ---- What is said of the answer as a whole. */

static void read_usage(const struct reading *r, uint32_t usage)
{
    if (usage == 0)
        return;
    struct llm_usage u = {.input = figure_of(r, usage, "inputTokens"),
                          .output = figure_of(r, usage, "outputTokens"),
                          .cached = figure_of(r, usage, "cacheReadInputTokens"),
                          .cache_write = figure_of(r, usage, "cacheWriteInputTokens"),
                          .reasoning = -1};
    int64_t apart = MAX_OF(u.cached, (int64_t)0) + MAX_OF(u.cache_write, (int64_t)0);
    bool counted = r->d->stream && u.input >= apart && converse_model_has(r->d->model, "openai.");
    if (u.input >= 0 && !counted)
        u.input += apart;
    llm_usage_merge(&r->d->usage, &u);
}

static const struct {
    const char *reason;
    enum llm_finish finish;
    bool failed; /* it is no answer */
} reasons[] = {
    {"end_turn", FINISH_STOP, false},
    {"tool_use", FINISH_TOOLS, false},
    {"max_tokens", FINISH_LENGTH, false},
    {"stop_sequence", FINISH_SEQUENCE, false},
    {"guardrail_intervened", FINISH_FILTER, false},
    {"content_filtered", FINISH_FILTER, false},
    {"model_context_window_exceeded", FINISH_LENGTH, false},
    {"malformed_model_output", FINISH_STOP, true},
    {"malformed_tool_use", FINISH_STOP, true},
};

/* `object` holds stopReason and perhaps additionalModelResponseFields. */
static bool finish(const struct reading *r, uint32_t object)
{
    struct slice reason = word_of(r, object, "stopReason"), sequence = SLICE_NONE;
    uint32_t fields = typed(r, object, "additionalModelResponseFields", JSON_OBJECT);
    if (reason.n == 0)
        return false;
    size_t i = 0;
    while (i < ARRAY_LEN(reasons) && !slice_is(reason, reasons[i].reason))
        i++;
    if (i < ARRAY_LEN(reasons) && reasons[i].failed) {
        struct llm_error e = {.message = SLICE("The model's output could not be read."),
                              .type = reason};
        llm_emit_error(r->d, 502, &e);
        return true;
    }
    if (fields != 0)
        sequence = word_of(r, fields, "stop_sequence");
    llm_emit_start(r->d, SLICE_NONE, SLICE_NONE);
    end_blocks(r, true);
    llm_emit_finish(r->d, 0, i < ARRAY_LEN(reasons) ? reasons[i].finish : FINISH_STOP, sequence,
                    LLM_NO_TEXT);
    r->d->finished = true;
    return true;
}

/* ---- Errors. */

/* Exceptions in streams, and of SageMaker's runtime; they are compared without regard to case. */
static const struct {
    struct slice name;
    unsigned status;
} exceptions[] = {
    {{"validationException", 19}, 400},
    {{"serviceQuotaExceededException", 29}, 400},
    {{"accessDeniedException", 21}, 403},
    {{"resourceNotFoundException", 25}, 404},
    {{"modelTimeoutException", 21}, 408},
    {{"modelErrorException", 19}, 424},
    {{"modelStreamErrorException", 25}, 424},
    {{"ModelStreamError", 16}, 424},
    {{"throttlingException", 19}, 429},
    {{"modelNotReadyException", 22}, 429},
    {{"internalServerException", 23}, 500},
    {{"InternalStreamFailure", 21}, 500},
    {{"serviceUnavailableException", 27}, 503},
    {{"error", 5}, 500}, /* what the service's model does not know */
};

/* The status it stands for; 0: it is no exception. */
static unsigned exception_status(struct slice name)
{
    static const struct slice ending = {"Exception", 9};
    for (size_t i = 0; i < ARRAY_LEN(exceptions); i++) {
        if (slice_eq_nocase(name, exceptions[i].name))
            return exceptions[i].status;
    }
    bool other = name.n > ending.n && slice_eq(slice_from(name, name.n - ending.n), ending);
    return other ? 500 : 0;
}

static void emit_exception(struct llm_decoder *d, struct slice name, unsigned status,
                           struct slice body)
{
    struct llm_error e = {.message = SLICE_NONE};
    openai_read_error(d->json, d->arena, body, &e);
    if (e.type.p == NULL)
        e.type = name;
    llm_emit_error(d, status, &e);
}

/* ---- Streams. */

static bool on_message_start(const struct reading *r)
{
    llm_emit_start(r->d, SLICE_NONE, SLICE_NONE);
    return true;
}

static int64_t index_of(const struct reading *r)
{
    return figure_of(r, 0, "contentBlockIndex");
}

static bool skip_block(const struct reading *r, int64_t index)
{
    struct block *b = new_block(r, index);
    if (b != NULL)
        b->skipped = true;
    return b != NULL;
}

/* Blocks of text and reasoning begin with their first delta; others say what they are. */
static bool on_block_start(const struct reading *r)
{
    uint32_t start = typed(r, 0, "start", JSON_OBJECT);
    int64_t index = index_of(r);
    if (index < 0 || find_block(r->s, index) != NULL)
        return false;
    if (start == 0 || json_first(r->doc, start) == json_end(r->doc, start))
        return true;
    uint32_t use = typed(r, start, "toolUse", JSON_OBJECT);
    if (use == 0 || typed(r, use, "type", JSON_STRING) != 0)
        return skip_block(r, index);
    struct slice id = word_of(r, use, "toolUseId"), name = word_of(r, use, "name");
    if (id.n == 0)
        id = llm_made_call_id(r->d, r->s->parts);
    return name.n > 0 && begin_block(r, index, PART_TOOL_CALL, id, name) != NULL;
}

static bool on_reasoning_delta(const struct reading *r, int64_t index, uint32_t node)
{
    return add_text(r, index, PART_REASONING, text_of(r, node, "text")) &&
           add_signature(r, index, word_of(r, node, "signature"), false) &&
           add_signature(r, index, word_of(r, node, "redactedContent"), true);
}

static bool on_tool_delta(const struct reading *r, int64_t index, uint32_t node)
{
    struct block *b = find_block(r->s, index);
    struct llm_text input = text_of(r, node, "input");
    if (b == NULL || (b->kind != PART_TOOL_CALL && !b->skipped))
        return false;
    if (b->skipped || input.inner.n == 0)
        return true;
    b->has_text = true;
    llm_emit_delta(r->d, 0, b->part, input);
    return true;
}

static bool on_block_delta(const struct reading *r)
{
    uint32_t delta = typed(r, 0, "delta", JSON_OBJECT), node;
    int64_t index = index_of(r);
    if (index < 0 || delta == 0)
        return false;
    if ((node = typed(r, delta, "text", JSON_STRING)) != 0)
        return add_text(r, index, PART_TEXT, llm_text_at(r->doc, node));
    if ((node = typed(r, delta, "toolUse", JSON_OBJECT)) != 0)
        return on_tool_delta(r, index, node);
    if ((node = typed(r, delta, "reasoningContent", JSON_OBJECT)) != 0)
        return on_reasoning_delta(r, index, node);
    if ((node = typed(r, delta, "citation", JSON_OBJECT)) != 0)
        return add_citation(r, index, node);
    return true;
}

/* A block nothing came of was never begun. */
static bool on_block_stop(const struct reading *r)
{
    int64_t index = index_of(r);
    struct block *b = find_block(r->s, index);
    if (b != NULL)
        end_block(r, b);
    return index >= 0;
}

static bool on_message_stop(const struct reading *r)
{
    return finish(r, 0);
}

/* The last event; without a stop reason before it, the answer is not whole. */
static bool on_metadata(const struct reading *r)
{
    read_usage(r, typed(r, 0, "usage", JSON_OBJECT));
    if (r->d->finished)
        llm_emit_end(r->d);
    return true;
}

static const struct {
    const char *name;
    bool (*take)(const struct reading *r);
    bool of_message; /* it belongs to what messageStop ends */
} events[] = {
    {"contentBlockDelta", on_block_delta, true}, {"contentBlockStart", on_block_start, true},
    {"contentBlockStop", on_block_stop, true},   {"messageStart", on_message_start, true},
    {"messageStop", on_message_stop, true},      {"metadata", on_metadata, false},
};

static bool converse_decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    struct json_doc doc;
    struct reading r = {d, &doc, state_of(d)};
    size_t i = 0;
    if (r.s == NULL)
        return false;
    if (d->ended)
        return true;
    while (i < ARRAY_LEN(events) && !slice_is(name, events[i].name))
        i++;
    if (i == ARRAY_LEN(events)) {
        unsigned status = exception_status(name);
        if (status != 0)
            emit_exception(d, name, status, data);
        return true;
    }
    return json_parse(d->json, data, JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK &&
           json_type_at(&doc, 0) == JSON_OBJECT && !(d->finished && events[i].of_message) &&
           events[i].take(&r);
}

static bool converse_decode_end(struct llm_decoder *d)
{
    if (d->finished && !d->ended)
        llm_emit_end(d); /* without usage, but the answer is there */
    return d->ended;
}

/* ---- Whole answers: each block as if its deltas had come. */

static bool read_tool_use(const struct reading *r, int64_t index, uint32_t use)
{
    uint32_t input = typed(r, use, "input", JSON_OBJECT);
    struct slice id = word_of(r, use, "toolUseId"), name = word_of(r, use, "name");
    if (typed(r, use, "type", JSON_STRING) != 0)
        return true; /* the provider's own tool */
    if (input == 0 && member(r, use, "input") != 0)
        return false; /* arguments that no call can have */
    if (id.n == 0)
        id = llm_made_call_id(r->d, r->s->parts);
    struct block *b = name.n > 0 ? begin_block(r, index, PART_TOOL_CALL, id, name) : NULL;
    if (b == NULL || input == 0)
        return b != NULL;
    struct llm_text text = llm_text_of(r->d->arena, json_raw(r->doc, input));
    b->has_text = true;
    llm_emit_delta(r->d, 0, b->part, text);
    return text.inner.p != NULL;
}

static bool read_cited_text(const struct reading *r, int64_t index, uint32_t node)
{
    uint32_t content = typed(r, node, "content", JSON_ARRAY);
    uint32_t citations = typed(r, node, "citations", JSON_ARRAY);
    bool ok = true;
    if (content != 0)
        ok = add_text(r, index, PART_TEXT, joined_texts(r, content));
    for (uint32_t i = citations != 0 ? json_first(r->doc, citations) : 0;
         ok && citations != 0 && i < json_end(r->doc, citations); i = json_after(r->doc, i))
        ok = json_type_at(r->doc, i) == JSON_OBJECT && add_citation(r, index, i);
    return ok;
}

static bool read_block(const struct reading *r, int64_t index, uint32_t node)
{
    uint32_t inner, text;
    if ((inner = typed(r, node, "text", JSON_STRING)) != 0)
        return add_text(r, index, PART_TEXT, llm_text_at(r->doc, inner));
    if ((inner = typed(r, node, "toolUse", JSON_OBJECT)) != 0)
        return read_tool_use(r, index, inner);
    if ((inner = typed(r, node, "citationsContent", JSON_OBJECT)) != 0)
        return read_cited_text(r, index, inner);
    if ((inner = typed(r, node, "reasoningContent", JSON_OBJECT)) == 0)
        return true;
    if ((text = typed(r, inner, "reasoningText", JSON_OBJECT)) != 0)
        return on_reasoning_delta(r, index, text);
    return add_signature(r, index, word_of(r, inner, "redactedContent"), true);
}

static bool read_message(const struct reading *r, uint32_t content)
{
    int64_t index = 0;
    for (uint32_t i = json_first(r->doc, content); i < json_end(r->doc, content);
         i = json_after(r->doc, i), index++) {
        if (json_type_at(r->doc, i) != JSON_OBJECT || !read_block(r, index, i))
            return false;
        struct block *b = find_block(r->s, index);
        if (b != NULL)
            end_block(r, b);
    }
    return true;
}

static bool converse_decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    struct reading r = {d, &doc, state_of(d)};
    if (r.s == NULL || json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK ||
        json_type_at(&doc, 0) != JSON_OBJECT)
        return false;
    uint32_t output = typed(&r, 0, "output", JSON_OBJECT);
    uint32_t message = output != 0 ? typed(&r, output, "message", JSON_OBJECT) : 0;
    uint32_t content = message != 0 ? typed(&r, message, "content", JSON_ARRAY) : 0;
    if (output == 0 && typed(&r, 0, "message", JSON_STRING) != 0) {
        emit_exception(d, SLICE("error"), 500, body);
        return true;
    }
    if (content == 0)
        return false;
    read_usage(&r, typed(&r, 0, "usage", JSON_OBJECT));
    llm_emit_start(d, SLICE_NONE, SLICE_NONE);
    if (!read_message(&r, content) || !finish(&r, 0))
        return false;
    if (!d->ended)
        llm_emit_end(d);
    return true;
}

/* ---- The rest of the wire. */

/* "anthropic.claude-3-haiku-20240307-v1:0" and ARNs: all but unreserved characters are encoded. */
static struct slice put_model(struct arena *a, struct slice model)
{
    static const char digits[] = "0123456789ABCDEF";
    char *p = arena_alloc(a, 3 * model.n + 1);
    size_t n = 0;
    for (size_t i = 0; p != NULL && i < model.n; i++) {
        unsigned char c = (unsigned char)model.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            p[n++] = (char)c;
        } else {
            p[n++] = '%';
            p[n++] = digits[c >> 4];
            p[n++] = digits[c & 15];
        }
    }
    return p != NULL ? slice_of(p, n) : SLICE_NONE;
}

static struct slice converse_path(struct arena *a, const struct llm_provider *provider,
                                  enum llm_op op, struct slice model, bool stream)
{
    struct slice encoded = put_model(a, model);
    if (op == LLM_EMBEDDINGS || encoded.p == NULL)
        return SLICE_NONE;
    return arena_printf(a, "/model/" SLICE_FMT "/%s", SLICE_ARG(encoded),
                        stream ? "converse-stream" : "converse");
}

const struct llm_wire converse_wire = {
    .name = "converse",
    .family = FAMILY_AMAZON,
    .framing = FRAMING_EVENT_STREAM,
    .never = LLM_NEEDS_IMAGE_URLS | LLM_NEEDS_JSON | LLM_NEEDS_CHOICES,
    .path = converse_path,
    .write_chat = converse_write_chat,
    .decode_event = converse_decode_event,
    .decode_end = converse_decode_end,
    .decode_answer = converse_decode_answer,
    .read_error = openai_read_error,
};

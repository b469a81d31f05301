/* Gemini's answers, GenerateContentResponse whole or as frames of a stream, as neutral events.
 * Sources: types.py of google-genai 3.4.0 (Python SDK) for members, finish and block reasons;
 * ai.google.dev on thought signatures: they stand on the part they belong to, in streams also on an
 * empty text at the end. A stream has no end mark: it has ended well when every candidate has its
 * finishReason, which is held until then, since usage and grounding may come behind it. */
#include "google_internal.h"
#include "openai_internal.h"

#define CHOICES_MAX 16                 /* candidateCount is 8 at most */
#define TOKENS_MAX  ((int64_t)1 << 48) /* larger figures are nonsense, and would overflow prices */

/* What a finishReason is. `status`: the answer is an error instead. */
struct finish_row {
    const char *reason;
    enum llm_finish finish;
    unsigned status;
    const char *message;
};

static const struct finish_row finish_rows[] = {
    {"STOP", FINISH_STOP, 0, NULL},
    {"MAX_TOKENS", FINISH_LENGTH, 0, NULL},
    {"SAFETY", FINISH_FILTER, 0, NULL},
    {"RECITATION", FINISH_FILTER, 0, NULL},
    {"LANGUAGE", FINISH_FILTER, 0, NULL},
    {"BLOCKLIST", FINISH_FILTER, 0, NULL},
    {"PROHIBITED_CONTENT", FINISH_FILTER, 0, NULL},
    {"SPII", FINISH_FILTER, 0, NULL},
    {"IMAGE_SAFETY", FINISH_FILTER, 0, NULL},
    {"IMAGE_PROHIBITED_CONTENT", FINISH_FILTER, 0, NULL},
    {"IMAGE_RECITATION", FINISH_FILTER, 0, NULL},
    {"IMAGE_OTHER", FINISH_FILTER, 0, NULL},
    {"ESCALATION", FINISH_FILTER, 0, NULL},
    {"PUP_LIMITED_DISABLED", FINISH_FILTER, 0, NULL},
    {"MODEL_ARMOR", FINISH_FILTER, 0, NULL},
    {"CONTINUATION", FINISH_LENGTH, 0, NULL}, /* the limit of one request, not of the model */
    {"MALFORMED_FUNCTION_CALL", FINISH_STOP, 502, "The model's function call was malformed."},
    {"UNEXPECTED_TOOL_CALL", FINISH_STOP, 502,
     "The model called a function that it was not given."},
    {"TOO_MANY_TOOL_CALLS", FINISH_STOP, 502, "The model made too many tool calls."},
    {"MALFORMED_RESPONSE", FINISH_STOP, 502, "The model's answer was malformed."},
    {"MISSING_THOUGHT_SIGNATURE", FINISH_STOP, 400, "A thought signature is missing."},
    {"OTHER", FINISH_STOP, 0, NULL}, /* and every reason that is not known here */
};

struct choice_state {
    unsigned parts; /* begun so far */
    bool seen;
    bool open;   /* `part` of this kind is open */
    bool sealed; /* it is a signed text, which nothing may be joined to */
    enum llm_part_kind kind;
    unsigned part;
    bool called;             /* a function was */
    bool wide;               /* the text is not all ASCII: bytes do not count characters */
    unsigned cited, sourced; /* grounding supports and citations that were told */
    struct slice signature;  /* of an empty text, not told yet; .p NULL: none */
    struct google_partial partial;
    const struct finish_row *finish; /* NULL: not said yet */
    struct llm_text why;
};

struct google_state {
    struct choice_state choice[CHOICES_MAX];
    unsigned choices_n; /* up to the highest that was seen */
    struct buf scratch; /* over memory of the arena */
    bool failed;        /* no memory for what would be missed */
};

/* One piece of an answer: what is being read of which choice. */
struct piece {
    struct llm_decoder *d;
    const struct json_doc *doc;
    struct google_state *all;
    struct choice_state *state;
    unsigned choice;
};

/* The scratch buffer, empty, with room for `n` bytes; NULL: no memory. */
static struct buf *scratch(struct piece *x, size_t n)
{
    struct buf *b = &x->all->scratch;
    if (b->size < n) {
        size_t size = MAX_OF(n, b->size * 2 + 512);
        char *p = arena_alloc(x->d->arena, size);
        if (p == NULL)
            return NULL;
        *b = (struct buf){.p = p, .size = size, .cap = size};
    }
    buf_reset(b);
    return b;
}

static void emit_part(struct piece *x, enum llm_part_kind kind, struct slice id, struct slice name)
{
    struct choice_state *s = x->state;
    s->part = s->parts++;
    s->kind = kind;
    s->open = true;
    s->sealed = false;
    llm_emit_part(x->d, x->choice, s->part, kind, id, name);
}

static void end_call(struct piece *x)
{
    struct buf *b = scratch(x, (size_t)2 * GOOGLE_PATH_MAX);
    if (b == NULL) {
        x->all->failed = true;
        return;
    }
    google_partial_end(&x->state->partial, b);
    llm_emit_delta(x->d, x->choice, x->state->part, (struct llm_text){buf_view(b)});
}

static void close_part(struct piece *x)
{
    if (!x->state->open)
        return;
    if (x->state->kind == PART_TOOL_CALL)
        end_call(x);
    llm_emit_part_end(x->d, x->choice, x->state->part);
    x->state->open = false;
}

/* A part of its own, in front of the one that carries the signature. */
static void put_signature(struct piece *x, struct slice signature)
{
    emit_part(x, PART_REASONING, SLICE_NONE, SLICE_NONE);
    llm_emit_signature(x->d, x->choice, x->state->part, signature, false);
    close_part(x);
}

static void tell_held_signature(struct piece *x)
{
    struct slice held = x->state->signature;
    x->state->signature = SLICE_NONE;
    if (held.p != NULL)
        put_signature(x, held);
}

static void tell_signature(struct piece *x, struct slice signature)
{
    close_part(x);
    tell_held_signature(x);
    put_signature(x, signature);
}

static void begin_part(struct piece *x, enum llm_part_kind kind, struct slice id, struct slice name)
{
    close_part(x);
    tell_held_signature(x);
    emit_part(x, kind, id, name);
}

static bool is_wide(struct slice inner)
{
    for (size_t i = json_plain(inner); i < inner.n; i++) {
        if ((unsigned char)inner.p[i] >= 0x80 || (inner.p[i] == '\\' && inner.p[i + 1] == 'u'))
            return true;
    }
    return false;
}

/* A signed thought keeps its signature; that of another part goes in front of it. */
static void read_text(struct piece *x, struct llm_text text, bool thought, struct slice signature)
{
    struct choice_state *s = x->state;
    enum llm_part_kind kind = thought ? PART_REASONING : PART_TEXT;
    if (!thought && text.inner.n == 0) {
        if (signature.n > 0 && s->signature.p != NULL) {
            close_part(x);
            tell_held_signature(x);
        }
        if (signature.n > 0) {
            s->signature = arena_copy(x->d->arena, signature);
            x->all->failed |= s->signature.p == NULL;
        }
        return;
    }
    if (text.inner.n == 0 && signature.n == 0)
        return;
    if (!thought && signature.n > 0)
        tell_signature(x, signature);
    if (!s->open || s->kind != kind || s->sealed)
        begin_part(x, kind, SLICE_NONE, SLICE_NONE);
    if (text.inner.n > 0)
        llm_emit_delta(x->d, x->choice, s->part, text);
    if (!thought)
        s->wide |= is_wide(text.inner);
    if (thought && signature.n > 0) {
        llm_emit_signature(x->d, x->choice, s->part, signature, false);
        close_part(x);
    }
    s->sealed = !thought && signature.n > 0;
}

/* Arguments in pieces; the call stays open while it says willContinue. */
static bool read_partial(struct piece *x, uint32_t call, uint32_t list)
{
    const struct json_doc *doc = x->doc;
    struct choice_state *s = x->state;
    uint32_t more = google_in(doc, call, "willContinue");
    if (list != 0 && json_type_at(doc, list) != JSON_ARRAY)
        return false;
    if (list != 0) {
        size_t n = json_raw(doc, list).n;
        struct buf *b = scratch(x, 8 * n + 64);
        for (uint32_t i = json_first(doc, list); b != NULL && i < json_end(doc, list);
             i = json_after(doc, i)) {
            if (!google_partial_add(&s->partial, doc, i, x->d->arena, b))
                return false;
        }
        if (b == NULL || b->failed)
            return false;
        if (b->n > 0)
            llm_emit_delta(x->d, x->choice, s->part, (struct llm_text){buf_view(b)});
    }
    if (more == 0 || json_type_at(doc, more) != JSON_TRUE)
        close_part(x);
    return true;
}

static bool read_call(struct piece *x, uint32_t call, struct slice signature)
{
    const struct json_doc *doc = x->doc;
    struct choice_state *s = x->state;
    if (json_type_at(doc, call) != JSON_OBJECT)
        return false;
    struct slice id = google_word(doc, call, "id", x->d->arena);
    struct slice name = google_word(doc, call, "name", x->d->arena);
    uint32_t args = google_in(doc, call, "args"), list = google_in(doc, call, "partialArgs");
    if (name.n == 0 && s->open && s->kind == PART_TOOL_CALL)
        return read_partial(x, call, list);
    if (name.n == 0)
        return json_first(doc, call) == json_end(doc, call); /* {} ends what is not open */
    if (args != 0 && json_type_at(doc, args) != JSON_OBJECT)
        return false;
    if (signature.n > 0)
        tell_signature(x, signature);
    close_part(x);
    if (id.n == 0)
        id = llm_made_call_id(x->d, x->choice * 1000 + s->parts);
    if (id.p == NULL)
        return false;
    begin_part(x, PART_TOOL_CALL, id, name);
    s->called = true;
    s->partial = (struct google_partial){.n = 0};
    if (args == 0)
        return read_partial(x, call, list);
    struct buf *b = scratch(x, 2 * json_raw(doc, args).n);
    if (b == NULL)
        return false;
    google_put_inside(b, json_raw(doc, args));
    llm_emit_delta(x->d, x->choice, s->part, (struct llm_text){buf_view(b)});
    s->open = false;
    llm_emit_part_end(x->d, x->choice, s->part);
    return true;
}

/* What no other family knows: an image made, code run. */
static void read_native(struct piece *x, uint32_t part, struct slice signature)
{
    if (signature.n > 0)
        tell_signature(x, signature);
    close_part(x);
    tell_held_signature(x);
    struct llm_event e = {.kind = EVENT_PART,
                          .choice = x->choice,
                          .part = x->state->parts++,
                          .part_kind = PART_NATIVE,
                          .family = FAMILY_GOOGLE,
                          .json = json_raw(x->doc, part)};
    x->d->units++;
    x->d->emit(x->d->ctx, &e);
    llm_emit_part_end(x->d, x->choice, e.part);
}

enum part_member {
    PART_MEMBER_TEXT,
    PART_MEMBER_THOUGHT,
    PART_MEMBER_SIGNATURE,
    PART_MEMBER_CALL,
    PART_MEMBER_DATA,
    PART_MEMBERS_N
};

static int part_member_of(struct slice k)
{
    switch (k.n) {
    case 4: return KEY_IS(k, "text") ? PART_MEMBER_TEXT : -1;
    case 7: return KEY_IS(k, "thought") ? PART_MEMBER_THOUGHT : -1;
    case 8: return KEY_IS(k, "toolCall") || KEY_IS(k, "fileData") ? PART_MEMBER_DATA : -1;
    case 10: return KEY_IS(k, "inlineData") ? PART_MEMBER_DATA : -1;
    case 12:
        if (KEY_IS(k, "functionCall"))
            return PART_MEMBER_CALL;
        return KEY_IS(k, "toolResponse") ? PART_MEMBER_DATA : -1;
    case 14: return KEY_IS(k, "executableCode") ? PART_MEMBER_DATA : -1;
    case 16:
        if (KEY_IS(k, "thoughtSignature"))
            return PART_MEMBER_SIGNATURE;
        return KEY_IS(k, "functionResponse") ? PART_MEMBER_DATA : -1;
    case 19: return KEY_IS(k, "codeExecutionResult") ? PART_MEMBER_DATA : -1;
    default: return -1;
    }
}

static bool read_part(struct piece *x, uint32_t part)
{
    const struct json_doc *doc = x->doc;
    uint32_t v[PART_MEMBERS_N] = {0};
    struct slice signature = SLICE_NONE;
    if (json_type_at(doc, part) != JSON_OBJECT)
        return false;
    for (uint32_t k = json_first(doc, part); k < json_end(doc, part); k = json_after(doc, k + 1)) {
        int m = llm_key(doc, k, part_member_of);
        if (m >= 0 && json_type_at(doc, k + 1) != JSON_NULL)
            v[m] = k + 1;
    }
    uint32_t text = v[PART_MEMBER_TEXT], sign = v[PART_MEMBER_SIGNATURE];
    uint32_t thought = v[PART_MEMBER_THOUGHT];
    if (text != 0 && json_type_at(doc, text) != JSON_STRING)
        return false;
    if (sign != 0 && json_type_at(doc, sign) == JSON_STRING)
        signature = json_string(doc, sign, x->d->arena);
    if (v[PART_MEMBER_CALL] != 0)
        return read_call(x, v[PART_MEMBER_CALL], signature);
    if (v[PART_MEMBER_DATA] != 0) {
        read_native(x, part, signature);
        return true;
    }
    read_text(x, text != 0 ? llm_text_at(doc, text) : (struct llm_text){SLICE("")},
              thought != 0 && json_type_at(doc, thought) == JSON_TRUE, signature);
    return true;
}

static bool read_content(struct piece *x, uint32_t content)
{
    const struct json_doc *doc = x->doc;
    uint32_t parts = google_in(doc, content, "parts");
    if (parts == 0)
        return true;
    if (json_type_at(doc, parts) != JSON_ARRAY)
        return false;
    for (uint32_t i = json_first(doc, parts); i < json_end(doc, parts); i = json_after(doc, i)) {
        if (!read_part(x, i))
            return false;
    }
    return true;
}

/* Citations belong to the text that is open, or, where none is, to an empty one of their own. */
static void emit_citation(struct piece *x, struct llm_citation *c)
{
    if (!x->state->open || x->state->kind != PART_TEXT)
        begin_part(x, PART_TEXT, SLICE_NONE, SLICE_NONE);
    if (x->state->wide || c->start < 0 || c->end < c->start)
        c->start = c->end = -1;
    struct llm_event e = {
        .kind = EVENT_CITATION, .choice = x->choice, .part = x->state->part, .citation = c};
    x->d->emit(x->d->ctx, &e);
}

/* The source that a grounding chunk names. */
static void read_source(struct piece *x, uint32_t chunk, struct llm_citation *ret)
{
    static const char *const kinds[] = {"web", "retrievedContext", "maps", "image"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        uint32_t source = google_in(x->doc, chunk, kinds[i]);
        if (source == 0)
            continue;
        ret->url = google_word(x->doc, source, "uri", x->d->arena);
        if (ret->url.p == NULL)
            ret->url = google_word(x->doc, source, "sourceUri", x->d->arena);
        ret->title = google_text(x->doc, source, "title");
    }
}

/* The element `index` of an array; 0: there is none. */
static uint32_t element(const struct json_doc *d, uint32_t list, int64_t index)
{
    if (list == 0 || json_type_at(d, list) != JSON_ARRAY || index < 0)
        return 0;
    uint32_t i = json_first(d, list);
    while (i < json_end(d, list) && index-- > 0)
        i = json_after(d, i);
    return i < json_end(d, list) ? i : 0;
}

static void read_support(struct piece *x, uint32_t support, uint32_t chunks)
{
    const struct json_doc *doc = x->doc;
    uint32_t segment = google_in(doc, support, "segment");
    uint32_t list = google_in(doc, support, "groundingChunkIndices");
    int64_t start = google_integer(doc, segment, "startIndex"); /* 0 is left out */
    if (list == 0 || json_type_at(doc, list) != JSON_ARRAY)
        return;
    for (uint32_t i = json_first(doc, list); i < json_end(doc, list); i = json_after(doc, i)) {
        int64_t index = -1;
        struct llm_citation c = {.document = -1, .family = FAMILY_GOOGLE};
        if (!json_i64(doc, i, &index))
            continue;
        read_source(x, element(doc, chunks, index), &c);
        c.cited = google_text(doc, segment, "text");
        c.start = MAX_OF(start, (int64_t)0);
        c.end = google_in(doc, segment, "partIndex") == 0 ? google_integer(doc, segment, "endIndex")
                                                          : -1;
        emit_citation(x, &c);
    }
}

/* Grounding comes whole, but may come again: supports that were told are passed over. Sources that
 * support no passage are cited without one, once the answer ends. */
static void read_grounding(struct piece *x, uint32_t grounding, bool last)
{
    const struct json_doc *doc = x->doc;
    uint32_t chunks = google_in(doc, grounding, "groundingChunks");
    uint32_t supports = google_in(doc, grounding, "groundingSupports");
    unsigned n = 0;
    if (chunks == 0 || json_type_at(doc, chunks) != JSON_ARRAY)
        return;
    if (supports != 0 && json_type_at(doc, supports) == JSON_ARRAY) {
        for (uint32_t i = json_first(doc, supports); i < json_end(doc, supports);
             i = json_after(doc, i)) {
            if (n++ >= x->state->cited)
                read_support(x, i, chunks);
        }
        x->state->cited = MAX_OF(x->state->cited, n);
    }
    if (x->state->cited > 0 || !last)
        return;
    for (uint32_t i = json_first(doc, chunks); i < json_end(doc, chunks); i = json_after(doc, i)) {
        struct llm_citation c = {.start = -1, .end = -1, .document = -1, .family = FAMILY_GOOGLE};
        read_source(x, i, &c);
        emit_citation(x, &c);
    }
}

/* citationMetadata: what the text quotes at length; citationSources is its older name. */
static void read_quotes(struct piece *x, uint32_t metadata)
{
    const struct json_doc *doc = x->doc;
    uint32_t list = google_in(doc, metadata, "citations");
    unsigned n = 0;
    if (list == 0)
        list = google_in(doc, metadata, "citationSources");
    if (list == 0 || json_type_at(doc, list) != JSON_ARRAY)
        return;
    for (uint32_t i = json_first(doc, list); i < json_end(doc, list); i = json_after(doc, i)) {
        if (n++ < x->state->sourced)
            continue;
        struct llm_citation c = {.document = -1, .family = FAMILY_GOOGLE};
        c.url = google_word(doc, i, "uri", x->d->arena);
        c.title = google_text(doc, i, "title");
        c.start = MAX_OF(google_integer(doc, i, "startIndex"), (int64_t)0);
        c.end = google_integer(doc, i, "endIndex");
        emit_citation(x, &c);
    }
    x->state->sourced = MAX_OF(x->state->sourced, n);
}

/* {"token":"a","logProbability":-0.1} as {"token":"a","logprob":-0.1,"bytes":null and, behind it,
 * what the caller adds. False: it is not that. */
static bool put_token(struct json_writer *w, const struct json_doc *doc, uint32_t node)
{
    struct llm_text token = google_text(doc, node, "token");
    uint32_t p = google_in(doc, node, "logProbability");
    if (token.inner.p == NULL || (p != 0 && json_type_at(doc, p) != JSON_NUMBER))
        return false;
    jw_open(w, '{');
    jw_field_text(w, "token", token);
    jw_key(w, "logprob");
    jw_raw(w, p != 0 ? json_raw(doc, p) : SLICE("0")); /* 0 is left out */
    jw_key(w, "bytes");
    jw_null(w);
    return true;
}

static void put_tops(struct json_writer *w, const struct json_doc *doc, uint32_t step)
{
    uint32_t list = google_in(doc, step, "candidates");
    jw_key(w, "top_logprobs");
    jw_open(w, '[');
    if (list != 0 && json_type_at(doc, list) == JSON_ARRAY) {
        for (uint32_t i = json_first(doc, list); i < json_end(doc, list); i = json_after(doc, i)) {
            if (put_token(w, doc, i))
                jw_close(w, '}');
        }
    }
    jw_close(w, ']');
}

static bool read_logprobs(struct piece *x, uint32_t node)
{
    const struct json_doc *doc = x->doc;
    uint32_t chosen = google_in(doc, node, "chosenCandidates");
    uint32_t tops = google_in(doc, node, "topCandidates");
    if (chosen == 0 || json_type_at(doc, chosen) != JSON_ARRAY || x->state->parts == 0)
        return true;
    struct buf *b = scratch(x, 6 * json_raw(doc, node).n + 64);
    if (b == NULL)
        return false;
    struct json_writer w = json_writer(b);
    uint32_t top = tops != 0 ? element(doc, tops, 0) : 0;
    for (uint32_t i = json_first(doc, chosen); i < json_end(doc, chosen); i = json_after(doc, i)) {
        if (put_token(&w, doc, i)) {
            put_tops(&w, doc, top);
            jw_close(&w, '}');
        }
        if (top != 0)
            top = json_after(doc, top) < json_end(doc, tops) ? json_after(doc, top) : 0;
    }
    if (b->failed)
        return false;
    struct llm_event e = {
        .kind = EVENT_LOGPROBS, .choice = x->choice, .part = x->state->part, .json = buf_view(b)};
    if (b->n > 0)
        x->d->emit(x->d->ctx, &e);
    return true;
}

static const struct finish_row *finish_of(struct slice reason)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(finish_rows) && !slice_is(reason, finish_rows[i].reason))
        i++;
    return &finish_rows[i];
}

/* Remembers how the candidate ended; an error is told at once. */
static void read_finish(struct piece *x, uint32_t candidate)
{
    struct slice reason = google_text(x->doc, candidate, "finishReason").inner;
    struct llm_text why = google_text(x->doc, candidate, "finishMessage");
    if (reason.n == 0 || slice_is(reason, "FINISH_REASON_UNSPECIFIED"))
        return;
    x->state->finish = finish_of(reason);
    if (x->state->finish->status != 0) {
        struct slice said = llm_text_plain(x->d->arena, why);
        struct llm_error e = {.message = said.n > 0 ? said : slice_str(x->state->finish->message),
                              .type = SLICE("INTERNAL"),
                              .code = slice_str(x->state->finish->reason)};
        llm_emit_error(x->d, x->state->finish->status, &e);
        return;
    }
    if (why.inner.n > 0)
        x->state->why.inner = arena_copy(x->d->arena, why.inner);
}

enum candidate_member {
    CANDIDATE_CONTENT,
    CANDIDATE_INDEX,
    CANDIDATE_FINISH,
    CANDIDATE_GROUNDING,
    CANDIDATE_QUOTES,
    CANDIDATE_LOGPROBS,
    CANDIDATE_MEMBERS_N
};

static int candidate_member_of(struct slice k)
{
    switch (k.n) {
    case 5: return KEY_IS(k, "index") ? CANDIDATE_INDEX : -1;
    case 7: return KEY_IS(k, "content") ? CANDIDATE_CONTENT : -1;
    case 12: return KEY_IS(k, "finishReason") ? CANDIDATE_FINISH : -1;
    case 14: return KEY_IS(k, "logprobsResult") ? CANDIDATE_LOGPROBS : -1;
    case 16: return KEY_IS(k, "citationMetadata") ? CANDIDATE_QUOTES : -1;
    case 17: return KEY_IS(k, "groundingMetadata") ? CANDIDATE_GROUNDING : -1;
    default: return -1;
    }
}

static bool read_candidate(struct llm_decoder *d, const struct json_doc *doc, uint32_t node)
{
    struct google_state *s = d->state;
    uint32_t v[CANDIDATE_MEMBERS_N] = {0};
    int64_t index = 0;
    if (json_type_at(doc, node) != JSON_OBJECT)
        return false;
    for (uint32_t k = json_first(doc, node); k < json_end(doc, node); k = json_after(doc, k + 1)) {
        int m = llm_key(doc, k, candidate_member_of);
        if (m >= 0 && json_type_at(doc, k + 1) != JSON_NULL)
            v[m] = k + 1;
    }
    if (v[CANDIDATE_INDEX] != 0 && !json_i64(doc, v[CANDIDATE_INDEX], &index))
        return false;
    if (index < 0 || index >= CHOICES_MAX)
        return false;
    struct piece x = {
        .d = d, .doc = doc, .all = s, .choice = (unsigned)index, .state = &s->choice[index]};
    s->choices_n = MAX_OF(s->choices_n, x.choice + 1);
    x.state->seen = true;
    if (v[CANDIDATE_CONTENT] != 0 && !read_content(&x, v[CANDIDATE_CONTENT]))
        return false;
    read_grounding(&x, v[CANDIDATE_GROUNDING], v[CANDIDATE_FINISH] != 0);
    read_quotes(&x, v[CANDIDATE_QUOTES]);
    if (!read_logprobs(&x, v[CANDIDATE_LOGPROBS]))
        return false;
    read_finish(&x, node);
    return true;
}

static int64_t tokens(const struct json_doc *doc, uint32_t usage, const char *key)
{
    int64_t n = google_integer(doc, usage, key);
    return n <= TOKENS_MAX ? n : -1;
}

/* promptTokenCount includes what came from a cache, but not the results of tools that Google ran;
 * candidatesTokenCount leaves the thoughts out. The total counts everything once. */
static void read_usage(struct llm_decoder *d, const struct json_doc *doc, uint32_t usage)
{
    struct llm_usage u = LLM_USAGE_NONE;
    int64_t prompt = tokens(doc, usage, "promptTokenCount");
    int64_t tools = tokens(doc, usage, "toolUsePromptTokenCount");
    int64_t said = tokens(doc, usage, "candidatesTokenCount");
    int64_t thoughts = tokens(doc, usage, "thoughtsTokenCount");
    int64_t total = tokens(doc, usage, "totalTokenCount");
    if (prompt >= 0)
        u.input = prompt + MAX_OF(tools, (int64_t)0);
    u.cached = tokens(doc, usage, "cachedContentTokenCount");
    u.reasoning = thoughts;
    if (said < 0 && u.input >= 0 && total >= u.input)
        u.output = total - u.input;
    else if (said >= 0 || thoughts >= 0)
        u.output = MAX_OF(said, (int64_t)0) + MAX_OF(thoughts, (int64_t)0);
    llm_usage_merge(&d->usage, &u);
}

/* A prompt that was blocked has no candidates: it counts as one choice that was filtered. */
static bool read_block(struct llm_decoder *d, const struct json_doc *doc, uint32_t feedback)
{
    static const struct finish_row blocked = {"blockReason", FINISH_FILTER, 0, NULL};
    struct google_state *s = d->state;
    struct slice reason = google_text(doc, feedback, "blockReason").inner;
    struct llm_text why = google_text(doc, feedback, "blockReasonMessage");
    if (reason.n == 0)
        return true;
    s->choices_n = MAX_OF(s->choices_n, 1u);
    s->choice[0].seen = true;
    s->choice[0].finish = &blocked;
    s->choice[0].why.inner =
        why.inner.n > 0
            ? arena_copy(d->arena, why.inner)
            : arena_printf(d->arena, "The prompt was blocked: " SLICE_FMT ".", SLICE_ARG(reason));
    return s->choice[0].why.inner.p != NULL;
}

static bool read_candidates(struct llm_decoder *d, const struct json_doc *doc, uint32_t list)
{
    if (json_type_at(doc, list) != JSON_ARRAY)
        return false;
    for (uint32_t i = json_first(doc, list); i < json_end(doc, list) && !d->ended;
         i = json_after(doc, i)) {
        if (!read_candidate(d, doc, i))
            return false;
    }
    return true;
}

enum root_member {
    ROOT_CANDIDATES,
    ROOT_USAGE,
    ROOT_FEEDBACK,
    ROOT_MODEL,
    ROOT_ID,
    ROOT_ERROR,
    ROOT_MEMBERS_N
};

static int root_member_of(struct slice k)
{
    switch (k.n) {
    case 5: return KEY_IS(k, "error") ? ROOT_ERROR : -1;
    case 10:
        if (KEY_IS(k, "candidates"))
            return ROOT_CANDIDATES;
        return KEY_IS(k, "responseId") ? ROOT_ID : -1;
    case 12: return KEY_IS(k, "modelVersion") ? ROOT_MODEL : -1;
    case 13: return KEY_IS(k, "usageMetadata") ? ROOT_USAGE : -1;
    case 14: return KEY_IS(k, "promptFeedback") ? ROOT_FEEDBACK : -1;
    default: return -1;
    }
}

static struct slice word_of(const struct json_doc *doc, uint32_t node, struct arena *a)
{
    return node != 0 && json_type_at(doc, node) == JSON_STRING ? json_string(doc, node, a)
                                                               : SLICE_NONE;
}

static bool read_error(struct llm_decoder *d, const struct json_doc *doc, uint32_t node)
{
    struct llm_error e;
    unsigned status = google_error_at(doc, node, d->arena, &e);
    llm_emit_error(d, status, &e);
    return true;
}

/* What frames and whole answers have in common. */
static bool decode(struct llm_decoder *d, const struct json_doc *doc)
{
    uint32_t v[ROOT_MEMBERS_N] = {0}, error = google_error_node(doc);
    if (d->state == NULL)
        d->state = arena_zalloc(d->arena, sizeof(struct google_state));
    if (d->state == NULL)
        return false;
    if (error != 0)
        return read_error(d, doc, error);
    if (json_type_at(doc, 0) != JSON_OBJECT)
        return false;
    for (uint32_t k = json_first(doc, 0); k < json_end(doc, 0); k = json_after(doc, k + 1)) {
        int m = llm_key(doc, k, root_member_of);
        if (m >= 0 && json_type_at(doc, k + 1) != JSON_NULL)
            v[m] = k + 1;
    }
    if (v[ROOT_ERROR] != 0)
        return false;
    if (v[ROOT_USAGE] != 0)
        read_usage(d, doc, v[ROOT_USAGE]);
    if (v[ROOT_CANDIDATES] == 0 && v[ROOT_FEEDBACK] == 0)
        return true;
    if (!d->started)
        llm_emit_start(d, word_of(doc, v[ROOT_ID], d->arena),
                       word_of(doc, v[ROOT_MODEL], d->arena));
    if (v[ROOT_FEEDBACK] != 0 && !read_block(d, doc, v[ROOT_FEEDBACK]))
        return false;
    if (v[ROOT_CANDIDATES] != 0 && !read_candidates(d, doc, v[ROOT_CANDIDATES]))
        return false;
    return !((const struct google_state *)d->state)->failed;
}

/* Every candidate that was begun has said how it ended, and there is one. */
static bool all_finished(const struct google_state *s)
{
    for (unsigned i = 0; s != NULL && i < s->choices_n; i++) {
        if (s->choice[i].seen && s->choice[i].finish == NULL)
            return false;
    }
    return s != NULL && s->choices_n > 0;
}

static void finish_choice(struct piece *x)
{
    struct choice_state *s = x->state;
    enum llm_finish f = s->finish->finish;
    close_part(x);
    tell_held_signature(x);
    if (f == FINISH_STOP && s->called)
        f = FINISH_TOOLS;
    llm_emit_finish(x->d, x->choice, f, SLICE_NONE, f == FINISH_FILTER ? s->why : LLM_NO_TEXT);
}

static bool decode_end(struct llm_decoder *d)
{
    struct google_state *s = d->state;
    if (d->ended)
        return true;
    if (!all_finished(s))
        return false;
    for (unsigned i = 0; i < s->choices_n; i++) {
        struct piece x = {.d = d, .all = s, .choice = i, .state = &s->choice[i]};
        if (x.state->seen)
            finish_choice(&x);
    }
    d->finished = true;
    llm_emit_end(d);
    return true;
}

static bool decode_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    struct json_doc doc;
    (void)name;
    if (d->ended)
        return true;
    return json_parse(d->json, data, JSON_ALLOW_LONE_SURROGATES, &doc) == JSON_OK &&
           decode(d, &doc);
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    return decode_event(d, SLICE_NONE, body) && decode_end(d);
}

const struct llm_wire google_wire = {
    .name = "google",
    .family = FAMILY_GOOGLE,
    .framing = FRAMING_SSE,
    .path = google_path,
    .write_chat = google_write_chat,
    .decode_event = decode_event,
    .decode_end = decode_end,
    .decode_answer = decode_answer,
    .read_error = google_read_error,
    .retry_delay = google_retry_delay,
};

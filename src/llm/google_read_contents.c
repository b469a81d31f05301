/* Gemini's contents as messages. Sources: Part, Blob, FunctionResponse in types.py of google-genai
 * 3.4.0 (Python SDK), whose bytes come in the URL-safe alphabet of base64. */
#include "google_request.h"

enum part_member {
    TEXT,
    THOUGHT,
    SIGNATURE,
    INLINE_DATA,
    FILE_DATA,
    CALL,
    RESPONSE,
    CODE,
    CODE_RESULT,
    TOOL_CALL,
    TOOL_RESPONSE,
    PART_N
};
static const char *const part_names[] = {"text",
                                         "thought",
                                         "thoughtSignature",
                                         "inlineData",
                                         "fileData",
                                         "functionCall",
                                         "functionResponse",
                                         "executableCode",
                                         "codeExecutionResult",
                                         "toolCall",
                                         "toolResponse",
                                         NULL};

/* The content that is being read. */
struct content {
    struct google_reader *g;
    struct llm_part **tail;
    unsigned message_at, at;
    struct llm_word *thoughts, **thoughts_tail; /* texts of thoughts that are not signed yet */
    size_t thoughts_n;                          /* bytes of them */
};

static const char *part_path(struct content *c)
{
    return reader_path(&c->g->rd, "contents[%u].parts[%u]", c->message_at, c->at);
}

static struct llm_part *add_part(struct content *c, enum llm_part_kind kind)
{
    return reader_add_part(&c->g->rd, &c->tail, kind, c->message_at, c->at);
}

/* Thoughts come in pieces, of which the last may be signed: one part, as they were minted. */
static bool end_thoughts(struct content *c, struct slice said)
{
    struct llm_reader *rd = &c->g->rd;
    size_t n = 0;
    if (c->thoughts == NULL && said.n == 0)
        return true;
    struct llm_part *p = add_part(c, PART_REASONING);
    char *text = arena_alloc(rd->a, c->thoughts_n + 1);
    if (p == NULL || text == NULL)
        return reader_no_memory(rd);
    for (const struct llm_word *w = c->thoughts; w != NULL; w = w->next) {
        memcpy(text + n, w->word.p, w->word.n);
        n += w->word.n;
    }
    p->text.inner = slice_of(text, n);
    if (said.n > 0) {
        p->signature = google_signature_read(rd->a, said, &p->family, &p->redacted);
        if (p->family == FAMILY_NONE)
            p->signature = SLICE_NONE;
    }
    c->thoughts = NULL;
    c->thoughts_tail = &c->thoughts;
    c->thoughts_n = 0;
    return true;
}

static bool add_thought(struct content *c, struct llm_text text, struct slice said)
{
    struct llm_word *w = arena_new(c->g->rd.a, struct llm_word);
    if (w == NULL)
        return reader_no_memory(&c->g->rd);
    w->word = text.inner.p != NULL ? text.inner : SLICE("");
    LLM_APPEND(c->thoughts_tail, w);
    c->thoughts_n += w->word.n;
    return said.n == 0 || end_thoughts(c, said);
}

/* base64 in the alphabet that every provider takes. */
static struct slice standard_base64(struct arena *a, struct slice data)
{
    if (memchr(data.p, '-', data.n) == NULL && memchr(data.p, '_', data.n) == NULL &&
        data.n % 4 == 0)
        return data;
    char *p = arena_alloc(a, data.n + 3);
    size_t n = data.n;
    if (p == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(data.p[i] == '-' ? '+' : data.p[i] == '_' ? '/' : data.p[i]);
    while (n % 4 != 0)
        p[n++] = '=';
    return slice_of(p, n);
}

static enum llm_part_kind kind_of(struct slice media_type, struct slice url)
{
    static const struct {
        const char *prefix;
        enum llm_part_kind kind;
    } rows[] = {{"image/", PART_IMAGE}, {"audio/", PART_AUDIO}, {"video/", PART_VIDEO}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_starts(media_type, slice_str(rows[i].prefix)))
            return rows[i].kind;
    }
    return slice_starts(url, SLICE("https://www.youtube.com/")) ? PART_VIDEO : PART_DOCUMENT;
}

/* inlineData or fileData; 0 for the one that is absent. */
static bool read_media(struct content *c, uint32_t blob, uint32_t file)
{
    enum { TYPE, DATA, URI, NAME, N };
    static const char *const names[] = {"mimeType", "data", "fileUri", "displayName", NULL};
    struct llm_reader *rd = &c->g->rd;
    struct llm_source s = {.name = SLICE_NONE};
    uint32_t v[N] = {0};
    if (!google_members(c->g, blob != 0 ? blob : file, part_path(c), "contents.parts.", names, v) ||
        !google_word_of(c->g, v[TYPE], part_path(c), &s.media_type) ||
        !google_word_of(c->g, v[DATA], part_path(c), &s.data) ||
        !google_word_of(c->g, v[URI], part_path(c), &s.url) ||
        !google_word_of(c->g, v[NAME], part_path(c), &s.name))
        return false;
    if (blob != 0 ? s.data.p == NULL : s.url.p == NULL)
        return reader_refuse(rd, part_path(c), "missing_required_parameter",
                             "Missing required parameter: '%s' of '%s'.",
                             blob != 0 ? "data" : "fileUri", part_path(c));
    if (blob != 0) {
        s.url = SLICE_NONE;
        s.data = standard_base64(rd->a, s.data);
        if (s.data.p == NULL)
            return reader_no_memory(rd);
    } else {
        s.data = SLICE_NONE;
    }
    struct llm_part *p = add_part(c, kind_of(s.media_type, s.url));
    if (p != NULL)
        p->source = s;
    return p != NULL;
}

/* The value without white space between its tokens, which would cost tokens in dialects that carry
 * it as a text; only where it is laid out in lines. .p NULL: no memory. */
static struct slice on_one_line(struct content *c, uint32_t node)
{
    struct slice raw = json_raw(c->g->rd.d, node);
    struct buf b;
    if (memchr(raw.p, '\n', raw.n) == NULL)
        return raw;
    buf_init(&b, raw.n);
    google_put_compact(&b, raw);
    raw = b.failed ? SLICE_NONE : arena_copy(c->g->rd.a, buf_view(&b));
    buf_done(&b);
    return raw;
}

static bool read_call(struct content *c, uint32_t node)
{
    enum { ID, NAME, ARGS, N };
    static const char *const names[] = {"id", "name", "args", NULL};
    struct llm_reader *rd = &c->g->rd;
    uint32_t v[N] = {0};
    struct llm_part *p = add_part(c, PART_TOOL_CALL);
    struct google_call *open = arena_new(rd->a, struct google_call);
    if (p == NULL || open == NULL)
        return reader_no_memory(rd);
    if (!google_members(c->g, node, part_path(c), "contents.parts.functionCall.", names, v) ||
        !google_word_of(c->g, v[ID], part_path(c), &p->id) ||
        !google_word_of(c->g, v[NAME], part_path(c), &p->name))
        return false;
    if (p->name.n == 0)
        return reader_refuse(rd, part_path(c), "missing_required_parameter",
                             "The functionCall in '%s' needs a name.", part_path(c));
    if (v[ARGS] != 0 && json_type_at(rd->d, v[ARGS]) != JSON_OBJECT)
        return reader_wrong_type(rd, part_path(c), "an object in functionCall.args", v[ARGS]);
    p->input_json = v[ARGS] != 0 ? on_one_line(c, v[ARGS]) : SLICE("{}");
    if (p->id.n == 0) /* elsewhere calls and results find each other by ids */
        p->id = arena_printf(rd->a, "call_%u_%u", c->message_at, c->at);
    if (p->id.p == NULL || p->input_json.p == NULL)
        return reader_no_memory(rd);
    *open = (struct google_call){.id = p->id, .name = p->name};
    LLM_APPEND(c->g->calls_tail, open);
    return true;
}

/* The call that a result answers: by its id, or else the first of that name. */
static struct slice answered_call(struct google_reader *g, struct slice id, struct slice name)
{
    struct google_call **at = &g->calls;
    while (*at != NULL && !(id.n > 0 ? slice_eq((*at)->id, id) : slice_eq((*at)->name, name)))
        at = &(*at)->next;
    struct google_call *found = *at;
    if (found == NULL)
        return id.n > 0 ? id : name;
    *at = found->next;
    if (g->calls_tail == &found->next)
        g->calls_tail = at;
    return found->id;
}

/* {"output":"text"} and the like say a text; {"error":"text"} that it went wrong; anything else is
 * the text of its JSON. */
static bool read_result(struct content *c, struct llm_part *p, uint32_t node)
{
    static const struct {
        const char *key;
        bool is_error;
    } rows[] = {{"output", false}, {"result", false}, {"content", false}, {"error", true}};
    struct llm_reader *rd = &c->g->rd;
    const struct json_doc *d = rd->d;
    uint32_t key = json_first(d, node);
    struct llm_part **tail = &p->content;
    struct llm_part *text = reader_add_part(rd, &tail, PART_TEXT, c->message_at, c->at);
    if (text == NULL)
        return false;
    bool alone = key < json_end(d, node) && json_after(d, key + 1) >= json_end(d, node) &&
                 json_type_at(d, key + 1) == JSON_STRING;
    for (size_t i = 0; alone && i < ARRAY_LEN(rows); i++) {
        if (!json_string_is(d, key, slice_str(rows[i].key)))
            continue;
        text->text = llm_text_at(d, key + 1);
        p->is_error = rows[i].is_error;
        return true;
    }
    struct slice whole = on_one_line(c, node);
    if (whole.p != NULL)
        text->text = llm_text_of(rd->a, whole);
    return text->text.inner.p != NULL || reader_no_memory(rd);
}

/* Images and documents that a function gave. */
static bool read_result_parts(struct content *c, struct llm_part *p, uint32_t list)
{
    enum { BLOB, FILE_, N };
    static const char *const names[] = {"inlineData", "fileData", NULL};
    struct llm_reader *rd = &c->g->rd;
    struct content inner = {
        .g = c->g, .tail = &p->content, .message_at = c->message_at, .at = c->at};
    while (*inner.tail != NULL)
        inner.tail = &(*inner.tail)->next;
    if (list == 0)
        return true;
    if (!reader_array(rd, list, part_path(c)))
        return false;
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        uint32_t v[N] = {0};
        if (!google_members(c->g, i, part_path(c), "contents.parts.functionResponse.parts.", names,
                            v))
            return false;
        if ((v[BLOB] != 0 || v[FILE_] != 0) && !read_media(&inner, v[BLOB], v[FILE_]))
            return false;
    }
    return true;
}

static bool read_response(struct content *c, uint32_t node)
{
    enum { ID, NAME, RESULT, PARTS, N };
    static const char *const names[] = {"id", "name", "response", "parts", NULL};
    struct llm_reader *rd = &c->g->rd;
    uint32_t v[N] = {0};
    struct llm_part *p = add_part(c, PART_TOOL_RESULT);
    if (p == NULL ||
        !google_members(c->g, node, part_path(c), "contents.parts.functionResponse.", names, v) ||
        !google_word_of(c->g, v[ID], part_path(c), &p->id) ||
        !google_word_of(c->g, v[NAME], part_path(c), &p->name))
        return false;
    if (p->name.n == 0)
        return reader_refuse(rd, part_path(c), "missing_required_parameter",
                             "The functionResponse in '%s' needs a name.", part_path(c));
    p->id = answered_call(c->g, p->id, p->name);
    if (v[RESULT] != 0 && json_type_at(rd->d, v[RESULT]) != JSON_OBJECT)
        return reader_wrong_type(rd, part_path(c), "an object in functionResponse.response",
                                 v[RESULT]);
    if (v[RESULT] != 0 && !read_result(c, p, v[RESULT]))
        return false;
    return read_result_parts(c, p, v[PARTS]);
}

/* What only Google knows, as it stands. */
static bool read_native(struct content *c, uint32_t part)
{
    struct llm_part *p = add_part(c, PART_NATIVE);
    if (p == NULL)
        return false;
    p->family = FAMILY_GOOGLE;
    p->native_json = json_raw(c->g->rd.d, part);
    return true;
}

/* The part behind a signature of its own. */
static bool read_data(struct content *c, uint32_t part, const uint32_t *v, struct llm_text text)
{
    if (v[CALL] != 0)
        return read_call(c, v[CALL]);
    if (v[RESPONSE] != 0)
        return read_response(c, v[RESPONSE]);
    if (v[INLINE_DATA] != 0 || v[FILE_DATA] != 0)
        return read_media(c, v[INLINE_DATA], v[FILE_DATA]);
    if (text.inner.p != NULL) {
        struct llm_part *p = text.inner.n > 0 ? add_part(c, PART_TEXT) : NULL;
        if (p != NULL)
            p->text = text;
        return p != NULL || text.inner.n == 0;
    }
    for (unsigned i = CODE; i < PART_N; i++) {
        if (v[i] != 0)
            return read_native(c, part);
    }
    return true; /* empty, or of a kind that is among the unknown names */
}

static bool read_part(struct content *c, uint32_t part)
{
    uint32_t v[PART_N] = {0};
    struct llm_text text = LLM_NO_TEXT;
    struct slice said = SLICE_NONE;
    int thought = 0;
    if (!google_members(c->g, part, part_path(c), "contents.parts.", part_names, v) ||
        !google_text_of(c->g, v[TEXT], part_path(c), &text) ||
        !google_flag_of(c->g, v[THOUGHT], part_path(c), &thought) ||
        !google_word_of(c->g, v[SIGNATURE], part_path(c), &said))
        return false;
    if (thought == 1 && v[CALL] == 0)
        return add_thought(c, text, said);
    if (!end_thoughts(c, SLICE_NONE) || !end_thoughts(c, said))
        return false;
    return read_data(c, part, v, text);
}

static bool read_parts(struct google_reader *g, uint32_t list, struct llm_message *m, unsigned at)
{
    struct content c = {.g = g, .tail = &m->parts, .message_at = at};
    c.thoughts_tail = &c.thoughts;
    if (list == 0)
        return true;
    if (!reader_array(&g->rd, list, part_path(&c)))
        return false;
    for (uint32_t i = json_first(g->rd.d, list); i < json_end(g->rd.d, list);
         i = json_after(g->rd.d, i), c.at++) {
        if (!read_part(&c, i))
            return false;
    }
    return end_thoughts(&c, SLICE_NONE);
}

static bool role_of(struct google_reader *g, struct slice word, const char *param,
                    enum llm_role *ret)
{
    static const struct {
        const char *word;
        enum llm_role role;
    } rows[] = {
        {"", ROLE_USER}, {"user", ROLE_USER}, {"model", ROLE_ASSISTANT}, {"function", ROLE_USER}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(word, rows[i].word)) {
            *ret = rows[i].role;
            return true;
        }
    }
    return reader_refuse(&g->rd, param, "invalid_value",
                         "Please use a valid role in '%s': user, model.", param);
}

/* `instruction`: the role is the system's, whatever is said. */
static bool read_content(struct google_reader *g, uint32_t node, bool instruction, unsigned at,
                         struct llm_message ***tail)
{
    enum { ROLE, PARTS, N };
    static const char *const names[] = {"role", "parts", NULL};
    uint32_t v[N] = {0};
    struct slice word = SLICE("");
    enum llm_role role = ROLE_SYSTEM;
    const char *param = instruction ? "systemInstruction" : reader_path(&g->rd, "contents[%u]", at);
    if (!google_members(g, node, param, instruction ? "systemInstruction." : "contents.", names, v))
        return false;
    if (!google_word_of(g, v[ROLE], param, &word) ||
        (!instruction && !role_of(g, word, param, &role)))
        return false;
    struct llm_message *m = reader_add_message(&g->rd, tail, role, at);
    return m != NULL && read_parts(g, v[PARTS], m, at);
}

bool google_read_contents(struct google_reader *g, uint32_t instruction, uint32_t list)
{
    struct llm_message **tail = &g->rd.chat->messages;
    unsigned at = 0;
    if (instruction != 0 && !read_content(g, instruction, true, 0, &tail))
        return false;
    if (list == 0 || json_type_at(g->rd.d, list) != JSON_ARRAY)
        return reader_refuse(&g->rd, "contents", "missing_required_parameter",
                             "Missing required parameter: 'contents'.");
    for (uint32_t i = json_first(g->rd.d, list); i < json_end(g->rd.d, list);
         i = json_after(g->rd.d, i)) {
        if (!read_content(g, i, false, at++, &tail))
            return false;
    }
    return true;
}

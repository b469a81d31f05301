/* The neutral request as Anthropic's Messages: the system prompt and the conversation. What stands
 * beside them is in anthropic_options.c. Sources: the parameter types of PyPI anthropic 2.12.0
 * (MessageCreateParams, ContentBlockParam and what they hold), platform.claude.com on tool use
 * (results come first in the user's message, one message for all of them), extended thinking and
 * mid-conversation system messages.
 *
 * Not written because it means nothing here: an image's `detail`, the label and description of a
 * response format, wants_usage (usage always comes). */
#include "anthropic_options.h"

static void put_cache(struct json_writer *j, struct slice cache_json)
{
    if (cache_json.n > 0) {
        jw_key(j, "cache_control");
        jw_raw(j, cache_json);
    }
}

static void open_block(struct json_writer *j, struct slice type)
{
    jw_open(j, '{');
    jw_field_string(j, "type", type);
}

static void close_block(struct json_writer *j, const struct llm_part *p)
{
    put_cache(j, p->cache_json);
    jw_close(j, '}');
}

/* Only white space: such text blocks are refused there. */
static bool is_blank(struct llm_text t)
{
    for (size_t i = 0; i < t.inner.n; i++) {
        char c = t.inner.p[i];
        if (c == '\\' && i + 1 < t.inner.n && memchr("ntr", t.inner.p[i + 1], 3) != NULL)
            i++;
        else if (c != ' ')
            return false;
    }
    return true;
}

static void put_text_block(struct json_writer *j, struct llm_text text, struct slice cache_json)
{
    open_block(j, SLICE("text"));
    jw_field_text(j, "text", text);
    put_cache(j, cache_json);
    jw_close(j, '}');
}

/* {"type":"file"} or {"type":"url"}. */
static void put_reference(struct json_writer *j, const struct llm_source *s)
{
    jw_key(j, "source");
    open_block(j, s->file_id.n > 0 ? SLICE("file") : SLICE("url"));
    if (s->file_id.n > 0)
        jw_field_string(j, "file_id", s->file_id);
    else
        jw_field_string(j, "url", s->url);
    jw_close(j, '}');
}

static void put_base64(struct json_writer *j, const struct llm_source *s)
{
    jw_key(j, "source");
    open_block(j, SLICE("base64"));
    jw_field_string(j, "media_type", s->media_type);
    jw_field_string(j, "data", s->data);
    jw_close(j, '}');
}

/* The ids of files are known to those who gave them; of the clients, who may have asked Anthropic
 * only in its own dialect. */
static bool has_reference(const struct llm_source *s)
{
    bool web = slice_starts(s->url, SLICE("https://")) || slice_starts(s->url, SLICE("http://"));
    return s->file_id.n > 0 || web;
}

static bool is_foreign_file(const struct llm_writing *w, const struct llm_source *s)
{
    return s->file_id.n > 0 && w->chat->dialect != DIALECT_ANTHROPIC;
}

static bool put_image(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    static const char *const types[] = {"image/jpeg", "image/png", "image/gif", "image/webp"};
    const struct llm_source *s = &p->source;
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        known |= slice_eq_nocase(s->media_type, slice_str(types[i]));
    if (is_foreign_file(w, s))
        return llm_lacks_part(w, FEATURE_FILE_ID, p);
    if (s->data.p != NULL && !known)
        return llm_lacks_part(w, FEATURE_IMAGE, p);
    if (s->data.p == NULL && !has_reference(s))
        return llm_lacks_part(w, FEATURE_IMAGE_URL, p);
    open_block(j, SLICE("image"));
    if (s->data.p != NULL)
        put_base64(j, s);
    else
        put_reference(j, s);
    close_block(j, p);
    return true;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* A text file's content, from base64 of either alphabet (RFC 4648, sections 4 and 5). .inner.p
 * NULL: no base64, no UTF-8, or no memory. */
static struct llm_text text_of_base64(struct arena *a, struct slice data)
{
    char *out = arena_alloc(a, data.n);
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    while (data.n > 0 && data.p[data.n - 1] == '=')
        data.n--;
    for (size_t i = 0; out != NULL && i < data.n; i++) {
        int v = base64_value(data.p[i]);
        if (v < 0)
            return LLM_NO_TEXT;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (char)(bits >> held & 0xFF);
        }
    }
    if (out == NULL || !utf8_valid(slice_of(out, n)))
        return LLM_NO_TEXT;
    return llm_text_of(a, slice_of(out, n));
}

static bool is_text_file(const struct llm_source *s)
{
    return s->data.p != NULL && (slice_starts(s->media_type, SLICE("text/")) ||
                                 slice_is(s->media_type, "application/json"));
}

static void put_text_source(struct json_writer *j, struct llm_text text)
{
    jw_key(j, "source");
    open_block(j, SLICE("text"));
    jw_field_string(j, "media_type", SLICE("text/plain"));
    jw_field_text(j, "data", text);
    jw_close(j, '}');
}

/* Documents are PDF or plain text. */
static bool put_document(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    struct llm_text text = is_text_file(s) ? text_of_base64(w->arena, s->data) : s->text;
    bool pdf = s->data.p != NULL && slice_eq_nocase(s->media_type, SLICE("application/pdf"));
    if (is_foreign_file(w, s))
        return llm_lacks_part(w, FEATURE_FILE_ID, p);
    if (text.inner.p == NULL && !pdf && !has_reference(s))
        return llm_lacks_part(w, FEATURE_DOCUMENT, p);
    open_block(j, SLICE("document"));
    if (text.inner.p != NULL)
        put_text_source(j, text);
    else if (pdf)
        put_base64(j, s);
    else
        put_reference(j, s);
    if (s->name.n > 0)
        jw_field_string(j, "title", s->name);
    if (p->citations) {
        jw_key(j, "citations");
        jw_raw(j, SLICE("{\"enabled\":true}"));
    }
    close_block(j, p);
    return true;
}

/* Ids there match ^[a-zA-Z0-9_-]+$; others are changed alike in the call and in its result. */
static struct slice call_id(struct arena *a, struct slice id)
{
    char *copy = NULL;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        if (base64_value(c) >= 0 && c != '+' && c != '/')
            continue;
        if (copy == NULL && (copy = arena_str(a, id)) == NULL)
            return SLICE_NONE;
        copy[i] = '_';
    }
    return copy != NULL ? slice_of(copy, id.n) : id;
}

static bool put_call(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    if (p->custom)
        return llm_lacks_part(w, FEATURE_CUSTOM_TOOLS, p);
    struct slice input = llm_call_object(w->json, w->arena, p);
    if (input.p == NULL)
        return llm_refuse(w, "messages",
                          "The arguments of tool call '" SLICE_FMT "' are not a JSON object.",
                          (int)MIN_OF(p->id.n, (size_t)64), p->id.p != NULL ? p->id.p : "");
    open_block(j, SLICE("tool_use"));
    jw_field_string(j, "id", call_id(w->arena, p->id));
    jw_field_string(j, "name", p->name);
    jw_key(j, "input");
    jw_raw(j, input);
    close_block(j, p);
    return true;
}

/* Reasoning that Anthropic signed; whatever else was thought is of no use to its models. */
static bool is_own_reasoning(const struct llm_part *p)
{
    return p->family == FAMILY_ANTHROPIC && p->signature.n > 0;
}

static bool put_reasoning(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    if (!is_own_reasoning(p))
        return llm_lacks_part(w, FEATURE_SIGNATURE, p);
    open_block(j, p->redacted ? SLICE("redacted_thinking") : SLICE("thinking"));
    if (p->redacted) {
        jw_field_string(j, "data", p->signature);
    } else {
        jw_field_text(j, "thinking", p->text);
        jw_field_string(j, "signature", p->signature);
    }
    jw_close(j, '}');
    return true;
}

static bool put_part(struct llm_writing *w, struct json_writer *j, const struct llm_part *p);

static bool put_result(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    const struct llm_part *c = p->content;
    if (p->custom && !llm_lacks_part(w, FEATURE_CUSTOM_TOOLS, p))
        return false;
    if (p->custom)
        return true; /* its call is not there either */
    open_block(j, SLICE("tool_result"));
    jw_field_string(j, "tool_use_id", call_id(w->arena, p->id));
    if (c != NULL && c->next == NULL && c->kind == PART_TEXT && c->cache_json.n == 0) {
        jw_field_text(j, "content", c->text);
    } else if (c != NULL) {
        jw_key(j, "content");
        jw_open(j, '[');
        for (; c != NULL; c = c->next) {
            if (!put_part(w, j, c))
                return false;
        }
        jw_close(j, ']');
    }
    if (p->is_error)
        jw_field_bool(j, "is_error", true);
    close_block(j, p);
    return true;
}

static bool put_part(struct llm_writing *w, struct json_writer *j, const struct llm_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        if (!is_blank(p->text))
            put_text_block(j, p->text, p->cache_json);
        return true;
    case PART_IMAGE: return put_image(w, j, p);
    case PART_AUDIO: return llm_lacks_part(w, FEATURE_AUDIO, p);
    case PART_VIDEO: return llm_lacks_part(w, FEATURE_VIDEO, p);
    case PART_DOCUMENT: return put_document(w, j, p);
    case PART_TOOL_CALL: return put_call(w, j, p);
    case PART_TOOL_RESULT: return put_result(w, j, p);
    case PART_REASONING: return put_reasoning(w, j, p);
    case PART_NATIVE:
        if (p->family != FAMILY_ANTHROPIC)
            return llm_lacks_part(w, FEATURE_NATIVE_PART, p);
        jw_raw(j, p->native_json);
        return true;
    }
    return true;
}

static bool is_system(const struct llm_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

/* The texts of a system message; it can hold nothing else. `before` stands in front of each. */
static bool put_system_texts(struct llm_writing *w, struct json_writer *j,
                             const struct llm_message *m, const char *before)
{
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != PART_TEXT && !llm_lacks_part(w, FEATURE_NATIVE_PART, p))
            return false;
        if (p->kind != PART_TEXT || is_blank(p->text))
            continue;
        struct llm_text text = p->text;
        if (*before != '\0')
            text.inner = arena_printf(w->arena, "%s" SLICE_FMT, before, SLICE_ARG(p->text.inner));
        if (text.inner.p == NULL) {
            w->bad->no_memory = true;
            return llm_refuse(w, "", "The gateway is out of memory.");
        }
        put_text_block(j, text, p->cache_json);
    }
    return true;
}

/* Neighbouring messages that become one. */
struct turn {
    struct turn *next;
    enum llm_role role; /* SYSTEM, USER or ASSISTANT */
    const struct llm_message *first, *last;
};

/* A part that leaves something behind. */
static bool is_written(const struct llm_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL: return !is_blank(p->text);
    case PART_REASONING: return is_own_reasoning(p);
    default: return true;
    }
}

static bool is_empty(const struct llm_message *m)
{
    const struct llm_part *p = m->parts;
    while (p != NULL && !is_written(p))
        p = p->next;
    return p == NULL;
}

/* The turns from `m` on, without empty messages. False: no memory. */
static bool group(struct arena *a, const struct llm_message *m, struct turn **ret)
{
    struct turn *last = NULL;
    for (*ret = NULL; m != NULL; m = m->next) {
        enum llm_role role = is_system(m) ? ROLE_SYSTEM : m->role;
        if (is_empty(m))
            continue;
        if (last != NULL && last->role == role) {
            last->last = m;
            continue;
        }
        struct turn *t = arena_new(a, struct turn);
        if (t == NULL)
            return false;
        *t = (struct turn){.role = role, .first = m, .last = m};
        if (last != NULL)
            last->next = t;
        else
            *ret = t;
        last = t;
    }
    return true;
}

/* A system message in the middle has to stand behind one of the user's and before one of the
 * assistant's, or last; where it cannot, it becomes the user's. */
static void settle_system(struct turn *first, unsigned traits)
{
    const struct turn *before = NULL;
    for (struct turn *t = first; t != NULL; t = t->next) {
        bool placed = before != NULL && before->role == ROLE_USER &&
                      (t->next == NULL || t->next->role == ROLE_ASSISTANT);
        if (t->role == ROLE_SYSTEM && !(placed && traits & TRAIT_MID_SYSTEM))
            t->role = ROLE_USER;
        before = t;
    }
    for (struct turn *t = first; t != NULL;) {
        if (t->next != NULL && t->next->role == t->role) {
            t->last = t->next->last;
            t->next = t->next->next;
        } else {
            t = t->next;
        }
    }
}

/* The parts of one message: results only, others only, or all. */
enum which { RESULTS, OTHERS, ALL };

static bool put_parts(struct llm_writing *w, struct json_writer *j, const struct llm_message *m,
                      enum which which)
{
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (which != ALL && (which == RESULTS) != (p->kind == PART_TOOL_RESULT))
            continue;
        if (!put_part(w, j, p))
            return false;
    }
    return true;
}

static bool put_messages_of(struct llm_writing *w, struct json_writer *j, const struct turn *t,
                            enum which which)
{
    for (const struct llm_message *m = t->first;; m = m->next) {
        bool ok = true;
        if (!is_system(m))
            ok = put_parts(w, j, m, which);
        else if (which != RESULTS)
            ok = put_system_texts(w, j, m, t->role == ROLE_SYSTEM ? "" : "System: ");
        if (!ok)
            return false;
        if (m == t->last)
            return true;
    }
}

static bool put_turn(struct llm_writing *w, struct json_writer *j, const struct turn *t)
{
    static const struct slice names[] = {[ROLE_SYSTEM] = LITERAL("system"),
                                         [ROLE_DEVELOPER] = LITERAL("system"),
                                         [ROLE_USER] = LITERAL("user"),
                                         [ROLE_ASSISTANT] = LITERAL("assistant")};
    jw_open(j, '{');
    jw_field_string(j, "role", names[t->role]);
    jw_key(j, "content");
    jw_open(j, '[');
    bool ok = t->role == ROLE_USER
                  ? put_messages_of(w, j, t, RESULTS) && put_messages_of(w, j, t, OTHERS)
                  : put_messages_of(w, j, t, ALL);
    jw_close(j, ']');
    jw_close(j, '}');
    return ok;
}

static bool put_turns(struct llm_writing *w, struct json_writer *j, const struct turn *first,
                      unsigned traits)
{
    jw_key(j, "messages");
    jw_open(j, '[');
    for (const struct turn *t = first; t != NULL; t = t->next) {
        bool prefill = t->next == NULL && t->role == ROLE_ASSISTANT;
        if (prefill && !(traits & TRAIT_PREFILL)) {
            if (!llm_lacks(w, FEATURE_PREFILL, NULL))
                return false;
            break;
        }
        if (!put_turn(w, j, t))
            return false;
    }
    jw_close(j, ']');
    return true;
}

/* The system messages in front; `*rest` is what follows them. */
static bool put_system(struct llm_writing *w, struct json_writer *j,
                       const struct llm_message **rest)
{
    const struct llm_message *m = w->chat->messages, *end = m;
    bool any = false;
    for (; end != NULL && is_system(end); end = end->next)
        any |= !is_empty(end);
    *rest = end;
    if (!any)
        return true;
    jw_key(j, "system");
    jw_open(j, '[');
    for (; m != end; m = m->next) {
        if (!put_system_texts(w, j, m, ""))
            return false;
    }
    jw_close(j, ']');
    return true;
}

static bool put_conversation(struct llm_writing *w, struct json_writer *j, unsigned traits)
{
    const struct llm_message *rest;
    struct turn *turns;
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next) {
        if (m->name.n > 0 && !llm_lacks(w, FEATURE_NAME, NULL))
            return false;
    }
    if (!put_system(w, j, &rest))
        return false;
    if (!group(w->arena, rest, &turns)) {
        w->bad->no_memory = true;
        return llm_refuse(w, "", "The gateway is out of memory.");
    }
    if (turns == NULL)
        return llm_refuse(w, llm_feature_name(FEATURE_PREFILL, w->chat->dialect),
                          "%s/" SLICE_FMT " needs at least one message beside the system's.",
                          w->provider->type, SLICE_ARG(w->model));
    settle_system(turns, traits);
    return put_turns(w, j, turns, traits);
}

bool anthropic_has_part(const struct llm_message *m, enum llm_part_kind kind)
{
    const struct llm_part *p = m->parts;
    while (p != NULL && p->kind != kind)
        p = p->next;
    return p != NULL;
}

bool anthropic_has_own_reasoning(const struct llm_message *m)
{
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == PART_REASONING && is_own_reasoning(p))
            return true;
    }
    return false;
}

bool anthropic_write_chat(struct llm_writing *w)
{
    struct json_writer j = json_writer(w->out);
    struct anthropic_plan plan;
    if (!anthropic_plan(w, &plan))
        return false;
    jw_open(&j, '{');
    if (w->provider->quirks & QUIRK_RAW_PREDICT)
        jw_field_string(&j, "anthropic_version", SLICE(LLM_VERTEX_VERSION)); /* the path has it */
    else
        jw_field_string(&j, "model", w->model);
    jw_field_i64(&j, "max_tokens", plan.max_tokens);
    if (!put_conversation(w, &j, plan.traits) || !anthropic_put_options(w, &j, &plan))
        return false;
    jw_close(&j, '}');
    if (w->out->failed) {
        w->bad->no_memory = true;
        return llm_refuse(w, "", "The gateway is out of memory.");
    }
    return true;
}

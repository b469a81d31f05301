/* The neutral conversation as Gemini's systemInstruction and contents. Sources: types.py of
 * google-genai 3.4.0 (Python SDK); ai.google.dev on thought signatures, also for the word that
 * stands in where a conversation was begun with another family's model, and on file inputs
 * (fileData takes gs:// and https:// addresses).
 * Without a place there, and without meaning for the answer: names of files, and the detail asked
 * of an image. */
#include "google_internal.h"

/* Gemini 3 and later refuse a call of an earlier step that carries no signature. */
#define SIGNED_FROM     30
#define FOREIGN_CALL    SLICE("skip_thought_signature_validator")
#define RESULT_PARTS_IN 30 /* the version that takes images inside a functionResponse */

struct contents {
    struct llm_writing *w;
    struct json_writer *j;
    struct google_model model;
    bool open;              /* an element of contents is */
    enum llm_role role;     /* its role */
    bool called;            /* it has a function call */
    struct slice signature; /* for the next part; .p NULL: none */
};

static bool no_memory(struct llm_writing *w)
{
    w->bad->no_memory = true;
    return llm_refuse(w, "", "The gateway is out of memory.");
}

static void close_content(struct contents *c)
{
    if (!c->open)
        return;
    jw_close(c->j, ']');
    jw_close(c->j, '}');
    c->open = false;
}

/* An element of contents in this role is open: neighbours are joined. */
static void open_content(struct contents *c, enum llm_role role)
{
    if (c->open && c->role == role)
        return;
    close_content(c);
    jw_open(c->j, '{');
    jw_field_string(c->j, "role", role == ROLE_ASSISTANT ? SLICE("model") : SLICE("user"));
    jw_key(c->j, "parts");
    jw_open(c->j, '[');
    c->open = true;
    c->role = role;
    c->called = false;
}

static void open_part(struct contents *c, enum llm_role role)
{
    open_content(c, role);
    jw_open(c->j, '{');
}

static void close_part(struct contents *c)
{
    if (c->signature.p != NULL)
        jw_field_string(c->j, "thoughtSignature", c->signature);
    c->signature = SLICE_NONE;
    jw_close(c->j, '}');
}

/* By the first characters of its base64. */
static struct slice type_of_data(struct slice data)
{
    static const struct {
        const char *begin, *type;
    } rows[] = {
        {"iVBORw0KGgo", "image/png"},   {"/9j/", "image/jpeg"}, {"R0lGOD", "image/gif"},
        {"JVBERi0", "application/pdf"}, {"SUQz", "audio/mp3"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_starts(data, slice_str(rows[i].begin)))
            return slice_str(rows[i].type);
    }
    if (slice_starts(data, SLICE("UklGR")) && data.n >= 16) /* RIFF: WEBP or WAVE at byte 8 */
        return data.p[11] == 'X' ? SLICE("audio/wav") : SLICE("image/webp");
    return SLICE("application/octet-stream");
}

/* By the ending of the path; SLICE_NONE: it does not say. */
static struct slice type_of_url(struct slice url)
{
    static const struct {
        const char *end, *type;
    } rows[] = {
        {".png", "image/png"},         {".jpg", "image/jpeg"},  {".jpeg", "image/jpeg"},
        {".webp", "image/webp"},       {".gif", "image/gif"},   {".heic", "image/heic"},
        {".pdf", "application/pdf"},   {".mp3", "audio/mp3"},   {".wav", "audio/wav"},
        {".mp4", "video/mp4"},         {".webm", "video/webm"}, {".mov", "video/quicktime"},
        {".txt", "text/plain"},        {".html", "text/html"},  {".csv", "text/csv"},
        {".json", "application/json"},
    };
    struct slice rest = url, path = slice_cut(&rest, '#');
    rest = path;
    path = slice_cut(&rest, '?');
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice end = slice_str(rows[i].end);
        if (path.n > end.n && slice_eq_nocase(slice_from(path, path.n - end.n), end))
            return slice_str(rows[i].type);
    }
    return SLICE_NONE;
}

/* The members of a part that say what it is: inlineData, fileData or text. */
static bool put_source(struct contents *c, const struct llm_part *p)
{
    struct json_writer *j = c->j;
    const struct llm_source *s = &p->source;
    struct slice type = s->media_type;
    if (s->data.p != NULL) {
        jw_key(j, "inlineData");
        jw_open(j, '{');
        jw_field_string(j, "mimeType", type.n > 0 ? type : type_of_data(s->data));
        jw_field_string(j, "data", s->data);
        jw_close(j, '}');
    } else if (s->url.p != NULL) {
        jw_key(j, "fileData");
        jw_open(j, '{');
        if (type.n == 0)
            type = type_of_url(s->url);
        if (type.n > 0)
            jw_field_string(j, "mimeType", type);
        jw_field_string(j, "fileUri", s->url);
        jw_close(j, '}');
    } else if (s->text.inner.p != NULL) {
        jw_field_text(j, "text", s->text);
    } else {
        return llm_lacks_part(c->w, FEATURE_FILE_ID, p);
    }
    return true;
}

/* Is there something that put_source can write? */
static bool has_source(const struct llm_part *p)
{
    return p->source.data.p != NULL || p->source.url.p != NULL || p->source.text.inner.p != NULL;
}

static bool put_media(struct contents *c, enum llm_role role, const struct llm_part *p)
{
    if (p->citations && !llm_lacks_part(c->w, FEATURE_CITATIONS, p))
        return false;
    if (!has_source(p))
        return llm_lacks_part(c->w, FEATURE_FILE_ID, p);
    open_part(c, role);
    bool ok = put_source(c, p);
    close_part(c);
    return ok;
}

/* Empty texts are refused there, and say nothing unless they carry a signature. */
static void put_text(struct contents *c, enum llm_role role, struct llm_text text)
{
    if (text.inner.n == 0 && c->signature.p == NULL)
        return;
    open_part(c, role);
    jw_field_text(c->j, "text", text);
    close_part(c);
}

/* A signature without text belongs to the part behind it. A thought without one of Google's goes as
 * a thought that is not signed. */
static bool put_reasoning(struct contents *c, const struct llm_part *p)
{
    bool own = p->signature.n > 0 && p->family == FAMILY_GOOGLE;
    if (p->signature.n > 0 && !own && !llm_lacks(c->w, FEATURE_SIGNATURE, NULL))
        return false;
    if (p->text.inner.n == 0) {
        if (own && c->signature.p != NULL) /* the one before was of an empty text */
            put_text(c, ROLE_ASSISTANT, (struct llm_text){SLICE("")});
        if (own)
            c->signature = p->signature;
        return true;
    }
    open_part(c, ROLE_ASSISTANT);
    jw_field_text(c->j, "text", p->text);
    jw_field_bool(c->j, "thought", true);
    if (own)
        jw_field_string(c->j, "thoughtSignature", p->signature);
    jw_close(c->j, '}');
    return true;
}

static bool put_call(struct contents *c, const struct llm_part *p)
{
    if (p->custom)
        return llm_lacks_part(c->w, FEATURE_CUSTOM_TOOLS, p);
    struct slice args = llm_call_object(c->w->json, c->w->arena, p);
    if (args.p == NULL)
        return llm_refuse(c->w, "",
                          "The arguments of tool call '" SLICE_FMT
                          "' are not a JSON object, which Gemini models need.",
                          SLICE_ARG(p->id));
    open_part(c, ROLE_ASSISTANT);
    jw_key(c->j, "functionCall");
    jw_open(c->j, '{');
    if (p->id.n > 0)
        jw_field_string(c->j, "id", p->id);
    jw_field_string(c->j, "name", p->name);
    jw_key(c->j, "args");
    jw_raw(c->j, args);
    jw_close(c->j, '}');
    if (c->signature.p == NULL && !c->called && c->model.version >= SIGNED_FROM)
        c->signature = FOREIGN_CALL;
    c->called = true;
    close_part(c);
    return true;
}

/* The result as an object where its text is one; .p NULL: it is none. */
static struct slice result_object(struct llm_writing *w, const struct llm_part *r)
{
    const struct llm_part *only = NULL;
    struct json_doc d;
    unsigned texts = 0;
    for (const struct llm_part *p = r->content; p != NULL; p = p->next) {
        if (p->kind != PART_TEXT)
            continue;
        only = p;
        texts++;
    }
    if (r->is_error || texts != 1)
        return SLICE_NONE;
    struct slice inner = slice_trim(only->text.inner);
    if (inner.n == 0 || (inner.p[0] != '{' && inner.p[0] != '\\'))
        return SLICE_NONE;
    struct slice plain = llm_text_object(w->arena, only->text);
    if (plain.p != NULL)
        return plain;
    plain = llm_text_plain(w->arena, only->text);
    if (plain.p == NULL || json_parse(w->json, plain, 0, &d) != JSON_OK ||
        json_type_at(&d, 0) != JSON_OBJECT || json_duplicate_key(w->json, &d, 0) != 0)
        return SLICE_NONE;
    return plain;
}

static void put_response(struct contents *c, const struct llm_part *r)
{
    struct json_writer *j = c->j;
    struct slice object = result_object(c->w, r);
    jw_key(j, "response");
    if (object.p != NULL) {
        jw_raw(j, object);
        return;
    }
    jw_open(j, '{');
    jw_key_slice(j, r->is_error ? SLICE("error") : SLICE("output"));
    jw_before_value(j);
    buf_char(j->b, '"');
    for (const struct llm_part *p = r->content; p != NULL; p = p->next) {
        if (p->kind == PART_TEXT)
            buf_slice(j->b, p->text.inner);
    }
    buf_char(j->b, '"');
    jw_close(j, '}');
}

/* What a tool gave beside text, inside its functionResponse. */
static bool put_result_parts(struct contents *c, const struct llm_part *r)
{
    bool any = false;
    for (const struct llm_part *p = r->content; p != NULL; p = p->next) {
        if (p->kind == PART_TEXT)
            continue;
        if (!any) {
            jw_key(c->j, "parts");
            jw_open(c->j, '[');
        }
        any = true;
        jw_open(c->j, '{');
        if (!put_source(c, p))
            return false;
        jw_close(c->j, '}');
    }
    if (any)
        jw_close(c->j, ']');
    return true;
}

static bool put_result(struct contents *c, const struct llm_part *r)
{
    bool inside = c->model.version >= RESULT_PARTS_IN;
    struct slice name = llm_result_name(r);
    if (r->custom)
        return llm_lacks_part(c->w, FEATURE_CUSTOM_TOOLS, r);
    if (name.n == 0)
        return llm_refuse(
            c->w, "", "There is a result of tool call '" SLICE_FMT "', but no such call before it.",
            SLICE_ARG(r->id));
    open_part(c, ROLE_USER);
    jw_key(c->j, "functionResponse");
    jw_open(c->j, '{');
    if (r->id.n > 0)
        jw_field_string(c->j, "id", r->id);
    jw_field_string(c->j, "name", name);
    put_response(c, r);
    if (inside && !put_result_parts(c, r))
        return false;
    jw_close(c->j, '}');
    close_part(c);
    for (const struct llm_part *p = r->content; p != NULL && !inside; p = p->next) {
        if (p->kind != PART_TEXT && !put_media(c, ROLE_USER, p))
            return false;
    }
    return true;
}

static bool put_part(struct contents *c, enum llm_role role, const struct llm_part *p)
{
    if (p->cache_json.n > 0 && !llm_lacks(c->w, FEATURE_CACHE, NULL))
        return false;
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL: put_text(c, role, p->text); return true;
    case PART_IMAGE:
    case PART_AUDIO:
    case PART_VIDEO:
    case PART_DOCUMENT: return put_media(c, role, p);
    case PART_TOOL_CALL: return put_call(c, p);
    case PART_TOOL_RESULT: return put_result(c, p);
    case PART_REASONING: return put_reasoning(c, p);
    case PART_NATIVE: break;
    }
    if (p->family != FAMILY_GOOGLE)
        return llm_lacks_part(c->w, FEATURE_NATIVE_PART, p);
    open_content(c, role);
    jw_raw(c->j, p->native_json);
    return true;
}

static bool put_message(struct contents *c, const struct llm_message *m)
{
    enum llm_role role = m->role == ROLE_ASSISTANT ? ROLE_ASSISTANT : ROLE_USER;
    if (m->name.n > 0 && !llm_lacks(c->w, FEATURE_NAME, NULL))
        return false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        if (!put_part(c, role, p))
            return false;
    }
    if (c->signature.p != NULL) /* nothing followed */
        put_text(c, role, (struct llm_text){SLICE("")});
    return true;
}

static bool is_instruction(const struct llm_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

/* What the developer says, wherever it stands, comes first. */
static bool put_instructions(struct contents *c)
{
    bool any = false;
    for (const struct llm_message *m = c->w->chat->messages; m != NULL; m = m->next) {
        for (const struct llm_part *p = m->parts; is_instruction(m) && p != NULL; p = p->next) {
            if (p->kind == PART_TEXT && p->text.inner.n == 0)
                continue;
            if (!any) {
                jw_key(c->j, "systemInstruction");
                jw_open(c->j, '{');
                jw_key(c->j, "parts");
                jw_open(c->j, '[');
                c->open = true;
                c->role = ROLE_USER;
            }
            any = true;
            if (!put_part(c, ROLE_USER, p))
                return false;
        }
        if (is_instruction(m) && m->name.n > 0 && !llm_lacks(c->w, FEATURE_NAME, NULL))
            return false;
    }
    close_content(c);
    return true;
}

bool google_write_contents(struct llm_writing *w, struct json_writer *j)
{
    struct contents c = {.w = w, .j = j, .model = google_model_of(w->model)};
    bool alone = true; /* instructions are all there is: they are the user's then */
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next)
        alone = alone && is_instruction(m);
    if (!alone && !put_instructions(&c))
        return false;
    jw_key(j, "contents");
    jw_open(j, '[');
    for (const struct llm_message *m = w->chat->messages; m != NULL; m = m->next) {
        if ((alone || !is_instruction(m)) && !put_message(&c, m))
            return false;
    }
    close_content(&c);
    jw_close(j, ']');
    return !j->b->failed || no_memory(w);
}

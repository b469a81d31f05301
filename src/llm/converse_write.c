/* The neutral request as Bedrock's Converse: its messages; the rest is converse_options.c's.
 * Source: the service model bedrock-runtime 2023-09-30 in botocore 1.44.5. What the model does not
 * say:
 * - turns alternate, so that messages in a row of one role are one message;
 * - texts of white space alone, and a tool's result without content, are refused;
 * - documents need names without dots, each another (bifrost#7003, 2026-09);
 * - system messages between the turns stand there as texts of the user's in <system> tags: up in
 *   `system` they would change the cached prefix with each turn (bifrost#4068, #7145, 2026-09).
 * An image's `detail` has no place and is left out. An answer that the client has begun goes as it
 * is: models that do not continue it say so themselves. */
#include "converse_internal.h"

#include "base/hash.h"

#define CALL_ID_MAX 64
#define DOCUMENT_NAME_MAX                                                                          \
    190 /* of a document, before a number is put behind it; 200 are allowed                        \
         */
#define EMPTY_RESULT "(no output)"

/* What a media type is called; the first row of a format is its usual one. */
struct format {
    const char *media, *format;
};
static const struct format images[] = {
    {"image/png", "png"}, {"image/jpeg", "jpeg"}, {"image/jpg", "jpeg"},
    {"image/gif", "gif"}, {"image/webp", "webp"}, {NULL, NULL},
};
static const struct format documents[] = {
    {"application/pdf", "pdf"},
    {"text/csv", "csv"},
    {"application/msword", "doc"},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
    {"application/vnd.ms-excel", "xls"},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
    {"text/html", "html"},
    {"text/plain", "txt"},
    {"text/markdown", "md"},
    {NULL, NULL},
};
static const struct format videos[] = {
    {"video/x-matroska", "mkv"}, {"video/quicktime", "mov"}, {"video/mp4", "mp4"},
    {"video/webm", "webm"},      {"video/x-flv", "flv"},     {"video/mpeg", "mpeg"},
    {"video/mpg", "mpg"},        {"video/x-ms-wmv", "wmv"},  {"video/wmv", "wmv"},
    {"video/3gpp", "three_gp"},  {"video/3gp", "three_gp"},  {NULL, NULL},
};
static const struct format sounds[] = {
    {"audio/mpeg", "mp3"},  {"audio/mp3", "mp3"}, {"audio/wav", "wav"},   {"audio/x-wav", "wav"},
    {"audio/opus", "opus"}, {"audio/aac", "aac"}, {"audio/flac", "flac"}, {"audio/ogg", "ogg"},
    {"audio/mp4", "mp4"},   {"audio/m4a", "m4a"}, {"audio/webm", "webm"}, {"audio/L16", "pcm"},
    {NULL, NULL},
};

/* Kinds of parts that are a format and a source. */
static const struct {
    const char *block;
    const struct format *formats;
    enum llm_feature feature, feature_url;
} media[] = {
    [PART_IMAGE] = {"image", images, FEATURE_IMAGE, FEATURE_IMAGE_URL},
    [PART_AUDIO] = {"audio", sounds, FEATURE_AUDIO, FEATURE_AUDIO},
    [PART_VIDEO] = {"video", videos, FEATURE_VIDEO, FEATURE_VIDEO},
    [PART_DOCUMENT] = {"document", documents, FEATURE_DOCUMENT, FEATURE_DOCUMENT},
};

/* What stands behind the last dot of a name or a URL. */
static struct slice extension_of(struct slice name)
{
    for (size_t i = name.n; i > 0 && name.n - i < 8; i--) {
        if (name.p[i - 1] == '.')
            return slice_from(name, i);
    }
    return SLICE_NONE;
}

/* By its media type, or where that says nothing by the ending of its name; NULL: none known. */
static const char *format_of(const struct format *f, const struct llm_source *s)
{
    struct slice rest = s->media_type, type = slice_trim(slice_cut(&rest, ';'));
    struct slice extension = extension_of(s->url.n > 0 ? s->url : s->name);
    bool by_name = type.n == 0 || slice_is(type, "application/octet-stream");
    for (; f->media != NULL; f++) {
        struct slice known = slice_str(f->media);
        struct slice ending = slice_from(known, (size_t)slice_find(known, '/') + 1);
        if (slice_eq_nocase(type, known) || (by_name && extension.n > 0 &&
                                             (slice_eq_nocase(extension, ending) ||
                                              slice_eq_nocase(extension, slice_str(f->format)))))
            return f->format;
    }
    return NULL;
}

static bool out_of_memory(struct converse_writing *x)
{
    x->w->bad->no_memory = true;
    return llm_refuse(x->w, "", "The gateway is out of memory.");
}

/* ---- Lists of blocks. */

static void close_message(struct converse_writing *x)
{
    if (x->in_message) {
        jw_close(&x->j, ']');
        jw_close(&x->j, '}');
    }
    x->in_message = x->in_list = false;
}

/* A block of a message of `role` (NULL: of the list that is open): {"NAME":, and its value has to
 * follow, and a closing brace. */
static void open_block(struct converse_writing *x, const enum llm_role *role, const char *name)
{
    if (role != NULL && (!x->in_message || x->role != *role)) {
        close_message(x);
        jw_open(&x->j, '{');
        jw_field_string(&x->j, "role",
                        *role == ROLE_ASSISTANT ? SLICE("assistant") : SLICE("user"));
        jw_key(&x->j, "content");
        jw_open(&x->j, '[');
        x->in_message = true;
        x->role = *role;
    }
    x->in_list = true;
    jw_open(&x->j, '{');
    jw_key_slice(&x->j, slice_str(name));
}

/* Nothing but white space, which is refused. */
static bool is_blank(struct llm_text t)
{
    for (size_t i = 0; i < t.inner.n; i++) {
        bool escape = t.inner.p[i] == '\\' && i + 1 < t.inner.n;
        char c = escape ? t.inner.p[++i] : t.inner.p[i];
        if (escape ? c != 'n' && c != 't' && c != 'r' : c != ' ')
            return false;
    }
    return true;
}

static void put_text(struct converse_writing *x, const enum llm_role *role, struct llm_text t)
{
    if (is_blank(t))
        return;
    open_block(x, role, "text");
    jw_text(&x->j, t);
    jw_close(&x->j, '}');
}

/* A system message among the turns. */
static void put_reminder(struct converse_writing *x, struct llm_text t)
{
    static const enum llm_role user = ROLE_USER;
    if (is_blank(t))
        return;
    open_block(x, &user, "text");
    jw_before_value(&x->j);
    buf_lit(x->j.b, "\"<system>");
    buf_slice(x->j.b, t.inner);
    buf_lit(x->j.b, "</system>\"");
    jw_close(&x->j, '}');
}

static bool caches(const struct converse_writing *x)
{
    return x->family == FAMILY_ANTHROPIC || x->nova;
}

bool converse_put_cache(struct converse_writing *x, struct slice cache_json, bool taken)
{
    struct json_doc d;
    if (cache_json.n == 0)
        return true;
    if (!taken)
        return llm_lacks(x->w, FEATURE_CACHE, NULL);
    if (!x->in_list)
        return true; /* nothing stands before it that could be cached */
    uint32_t ttl = 0;
    if (x->family == FAMILY_ANTHROPIC && json_parse(x->w->json, cache_json, 0, &d) == JSON_OK &&
        json_type_at(&d, 0) == JSON_OBJECT)
        ttl = json_get(&d, 0, SLICE("ttl"));
    jw_open(&x->j, '{');
    jw_key(&x->j, "cachePoint");
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "type", SLICE("default"));
    if (ttl != 0 && json_type_at(&d, ttl) == JSON_STRING) {
        jw_key(&x->j, "ttl");
        jw_raw(&x->j, json_raw(&d, ttl));
    }
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    return true;
}

/* ---- Images, sounds, videos, documents. */

static bool is_name_used(const struct converse_writing *x, struct slice name)
{
    for (const struct llm_word *used = x->documents; used != NULL; used = used->next) {
        if (slice_eq_nocase(used->word, name))
            return true;
    }
    return false;
}

/* Letters, digits, single blanks, hyphens, parentheses and brackets stay. */
static size_t clean_name(struct slice name, char out[DOCUMENT_NAME_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < DOCUMENT_NAME_MAX; i++) {
        char c = name.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c != '\0' && strchr("-()[] ", c) != NULL);
        if (!ok)
            c = '-';
        if ((c == '-' || c == ' ') && n > 0 && out[n - 1] == c)
            continue;
        out[n++] = c;
    }
    return n;
}

/* A name for the document that is like its own and unlike the others'. */
static bool put_name(struct converse_writing *x, struct slice name)
{
    char clean[DOCUMENT_NAME_MAX];
    struct slice base = slice_trim(slice_of(clean, clean_name(name, clean)));
    if (base.n == 0)
        base = SLICE("document");
    struct llm_word *used = arena_new(x->w->arena, struct llm_word);
    if (used == NULL)
        return out_of_memory(x);
    used->word = arena_copy(x->w->arena, base);
    for (unsigned i = 2; used->word.p != NULL && is_name_used(x, used->word); i++)
        used->word = arena_printf(x->w->arena, SLICE_FMT "-%u", SLICE_ARG(base), i);
    if (used->word.p == NULL)
        return out_of_memory(x);
    used->next = x->documents;
    x->documents = used;
    jw_field_string(&x->j, "name", used->word);
    return true;
}

/* A document's text: Claude quotes from it as text; the other models take a file of text. */
static bool put_document_text(struct converse_writing *x, struct llm_text text)
{
    if (x->family == FAMILY_ANTHROPIC) {
        jw_field_text(&x->j, "text", text);
        return true;
    }
    struct slice bytes = converse_base64(x->w->arena, llm_text_plain(x->w->arena, text));
    jw_field_string(&x->j, "bytes", bytes);
    return bytes.p != NULL || out_of_memory(x);
}

static bool put_source(struct converse_writing *x, const struct llm_source *s)
{
    bool ok = true;
    jw_key(&x->j, "source");
    jw_open(&x->j, '{');
    if (s->text.inner.p != NULL) {
        ok = put_document_text(x, s->text);
    } else if (s->data.p != NULL) {
        jw_field_string(&x->j, "bytes", s->data);
    } else {
        jw_key(&x->j, "s3Location");
        jw_open(&x->j, '{');
        jw_field_string(&x->j, "uri", s->url);
        jw_close(&x->j, '}');
    }
    jw_close(&x->j, '}');
    return ok;
}

static bool put_media(struct converse_writing *x, const enum llm_role *role,
                      const struct llm_part *p)
{
    const struct llm_source *s = &p->source;
    bool is_text = s->text.inner.p != NULL, is_document = p->kind == PART_DOCUMENT;
    const char *format = is_text ? "txt" : format_of(media[p->kind].formats, s);
    if (!is_text && s->data.p == NULL && !slice_starts(s->url, SLICE("s3://")))
        return llm_lacks_part(x->w,
                              s->url.n > 0       ? media[p->kind].feature_url
                              : s->file_id.n > 0 ? FEATURE_FILE_ID
                                                 : media[p->kind].feature,
                              p);
    if (format == NULL)
        return llm_lacks_part(x->w, media[p->kind].feature, p);
    open_block(x, role, media[p->kind].block);
    jw_open(&x->j, '{');
    jw_field_string(&x->j, "format", slice_str(format));
    if (is_document && !put_name(x, s->name))
        return false;
    if (!put_source(x, s))
        return false;
    if (is_document && p->citations) {
        jw_key(&x->j, "citations");
        jw_open(&x->j, '{');
        jw_field_bool(&x->j, "enabled", true);
        jw_close(&x->j, '}');
    }
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    return true;
}

/* ---- Tools. */

/* Ids that do not fit are replaced by what only they give. */
static bool put_call_id(struct converse_writing *x, struct slice id)
{
    uint8_t digest[SHA256_BYTES];
    char made[2 * SHA256_BYTES + 1];
    bool fits = id.n > 0 && id.n <= CALL_ID_MAX;
    for (size_t i = 0; fits && i < id.n; i++) {
        char c = id.p[i];
        fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("_.:-", c) != NULL);
    }
    if (!fits) {
        if (!hash_sha256(id, digest))
            return out_of_memory(x);
        hex_encode(digest, sizeof digest / 2, made);
        id = slice_str(made);
    }
    jw_field_string(&x->j, "toolUseId", id);
    return true;
}

static bool put_call(struct converse_writing *x, const enum llm_role *role,
                     const struct llm_part *p)
{
    if (p->custom)
        return llm_lacks_part(x->w, FEATURE_CUSTOM_TOOLS, p);
    struct slice input = llm_call_object(x->w->json, x->w->arena, p);
    if (input.p == NULL)
        return llm_refuse(x->w, "tool_calls.arguments",
                          "The arguments of the call of '" SLICE_FMT
                          "' are not a JSON object, which this provider needs.",
                          SLICE_ARG(p->name));
    x->has_tool_parts = true;
    open_block(x, role, "toolUse");
    jw_open(&x->j, '{');
    if (!put_call_id(x, p->id))
        return false;
    jw_field_string(&x->j, "name", p->name);
    jw_key(&x->j, "input");
    jw_raw(&x->j, input);
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    return true;
}

/* What a part that cannot stand somewhere is called. */
static bool lacks_kind(struct converse_writing *x, const struct llm_part *p)
{
    bool is_media = p->kind < ARRAY_LEN(media) && media[p->kind].block != NULL;
    return llm_lacks_part(x->w, is_media ? media[p->kind].feature : FEATURE_NATIVE_PART, p);
}

static bool put_result_content(struct converse_writing *x, const struct llm_part *p)
{
    bool was_in_list = x->in_list;
    x->in_list = false;
    for (; p != NULL; p = p->next) {
        bool ok = true;
        if (p->kind == PART_TEXT)
            put_text(x, NULL, p->text);
        else if (p->kind == PART_IMAGE || p->kind == PART_DOCUMENT || p->kind == PART_VIDEO)
            ok = put_media(x, NULL, p);
        else
            ok = lacks_kind(x, p);
        if (!ok || !converse_put_cache(x, p->cache_json, false))
            return false;
    }
    if (!x->in_list)
        put_text(x, NULL, (struct llm_text){SLICE(EMPTY_RESULT)});
    x->in_list = was_in_list;
    return true;
}

static bool put_result(struct converse_writing *x, const enum llm_role *role,
                       const struct llm_part *p)
{
    if (p->custom)
        return llm_lacks_part(x->w, FEATURE_CUSTOM_TOOLS, p);
    x->has_tool_parts = true;
    open_block(x, role, "toolResult");
    jw_open(&x->j, '{');
    if (!put_call_id(x, p->id))
        return false;
    jw_key(&x->j, "content");
    jw_open(&x->j, '[');
    if (!put_result_content(x, p->content))
        return false;
    jw_close(&x->j, ']');
    if (p->is_error && caches(x)) /* "only supported by Amazon Nova and Anthropic Claude" */
        jw_field_string(&x->j, "status", SLICE("error"));
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    return true;
}

/* Reasoning goes back to those who signed it. */
static bool put_reasoning(struct converse_writing *x, const enum llm_role *role,
                          const struct llm_part *p)
{
    if (p->signature.n == 0 || p->family != x->family)
        return llm_lacks(x->w, FEATURE_SIGNATURE, NULL);
    open_block(x, role, "reasoningContent");
    jw_open(&x->j, '{');
    if (p->redacted) {
        jw_field_string(&x->j, "redactedContent", p->signature);
    } else {
        jw_key(&x->j, "reasoningText");
        jw_open(&x->j, '{');
        jw_field_text(&x->j, "text", p->text);
        jw_field_string(&x->j, "signature", p->signature);
        jw_close(&x->j, '}');
    }
    jw_close(&x->j, '}');
    jw_close(&x->j, '}');
    return true;
}

/* ---- Messages. */

static bool put_part(struct converse_writing *x, const enum llm_role *role,
                     const struct llm_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL: put_text(x, role, p->text); return true;
    case PART_IMAGE:
    case PART_AUDIO:
    case PART_VIDEO:
    case PART_DOCUMENT: return put_media(x, role, p);
    case PART_TOOL_CALL: return put_call(x, role, p);
    case PART_TOOL_RESULT: return put_result(x, role, p);
    case PART_REASONING: return put_reasoning(x, role, p);
    case PART_NATIVE: break;
    }
    return llm_lacks_part(x->w, FEATURE_NATIVE_PART, p);
}

static bool is_system(const struct llm_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

static bool put_turn(struct converse_writing *x, const struct llm_message *m)
{
    enum llm_role role = m->role == ROLE_ASSISTANT ? ROLE_ASSISTANT : ROLE_USER;
    if (m->name.n > 0 && !llm_lacks(x->w, FEATURE_NAME, NULL))
        return false;
    for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
        bool ok = true;
        if (!is_system(m))
            ok = put_part(x, &role, p);
        else if (p->kind == PART_TEXT)
            put_reminder(x, p->text);
        else
            ok = lacks_kind(x, p);
        if (!ok || !converse_put_cache(x, p->cache_json, caches(x)))
            return false;
    }
    return true;
}

/* The leading system messages. Returns the first message behind them in `*ret`. */
static bool put_system(struct converse_writing *x, const struct llm_message **ret)
{
    const struct llm_message *m = x->w->chat->messages;
    bool any = false;
    for (; m != NULL && is_system(m); m = m->next) {
        if (m->name.n > 0 && !llm_lacks(x->w, FEATURE_NAME, NULL))
            return false;
        for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind != PART_TEXT) {
                if (!lacks_kind(x, p))
                    return false;
                continue;
            }
            if (is_blank(p->text))
                continue;
            if (!any) {
                jw_key(&x->j, "system");
                jw_open(&x->j, '[');
            }
            any = true;
            put_text(x, NULL, p->text);
            if (!converse_put_cache(x, p->cache_json, caches(x)))
                return false;
        }
    }
    if (any)
        jw_close(&x->j, ']');
    x->in_list = false;
    *ret = m;
    return true;
}

bool converse_write_chat(struct llm_writing *w)
{
    struct converse_writing x = {.w = w,
                                 .j = json_writer(w->out),
                                 .family = converse_family(w->model),
                                 .nova = converse_model_has(w->model, "amazon.nova")};
    const struct llm_message *m;
    bool any = false;
    jw_open(&x.j, '{');
    if (!put_system(&x, &m))
        return false;
    jw_key(&x.j, "messages");
    jw_open(&x.j, '[');
    for (; m != NULL; m = m->next) {
        if (!put_turn(&x, m))
            return false;
        any |= x.in_message;
    }
    close_message(&x);
    jw_close(&x.j, ']');
    if (!any)
        return llm_refuse(w, "messages",
                          "This provider needs a message of the user's with content.");
    if (!converse_put_options(&x))
        return false;
    jw_close(&x.j, '}');
    return !w->out->failed || out_of_memory(&x);
}

/* The input of a request in OpenAI's Responses dialect: a text or a list of items, into messages.
 *
 * What the assistant said, thought and called is one message as long as nobody else's item comes
 * between, and so are results that follow each other: other APIs want it so. What items have of
 * their own (ids, status, annotations) says nothing to whoever did not make them. Items that only
 * OpenAI's models understand are kept as they are, for OpenAI. */
#include "responses_internal.h"
#include "responses_reader.h"

enum group { GROUP_NONE, GROUP_ASSISTANT, GROUP_RESULTS };

struct input {
    struct llm_reader *rd;
    struct llm_message **messages; /* end of the list */
    struct llm_part **parts;       /* end of the last message's */
    enum group group;              /* what may still come to the last message */
    unsigned at;                   /* the item's number */
};

bool responses_missing(struct llm_reader *rd, const char *param)
{
    return reader_refuse(rd, param, "missing_required_parameter",
                         "Missing required parameter: '%s'.", param);
}

/* "input[3].name" in rd->path. */
static const char *item_path(struct input *in, const char *name)
{
    return reader_path(in->rd, "input[%u].%s", in->at, name);
}

/* The message that the item's parts go to: the last one if it is of the same group. */
static bool use_message(struct input *in, enum llm_role role, enum group group)
{
    if (group != GROUP_NONE && group == in->group)
        return true;
    struct llm_message *m = reader_add_message(in->rd, &in->messages, role, in->at);
    if (m == NULL)
        return false;
    in->parts = &m->parts;
    in->group = group;
    return true;
}

static struct llm_part *add_part(struct input *in, enum llm_part_kind kind, unsigned at)
{
    return reader_add_part(in->rd, &in->parts, kind, in->at, at);
}

/* ---- Content. */

struct place {
    struct input *in;
    struct llm_part ***tail; /* of the list the part goes to */
    uint32_t node;
    unsigned at;
    const char *list; /* "content" or "output" */
};

static const char *part_path(const struct place *pl, const char *name)
{
    return reader_path(pl->in->rd, "input[%u].%s[%u]%s", pl->in->at, pl->list, pl->at, name);
}

static struct llm_part *place_part(const struct place *pl, enum llm_part_kind kind)
{
    return reader_add_part(pl->in->rd, pl->tail, kind, pl->in->at, pl->at);
}

/* An explicit end of what is to be cached; Anthropic's marker is the neutral form. */
static bool read_breakpoint(const struct place *pl, struct llm_part *p)
{
    uint32_t node = reader_get(pl->in->rd, pl->node, "prompt_cache_breakpoint");
    if (node == 0)
        return true;
    if (!reader_object(pl->in->rd, node, part_path(pl, ".prompt_cache_breakpoint")))
        return false;
    p->cache_json = SLICE("{\"type\":\"ephemeral\"}");
    return true;
}

static bool read_text_of(const struct place *pl, enum llm_part_kind kind, const char *key)
{
    static const char *const known[] = {
        "type", "text", "refusal", "annotations", "logprobs", "prompt_cache_breakpoint", NULL};
    struct llm_reader *rd = pl->in->rd;
    struct llm_part *p = place_part(pl, kind);
    if (p == NULL || !reader_text(rd, pl->node, key, part_path(pl, ".text"), &p->text))
        return false;
    if (p->text.inner.p == NULL)
        return responses_missing(
            rd, reader_path(rd, "input[%u].%s[%u].%s", pl->in->at, pl->list, pl->at, key));
    return read_breakpoint(pl, p) && reader_unknown(rd, pl->node, known, "input.content.");
}

static bool read_text_part(const struct place *pl)
{
    return read_text_of(pl, PART_TEXT, "text");
}

static bool read_refusal_part(const struct place *pl)
{
    return read_text_of(pl, PART_REFUSAL, "refusal");
}

/* Base64 needs no escapes: anything that does is refused, so that nobody has to look again. */
static bool check_base64(const struct place *pl, const struct llm_source *s, const char *name)
{
    if (json_plain(s->data) == s->data.n && json_plain(s->media_type) == s->media_type.n)
        return true;
    return reader_refuse(pl->in->rd, part_path(pl, name), "invalid_value",
                         "Invalid value: expected base64-encoded data.");
}

static bool read_image(const struct place *pl)
{
    static const char *const known[] = {
        "type", "image_url", "file_id", "detail", "prompt_cache_breakpoint", NULL};
    struct llm_reader *rd = pl->in->rd;
    struct llm_part *p = place_part(pl, PART_IMAGE);
    struct slice url = SLICE_NONE;
    if (p == NULL)
        return false;
    struct llm_source *s = &p->source;
    if (!reader_word(rd, pl->node, "image_url", part_path(pl, ".image_url"), &url) ||
        !reader_word(rd, pl->node, "file_id", part_path(pl, ".file_id"), &s->file_id) ||
        !reader_word(rd, pl->node, "detail", part_path(pl, ".detail"), &s->detail))
        return false;
    if (url.n > 0 && !reader_data_url(url, s))
        s->url = url;
    if (s->data.n == 0 && s->url.n == 0 && s->file_id.n == 0)
        return responses_missing(rd, part_path(pl, ".image_url"));
    return check_base64(pl, s, ".image_url") && read_breakpoint(pl, p) &&
           reader_unknown(rd, pl->node, known, "input.content.");
}

/* Where the type is not said: the API has taken PDF files only for a long time. */
static void guess_type(struct llm_source *s)
{
    static const struct slice pdf = {".pdf", 4};
    if (s->media_type.n == 0 &&
        (s->name.n == 0 ||
         (s->name.n > pdf.n && slice_eq_nocase(slice_from(s->name, s->name.n - pdf.n), pdf))))
        s->media_type = SLICE("application/pdf");
}

static bool read_file(const struct place *pl)
{
    static const char *const known[] = {
        "type", "file_data", "file_url", "file_id", "filename", "prompt_cache_breakpoint", NULL};
    struct llm_reader *rd = pl->in->rd;
    struct llm_part *p = place_part(pl, PART_DOCUMENT);
    struct slice data = SLICE_NONE;
    if (p == NULL)
        return false;
    struct llm_source *s = &p->source;
    if (!reader_word(rd, pl->node, "file_data", part_path(pl, ".file_data"), &data) ||
        !reader_word(rd, pl->node, "file_url", part_path(pl, ".file_url"), &s->url) ||
        !reader_word(rd, pl->node, "file_id", part_path(pl, ".file_id"), &s->file_id) ||
        !reader_word(rd, pl->node, "filename", part_path(pl, ".filename"), &s->name))
        return false;
    if (data.n > 0 && !reader_data_url(data, s))
        s->data = data;
    if (s->data.n == 0 && s->url.n == 0 && s->file_id.n == 0)
        return responses_missing(rd, part_path(pl, ".file_data"));
    if (s->data.n > 0)
        guess_type(s);
    return check_base64(pl, s, ".file_data") && read_breakpoint(pl, p) &&
           reader_unknown(rd, pl->node, known, "input.content.");
}

static bool read_audio(const struct place *pl)
{
    static const struct {
        const char *format;
        struct slice type;
    } rows[] = {{"wav", {"audio/wav", 9}}, {"mp3", {"audio/mpeg", 10}}};
    struct llm_reader *rd = pl->in->rd;
    struct llm_part *p = place_part(pl, PART_AUDIO);
    uint32_t node = reader_get(rd, pl->node, "input_audio");
    struct slice format = SLICE_NONE;
    if (p == NULL)
        return false;
    if (node == 0)
        return responses_missing(rd, part_path(pl, ".input_audio"));
    if (!reader_object(rd, node, part_path(pl, ".input_audio")) ||
        !reader_word(rd, node, "data", part_path(pl, ".input_audio.data"), &p->source.data) ||
        !reader_word(rd, node, "format", part_path(pl, ".input_audio.format"), &format))
        return false;
    if (p->source.data.n == 0)
        return responses_missing(rd, part_path(pl, ".input_audio.data"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(format, rows[i].format))
            p->source.media_type = rows[i].type;
    }
    if (p->source.media_type.n == 0)
        return reader_refuse(rd, part_path(pl, ".input_audio.format"), "invalid_value",
                             "Invalid value: supported formats are 'wav' and 'mp3'.");
    return check_base64(pl, &p->source, ".input_audio.data");
}

static bool read_content_part(const struct place *pl)
{
    static const struct {
        const char *type;
        bool (*read)(const struct place *pl);
    } rows[] = {{"input_text", read_text_part}, {"output_text", read_text_part},
                {"input_image", read_image},    {"input_file", read_file},
                {"input_audio", read_audio},    {"refusal", read_refusal_part}};
    struct llm_reader *rd = pl->in->rd;
    struct slice type = SLICE_NONE;
    if (!reader_object(rd, pl->node, part_path(pl, "")) ||
        !reader_word(rd, pl->node, "type", part_path(pl, ".type"), &type))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(type, rows[i].type))
            return rows[i].read(pl);
    }
    return reader_refuse(rd, part_path(pl, ".type"), "invalid_value",
                         "Invalid value: '%.*s'. Supported values are: 'input_text', "
                         "'input_image', 'input_file', 'input_audio', 'output_text', and "
                         "'refusal'.",
                         (int)MIN_OF(type.n, (size_t)32), type.p != NULL ? type.p : "");
}

/* A string, or a list of parts. */
static bool read_content(struct input *in, uint32_t item, const char *key, struct llm_part ***tail)
{
    const struct json_doc *d = in->rd->d;
    uint32_t node = reader_get(in->rd, item, key);
    if (node == 0)
        return responses_missing(in->rd, item_path(in, key));
    if (json_type_at(d, node) == JSON_STRING) {
        struct llm_part *p = reader_add_part(in->rd, tail, PART_TEXT, in->at, 0);
        if (p != NULL)
            p->text = llm_text_at(d, node);
        return p != NULL;
    }
    if (json_type_at(d, node) != JSON_ARRAY)
        return reader_wrong_type(in->rd, item_path(in, key), "a string or an array", node);
    struct place pl = {.in = in, .tail = tail, .list = key};
    for (uint32_t n = json_first(d, node); n < json_end(d, node); n = json_after(d, n)) {
        pl.node = n;
        if (!read_content_part(&pl))
            return false;
        pl.at++;
    }
    return true;
}

/* ---- Items. */

static bool read_role(struct input *in, uint32_t item, enum llm_role *ret)
{
    static const struct {
        const char *name;
        enum llm_role role;
    } rows[] = {{"user", ROLE_USER},
                {"assistant", ROLE_ASSISTANT},
                {"system", ROLE_SYSTEM},
                {"developer", ROLE_DEVELOPER}};
    struct slice role = SLICE_NONE;
    if (!reader_word(in->rd, item, "role", item_path(in, "role"), &role))
        return false;
    if (role.p == NULL)
        return responses_missing(in->rd, item_path(in, "role"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_is(role, rows[i].name))
            continue;
        *ret = rows[i].role;
        return true;
    }
    return reader_refuse(in->rd, item_path(in, "role"), "invalid_value",
                         "Invalid value: '%.*s'. Supported values are: 'assistant', 'system', "
                         "'developer', and 'user'.",
                         (int)MIN_OF(role.n, (size_t)32), role.p);
}

static bool read_message(struct input *in, uint32_t item)
{
    static const char *const known[] = {"type", "id", "role", "status", "content", NULL};
    enum llm_role role = ROLE_USER;
    return read_role(in, item, &role) &&
           use_message(in, role, role == ROLE_ASSISTANT ? GROUP_ASSISTANT : GROUP_NONE) &&
           read_content(in, item, "content", &in->parts) &&
           reader_unknown(in->rd, item, known, "input.");
}

/* A member that has to be there and say something. */
static bool need_word(struct input *in, uint32_t item, const char *key, struct slice *ret)
{
    if (!reader_word(in->rd, item, key, item_path(in, key), ret))
        return false;
    return ret->n > 0 || responses_missing(in->rd, item_path(in, key));
}

static bool need_text(struct input *in, uint32_t item, const char *key, struct llm_text *ret)
{
    if (!reader_text(in->rd, item, key, item_path(in, key), ret))
        return false;
    return ret->inner.p != NULL || responses_missing(in->rd, item_path(in, key));
}

static bool read_call(struct input *in, uint32_t item, bool custom)
{
    static const char *const known[] = {"type",  "id",     "call_id",   "name", "arguments",
                                        "input", "status", "namespace", NULL};
    struct slice space = SLICE_NONE;
    if (!use_message(in, ROLE_ASSISTANT, GROUP_ASSISTANT))
        return false;
    struct llm_part *p = add_part(in, PART_TOOL_CALL, 0);
    if (p == NULL)
        return false;
    p->custom = custom;
    if (!need_word(in, item, "call_id", &p->id) || !need_word(in, item, "name", &p->name) ||
        !reader_word(in->rd, item, "namespace", item_path(in, "namespace"), &space) ||
        !(custom ? need_text(in, item, "input", &p->text)
                 : need_text(in, item, "arguments", &p->arguments)))
        return false;
    if (space.n > 0)
        p->name = responses_flat_name(in->rd->a, space, p->name);
    if (p->name.p == NULL)
        return reader_no_memory(in->rd);
    return reader_unknown(in->rd, item, known, "input.");
}

static bool read_function_call(struct input *in, uint32_t item)
{
    return read_call(in, item, false);
}

static bool read_custom_call(struct input *in, uint32_t item)
{
    return read_call(in, item, true);
}

static bool read_output(struct input *in, uint32_t item, bool custom)
{
    static const char *const known[] = {"type",   "id",   "call_id",   "output",
                                        "status", "name", "namespace", NULL};
    if (!use_message(in, ROLE_USER, GROUP_RESULTS))
        return false;
    struct llm_part *p = add_part(in, PART_TOOL_RESULT, 0), **tail;
    if (p == NULL)
        return false;
    tail = &p->content;
    p->custom = custom;
    return need_word(in, item, "call_id", &p->id) && read_content(in, item, "output", &tail) &&
           reader_unknown(in->rd, item, known, "input.");
}

static bool read_function_output(struct input *in, uint32_t item)
{
    return read_output(in, item, false);
}

static bool read_custom_output(struct input *in, uint32_t item)
{
    return read_output(in, item, true);
}

#define BETWEEN "\\n\\n" /* texts of reasoning, as in a JSON string */

/* How much the texts of a list of {"text": ...} are together, with what goes between them; `*ret`
 * is the last one that says something. */
static bool measure_texts(struct input *in, uint32_t list, const char *key, struct llm_text *ret,
                          size_t *ret_n)
{
    struct llm_reader *rd = in->rd;
    for (uint32_t n = json_first(rd->d, list); n < json_end(rd->d, list);
         n = json_after(rd->d, n)) {
        struct llm_text text = LLM_NO_TEXT;
        if (!reader_object(rd, n, item_path(in, key)) ||
            !reader_text(rd, n, "text", item_path(in, key), &text))
            return false;
        if (text.inner.n == 0)
            continue;
        *ret_n += text.inner.n + (*ret_n > 0 ? sizeof BETWEEN - 1 : 0);
        *ret = text;
    }
    return true;
}

/* The texts of a list, joined by an empty line; where there is only one, in place. */
static bool read_texts(struct input *in, uint32_t item, const char *key, struct llm_text *ret)
{
    struct llm_reader *rd = in->rd;
    uint32_t list = reader_get(rd, item, key);
    size_t n = 0, at = 0;
    if (list == 0)
        return true;
    if (!reader_array(rd, list, item_path(in, key)) || !measure_texts(in, list, key, ret, &n))
        return false;
    if (n == ret->inner.n)
        return true;
    char *joined = arena_alloc(rd->a, n);
    if (joined == NULL)
        return reader_no_memory(rd);
    for (uint32_t i = json_first(rd->d, list); i < json_end(rd->d, list);
         i = json_after(rd->d, i)) {
        uint32_t node = reader_get(rd, i, "text");
        struct slice text = node != 0 ? json_inner(rd->d, node) : SLICE_NONE;
        if (text.n > 0 && at > 0) {
            memcpy(joined + at, BETWEEN, sizeof BETWEEN - 1);
            at += sizeof BETWEEN - 1;
        }
        if (text.n > 0)
            memcpy(joined + at, text.p, text.n);
        at += text.n;
    }
    ret->inner = slice_of(joined, n);
    return true;
}

/* An item without anything in it stood for one that OpenAI has stored. */
static bool read_reasoning(struct input *in, uint32_t item)
{
    static const char *const known[] = {
        "type", "id", "summary", "content", "status", "encrypted_content", NULL};
    static const struct slice redacted = {RESPONSES_REDACTED, sizeof RESPONSES_REDACTED - 1};
    struct llm_text text = LLM_NO_TEXT, content = LLM_NO_TEXT;
    struct slice encrypted = SLICE_NONE;
    if (!read_texts(in, item, "summary", &text) || !read_texts(in, item, "content", &content) ||
        !reader_word(in->rd, item, "encrypted_content", item_path(in, "encrypted_content"),
                     &encrypted) ||
        !reader_unknown(in->rd, item, known, "input."))
        return false;
    if (text.inner.n == 0)
        text = content;
    if (text.inner.n == 0 && encrypted.n == 0)
        return reader_add_unknown(in->rd, SLICE("input.reasoning"));
    if (!use_message(in, ROLE_ASSISTANT, GROUP_ASSISTANT))
        return false;
    struct llm_part *p = add_part(in, PART_REASONING, 0);
    if (p == NULL)
        return false;
    p->text = text;
    if (encrypted.n == 0)
        return true;
    p->signature = llm_signature_read(encrypted, FAMILY_OPENAI, &p->family);
    p->redacted = p->family == FAMILY_OPENAI && text.inner.n == 0;
    if (p->family != FAMILY_OPENAI && slice_starts(p->signature, redacted)) {
        p->signature = slice_from(p->signature, redacted.n);
        p->redacted = true;
    }
    return true;
}

/* What OpenAI's own tools call and answer, compactions and the like. */
static bool read_native(struct input *in, uint32_t item, struct slice type)
{
    static const struct slice output = {"_output", 7};
    bool result = slice_is(type, "mcp_approval_response") ||
                  (type.n > output.n && slice_eq(slice_from(type, type.n - output.n), output));
    if (!use_message(in, result ? ROLE_USER : ROLE_ASSISTANT,
                     result ? GROUP_RESULTS : GROUP_ASSISTANT))
        return false;
    struct llm_part *p = add_part(in, PART_NATIVE, 0);
    if (p == NULL)
        return false;
    p->family = FAMILY_OPENAI;
    p->native_json = json_raw(in->rd->d, item);
    return true;
}

/* Reasoning that another provider has stored, as some SDKs refer to it when they are not told
 * otherwise: nobody else could read it anyhow. Other references have been refused. */
static bool read_reference(struct input *in, uint32_t item)
{
    (void)item;
    return reader_add_unknown(in->rd, SLICE("input.item_reference"));
}

static bool read_item(struct input *in, uint32_t item)
{
    static const struct {
        const char *type;
        bool (*read)(struct input *in, uint32_t item);
    } rows[] = {{"message", read_message},
                {"function_call", read_function_call},
                {"function_call_output", read_function_output},
                {"custom_tool_call", read_custom_call},
                {"custom_tool_call_output", read_custom_output},
                {"item_reference", read_reference},
                {"reasoning", read_reasoning}};
    struct slice type = SLICE_NONE;
    if (!reader_object(in->rd, item, reader_path(in->rd, "input[%u]", in->at)) ||
        !reader_word(in->rd, item, "type", item_path(in, "type"), &type))
        return false;
    if (type.n == 0)
        return read_message(in, item);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(type, rows[i].type))
            return rows[i].read(in, item);
    }
    return read_native(in, item, type);
}

/* A message that is one text. */
static bool add_text(struct input *in, enum llm_role role, struct llm_text text)
{
    if (!use_message(in, role, GROUP_NONE))
        return false;
    struct llm_part *p = add_part(in, PART_TEXT, 0);
    if (p != NULL)
        p->text = text;
    return p != NULL;
}

bool responses_read_input(struct llm_reader *rd)
{
    struct input in = {.rd = rd, .messages = &rd->chat->messages};
    struct llm_text text = LLM_NO_TEXT;
    uint32_t node = reader_get(rd, 0, "input");
    if (!reader_text(rd, 0, "instructions", "instructions", &text))
        return false;
    if (text.inner.n > 0 && !add_text(&in, ROLE_SYSTEM, text))
        return false;
    if (node == 0)
        return responses_missing(rd, "input");
    if (json_type_at(rd->d, node) == JSON_STRING)
        return add_text(&in, ROLE_USER, llm_text_at(rd->d, node));
    if (!reader_array(rd, node, "input"))
        return false;
    for (uint32_t n = json_first(rd->d, node); n < json_end(rd->d, node);
         n = json_after(rd->d, n)) {
        if (!read_item(&in, n))
            return false;
        in.at++;
    }
    return true;
}

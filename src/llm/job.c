/* What the wires of job queues share. */
#include "job.h"

#include "member.h"

#define ID_MAX 128

const struct job_status *job_status_of(const struct json_doc *d, const struct job_rows *rows)
{
    struct slice word = member_text(d, member_of(d, 0, "status")).inner;
    for (size_t i = 0; i < rows->n; i++) {
        if (slice_is(word, rows->rows[i].word))
            return &rows->rows[i];
    }
    return NULL;
}

/* Is it an id, which is nothing else in a path? */
static bool is_id(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              c == '-' || c == '_'))
            return false;
    }
    return s.n > 0 && s.n <= ID_MAX;
}

enum llm_poll job_poll(struct llm_decoder *d, struct slice body, const struct job_rows *rows,
                       struct slice *ret_path)
{
    struct json_doc doc;
    if (json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK)
        return LLM_POLL_BAD;
    const struct job_status *row = job_status_of(&doc, rows);
    if (row == NULL)
        return LLM_POLL_BAD;
    if (row->poll != LLM_POLL_PENDING)
        return row->poll;
    struct slice id = member_text(&doc, member_of(&doc, 0, "id")).inner;
    if (!is_id(id))
        return LLM_POLL_BAD;
    struct slice path = arena_printf(d->arena, "%s" SLICE_FMT, rows->path, SLICE_ARG(id));
    if (path.p == NULL)
        return LLM_POLL_BAD;
    *ret_path = path;
    return LLM_POLL_PENDING;
}

/* What RunPod's workers say of an exception, without its traceback. False: it is not that. */
static bool read_exception(struct llm_decoder *d, struct slice text, struct llm_error *ret)
{
    struct json_doc doc;
    if (json_parse(d->json, text, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK)
        return false;
    struct slice message = member_word(&doc, member_of(&doc, 0, "error_message"), d->arena);
    if (message.n == 0)
        return false;
    ret->message = message;
    ret->type = member_word(&doc, member_of(&doc, 0, "error_type"), d->arena);
    return true;
}

void job_emit_error(struct llm_decoder *d, const struct json_doc *doc, const struct job_status *row)
{
    uint32_t node = member_of(doc, 0, "error");
    struct slice said = SLICE_NONE;
    struct llm_error e = {.message = slice_str(row->message)};
    if (member_is(doc, node, JSON_STRING))
        said = json_string(doc, node, d->arena);
    else if (node != 0)
        said = json_raw(doc, node);
    if (slice_trim(said).n > 0 && !read_exception(d, said, &e))
        openai_read_error(d->json, d->arena, said, &e); /* it may be JSON in its turn */
    if (e.type.p == NULL)
        e.type = slice_str(row->word);
    llm_emit_error(d, row->http, &e);
}

bool job_no_event(struct llm_decoder *d, struct slice name, struct slice data)
{
    (void)d;
    (void)name;
    (void)data;
    return false;
}

bool job_no_end(struct llm_decoder *d)
{
    return d->ended;
}

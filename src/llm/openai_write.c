/* What Weir itself writes in OpenAI's dialect: errors, the list of models, events less their usage.
 */
#include "base/clock.h"
#include "base/json_write.h"
#include "llm/openai.h"
#include "llm/sse.h"

static void put_field(struct json_writer *w, const char *key, struct slice s)
{
    jw_key_slice(w, slice_str(key));
    if (s.p != NULL)
        jw_string(w, s);
    else
        jw_null(w);
}

void openai_put_error(struct buf *out, const struct llm_error *e)
{
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_key(&w, "error");
    jw_open(&w, '{');
    put_field(&w, "message", e->message);
    put_field(&w, "type", e->type);
    put_field(&w, "param", e->param);
    put_field(&w, "code", e->code);
    jw_close(&w, '}');
    jw_close(&w, '}');
}

static void put_model(struct json_writer *w, const struct llm_model_row *row, int64_t created_s)
{
    char stamp[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(created_s * NS_PER_S, stamp);
    jw_open(w, '{');
    jw_field_string(w, "id", row->id);
    jw_field_string(w, "object", SLICE("model"));
    jw_field_i64(w, "created", created_s);
    jw_field_string(w, "owned_by", row->owner);
    jw_field_string(w, "type", SLICE("model")); /* from here on for Anthropic's clients */
    jw_field_string(w, "display_name", row->id);
    jw_field_string(w, "created_at", slice_str(stamp));
    jw_close(w, '}');
}

void openai_put_model(struct buf *out, const struct llm_model_row *row, int64_t created_s)
{
    struct json_writer w = json_writer(out);
    put_model(&w, row, created_s);
}

void openai_put_models(struct buf *out, const struct llm_model_row *rows, size_t n,
                       int64_t created_s)
{
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_field_string(&w, "object", SLICE("list"));
    jw_key(&w, "data");
    jw_open(&w, '[');
    for (size_t i = 0; i < n; i++)
        put_model(&w, &rows[i], created_s);
    jw_close(&w, ']');
    jw_field_bool(&w, "has_more", false);
    put_field(&w, "first_id", n > 0 ? rows[0].id : SLICE_NONE);
    put_field(&w, "last_id", n > 0 ? rows[n - 1].id : SLICE_NONE);
    jw_close(&w, '}');
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What to cut to take a member out of the valid JSON `text`: the member with the comma before it,
 * or, if it is the first, with the comma behind it. */
static struct llm_range cut_of(struct slice text, const struct llm_span *member)
{
    uint32_t from = member->key, end = member->value_end;
    while (from > 0 && is_space(text.p[from - 1]))
        from--;
    if (from > 0 && text.p[from - 1] == ',')
        return (struct llm_range){from - 1, end};
    while (end < text.n && is_space(text.p[end]))
        end++;
    if (end == text.n || text.p[end] != ',')
        return (struct llm_range){member->key, member->value_end};
    end++;
    while (end < text.n && is_space(text.p[end]))
        end++;
    return (struct llm_range){member->key, end};
}

void openai_put_event_without_usage(struct buf *out, struct slice raw, struct slice data,
                                    const struct llm_span *usage_member)
{
    struct llm_range cut = cut_of(data, usage_member);
    struct slice before = slice_of(data.p, cut.from), after = slice_from(data, cut.end);
    if (data.p >= raw.p && data.p + data.n <= raw.p + raw.n) {
        size_t front = (size_t)(data.p - raw.p);
        buf_append(out, raw.p, front + before.n);
        buf_slice(out, slice_from(raw, front + cut.end));
        return;
    }
    struct buf joined;
    buf_init(&joined, data.n);
    buf_slice(&joined, before);
    buf_slice(&joined, after);
    sse_put_data(out, buf_view(&joined));
    out->failed |= joined.failed;
    buf_done(&joined);
}

/* Drives llhttp over a stream. */
#include "llhttp_reading.h"

#include <llhttp.h>

struct reading {
    llhttp_t parser;
    llhttp_settings_t settings;
    struct buf start, name, value, fields; /* of the head being read */
    bool headed;                           /* what comes as fields are trailers */
    struct message *at;
};

static struct reading *reading_of(llhttp_t *p)
{
    return p->data;
}

static int on_start(llhttp_t *p, const char *at, size_t n)
{
    buf_append(&reading_of(p)->start, at, n);
    return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    buf_append(&reading_of(p)->name, at, n);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    buf_append(&reading_of(p)->value, at, n);
    return 0;
}

static int on_value_complete(llhttp_t *p)
{
    struct reading *r = reading_of(p);
    if (!r->headed) {
        buf_char(&r->fields, '\n');
        buf_slice(&r->fields, buf_view(&r->name));
        buf_char(&r->fields, ':');
        buf_slice(&r->fields, slice_trim(buf_view(&r->value)));
    }
    buf_reset(&r->name);
    buf_reset(&r->value);
    return 0;
}

static int on_headed(llhttp_t *p)
{
    struct reading *r = reading_of(p);
    struct buf *b = &r->at->head;
    if (p->type == HTTP_REQUEST)
        buf_slice(b, slice_str(llhttp_method_name((llhttp_method_t)p->method)));
    else
        buf_i64(b, p->status_code);
    buf_char(b, ' ');
    buf_slice(b, slice_trim(buf_view(&r->start)));
    buf_printf(b, " %d.%d", p->http_major, p->http_minor);
    buf_slice(b, buf_view(&r->fields));
    bool counted = (p->flags & F_CONTENT_LENGTH) != 0;
    message_framing(r->at, (p->flags & F_CHUNKED) != 0, counted ? (int64_t)p->content_length : -1);
    r->at->keep_alive = llhttp_should_keep_alive(p) != 0;
    r->headed = true;
    bool bodiless = p->type == HTTP_RESPONSE &&
                    (p->status_code < 200 || p->status_code == 204 || p->status_code == 304);
    return bodiless ? 1 : 0; /* llhttp leaves it to its caller to know that, as for HEAD */
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    buf_append(&reading_of(p)->at->body, at, n);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED; /* so that read_all learns where */
}

static void set_up(struct reading *r, llhttp_type_t type, struct message *messages)
{
    *r = (struct reading){.at = messages};
    llhttp_settings_init(&r->settings);
    r->settings.on_url = on_start;
    r->settings.on_status = on_start;
    r->settings.on_header_field = on_name;
    r->settings.on_header_value = on_value;
    r->settings.on_header_value_complete = on_value_complete;
    r->settings.on_headers_complete = on_headed;
    r->settings.on_body = on_body;
    r->settings.on_message_complete = on_complete;
    llhttp_init(&r->parser, type, &r->settings);
    r->parser.data = r;
    buf_init(&r->start, STREAM_CAP);
    buf_init(&r->name, STREAM_CAP);
    buf_init(&r->value, STREAM_CAP);
    buf_init(&r->fields, STREAM_CAP);
}

static void next_message(struct reading *r, size_t end)
{
    r->at->complete = true;
    r->at->end = end;
    r->at++;
    buf_reset(&r->start);
    buf_reset(&r->fields);
    r->headed = false;
}

/* Did llhttp refuse what RFC 9112 allows, and what can put no two readers out of step? That is:
 * quotes, spaces, empty names and a second one in a chunk extension, which is ignored; a tab behind
 * the digits of Content-Length; framing fields among the trailers, which count for nothing. */
static bool is_stricter(struct reading *r, struct slice text)
{
    struct slice reason = slice_str(llhttp_get_error_reason(&r->parser));
    const char *pos = llhttp_get_error_pos(&r->parser), *end = text.p + text.n;
    if (slice_starts(reason, SLICE("Invalid character in chunk extensions")))
        return true;
    if (slice_is(reason, "Invalid character in chunk size"))
        return pos != NULL && pos > text.p && pos[-1] == ';';
    if (r->headed && (r->parser.flags & F_TRAILING))
        return true;
    if (!slice_is(reason, "Invalid character in Content-Length") || pos == NULL || *pos != '\t')
        return false;
    while (pos < end && (*pos == ' ' || *pos == '\t'))
        pos++;
    return pos < end && *pos == '\r';
}

static void read_all(llhttp_type_t type, struct slice text, struct message *messages)
{
    struct reading r;
    set_up(&r, type, messages);
    for (size_t at = 0; at < text.n && r.at < messages + MESSAGES_MAX;) {
        llhttp_errno_t e = llhttp_execute(&r.parser, text.p + at, text.n - at);
        if (e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE) {
            r.at->stricter = e != HPE_OK && is_stricter(&r, text);
            break;
        }
        at = (size_t)(llhttp_get_error_pos(&r.parser) - text.p);
        if (e == HPE_PAUSED_UPGRADE) { /* comes behind the message */
            llhttp_resume_after_upgrade(&r.parser);
            continue;
        }
        next_message(&r, at);
        llhttp_resume(&r.parser);
    }
    buf_done(&r.start);
    buf_done(&r.name);
    buf_done(&r.value);
    buf_done(&r.fields);
}

void llhttp_read_requests(struct slice text, struct message *messages)
{
    read_all(HTTP_REQUEST, text, messages);
}

void llhttp_read_answers(struct slice text, struct message *messages)
{
    read_all(HTTP_RESPONSE, text, messages);
}

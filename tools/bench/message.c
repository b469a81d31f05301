/* A small incremental reader of HTTP/1.1 messages; see message.h. */
#include "message.h"

#include <string.h>
#include <strings.h>
#include "util.h"

void bench_message_reset(struct bench_message *message, bool response)
{
    bench_free(message->head);
    *message = (struct bench_message){.response = response};
}

void bench_message_done(struct bench_message *message)
{
    bench_free(message->head);
    message->head = NULL;
}

static bool starts_with(const char *text, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return len >= n && !strncasecmp(text, prefix, n);
}

static bool read_length(struct bench_message *message, const char *value, const char *end)
{
    uint64_t length = 0;
    while (value < end && *value == ' ')
        value++;
    if (value == end)
        return false;
    for (; value < end; value++) {
        if (*value < '0' || *value > '9' || length > UINT64_MAX / 16)
            return false;
        length = length * 10 + (uint64_t)(*value - '0');
    }
    message->left = length;
    message->sized = true;
    return true;
}

static bool read_field(struct bench_message *message, const char *line, const char *end)
{
    size_t len = (size_t)(end - line);
    switch (line[0] | 0x20) {
    case 'c':
        if (starts_with(line, len, "content-length:"))
            return read_length(message, line + strlen("content-length:"), end);
        if (starts_with(line, len, "connection: close"))
            message->closes = true;
        return true;
    case 't':
        if (starts_with(line, len, "transfer-encoding: chunked"))
            message->chunked = true;
        return true;
    default: return true;
    }
}

/* Reads the fields of a whole head and decides how the body is framed. */
static bool read_head(struct bench_message *message, const char *head, size_t len)
{
    const char *end = head + len;
    const char *line = memchr(head, '\n', len);
    while (line && ++line < end && *line != '\r') {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next || next[-1] != '\r' || !read_field(message, line, next - 1))
            return false;
        line = next;
    }
    if (message->chunked) {
        message->state = BENCH_MESSAGE_CHUNK_SIZE;
        message->left = 0;
    } else if (message->sized) {
        message->state = message->left ? BENCH_MESSAGE_SIZED : BENCH_MESSAGE_DONE;
    } else {
        message->state = message->response ? BENCH_MESSAGE_UNTIL_EOF : BENCH_MESSAGE_DONE;
    }
    return true;
}

static ssize_t take_head(struct bench_message *message, const struct bench_message_events *events,
                         void *context, const char *data, size_t len)
{
    const char *head = data;
    size_t had = message->head_len;
    size_t have = len;
    if (had) {
        size_t room = BENCH_HEAD_MAX - had;
        have = had + (len < room ? len : room);
        memcpy(message->head + had, data, have - had);
        head = message->head;
    }
    const char *blank = memmem(head, have, "\r\n\r\n", 4);
    if (!blank) {
        if (have >= BENCH_HEAD_MAX)
            return -1;
        if (!message->head) {
            message->head = bench_alloc(1, BENCH_HEAD_MAX);
            memcpy(message->head, data, have);
        }
        message->head_len = have;
        return (ssize_t)len;
    }
    size_t head_len = (size_t)(blank - head) + 4;
    if (!read_head(message, head, head_len))
        return -1;
    events->head(context, head, head_len);
    bench_free(message->head);
    message->head = NULL;
    message->head_len = 0;
    return (ssize_t)(head_len - had);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of "1a2b[;extension]\r\n". */
static bool take_chunk_size(struct bench_message *message, char c)
{
    int digit = message->in_number ? hex_digit(c) : -1;
    if (!message->line_len++ && digit < 0)
        return false;
    if (c == '\n') {
        message->state = message->left ? BENCH_MESSAGE_CHUNK_DATA : BENCH_MESSAGE_TRAILER;
        message->line_len = 0;
    } else if (digit >= 0) {
        if (message->left > UINT64_MAX / 32)
            return false;
        message->left = message->left * 16 + (uint64_t)digit;
    } else if (message->in_number) {
        message->in_number = false;
        return c == '\r' || c == ';' || c == ' ';
    }
    return true;
}

static bool take_framing(struct bench_message *message, char c)
{
    switch (message->state) {
    case BENCH_MESSAGE_CHUNK_SIZE: return take_chunk_size(message, c);
    case BENCH_MESSAGE_CHUNK_END:
        if (c == '\n') {
            message->state = BENCH_MESSAGE_CHUNK_SIZE;
            message->in_number = true;
            message->line_len = 0;
        }
        return c == '\n' || c == '\r';
    default: /* trailer: lines until an empty one */
        if (c == '\n') {
            if (!message->line_len)
                message->state = BENCH_MESSAGE_DONE;
            message->line_len = 0;
        } else if (c != '\r') {
            message->line_len++;
        }
        return true;
    }
}

static size_t take_body(struct bench_message *message, const struct bench_message_events *events,
                        void *context, const char *data, size_t len)
{
    if (message->state == BENCH_MESSAGE_UNTIL_EOF) {
        events->body(context, data, len);
        return len;
    }
    size_t n = message->left < len ? (size_t)message->left : len;
    events->body(context, data, n);
    message->left -= n;
    if (!message->left)
        message->state =
            message->state == BENCH_MESSAGE_SIZED ? BENCH_MESSAGE_DONE : BENCH_MESSAGE_CHUNK_END;
    return n;
}

ssize_t bench_message_feed(struct bench_message *message, const struct bench_message_events *events,
                           void *context, const char *data, size_t len)
{
    size_t used = 0;
    while (used < len && message->state != BENCH_MESSAGE_DONE) {
        switch (message->state) {
        case BENCH_MESSAGE_HEAD: {
            ssize_t n = take_head(message, events, context, data + used, len - used);
            if (n < 0)
                return -1;
            message->in_number = true;
            used += (size_t)n;
            break;
        }
        case BENCH_MESSAGE_SIZED:
        case BENCH_MESSAGE_CHUNK_DATA:
        case BENCH_MESSAGE_UNTIL_EOF:
            used += take_body(message, events, context, data + used, len - used);
            break;
        default:
            if (!take_framing(message, data[used]))
                return -1;
            used++;
        }
    }
    return (ssize_t)used;
}

bool bench_message_finish(struct bench_message *message)
{
    if (message->state == BENCH_MESSAGE_UNTIL_EOF)
        message->state = BENCH_MESSAGE_DONE;
    return message->state == BENCH_MESSAGE_DONE;
}

/* Answers: a stream cut anywhere is read like the whole of it, and what we accept llhttp accepts
 * too, with the same status, reason, fields, framing, body and end. The first four bytes seed the
 * cuts. Where RFC 9112 tells a proxy to be lenient with servers, llhttp is not, and the comparison
 * ends: spaces before a colon (5.1), Transfer-Encoding together with Content-Length (6.3), equal
 * Content-Lengths (6.3), minor versions above 1 (RFC 9110 2.5). */
/* layer: net */
/* needs: llhttp */
#include "http1_reader.h"
#include "llhttp_reading.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Does the head that ends at or before `end` make use of one of those? */
static bool is_lenient(struct slice head)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h;
    const char *why;
    unsigned lengths = 0;
    if (http1_parse_answer(head, fields, &h, &why) != 0 || head.p[7] > '1' || h.status == 101)
        return true;
    for (unsigned i = 0; i < h.fields_n; i++) {
        const struct http_field *f = &h.fields[i];
        lengths += f->id == HTTP_CONTENT_LENGTH;
        if (f->name.p[f->name.n] == ' ')
            return true;
    }
    return lengths > 1 || (lengths == 1 && h.chunked);
}

/* How much of the stream llhttp is to read: up to the first head that it may refuse. */
static struct slice comparable(const struct reader *ours, struct slice text)
{
    size_t start = 0;
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        struct slice rest = slice_from(text, start);
        size_t scanned = 0;
        int n = rest.n > 0 ? http1_head_length(HTTP1_ANSWER, rest, &scanned) : 0;
        if (n <= 0)
            break;
        if (is_lenient(slice_of(rest.p, (size_t)n)))
            return slice_of(text.p, start);
        if (!ours->messages[i].complete)
            break;
        start = ours->messages[i].end;
    }
    return text;
}

static void compare(const struct reader *ours, struct slice text)
{
    struct message theirs[MESSAGES_MAX];
    struct slice same = comparable(ours, text);
    messages_init(theirs);
    llhttp_read_answers(same, theirs);
    for (unsigned i = 0; i < ours->count && ours->messages[i].end <= same.n; i++) {
        if (!check_same_message(&ours->messages[i], &theirs[i]))
            break;
    }
    messages_done(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader whole, cut;
    uint32_t seed;
    if (size < sizeof seed)
        return 0;
    memcpy(&seed, data, sizeof seed);
    struct slice text = slice_of((const char *)data + sizeof seed, size - sizeof seed);
    reader_init(&whole, HTTP1_ANSWER);
    reader_init(&cut, HTTP1_ANSWER);
    reader_feed(&whole, text);
    reader_feed_cut(&cut, text, seed);
    check_same_reading(&whole, &cut);
    compare(&whole, text);
    reader_done(&whole);
    reader_done(&cut);
    return 0;
}

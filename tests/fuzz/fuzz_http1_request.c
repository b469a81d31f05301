/* Requests: a stream cut anywhere is read like the whole of it, and what we accept llhttp accepts
 * too, with the same method, target, fields, framing, body and end. The first four bytes seed the
 * cuts. What we refuse and llhttp takes is our strictness; where it is the other way round
 * (llhttp_reading.c), the comparison ends. So it does at minor versions above 1, which count as 1.1
 * (RFC 9110 section 2.5), and which llhttp does not know. */
/* layer: net */
/* needs: llhttp */
#include "http1_reader.h"
#include "llhttp_reading.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is there a version above 1.1 in the stream? Then llhttp stops there. */
static bool has_later_minor(struct slice text)
{
    for (size_t i = 0; i + 10 <= text.n; i++) {
        if (memcmp(text.p + i, "HTTP/1.", 7) == 0 && text.p[i + 7] >= '2' && text.p[i + 7] <= '9')
            return true;
    }
    return false;
}

static void compare(const struct reader *ours, struct slice text)
{
    struct message theirs[MESSAGES_MAX];
    messages_init(theirs);
    llhttp_read_requests(text, theirs);
    for (unsigned i = 0; i < ours->count; i++) {
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
    reader_init(&whole, HTTP1_REQUEST);
    reader_init(&cut, HTTP1_REQUEST);
    reader_feed(&whole, text);
    reader_feed_cut(&cut, text, seed);
    check_same_reading(&whole, &cut);
    if (!has_later_minor(text))
        compare(&whole, text);
    reader_done(&whole);
    reader_done(&cut);
    return 0;
}

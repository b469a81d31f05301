/* Server-sent events: the same events whatever the line ends and wherever the input is cut. */
#include "check.h"
#include "llm/sse.h"

/* Feeds input in pieces and keeps what comes out. */
struct feed {
    struct buf held, scratch;
    struct buf raw;    /* of all events */
    struct buf events; /* those with data, written out */
    size_t scanned, events_n, blank_n;
};

static void feed_init(struct feed *f)
{
    *f = (struct feed){.scanned = 0};
    buf_init(&f->held, 1 << 22);
    buf_init(&f->scratch, 1 << 22);
    buf_init(&f->raw, 1 << 22);
    buf_init(&f->events, 1 << 22);
}

static void feed_done(struct feed *f)
{
    buf_done(&f->held);
    buf_done(&f->scratch);
    buf_done(&f->raw);
    buf_done(&f->events);
}

static void feed(struct feed *f, struct slice piece)
{
    struct sse_event ev;
    buf_slice(&f->held, piece);
    struct slice in = buf_view(&f->held);
    while (sse_next(&in, &f->scanned, &f->scratch, &ev)) {
        CHECK(ev.raw.n > 0);
        buf_slice(&f->raw, ev.raw);
        if (!ev.has_data) {
            f->blank_n++;
            continue;
        }
        f->events_n++;
        buf_printf(&f->events, "[");
        buf_slice(&f->events, ev.name);
        buf_printf(&f->events, "|");
        buf_slice(&f->events, ev.data);
        buf_printf(&f->events, "]");
    }
    buf_consume(&f->held, f->held.n - in.n);
}

/* The events of `text`, fed whole. */
static void events_of(struct slice text, struct feed *f)
{
    feed_init(f);
    feed(f, text);
    buf_slice(&f->raw, buf_view(&f->held));
    CHECK_EQ_SLICE(buf_view(&f->raw), text);
}

#define CHECK_EVENTS(text, want)                                                                   \
    do {                                                                                           \
        struct feed f_;                                                                            \
        events_of(SLICE(text), &f_);                                                               \
        CHECK_EQ_SLICE(buf_view(&f_.events), SLICE(want));                                         \
        feed_done(&f_);                                                                            \
    } while (0)

static const char stream[] = "\xEF\xBB\xBF"
                             ": a comment\n"
                             "\n"
                             "data: {\"a\":1}\n"
                             "\n"
                             "data:no blank\n\n"
                             "data:  two blanks\n\n"
                             "event: chunk\n"
                             "id: 7\n"
                             "retry: 10\n"
                             "data: first\n"
                             "data: zweite Zeile \xC3\xBC\xE2\x82\xAC\xF0\x9F\x9A\x80\n"
                             "data\n"
                             "data: last\n"
                             "\n"
                             ": OPENROUTER PROCESSING\n\n"
                             "data\n\n"
                             "data:\n\n"
                             "\n\n\n"
                             "unknown: field\n\n"
                             "event: named\n\n"
                             "data: a:b: c\n\n"
                             "data: [DONE]\n\n";

static const char stream_events[] =
    "[|{\"a\":1}][|no blank][| two blanks]"
    "[chunk|first\nzweite Zeile \xC3\xBC\xE2\x82\xAC\xF0\x9F\x9A\x80\n\nlast]"
    "[|][|][|a:b: c][|[DONE]]";

/* `stream` with other line ends: 0 LF, 1 CRLF, 2 CR, 3 a mixture. */
static void with_line_ends(struct buf *out, int kind)
{
    static const struct slice ends[] = {{"\n", 1}, {"\r\n", 2}, {"\r", 1}};
    buf_init(out, 1 << 16);
    for (size_t i = 0; i < sizeof stream - 1; i++) {
        if (stream[i] != '\n')
            buf_char(out, stream[i]);
        else
            buf_slice(out, ends[kind < 3 ? kind : (int)check_random_below(3)]);
    }
}

/* A mixture may make CR and LF of two line ends meet, which is one: then the events are what the
 * whole text gives. */
static void want_events(struct slice text, int kind, struct feed *whole)
{
    events_of(text, whole);
    if (kind < 3)
        CHECK_EQ_SLICE(buf_view(&whole->events), SLICE(stream_events));
}

static void check_pieces(struct slice text, const struct feed *whole, const size_t *cuts, size_t n)
{
    struct feed f;
    size_t from = 0;
    feed_init(&f);
    for (size_t i = 0; i <= n; i++) {
        size_t to = i < n ? cuts[i] : text.n;
        feed(&f, slice_of(text.p + from, to - from));
        from = to;
    }
    buf_slice(&f.raw, buf_view(&f.held));
    CHECK_EQ_SLICE(buf_view(&f.raw), text);
    CHECK_EQ_SLICE(buf_view(&f.events), buf_view(&whole->events));
    feed_done(&f);
}

TEST(every_split_gives_the_same_events)
{
    for (int kind = 0; kind < 4; kind++) {
        struct buf text;
        struct feed whole;
        with_line_ends(&text, kind);
        want_events(buf_view(&text), kind, &whole);
        for (size_t cut = 0; cut <= text.n; cut++) {
            check_note("line ends %d, cut at %zu", kind, cut);
            check_pieces(buf_view(&text), &whole, &cut, 1);
        }
        feed_done(&whole);
        buf_done(&text);
    }
}

TEST(byte_by_byte_gives_the_same_events)
{
    for (int kind = 0; kind < 4; kind++) {
        struct buf text;
        struct feed whole;
        size_t cuts[2048];
        with_line_ends(&text, kind);
        CHECK(text.n < ARRAY_LEN(cuts));
        want_events(buf_view(&text), kind, &whole);
        for (size_t i = 0; i < text.n; i++)
            cuts[i] = i;
        check_note("line ends %d", kind);
        check_pieces(buf_view(&text), &whole, cuts, text.n);
        feed_done(&whole);
        buf_done(&text);
    }
}

TEST(random_texts_and_splits_give_the_same_events)
{
    static const char *const words[] = {"\n",   "\r",       "\r\n",   "\n\n",  ":",
                                        " ",    "data",     "data: ", "event", "x",
                                        "\r\r", "\xC3\xA9", "a",      "id: 1"};
    for (int round = 0; round < 20000; round++) {
        struct buf text;
        struct feed whole;
        size_t cuts[4], n = check_random_below(5);
        buf_init(&text, 1 << 12);
        for (uint64_t i = check_random_below(30); i > 0; i--)
            buf_slice(&text, slice_str(words[check_random_below(ARRAY_LEN(words))]));
        events_of(buf_view(&text), &whole);
        for (size_t i = 0; i < n; i++)
            cuts[i] = check_random_below(text.n + 1);
        for (size_t i = 1; i < n; i++) {
            for (size_t j = i; j > 0 && cuts[j] < cuts[j - 1]; j--) {
                size_t t = cuts[j];
                cuts[j] = cuts[j - 1];
                cuts[j - 1] = t;
            }
        }
        check_note("round %d", round);
        check_pieces(buf_view(&text), &whole, cuts, n);
        feed_done(&whole);
        buf_done(&text);
    }
}

TEST(fields)
{
    CHECK_EVENTS("data: a\n\n", "[|a]");
    CHECK_EVENTS("data:a\n\n", "[|a]");
    CHECK_EVENTS("data:  a \n\n", "[| a ]");
    CHECK_EVENTS("data\n\n", "[|]");
    CHECK_EVENTS("data\ndata\n\n", "[|\n]");
    CHECK_EVENTS("data: a\ndata:b\n\n", "[|a\nb]");
    CHECK_EVENTS("event: e\ndata: a\n\n", "[e|a]");
    CHECK_EVENTS("event: e\nevent:f\ndata: a\n\n", "[f|a]");
    CHECK_EVENTS("Data: a\n\n", "");
    CHECK_EVENTS(" data: a\n\n", "");
    CHECK_EVENTS("dat: a\ndatas: b\n\n", "");
    CHECK_EVENTS(":data: a\n\n", "");
    CHECK_EVENTS("id: 1\nretry: 2\n\n", "");
    CHECK_EVENTS("data: a\n", "");
    CHECK_EVENTS("data: a", "");
    CHECK_EVENTS("", "");
    CHECK_EVENTS("\n\n\r\r\n", "");
    CHECK_EVENTS("\xEF\xBB\xBF"
                 "data: a\n\n",
                 "[|a]");
    CHECK_EVENTS("\xEF\xBB\xBF\n\ndata: a\n\n", "[|a]");
    CHECK_EVENTS("data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\r\n\n", "[|a][|b][|c][|d]");
}

TEST(an_event_ends_with_a_cr_at_once)
{
    struct feed f;
    feed_init(&f);
    feed(&f, SLICE("data: a\r\n\r"));
    CHECK_EQ_LIT(buf_view(&f.events), "[|a]");
    CHECK_EQ_LIT(buf_view(&f.raw), "data: a\r\n\r");
    feed(&f, SLICE("\n"));
    CHECK_EQ_LIT(buf_view(&f.events), "[|a]");
    feed(&f, SLICE("data: b\r"));
    CHECK_EQ_LIT(buf_view(&f.events), "[|a]");
    feed(&f, SLICE("\ndata: c\r\n\r\n"));
    CHECK_EQ_LIT(buf_view(&f.events), "[|a][|b\nc]");
    CHECK_EQ_U64(f.held.n, 0);
    feed_done(&f);
}

TEST(the_data_of_one_line_stays_in_place)
{
    static const char text[] = "data: {\"x\":1}\n\n";
    struct slice in = SLICE(text);
    struct buf scratch;
    struct sse_event ev;
    size_t scanned = 0;
    buf_init(&scratch, 100);
    CHECK(sse_next(&in, &scanned, &scratch, &ev));
    CHECK(ev.data.p == text + 6);
    CHECK(ev.raw.p == text);
    CHECK_EQ_U64(ev.raw.n, sizeof text - 1);
    CHECK_EQ_U64(in.n, 0);
    CHECK(scratch.p == NULL);
    CHECK(!sse_next(&in, &scanned, &scratch, &ev));
}

TEST(joined_data_over_the_cap_is_reported)
{
    struct slice in = SLICE("data: 12345\ndata: 67890\n\n");
    struct buf scratch;
    struct sse_event ev;
    size_t scanned = 0;
    buf_init(&scratch, 8);
    CHECK(sse_next(&in, &scanned, &scratch, &ev));
    CHECK(ev.has_data && ev.data.p == NULL && scratch.failed);
    buf_done(&scratch);
}

/* 1 MB of one line in pieces of 100 bytes: looked at once. Quadratic work would be 5 GB. */
TEST(a_long_event_is_scanned_once)
{
    struct feed f;
    char piece[100];
    memset(piece, 'x', sizeof piece);
    feed_init(&f);
    feed(&f, SLICE("data: "));
    for (int i = 0; i < 10000; i++)
        feed(&f, slice_of(piece, sizeof piece));
    CHECK_EQ_U64(f.scanned, f.held.n);
    feed(&f, SLICE("\n"));
    feed(&f, SLICE("\n"));
    CHECK_EQ_U64(f.events_n, 1);
    CHECK_EQ_U64(f.raw.n, 1000000 + 8);
    feed_done(&f);
}

TEST(put_data_is_read_back)
{
    static const struct slice texts[] = {
        {"{\"a\":1}", 7}, {"", 0}, {"{\n\"a\":1}\n", 9}, {"a\r\nb\rc", 6}, {"\n", 1}};
    static const struct slice wants[] = {
        {"{\"a\":1}", 7}, {"", 0}, {"{\n\"a\":1}\n", 9}, {"a\nb\nc", 5}, {"\n", 1}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf out, scratch;
        struct sse_event ev;
        size_t scanned = 0;
        buf_init(&out, 1000);
        buf_init(&scratch, 1000);
        sse_put_data(&out, texts[i]);
        struct slice in = buf_view(&out);
        check_note("text %zu", i);
        CHECK(sse_next(&in, &scanned, &scratch, &ev));
        CHECK_EQ_SLICE(ev.data, wants[i]);
        CHECK_EQ_U64(in.n, 0);
        buf_done(&out);
        buf_done(&scratch);
    }
}

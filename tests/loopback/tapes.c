/* Recorded streams of one answer. See tapes.h. */
#include "tapes.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json_write.h"

static const char *const pieces[PIECES_N] = {"The weir ",
                                             "holds ",
                                             "the river back, and lets it fall\nin one even sheet",
                                             "; ",
                                             ("\xC3\xBC"
                                              "ber the \"sill\" "),
                                             "goes ",
                                             "what the mill ",
                                             "does not need. ",
                                             "\xE6\xB0\xB4\xE3\x81\xAF",
                                             " \xF0\x9F\x8C\x8A flows on."};

struct slice tape_text(void)
{
    static char text[512];
    size_t n = 0;
    for (size_t i = 0; i < PIECES_N; i++) {
        memcpy(text + n, pieces[i], strlen(pieces[i]));
        n += strlen(pieces[i]);
    }
    return slice_of(text, n);
}

#define RV(name, rest)                                                                             \
    AV("response." name, ",\"output_index\":0,\"item_id\":\"i1\",\"content_index\":0" rest)

static void add_event(struct tape *t, const char *event)
{
    ASSERT(t->n < TAPE_EVENTS);
    text_add(&t->all, slice_str(event));
    t->end[t->n++] = t->all.n;
}

static void add_piece(struct tape *t, enum wire wire, struct slice plain)
{
    static const char *const around[][2] = {
        [OPENAI_WIRE] = {EV_CHOICES "{\"index\":0,\"delta\":{\"content\":", "}}]}\n\n"},
        [RESPONSES_WIRE] = {"event: response.output_text.delta\ndata: {\"type\":"
                            "\"response.output_text.delta\",\"output_index\":0,\"item_id\":"
                            "\"i1\",\"content_index\":0,\"delta\":",
                            "}\n\n"},
        [ANTHROPIC_WIRE] = {"event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
                            "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":",
                            "}}\n\n"},
        [GOOGLE_WIRE] = {GV(""), "}]},\"index\":0}]}\n\n"}};
    struct buf b;
    buf_init(&b, 4096);
    struct json_writer w = json_writer(&b);
    struct slice before = slice_str(around[wire][0]);
    before.n -= wire == GOOGLE_WIRE ? 2 : 0; /* without the end of its line */
    buf_slice(&b, before);
    jw_string(&w, plain);
    buf_slice(&b, slice_str(around[wire][1]));
    buf_char(&b, '\0');
    CHECK(!b.failed);
    add_event(t, b.p);
    buf_done(&b);
}

static void add_start(struct tape *t, enum wire wire)
{
    if (wire == OPENAI_WIRE)
        add_event(t, EV_ROLE);
    if (wire == RESPONSES_WIRE) {
        add_event(t, AV("response.created", ",\"response\":{\"id\":\"r1\",\"model\":\"m\","
                                            "\"status\":\"in_progress\",\"output\":[]}"));
        add_event(t, AV("response.output_item.added",
                        ",\"output_index\":0,\"item\":{\"id\":\"i1\",\"type\":\"message\","
                        "\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}"));
        add_event(t, RV("content_part.added", ",\"part\":{\"type\":\"output_text\",\"text\":"
                                              "\"\",\"annotations\":[]}"));
    }
    if (wire != ANTHROPIC_WIRE)
        return;
    add_event(t, AV_START);
    add_event(t, AV_BLOCK);
}

static void add_end(struct tape *t, enum wire wire)
{
    static const char *const ends[][3] = {
        [OPENAI_WIRE] = {EV_FINISH, EV_USAGE, EV_DONE},
        [RESPONSES_WIRE] =
            {RV("content_part.done",
                ",\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}"),
             AV("response.output_item.done",
                ",\"output_index\":0,\"item\":{\"id\":\"i1\",\"type\":\"message\",\"status\":"
                "\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"\","
                "\"annotations\":[]}],\"role\":\"assistant\"}"),
             AV("response.completed",
                ",\"response\":{\"id\":\"r1\",\"model\":\"m\",\"status\":\"completed\","
                "\"output\":[],\"usage\":{\"input_tokens\":7,\"output_tokens\":3,"
                "\"total_tokens\":10}}")},
        [ANTHROPIC_WIRE] = {AV_BLOCK_STOP, AV_DELTA, AV_STOP},
        [GOOGLE_WIRE] = {"data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{"
                         "\"text\":\"\"}]},\"finishReason\":\"STOP\",\"index\":0}],"
                         "\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":3,"
                         "\"totalTokenCount\":10}}\n\n"}};
    for (size_t i = 0; i < 3 && ends[wire][i] != NULL; i++)
        add_event(t, ends[wire][i]);
}

/* `text` in pieces of at most `most` bytes, whole characters each; 0: as recorded. */
struct tape tape_of(enum wire wire, struct slice text, size_t most)
{
    struct tape t = {0};
    add_start(&t, wire);
    t.first = t.n;
    for (size_t i = 0; i < PIECES_N && most == 0; i++)
        add_piece(&t, wire, slice_str(pieces[i]));
    while (most > 0 && text.n > 0) {
        size_t n = MIN_OF(most, text.n);
        while (n < text.n && ((unsigned char)text.p[n] & 0xC0) == 0x80)
            n++;
        add_piece(&t, wire, slice_of(text.p, n));
        text = slice_from(text, n);
    }
    t.last = t.n - 1;
    add_end(&t, wire);
    return t;
}

static bool asks(const struct call *c, const char *path)
{
    return strstr(c->target.p, path) != NULL;
}

enum wire wire_of(const struct call *c)
{
    return asks(c, "/responses")         ? RESPONSES_WIRE
           : asks(c, "/messages")        ? ANTHROPIC_WIRE
           : asks(c, "GenerateContent?") ? GOOGLE_WIRE
                                         : OPENAI_WIRE;
}

static void unescape(struct slice inner, struct text *out)
{
    char *plain = malloc(inner.n + 1);
    ASSERT(plain != NULL);
    text_add(out, slice_of(plain, json_unescape(inner, plain)));
    free(plain);
}

/* Text of the n-th message: content itself, or its first part's. */
static struct slice message_text(const struct call *c, const char *list, unsigned n)
{
    static const char *const ends[] = {"content.0.text", "parts.0.text", "content"};
    char path[64];
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(path, sizeof path, "%s.%u.%s", list, n, ends[i]);
        struct slice text = json_member(text_view(&c->body), path);
        if (text.n > 0)
            return text;
    }
    return SLICE_NONE;
}

struct wish wish_of(const struct call *c)
{
    struct wish w = {0};
    struct slice body = text_view(&c->body);
    const char *list = json_member(body, "contents").n > 0 ? "contents"
                       : json_member(body, "input").n > 0  ? "input"
                                                           : "messages";
    CHECK(json_valid(body));
    struct slice given = message_text(c, list, 1), ask = message_text(c, list, 2);
    if (given.n == 0)
        return w;
    unescape(given, &w.given);
    w.prefill = ask.n == 0;
    w.asked = ask.n > 0;
    if (w.prefill)
        return w;
    struct text plain = {0};
    unescape(ask, &plain);
    const char *from = strstr(plain.p, "<last_words>"), *to = strstr(plain.p, "</last_words>");
    CHECK(from != NULL && to != NULL);
    from += strlen("<last_words>");
    text_add(&w.words, slice_of(from, (size_t)(to - from)));
    text_done(&plain);
    return w;
}

void wish_done(struct wish *w)
{
    text_done(&w->given);
    text_done(&w->words);
}

/* What a target that does what it is asked for says: all of the answer, or what is left of it. */
void wish_answer(const struct call *c, struct text *out)
{
    struct wish w = wish_of(c);
    struct slice whole = tape_text(), given = text_view(&w.given);
    CHECK(given.n <= whole.n && slice_eq(given, slice_of(whole.p, given.n)));
    char first = *c->upstream->authority.p;
    if (w.prefill && strchr("gdt", first) != NULL)
        CHECK_EQ_LIT(json_member(text_view(&c->body), "continue_final_message"), "true");
    if (w.prefill && first == 'm') { /* Mistral's repeat what they are given */
        CHECK_EQ_LIT(json_member(text_view(&c->body), "messages.1.prefix"), "true");
        text_add(out, given);
    }
    text_add(out, text_view(&w.words));
    text_add(out, slice_from(whole, given.n));
    wish_done(&w);
}

struct tape tape_next(const struct call *c, size_t most)
{
    struct text said = {0};
    wish_answer(c, &said);
    struct tape t = tape_of(wire_of(c), text_view(&said), most);
    text_done(&said);
    return t;
}

/* --- cuts */

void tape_cut(struct world *w, struct call *c, enum cut how)
{
    static const char *const errors[] = {
        [OPENAI_WIRE] = EV_ERROR,
        [RESPONSES_WIRE] = AV("error", ",\"code\":\"kaputt\",\"message\":\"boom\""),
        [ANTHROPIC_WIRE] = AV_ERROR,
        [GOOGLE_WIRE] = ("data: {\"error\":{\"code\":503,\"message\":\"boom\",\"status\":"
                         "\"UNAVAILABLE\"}}\n\n")};
    switch (how) {
    case CUT_RESET: call_fail(c, NET_FAIL_TRUNCATED, ""); break;
    case CUT_ENDED: call_end(c); break;
    case CUT_ERROR_EVENT: call_piece(c, slice_str(errors[wire_of(c)])); break;
    case CUT_STALL:
        for (int i = 0; i < 61 && c->lease != NULL; i++)
            loop_advance(w->loop, 5 * NS_PER_S); /* also the limit before the first token */
        break;
    case CUTS_N: break;
    }
    CHECK(c->lease == NULL);
}

struct call *tape_head(struct world *w)
{
    struct call *c = call_last_open(w->loop);
    CHECK(c != NULL);
    call_head(c, 200, SSE_HEAD, -1);
    return c;
}

/* The first `n` events, one by one. */
void tape_play(struct call *c, const struct tape *t, unsigned n)
{
    size_t at = 0;
    for (unsigned i = 0; i < n && c->lease != NULL; at = t->end[i++])
        call_piece(c, slice_of(t->all.p + at, t->end[i] - at));
}

/* All of it. */
void tape_play_out(struct call *c, const struct tape *t)
{
    tape_play(c, t, t->n);
    if (c->lease != NULL)
        call_end(c);
}

size_t tape_bytes_of(unsigned n)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < n; i++)
        bytes += strlen(pieces[i]);
    return bytes;
}

const char *const cut_names[] = {
#define X(id) #id,
    CUTS(X)
#undef X
};

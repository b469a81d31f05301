/* Golden files of the translations, in translate/:
 *   CASE.DIALECT.request.json    a client's request, and
 *   ....to-WIRE.json             as that provider gets it, what was left out in a last line, or
 *   ....to-WIRE.refused          why it cannot be said there ("FIELD: MESSAGE");
 *   ....refused                  why it is no request of that dialect;
 *   CASE.WIRE.answer.json        a provider's whole answer, and
 *   CASE.WIRE.stream.sse         one in pieces (AWS event streams in the same notation), and
 *   ....to-DIALECT.json / .sse   as clients get it;
 *   CASE.WIRE.error-STATUS.json  the body of an answer with that status, and
 *   ....to-DIALECT.json          as clients get it.
 * Beside the files themselves: the order of the events, streams cut anywhere, a whole answer and
 * the stream of the same CASE saying the same. */
#include <inttypes.h>

#include "../fuzz/event_order.h"
#include "files.h"
#include "llm/dialect.h"
#include "llm/sse.h"
#include "pretty.h"
#include "reader.h"

/* Every dialect, and every wire as a provider has it: name in file names, type. */
static const struct llm_dialect *const dialects[] = {
    &openai_dialect,
    &anthropic_dialect,
    &google_dialect,
    &responses_dialect,
};
static const struct target {
    const char *name;
    const struct llm_wire *wire;
    const char *type;
} targets[] = {
    {"openai", &openai_wire, "openai"},      {"anthropic", &anthropic_wire, "anthropic"},
    {"google", &google_wire, "gemini"},      {"responses", &responses_wire, "openai-responses"},
    {"converse", &converse_wire, "bedrock"}, {"cohere", &cohere_wire, "cohere"},
    {"tgi", &tgi_wire, "sagemaker"},
};

#define FOLDER GOLDEN_DIR "/translate/"

static const struct llm_dialect *dialect_named(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        if (slice_is(name, dialects[i]->name))
            return dialects[i];
    }
    return NULL;
}

static const struct target *target_named(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        if (slice_is(name, targets[i].name))
            return &targets[i];
    }
    return NULL;
}

/* The row of the provider's type, or one that says nothing else where there is none. */
static const struct llm_provider *provider_of(const struct target *t, struct llm_provider *plain)
{
    const struct llm_provider *p = llm_provider_find(slice_str(t->type));
    *plain = (struct llm_provider){.type = t->type};
    return p != NULL ? p : plain;
}

/* A path in the folder, in a buffer of the caller's. */
#define PATH(path, ...) snprintf((path), sizeof(path), FOLDER __VA_ARGS__)

/* "CASE.NAME" of an input; false: not of a name that is known here. */
static bool split_stem(struct slice stem, struct slice *ret_case, struct slice *ret_name)
{
    struct slice rest = stem;
    *ret_case = slice_cut(&rest, '.');
    *ret_name = slice_cut(&rest, '.');
    return rest.n == 0;
}

static char doing[600];
/* Names the case in messages of failures. */
#define DOING(...) (snprintf(doing, sizeof doing, __VA_ARGS__), check_note("%s", doing))

/* Properties are looked at in every case before the test fails: how many did not hold. */
static unsigned broken;

/* Says where two texts differ that should be the same. */
static void expect_same(struct slice got, struct slice want)
{
    size_t same = 0;
    if (slice_eq(got, want))
        return;
    while (same < got.n && same < want.n && got.p[same] == want.p[same])
        same++;
    size_t from = same > 60 ? same - 60 : 0;
    struct slice a = slice_from(got, from), b = slice_from(want, from);
    printf("%s:\n  got  ...%.*s\n  want ...%.*s\n", doing, (int)MIN_OF(a.n, (size_t)200), a.p,
           (int)MIN_OF(b.n, (size_t)200), b.p);
    broken++;
}

/* Ends a test of a property. */
static void expect_none_broken(void)
{
    unsigned n = broken;
    broken = 0;
    CHECK_EQ_U64(n, 0);
}

/* ---- Requests. */

struct asked {
    struct arena arena;
    struct json_parser *json;
    struct llm_request request;
    struct llm_chat chat;
    struct llm_bad_request bad;
    struct llm_provider plain;
};

static void asked_init(struct asked *q)
{
    *q = (struct asked){.json = json_parser_new()};
    CHECK(q->json != NULL);
    arena_init(&q->arena, NULL, FILE_MAX);
}

static void asked_done(struct asked *q)
{
    arena_reset(&q->arena);
    json_parser_free(q->json);
}

/* The request as it is understood. What the path says in some dialects is said here. */
static bool read_asked(struct asked *q, const struct llm_dialect *dialect, struct slice body)
{
    if (!dialect->read_request(q->json, &q->arena, LLM_CHAT, body, &q->request, &q->bad))
        return false;
    if (q->request.model.n == 0)
        q->request.model = SLICE("asked-model");
    return dialect->read_chat(q->json, &q->arena, &q->request, &q->chat, &q->bad);
}

static bool write_asked(struct asked *q, const struct target *to, struct buf *body,
                        struct llm_word **ret_dropped)
{
    struct llm_writing w = {.arena = &q->arena,
                            .json = q->json,
                            .chat = &q->chat,
                            .provider = provider_of(to, &q->plain),
                            .model = SLICE("upstream-model"),
                            .out = body,
                            .bad = &q->bad};
    for (unsigned f = 0; f < FEATURES_N; f++)
        w.lack[f] = (unsigned char)llm_feature_lack((enum llm_feature)f);
    bool ok = to->wire->write_chat(&w);
    *ret_dropped = w.dropped;
    return ok;
}

static void put_words(struct buf *out, const char *what, const struct llm_word *w)
{
    if (w == NULL)
        return;
    buf_printf(out, "// %s:", what);
    for (; w != NULL; w = w->next)
        buf_printf(out, " " SLICE_FMT "%s", SLICE_ARG(w->word), w->next != NULL ? "," : "");
    buf_char(out, '\n');
}

static void put_refusal(struct buf *out, const struct llm_bad_request *bad)
{
    CHECK(bad->message[0] != '\0' && !bad->no_memory);
    buf_printf(out, "%s: %s\n", bad->param, bad->message);
}

static void put_pretty(struct buf *out, struct json_parser *p, struct slice text)
{
    const char *why = "";
    if (!pretty_json(p, text, out, &why))
        check_fail(CHECK_AT("clean JSON"), "%s in " SLICE_FMT, why, SLICE_ARG(text));
}

static void check_request_to(struct slice stem, struct slice body,
                             const struct llm_dialect *dialect, const struct target *to)
{
    struct asked q;
    struct buf written, shown;
    struct llm_word *dropped = NULL;
    char good[512], refused[512];
    PATH(good, SLICE_FMT ".request.to-%s.json", SLICE_ARG(stem), to->name);
    PATH(refused, SLICE_FMT ".request.to-%s.refused", SLICE_ARG(stem), to->name);
    DOING("%s", good);
    asked_init(&q);
    buf_init(&written, FILE_MAX);
    buf_init(&shown, FILE_MAX);
    CHECK(read_asked(&q, dialect, body));
    if (write_asked(&q, to, &written, &dropped)) {
        CHECK(!written.failed);
        put_pretty(&shown, q.json, buf_view(&written));
        put_words(&shown, "dropped", dropped);
        put_words(&shown, "unknown", q.chat.unknown);
        golden_check(good, buf_view(&shown));
        golden_absent(refused);
    } else {
        put_refusal(&shown, &q.bad);
        golden_check(refused, buf_view(&shown));
        golden_absent(good);
    }
    buf_done(&written);
    buf_done(&shown);
    asked_done(&q);
}

/* True: it is a request; false: the file says why not. */
static bool check_reading(struct slice stem, struct slice body, const struct llm_dialect *dialect)
{
    struct asked q;
    struct buf shown;
    char path[512];
    PATH(path, SLICE_FMT ".request.refused", SLICE_ARG(stem));
    DOING("%s", path);
    asked_init(&q);
    buf_init(&shown, FILE_MAX);
    bool ok = read_asked(&q, dialect, body);
    if (ok) {
        golden_absent(path);
    } else {
        put_refusal(&shown, &q.bad);
        golden_check(path, buf_view(&shown));
    }
    buf_done(&shown);
    asked_done(&q);
    return ok;
}

TEST(requests)
{
    glob_t files;
    struct slice name, of;
    golden_find(FOLDER "*.request.json", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice stem = golden_stem(files.gl_pathv[i], ".request.json");
        CHECK(split_stem(stem, &name, &of));
        const struct llm_dialect *dialect = dialect_named(of);
        if (dialect == NULL)
            continue;
        struct buf body = golden_read(files.gl_pathv[i]);
        if (check_reading(stem, buf_view(&body), dialect)) {
            for (size_t t = 0; t < ARRAY_LEN(targets); t++)
                check_request_to(stem, buf_view(&body), dialect, &targets[t]);
        }
        buf_done(&body);
    }
    globfree(&files);
}

/* Reads `body` and writes it to `to`. False: it is refused at either end. */
static bool rewrite(struct slice body, const struct llm_dialect *dialect, const struct target *to,
                    struct buf *out)
{
    struct asked q;
    struct llm_word *dropped;
    asked_init(&q);
    buf_reset(out);
    bool ok = read_asked(&q, dialect, body) && write_asked(&q, to, out, &dropped);
    if (!ok)
        put_refusal(out, &q.bad);
    asked_done(&q);
    return ok;
}

/* What a dialect's own wire writes is a request of that dialect; its form may change once more, and
 * then stays. */
static void check_again(struct slice body, const struct llm_dialect *dialect,
                        const struct target *to, const struct llm_dialect *back)
{
    struct buf once, twice, thrice;
    buf_init(&once, FILE_MAX);
    buf_init(&twice, FILE_MAX);
    buf_init(&thrice, FILE_MAX);
    if (rewrite(body, dialect, to, &once)) {
        if (!rewrite(buf_view(&once), back, to, &twice))
            expect_same(buf_view(&twice), SLICE(""));
        else if (rewrite(buf_view(&twice), back, to, &thrice))
            expect_same(buf_view(&thrice), buf_view(&twice));
        else
            expect_same(buf_view(&thrice), SLICE(""));
    }
    buf_done(&once);
    buf_done(&twice);
    buf_done(&thrice);
}

TEST(requests_written_and_read_again)
{
    glob_t files;
    struct slice name, of;
    golden_find(FOLDER "*.request.json", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice stem = golden_stem(files.gl_pathv[i], ".request.json");
        CHECK(split_stem(stem, &name, &of));
        const struct llm_dialect *dialect = dialect_named(of);
        struct buf body = golden_read(files.gl_pathv[i]);
        for (size_t t = 0; dialect != NULL && t < ARRAY_LEN(targets); t++) {
            const struct llm_dialect *back = dialect_named(slice_str(targets[t].name));
            DOING("%s to %s", files.gl_pathv[i], targets[t].name);
            if (back != NULL)
                check_again(buf_view(&body), dialect, &targets[t], back);
        }
        buf_done(&body);
    }
    globfree(&files);
    expect_none_broken();
}

/* ---- Answers. */

/* A provider's answer on its way to a client, with everything that needs memory. */
struct told {
    struct arena arena;
    struct json_parser *json, *checking; /* the decoder's and the encoder's */
    struct llm_chat chat;
    struct llm_decoder decoder;
    struct llm_encoder encoder;
    struct llm_sequencer sequencer;
    struct llm_collector collector;
    struct llm_answer answer;
    struct event_order order;
    struct llm_provider plain;
    struct buf out;
};

static void encode(void *ctx, const struct llm_event *e)
{
    struct told *t = ctx;
    const struct llm_dialect *dialect = t->encoder.dialect;
    if (e->kind == EVENT_ERROR)
        dialect->put_error_event(&t->out, e->status, e->error, SLICE_NONE);
    else if (!t->encoder.bad)
        dialect->encode(&t->encoder, e);
}

static void told_init(struct told *t, const struct target *from, const struct llm_dialect *to,
                      bool stream)
{
    *t = (struct told){.json = json_parser_new(), .checking = json_parser_new()};
    CHECK(t->json != NULL && t->checking != NULL);
    arena_init(&t->arena, NULL, FILE_MAX);
    buf_init(&t->out, FILE_MAX);
    llm_chat_init(&t->chat, to->id);
    t->chat.model = SLICE("asked-model");
    t->chat.stream = stream;
    t->chat.wants_usage = true;
    t->collector = (struct llm_collector){.arena = &t->arena, .answer = &t->answer};
    t->encoder = (struct llm_encoder){.dialect = to,
                                      .json = t->checking,
                                      .arena = &t->arena,
                                      .out = &t->out,
                                      .chat = &t->chat,
                                      .usage = &t->decoder.usage,
                                      .id = SLICE("weir-0"),
                                      .created_s = 1790000000,
                                      .wants_usage = true};
    t->decoder = (struct llm_decoder){.wire = from->wire,
                                      .provider = provider_of(from, &t->plain),
                                      .arena = &t->arena,
                                      .json = t->json,
                                      .emit = event_order_take,
                                      .ctx = &t->order,
                                      .id_seed = SLICE("0"),
                                      .model = SLICE("upstream-model"),
                                      .stream = stream,
                                      .usage = LLM_USAGE_NONE};
}

static void told_done(struct told *t)
{
    event_order_done(&t->order);
    buf_done(&t->out);
    arena_reset(&t->arena);
    json_parser_free(t->json);
    json_parser_free(t->checking);
}

/* Takes the events to the client's stream. */
static void told_to_stream(struct told *t)
{
    t->sequencer = (struct llm_sequencer){.emit = encode, .ctx = t, .arena = &t->arena};
    if (t->encoder.dialect->sequential)
        event_order_init(&t->order, llm_sequence, &t->sequencer);
    else
        event_order_init(&t->order, encode, t);
}

static void check_order(struct told *t, bool ok)
{
    const char *fault = event_order_end(&t->order, ok);
    if (fault != NULL)
        check_fail(CHECK_AT("order of events"), "%s", fault);
}

/* Feeds the text to the decoder, the first `first` bytes and then `step` at a time. False: the
 * decoder says that it is broken or has no end. */
static bool feed(struct told *t, struct slice text, size_t first, size_t step)
{
    struct buf held, scratch;
    struct sse_event ev;
    size_t scanned = 0;
    bool ok = true;
    buf_init(&held, FILE_MAX);
    buf_init(&scratch, FILE_MAX);
    for (size_t at = 0; at < text.n && ok;) {
        size_t n = MIN_OF(at == 0 ? first : step, text.n - at);
        buf_append(&held, text.p + at, n);
        at += n;
        struct slice in = buf_view(&held);
        while (ok && sse_next(&in, &scanned, &scratch, &ev)) {
            if (ev.has_data)
                ok = t->decoder.wire->decode_event(&t->decoder, ev.name, ev.data);
        }
        buf_consume(&held, held.n - in.n);
    }
    if (ok)
        ok = t->decoder.wire->decode_end(&t->decoder);
    buf_done(&held);
    buf_done(&scratch);
    return ok;
}

/* The collector's answer in the client's dialect; errors with their status in a last line. */
static void put_answer(struct told *t, bool ok)
{
    struct llm_answer *r = &t->answer;
    struct buf body;
    CHECK(llm_collect_end(&t->collector));
    r->usage = t->decoder.usage;
    buf_init(&body, FILE_MAX);
    t->encoder.out = &body;
    if (r->is_error)
        t->encoder.dialect->put_error(&body, r->error_status, &r->error, SLICE("req-0"));
    else if (ok && r->whole)
        t->encoder.dialect->write_answer(&t->encoder, r);
    CHECK(!body.failed);
    if (t->encoder.bad)
        buf_lit(&t->out, "// cannot be said in this dialect\n");
    else if (body.n > 0)
        put_pretty(&t->out, t->json, buf_view(&body));
    else
        buf_lit(&t->out, "// broken, or without an end\n");
    if (r->is_error)
        buf_printf(&t->out, "// error, status %u\n", r->error_status);
    t->encoder.out = &t->out;
    buf_done(&body);
}

/* The whole answer in `to`; in t->out. */
static void tell_whole(struct told *t, const struct target *from, const struct llm_dialect *to,
                       struct slice body)
{
    told_init(t, from, to, false);
    event_order_init(&t->order, llm_collect, &t->collector);
    bool ok = from->wire->decode_answer(&t->decoder, body);
    check_order(t, ok);
    put_answer(t, ok);
}

/* Gathers the stream for one whole answer in `to`. False: it is broken, or without an end. */
static bool gather(struct told *t, const struct target *from, const struct llm_dialect *to,
                   struct slice text)
{
    told_init(t, from, to, true);
    event_order_init(&t->order, llm_collect, &t->collector);
    bool ok = feed(t, text, text.n, text.n);
    check_order(t, ok);
    return ok;
}

/* The stream as one whole answer in `to`; in t->out. */
static void tell_gathered(struct told *t, const struct target *from, const struct llm_dialect *to,
                          struct slice text)
{
    bool ok = gather(t, from, to, text);
    put_answer(t, ok);
}

/* The stream as a stream of `to`; in t->out. */
static void tell_stream(struct told *t, const struct target *from, const struct llm_dialect *to,
                        struct slice text, size_t first, size_t step)
{
    told_init(t, from, to, true);
    told_to_stream(t);
    bool ok = feed(t, text, first, step);
    check_order(t, ok);
    CHECK(!t->sequencer.failed && !t->out.failed);
    if (!ok)
        buf_lit(&t->out, ": broken, or without an end\n");
}

/* Calls `fn` for each input whose name ends in `suffix` and that a known wire has sent. */
static void each_input(const char *pattern, const char *suffix,
                       void (*fn)(struct slice stem, const struct target *from, struct slice text))
{
    glob_t files;
    struct slice name, of;
    golden_find(pattern, &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice stem = golden_stem(files.gl_pathv[i], suffix);
        CHECK(split_stem(stem, &name, &of));
        const struct target *from = target_named(of);
        if (from == NULL)
            continue;
        struct buf text = golden_read(files.gl_pathv[i]);
        fn(stem, from, buf_view(&text));
        buf_done(&text);
    }
    globfree(&files);
}

static void check_answer(struct slice stem, const struct target *from, struct slice body)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        struct told t;
        char path[512];
        PATH(path, SLICE_FMT ".answer.to-%s.json", SLICE_ARG(stem), dialects[i]->name);
        DOING("%s", path);
        tell_whole(&t, from, dialects[i], body);
        golden_check(path, buf_view(&t.out));
        told_done(&t);
    }
}

TEST(answers)
{
    each_input(FOLDER "*.answer.json", ".answer.json", check_answer);
}

static void check_stream(struct slice stem, const struct target *from, struct slice text)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        struct told t;
        char path[512];
        PATH(path, SLICE_FMT ".stream.to-%s.sse", SLICE_ARG(stem), dialects[i]->name);
        DOING("%s", path);
        tell_stream(&t, from, dialects[i], text, text.n, text.n);
        golden_check(path, buf_view(&t.out));
        told_done(&t);
    }
}

TEST(streams)
{
    each_input(FOLDER "*.stream.sse", ".stream.sse", check_stream);
}

static void check_cut(struct slice stem, const struct target *from, struct slice text)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        struct told whole, bytes;
        DOING(SLICE_FMT " byte by byte to %s", SLICE_ARG(stem), dialects[i]->name);
        tell_stream(&whole, from, dialects[i], text, text.n, text.n);
        tell_stream(&bytes, from, dialects[i], text, 1, 1);
        expect_same(buf_view(&bytes.out), buf_view(&whole.out));
        told_done(&bytes);
        for (size_t cut = 1; i == 0 && cut < text.n; cut++) {
            struct told two;
            DOING(SLICE_FMT " cut at %zu", SLICE_ARG(stem), cut);
            tell_stream(&two, from, dialects[i], text, cut, text.n);
            expect_same(buf_view(&two.out), buf_view(&whole.out));
            told_done(&two);
        }
        told_done(&whole);
    }
}

TEST(streams_cut_anywhere)
{
    each_input(FOLDER "*.stream.sse", ".stream.sse", check_cut);
    expect_none_broken();
}

/* A stream that ends early is an answer only if it says all of it; what comes last may be the usage
 * alone. */
static void check_truncated(struct slice stem, const struct target *from, struct slice text)
{
    struct told whole;
    unsigned before = broken;
    tell_gathered(&whole, from, dialects[0], text);
    for (size_t n = 0; n < text.n && broken == before; n++) {
        struct told t;
        DOING(SLICE_FMT " ends after %zu bytes", SLICE_ARG(stem), n);
        bool ok = gather(&t, from, dialects[0], slice_of(text.p, n));
        if (ok && !t.answer.is_error) {
            t.decoder.usage = whole.decoder.usage;
            put_answer(&t, ok);
            expect_same(buf_view(&t.out), buf_view(&whole.out));
        }
        told_done(&t);
    }
    told_done(&whole);
}

TEST(streams_that_end_early)
{
    each_input(FOLDER "*.stream.sse", ".stream.sse", check_truncated);
    expect_none_broken();
}

/* The answer that comes in pieces is the one that comes as a whole. */
static void check_pair(struct slice stem, const struct target *from, struct slice text)
{
    char path[512];
    PATH(path, SLICE_FMT ".answer.json", SLICE_ARG(stem));
    if (access(path, R_OK) != 0)
        return;
    struct buf body = golden_read(path);
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        struct told whole, gathered;
        DOING(SLICE_FMT " to %s, stream and whole", SLICE_ARG(stem), dialects[i]->name);
        tell_whole(&whole, from, dialects[i], buf_view(&body));
        tell_gathered(&gathered, from, dialects[i], text);
        expect_same(buf_view(&gathered.out), buf_view(&whole.out));
        told_done(&whole);
        told_done(&gathered);
    }
    buf_done(&body);
}

TEST(streams_say_what_whole_answers_say)
{
    each_input(FOLDER "*.stream.sse", ".stream.sse", check_pair);
    expect_none_broken();
}

/* Arguments without spaces and line ends: some dialects carry them as an object. */
static void put_arguments(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '\\' && i + 1 < s.n;
        if (escape && s.p[i + 1] != 'n')
            buf_append(out, s.p + i, 2);
        else if (!escape && s.p[i] != ' ')
            buf_char(out, s.p[i]);
        i += escape;
    }
}

static void put_choice_gist(struct buf *out, const struct llm_choice *c)
{
    bool stops = c->finish == FINISH_SEQUENCE || c->finish == FINISH_PAUSE;
    buf_printf(out, "choice %u, finish %u: ", c->index,
               (unsigned)(stops ? FINISH_STOP : c->finish));
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (p->kind == PART_TEXT || p->kind == PART_REFUSAL)
            buf_slice(out, p->text.inner);
    }
    buf_slice(out, c->refusal.inner);
    for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
        if (p->kind != PART_TOOL_CALL)
            continue;
        buf_printf(out, " call " SLICE_FMT " " SLICE_FMT " ", SLICE_ARG(p->id), SLICE_ARG(p->name));
        put_arguments(out, p->arguments.inner);
    }
}

/* What every dialect can say of an answer: texts, calls, why it ended, tokens. */
static void put_gist(struct told *t, bool ok)
{
    const struct llm_usage *u = &t->decoder.usage;
    CHECK(llm_collect_end(&t->collector));
    if (t->answer.is_error || !ok) {
        buf_printf(&t->out, "an error");
        return;
    }
    for (const struct llm_choice *c = t->answer.choices; c != NULL; c = c->next) {
        if (c->index == 0 || !t->encoder.dialect->sequential) /* those know one choice only */
            put_choice_gist(&t->out, c);
    }
    buf_printf(&t->out, " tokens %" PRId64 " %" PRId64, MAX_OF(u->input, (int64_t)0),
               MAX_OF(u->output, (int64_t)0));
}

/* Free text as a tool's input is not to be had everywhere. */
static bool has_custom_call(const struct llm_answer *r)
{
    for (const struct llm_choice *c = r->choices; c != NULL; c = c->next) {
        for (const struct llm_part *p = c->parts; p != NULL; p = p->next) {
            if (p->custom)
                return true;
        }
    }
    return false;
}

/* What a dialect writes as a stream, the wire of that dialect reads, with the same gist. */
static void check_readable(struct slice stem, const struct target *from, struct slice text)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        const struct target *own = target_named(slice_str(dialects[i]->name));
        if (own == NULL)
            continue;
        struct told stream, direct, again;
        DOING(SLICE_FMT " to %s and back", SLICE_ARG(stem), dialects[i]->name);
        tell_stream(&stream, from, dialects[i], text, text.n, text.n);
        put_gist(&direct, gather(&direct, from, dialects[i], text));
        put_gist(&again, gather(&again, own, dialects[i], buf_view(&stream.out)));
        if (!stream.encoder.bad && !has_custom_call(&direct.answer))
            expect_same(buf_view(&again.out), buf_view(&direct.out));
        told_done(&again);
        told_done(&direct);
        told_done(&stream);
    }
}

TEST(streams_written_and_read_again)
{
    each_input(FOLDER "*.stream.sse", ".stream.sse", check_readable);
    expect_none_broken();
}

/* ---- Error bodies. */

static void check_error(struct slice stem, const struct target *from, const struct llm_dialect *to,
                        unsigned status, struct slice body)
{
    struct told t;
    struct llm_error e;
    struct buf written;
    char path[512];
    PATH(path, SLICE_FMT ".to-%s.json", SLICE_ARG(stem), to->name);
    DOING("%s", path);
    told_init(&t, from, to, false);
    buf_init(&written, FILE_MAX);
    from->wire->read_error(t.json, &t.arena, body, &e);
    CHECK(e.message.p != NULL);
    to->put_error(&written, status, &e, SLICE("req-0"));
    put_pretty(&t.out, t.json, buf_view(&written));
    golden_check(path, buf_view(&t.out));
    buf_done(&written);
    told_done(&t);
}

TEST(errors)
{
    glob_t files;
    golden_find(FOLDER "*.error-???.json", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice stem = golden_stem(files.gl_pathv[i], ".json"), rest = stem;
        uint64_t status = 0;
        slice_cut(&rest, '.');
        const struct target *from = target_named(slice_cut(&rest, '.'));
        DOING("%s", files.gl_pathv[i]);
        CHECK(slice_to_u64(slice_from(rest, sizeof "error-" - 1), &status));
        if (from == NULL)
            continue;
        struct buf body = golden_read(files.gl_pathv[i]);
        for (size_t k = 0; k < ARRAY_LEN(dialects); k++)
            check_error(stem, from, dialects[k], (unsigned)status, buf_view(&body));
        buf_done(&body);
    }
    globfree(&files);
}

/* Every output belongs to an input that is still there. */
TEST(outputs)
{
    glob_t files;
    golden_find(FOLDER "*.to-*", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i];
        char json[512], sse[512];
        int stem = (int)(strstr(path, ".to-") - path);
        snprintf(json, sizeof json, "%.*s.json", stem, path);
        snprintf(sse, sizeof sse, "%.*s.sse", stem, path);
        if (access(json, F_OK) != 0 && access(sse, F_OK) != 0)
            golden_absent(path);
    }
    globfree(&files);
}

/* Golden files of OpenAI's dialect, in openai/:
 *   CASE.json              a client's request (completions-*, embeddings-*, else chat), and
 *   CASE.PROVIDER.json     as that provider gets it, under the model name "upstream-model";
 *   CASE.PROVIDER.sse      a stream as that provider sends it, and
 *   CASE.PROVIDER.events   what each event says, and the event without usage where that differs. */
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "check.h"
#include "llm/openai.h"
#include "llm/sse.h"

#define FILE_MAX ((size_t)1 << 22)

static const char *const providers[] = {"openai", "mistral", "deepseek", "vllm"};

static struct buf read_file(const char *path)
{
    struct buf b;
    FILE *f = fopen(path, "rb");
    buf_init(&b, FILE_MAX);
    CHECK(f != NULL && buf_reserve(&b, FILE_MAX));
    b.n = fread(b.p, 1, FILE_MAX, f);
    fclose(f);
    return b;
}

static void write_file(const char *path, struct slice text)
{
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK_EQ_U64(fwrite(text.p, 1, text.n, f), text.n);
    CHECK(fclose(f) == 0);
}

/* `got` is what the file at `path` has, or becomes so. */
static void check_golden(const char *path, struct slice got)
{
    if (getenv("UPDATE") != NULL) {
        write_file(path, got);
        return;
    }
    struct buf want = read_file(path);
    check_note("%s", path);
    CHECK_EQ_SLICE(got, buf_view(&want));
    buf_done(&want);
}

/* The paths that match, in order; at least one. */
static void find(const char *pattern, glob_t *ret)
{
    CHECK(glob(pattern, 0, NULL, ret) == 0);
    CHECK(ret->gl_pathc > 0);
}

/* The name of the file without its folder and the last `suffix`. */
static struct slice stem_of(const char *path, const char *suffix)
{
    const char *name = strrchr(path, '/') + 1;
    return slice_of(name, strlen(name) - strlen(suffix));
}

static void edit_for(struct slice body, enum llm_op op, const char *provider, const char *path)
{
    struct json_parser *p = json_parser_new();
    struct arena a;
    struct llm_request r;
    struct llm_bad_request bad;
    struct llm_body out;
    struct buf text;
    arena_init(&a, NULL, FILE_MAX);
    buf_init(&text, FILE_MAX);
    bool ok = openai_read_request(p, &a, op, body, &r, &bad);
    CHECK_EQ_STR(bad.message, "");
    CHECK(ok);
    CHECK(openai_edit_request(&a, &r, llm_provider_find(slice_str(provider)),
                              SLICE("upstream-model"), &out));
    for (unsigned i = 0; i < out.parts; i++)
        buf_slice(&text, out.part[i]);
    check_golden(path, buf_view(&text));
    buf_done(&text);
    arena_reset(&a);
    json_parser_free(p);
}

TEST(requests)
{
    glob_t files;
    size_t cases = 0;
    find(GOLDEN_DIR "/openai/*.json", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice name = stem_of(files.gl_pathv[i], ".json");
        if (slice_find(name, '.') >= 0)
            continue;
        struct buf body = read_file(files.gl_pathv[i]);
        enum llm_op op = slice_starts(name, SLICE("completions-"))  ? LLM_COMPLETIONS
                         : slice_starts(name, SLICE("embeddings-")) ? LLM_EMBEDDINGS
                                                                    : LLM_CHAT;
        for (size_t p = 0; p < ARRAY_LEN(providers); p++) {
            char path[512];
            snprintf(path, sizeof path, GOLDEN_DIR "/openai/" SLICE_FMT ".%s.json", SLICE_ARG(name),
                     providers[p]);
            edit_for(buf_view(&body), op, providers[p], path);
        }
        buf_done(&body);
        cases++;
    }
    CHECK(cases >= 10);
    globfree(&files);
}

static void put_figure(struct buf *out, const char *name, int64_t v)
{
    if (v >= 0)
        buf_printf(out, " %s=%" PRId64, name, v);
}

static void put_field(struct buf *out, const char *name, struct slice s)
{
    if (s.p != NULL)
        buf_printf(out, " %s=" SLICE_FMT, name, SLICE_ARG(s));
}

/* One line for what the event says. */
static void put_scan(struct buf *out, const struct llm_scan *s)
{
    const struct {
        bool set;
        const char *name;
    } flags[] = {{s->is_error, "error"},    {s->done, "done"},       {s->content, "content"},
                 {s->finished, "finished"}, {s->has_usage, "usage"}, {s->usage_only, "only-usage"}};
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (flags[i].set)
            buf_printf(out, " %s", flags[i].name);
    }
    put_figure(out, "units", s->output_units > 0 ? (int64_t)s->output_units : -1);
    put_figure(out, "input", s->usage.input);
    put_figure(out, "output", s->usage.output);
    put_figure(out, "cached", s->usage.cached);
    put_figure(out, "cache-write", s->usage.cache_write);
    put_figure(out, "reasoning", s->usage.reasoning);
    put_field(out, "finish", s->finish_reason);
    put_field(out, "model", s->model);
    put_field(out, "message", s->error.message);
    put_field(out, "type", s->error.type);
    put_field(out, "param", s->error.param);
    put_field(out, "code", s->error.code);
    buf_char(out, '\n');
}

/* The bytes of an event with line ends made visible, less those at its end: where a stream is cut
 * in a CRLF, the LF belongs to what follows. */
static void put_raw(struct buf *out, struct slice raw)
{
    while (raw.n > 0 && (raw.p[raw.n - 1] == '\n' || raw.p[raw.n - 1] == '\r'))
        raw.n--;
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] == '\n' || raw.p[i] == '\r')
            buf_printf(out, raw.p[i] == '\n' ? "\\n" : "\\r");
        else
            buf_char(out, raw.p[i]);
    }
    buf_char(out, '\n');
}

static void put_event(struct buf *out, struct json_parser *p, const struct llm_provider *provider,
                      const struct sse_event *ev)
{
    struct llm_scan s;
    struct arena a;
    struct buf stripped;
    arena_init(&a, NULL, FILE_MAX);
    buf_init(&stripped, FILE_MAX);
    put_field(out, "event", ev->name);
    if (!ev->has_data) {
        buf_printf(out, " no data\n");
    } else if (!openai_scan_event(p, &a, provider, ev->data, &s)) {
        buf_printf(out, " BROKEN\n");
    } else {
        put_scan(out, &s);
        if (s.usage_member.value_end > 0) {
            openai_put_event_without_usage(&stripped, ev->raw, ev->data, &s.usage_member);
            buf_printf(out, "  ");
            put_raw(out, buf_view(&stripped));
        }
    }
    buf_done(&stripped);
    arena_reset(&a);
}

/* The events of a stream that comes in pieces of `step` bytes, the first of `first`. */
static struct buf events_of(struct slice text, const struct llm_provider *provider, size_t first,
                            size_t step)
{
    struct json_parser *p = json_parser_new();
    struct buf out, held, scratch;
    struct sse_event ev;
    size_t scanned = 0, number = 0, at = 0;
    buf_init(&out, FILE_MAX);
    buf_init(&held, FILE_MAX);
    buf_init(&scratch, FILE_MAX);
    while (at < text.n) {
        size_t n = MIN_OF(at == 0 && first > 0 ? first : step, text.n - at);
        buf_append(&held, text.p + at, n);
        at += n;
        struct slice in = buf_view(&held);
        while (sse_next(&in, &scanned, &scratch, &ev)) {
            if (!ev.has_data && ev.raw.n <= 2) /* a blank line, or the LF of a CRLF cut in two */
                continue;
            buf_printf(&out, "%zu:", ++number);
            put_event(&out, p, provider, &ev);
        }
        buf_consume(&held, held.n - in.n);
    }
    if (held.n > 0) {
        buf_printf(&out, "rest: ");
        put_raw(&out, buf_view(&held));
    }
    buf_done(&held);
    buf_done(&scratch);
    json_parser_free(p);
    return out;
}

/* The provider of "CASE.PROVIDER". */
static const struct llm_provider *provider_of(struct slice stem)
{
    slice_cut(&stem, '.');
    const struct llm_provider *p = llm_provider_find(stem);
    CHECK(p != NULL);
    return p;
}

TEST(streams)
{
    glob_t files;
    find(GOLDEN_DIR "/openai/*.sse", &files);
    CHECK(files.gl_pathc >= 11);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice stem = stem_of(files.gl_pathv[i], ".sse");
        struct buf text = read_file(files.gl_pathv[i]);
        char path[512];
        check_note("%s", files.gl_pathv[i]);
        struct buf events = events_of(buf_view(&text), provider_of(stem), 0, text.n);
        snprintf(path, sizeof path, GOLDEN_DIR "/openai/" SLICE_FMT ".events", SLICE_ARG(stem));
        check_golden(path, buf_view(&events));
        buf_done(&events);
        buf_done(&text);
    }
    globfree(&files);
}

static void check_same(struct slice text, const struct llm_provider *provider, size_t first,
                       size_t step, struct slice want)
{
    struct buf got = events_of(text, provider, first, step);
    CHECK_EQ_SLICE(buf_view(&got), want);
    buf_done(&got);
}

TEST(streams_cut_anywhere)
{
    glob_t files;
    find(GOLDEN_DIR "/openai/*.sse", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct slice stem = stem_of(files.gl_pathv[i], ".sse");
        struct buf text = read_file(files.gl_pathv[i]);
        const struct llm_provider *provider = provider_of(stem);
        struct buf whole = events_of(buf_view(&text), provider, 0, text.n);
        check_same(buf_view(&text), provider, 0, 1, buf_view(&whole));
        for (size_t cut = 1; cut < text.n; cut++) {
            check_note("%s cut at %zu", files.gl_pathv[i], cut);
            check_same(buf_view(&text), provider, cut, text.n, buf_view(&whole));
        }
        buf_done(&whole);
        buf_done(&text);
    }
    globfree(&files);
}

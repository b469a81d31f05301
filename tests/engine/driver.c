/* A supervisor alone in a process, for tests: orders come as JSON lines on standard input, what
 * happens goes to standard output the same way. Started again as `engine_driver engine-shim` it is
 * the shim, as weir is. A second thread reads the metrics all the time.
 *
 * Orders ({"do": ...}): apply {engines}, dump, metrics, socket {engine}, take {engine}, give
 * {engine}, gate {engine}, owns {pid}, find {binary}, stop, free. The end of the input means stop.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/supervisor.h"
#include "gateway/gate.h"
#include "net/upstream.h"
#include "observe/log.h"

#define LINE_BYTES  ((size_t)1 << 20)
#define ENGINES_MAX 16
#define ARGS_MAX    64
#define WAITERS_MAX 64
#define MSG_GRANT   NET_MSG_FREE

struct driver {
    struct net_loop loop;
    struct supervisor *supervisor;
    struct json_parser *parser;
    uv_pipe_t input;
    struct buf in;
    struct permit_waiter waiters[WAITERS_MAX];
    unsigned waiters_n;
    pthread_t scraper;
    _Atomic bool ending;
};

static struct driver d;

struct order {
    struct json_doc doc;
    struct arena arena;
};

static void print(const struct buf *b)
{
    ASSERT(!b->failed);
    printf("%.*s\n", (int)b->n, b->p);
    fflush(stdout);
}

/* {"key": value} on one line. */
static void say(const char *key, struct slice value)
{
    struct buf b;
    buf_init(&b, LINE_BYTES);
    struct json_writer w = json_writer(&b);
    jw_open(&w, '{');
    jw_key_slice(&w, slice_str(key));
    jw_string(&w, value);
    jw_close(&w, '}');
    print(&b);
    buf_done(&b);
}

static struct slice text_of(struct order *o, uint32_t node, const char *key)
{
    uint32_t at = json_get(&o->doc, node, slice_str(key));
    return at != 0 ? json_string(&o->doc, at, &o->arena) : SLICE_NONE;
}

static int64_t number_of(struct order *o, uint32_t node, const char *key, int64_t otherwise)
{
    uint32_t at = json_get(&o->doc, node, slice_str(key));
    int64_t v = otherwise;
    ASSERT(at == 0 || json_i64(&o->doc, at, &v));
    return v;
}

static void read_engine(struct order *o, uint32_t node, struct engine_config *c)
{
    struct slice *args = mem_must(arena_zalloc(&o->arena, ARGS_MAX * sizeof *args));
    uint32_t list = json_get(&o->doc, node, SLICE("args"));
    *c = (struct engine_config){
        .name = text_of(o, node, "name"),
        .model = text_of(o, node, "model"),
        .binary = text_of(o, node, "binary"),
        .args = args,
        .slots = number_of(o, node, "slots", 2),
        .threads = number_of(o, node, "threads", 1),
        .context = number_of(o, node, "context", 0),
        .cache_ram_mib = number_of(o, node, "cache_ram_mib", 0),
        .start_timeout_ns = number_of(o, node, "start_timeout_ms", 20000) * NS_PER_MS,
        .drain_ns = number_of(o, node, "drain_ms", 0) * NS_PER_MS,
        .queue = number_of(o, node, "queue", 8),
    };
    if (list == 0)
        return;
    for (uint32_t i = json_first(&o->doc, list); i < json_end(&o->doc, list);
         i = json_after(&o->doc, i)) {
        ASSERT(c->args_n < ARGS_MAX);
        args[c->args_n++] = json_string(&o->doc, i, &o->arena);
    }
}

static void do_apply(struct order *o)
{
    struct engine_config configs[ENGINES_MAX];
    size_t n = 0;
    uint32_t list = json_get(&o->doc, 0, SLICE("engines"));
    ASSERT(list != 0);
    for (uint32_t i = json_first(&o->doc, list); i < json_end(&o->doc, list);
         i = json_after(&o->doc, i)) {
        ASSERT(n < ENGINES_MAX);
        read_engine(o, i, &configs[n++]);
    }
    say("apply", supervisor_apply(d.supervisor, configs, n) ? SLICE("ok") : SLICE("no memory"));
}

static void do_dump(struct order *o)
{
    struct buf b;
    (void)o;
    buf_init(&b, LINE_BYTES);
    struct json_writer w = json_writer(&b);
    jw_open(&w, '{');
    jw_key(&w, "dump");
    supervisor_dump(d.supervisor, &w);
    jw_close(&w, '}');
    print(&b);
    buf_done(&b);
}

static void do_metrics(struct order *o)
{
    struct buf b;
    (void)o;
    buf_init(&b, LINE_BYTES);
    supervisor_metrics(&b, d.supervisor);
    say("metrics", buf_view(&b));
    buf_done(&b);
}

static void do_socket(struct order *o)
{
    char path[200];
    bool ok = supervisor_socket(d.supervisor, text_of(o, 0, "engine"), path, sizeof path);
    say("socket", ok ? slice_str(path) : SLICE_NONE);
}

static struct gate *gate_of(struct order *o)
{
    struct slice name = arena_printf(&o->arena, "engine/%.*s", SLICE_ARG(text_of(o, 0, "engine")));
    return mem_must(gate_get(name));
}

/* Under the gate's lock. */
static void on_grant(struct permit_waiter *w)
{
    (void)w;
    ASSERT(net_loop_post(&d.loop, (struct mailbox_msg){.kind = MSG_GRANT}));
}

static void say_granted(struct net_loop *loop, const struct mailbox_msg *msg, void *ctx)
{
    (void)loop;
    (void)msg;
    (void)ctx;
    say("granted", SLICE("yes"));
}

static void do_take(struct order *o)
{
    static const char *const results[] = {"taken", "waiting", "refused"};
    struct gate *g = gate_of(o);
    ASSERT(d.waiters_n < WAITERS_MAX);
    struct permit_waiter *w = &d.waiters[d.waiters_n++];
    w->grant = on_grant;
    bool failed = gate_state(g) == GATE_FAILED;
    enum permit_result r = failed ? PERMIT_REFUSED : permits_take(&g->permits, w);
    say("take", failed ? SLICE("failed") : slice_str(results[r]));
    if (r == PERMIT_REFUSED)
        gate_unref(g); /* else whoever has a place, or waits for one, keeps the gate */
}

static void do_give(struct order *o)
{
    struct gate *g = gate_of(o);
    permits_give(&g->permits);
    say("give", SLICE("ok"));
    gate_unref(g);
    gate_unref(g); /* the one from `take` */
}

static void do_gate(struct order *o)
{
    static const char *const names[] = {"open", "starting", "failed"};
    struct gate *g = gate_of(o);
    say("gate", slice_str(names[gate_state(g)]));
    gate_unref(g);
}

static void do_owns(struct order *o)
{
    bool owns = supervisor_owns(d.supervisor, number_of(o, 0, "pid", 0));
    say("owns", owns ? SLICE("yes") : SLICE("no"));
}

static void do_find(struct order *o)
{
    char path[1024];
    bool found = engine_find_binary(text_of(o, 0, "binary"), path, sizeof path);
    say(found ? "found" : "missing", slice_str(path));
}

static void on_stopped(void *ctx)
{
    (void)ctx;
    say("stopped", SLICE("yes"));
    net_loop_stop(&d.loop);
}

static void do_stop(struct order *o)
{
    (void)o;
    supervisor_stop(d.supervisor, on_stopped, NULL);
}

/* The end without a stop, as after an error. */
static void do_free(struct order *o)
{
    (void)o;
    say("free", SLICE("ok"));
    net_loop_stop(&d.loop);
}

static void obey(struct slice line)
{
    static const struct {
        const char *name;
        void (*run)(struct order *o);
    } orders[] = {
        {"apply", do_apply}, {"dump", do_dump}, {"metrics", do_metrics}, {"socket", do_socket},
        {"take", do_take},   {"give", do_give}, {"gate", do_gate},       {"owns", do_owns},
        {"find", do_find},   {"stop", do_stop}, {"free", do_free},
    };
    struct order o;
    bool known = false;
    arena_init(&o.arena, NULL, LINE_BYTES);
    ASSERT(json_parse(d.parser, line, 0, &o.doc) == JSON_OK);
    struct slice what = text_of(&o, 0, "do");
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        if (slice_is(what, orders[i].name)) {
            orders[i].run(&o);
            known = true;
        }
    }
    ASSERT(known);
    arena_reset(&o.arena);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    ASSERT(buf_reserve(&d.in, 4096));
    *buf = uv_buf_init(d.in.p + d.in.n, (unsigned)(d.in.size - d.in.n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    net_now(&d.loop);
    if (n < 0) {
        uv_read_stop(stream);
        supervisor_stop(d.supervisor, on_stopped, NULL);
        return;
    }
    d.in.n += (size_t)n;
    for (ptrdiff_t at; (at = slice_find(buf_view(&d.in), '\n')) >= 0;) {
        obey(slice_of(d.in.p, (size_t)at));
        buf_consume(&d.in, (size_t)at + 1);
    }
}

static void *scrape(void *arg)
{
    struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};
    struct buf b;
    (void)arg;
    buf_init(&b, LINE_BYTES);
    while (!d.ending) {
        buf_reset(&b);
        supervisor_metrics(&b, d.supervisor);
        ASSERT(!b.failed);
        nanosleep(&pause, NULL);
    }
    buf_done(&b);
    return NULL;
}

int main(int argc, char **argv)
{
    struct block_budget budget = {.limit_bytes = 64 << 20};
    if (argc == 2 && strcmp(argv[1], "engine-shim") == 0)
        return engine_shim_main();
    if (argc != 2) {
        fputs("usage: engine_driver RUN-FOLDER\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    ASSERT(log_start(LOG_INFO, "off"));
    ASSERT(net_loop_init(&d.loop, 1024, &budget) == 0);
    d.parser = mem_must(json_parser_new());
    d.supervisor = mem_must(supervisor_new(&d.loop, argv[1], argv[0]));
    buf_init(&d.in, LINE_BYTES);
    net_loop_on_message(&d.loop, MSG_GRANT, say_granted, NULL);
    uv_pipe_init(&d.loop.uv, &d.input, 0);
    ASSERT(uv_pipe_open(&d.input, STDIN_FILENO) == 0);
    ASSERT(uv_read_start((uv_stream_t *)&d.input, on_alloc, on_read) == 0);
    ASSERT(pthread_create(&d.scraper, NULL, scrape, NULL) == 0);
    net_loop_run(&d.loop);
    d.ending = true;
    pthread_join(d.scraper, NULL);
    supervisor_free(d.supervisor);
    net_loop_done(&d.loop);
    json_parser_free(d.parser);
    buf_done(&d.in);
    log_stop();
    return 0;
}

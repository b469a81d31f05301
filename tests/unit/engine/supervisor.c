/* The supervisor where no process can be started. */
#include "engine/supervisor.h"

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "gateway/gate.h"
#include "process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct net_loop loop;
static struct block_budget budget = {.limit_bytes = 1 << 20};
static struct supervisor *supervisor;
static bool stopped;

static const struct engine_config configs[] = {
    {.name = SLICE("a"), .model = SLICE("m"), .binary = SLICE("/x"), .slots = 2, .queue = 3},
    {.name = SLICE("b"), .model = SLICE("m"), .binary = SLICE("/x"), .slots = 2, .queue = 3},
};

static void on_stopped(void *ctx)
{
    (void)ctx;
    stopped = true;
    net_loop_stop(&loop);
}

static void stop_and_run(void)
{
    stopped = false;
    supervisor_stop(supervisor, on_stopped, NULL);
    net_loop_run(&loop);
    CHECK(stopped);
}

static bool dump_has(const char *text)
{
    struct buf b;
    buf_init(&b, 65536);
    struct json_writer w = json_writer(&b);
    supervisor_dump(supervisor, &w);
    buf_char(&b, '\0');
    bool found = !b.failed && strstr(b.p, text) != NULL;
    buf_done(&b);
    return found;
}

TEST(a_shim_that_cannot_be_run)
{
    struct gate *gate = mem_must(gate_get(SLICE("engine/a")));
    CHECK_EQ_I64(net_loop_init(&loop, 64, &budget), 0);
    supervisor = mem_must(supervisor_new(&loop, "/tmp", "/nonexistent/weir"));
    CHECK(supervisor_apply(supervisor, configs, 1));
    CHECK_EQ_I64(gate_state(gate), GATE_STARTING);
    CHECK(dump_has("\"state\":\"backoff\""));
    CHECK(dump_has("cannot run /nonexistent/weir: no such file"));
    CHECK(!supervisor_owns(supervisor, getpid()));
    CHECK(supervisor_apply(supervisor, configs, 0));
    CHECK_EQ_I64(gate_state(gate), GATE_FAILED);
    CHECK(supervisor_apply(supervisor, configs, 2)); /* before the first one was forgotten */
    CHECK(dump_has("\"name\":\"b\""));
    stop_and_run();
    CHECK(supervisor_apply(supervisor, configs, 2)); /* too late */
    CHECK(!dump_has("name"));
    supervisor_free(supervisor);
    net_loop_done(&loop);
    gate_unref(gate);
}

TEST(a_stop_of_nothing)
{
    CHECK_EQ_I64(net_loop_init(&loop, 64, &budget), 0);
    supervisor = mem_must(supervisor_new(&loop, "/tmp", "/nonexistent/weir"));
    stop_and_run();
    supervisor_free(supervisor);
    supervisor_free(NULL);
    net_loop_done(&loop);
}

/* Applies all or nothing, and can be freed in any state. */
static void apply_once(void *arg)
{
    (void)arg;
    struct supervisor *s = supervisor_new(&loop, "/tmp", "/nonexistent/weir");
    if (s == NULL)
        return;
    struct buf b;
    bool ok = supervisor_apply(s, configs, ARRAY_LEN(configs));
    buf_init(&b, 65536);
    supervisor_metrics(&b, s);
    if (!b.failed)
        CHECK(ok ? b.n > 0 : b.n == 0);
    buf_done(&b);
    supervisor_free(s);
    uv_run(&loop.uv, UV_RUN_NOWAIT); /* what was closing is closed */
}

TEST(apply_without_memory)
{
    CHECK_EQ_I64(net_loop_init(&loop, 64, &budget), 0);
    CHECK(check_torture(apply_once, NULL) > 0);
    net_loop_done(&loop);
}

TEST(groups_of_processes)
{
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        pause();
        _exit(0);
    }
    setpgid(child, child);
    CHECK(process_group_runs(child));
    kill(child, SIGKILL);
    siginfo_t info;
    CHECK_EQ_I64(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    CHECK(kill(-child, 0) == 0 && !process_group_runs(child)); /* not waited for */
    CHECK_EQ_I64(waitpid(child, NULL, 0), child);
    CHECK(!process_group_runs(child));
}

TEST(facts_about_processes)
{
    int64_t rss = process_rss_bytes(getpid());
    CHECK(rss == -1 || rss > 100000);
    CHECK_EQ_I64(process_rss_bytes(0x7ffffff0), -1);
}

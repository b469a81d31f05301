/* Local engines: llama-server processes that Weir starts, watches and stops. Everything here runs
 * on the control thread's loop, on the thread that started the process: the kernel ends engines
 * with it. An engine is reached by requests through its Unix socket, and lets them in through the
 * gate "engine/<name>" (gateway/gate.h): held while it starts, refused when it cannot run. SIGPIPE
 * is to be ignored. */
#ifndef ENGINE_SUPERVISOR_H
#define ENGINE_SUPERVISOR_H

#include "base/json_write.h"
#include "base/slice.h"
#include "net/loop.h"

struct engine_config {
    struct slice name;
    struct slice model;  /* GGUF file */
    struct slice binary; /* llama-server, or `llama` (then run as `llama serve`), with its path */
    const struct slice *args; /* further arguments */
    size_t args_n;
    int64_t slots;            /* requests at the same time */
    int64_t threads;          /* 0: all cores */
    int64_t context;          /* tokens, all slots together; 0: the model's own */
    int64_t cache_ram_mib;    /* for prompts computed before; 0: none */
    int64_t start_timeout_ns; /* without any sign of progress */
    int64_t drain_ns;         /* how long open requests may keep a process that is to end */
    int64_t queue;            /* requests that may wait */
};

struct supervisor;

/* `run_dir` exists and holds the engines' sockets; `self` is the path of the weir binary, which is
 * run again as `weir engine-shim`. NULL: no memory. */
NODISCARD struct supervisor *supervisor_new(struct net_loop *loop, const char *run_dir,
                                            const char *self);

/* The engines that are to run from now on: new ones start, missing ones drain and stop, and so do
 * those that need another process, before they start again. What failed is tried again at once.
 * Configs are copied; names are unique. Their gates are set before this returns: call it before
 * requests can find a new engine. Does nothing after supervisor_stop. False: no memory, and nothing
 * has changed. */
NODISCARD bool supervisor_apply(struct supervisor *s, const struct engine_config *configs,
                                size_t n);

/* Socket of the engine `name`: "<run_dir>/<name>.sock", into `out`; false: too long for a socket,
 * or not possible in llama-server's list of hosts. */
NODISCARD bool supervisor_socket(const struct supervisor *s, struct slice name, char *out,
                                 size_t size);

/* How long the engine `name` has had a process, in all, since it came into the configuration; 0
 * when there is no such engine. */
int64_t supervisor_ran_ns(const struct supervisor *s, struct slice name);

/* Is `pid` a child that the supervisor waits for? For a process 1 that reaps all others. */
bool supervisor_owns(const struct supervisor *s, int64_t pid);

/* Ends all engines: waits for open requests as `drain_ns` allows, SIGTERM, 2 s later SIGKILL, both
 * to their whole groups. `done` is called on the loop when nothing of them is left. */
void supervisor_stop(struct supervisor *s, void (*done)(void *ctx), void *ctx);

/* After `done`; before it, engines are killed, which may take a moment longer than this call. The
 * loop must not have been done with yet. NULL is fine. */
void supervisor_free(struct supervisor *s);

/* An array of objects with name, state, since (wall time), model, socket, pid (0: none), restarts,
 * start_ms, slots, in_flight, waiting, and the reason of the last failure. */
void supervisor_dump(const struct supervisor *s, struct json_writer *w);

/* Metrics of all engines, as a collector (observe/metrics.h); any thread, until supervisor_free. */
void supervisor_metrics(struct buf *out, void *supervisor);

/* `weir engine-shim`: the small process between Weir and an engine; file descriptor 3 is its line
 * to Weir. Returns the exit status. */
int engine_shim_main(void);

/* Looks for an engine binary: `configured` if given (a name without a slash: on PATH), else
 * llama-server, then llama, on PATH, then the cache where `make run` puts it. May wait a moment for
 * `llama serve --version`. False: nothing found; `out` says what was looked at. */
NODISCARD bool engine_find_binary(struct slice configured, char *out, size_t size);

#endif

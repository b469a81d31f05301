/* Local engines: llama-server processes that Weir starts, watches and stops. Everything here runs on
 * the control thread's loop. An engine is reached by requests through its Unix socket, and lets them
 * in through its gate (gateway/gate.h): held while it starts, refused when it cannot run. */
#ifndef ENGINE_SUPERVISOR_H
#define ENGINE_SUPERVISOR_H

#include "base/json_write.h"
#include "base/slice.h"
#include "net/loop.h"

struct engine_config {
    struct slice name;
    struct slice model;  /* GGUF file */
    struct slice binary; /* llama-server, or `llama` (then run as `llama serve`) */
    const struct slice *args; /* further arguments */
    size_t args_n;
    int64_t slots, threads, context; /* threads 0: all cores; context 0: the model's own */
    int64_t cache_ram_mib;
    int64_t start_timeout_ns; /* without any sign of progress */
    int64_t drain_ns;
    int64_t queue;
};

struct supervisor;

/* `run_dir` holds the engines' sockets and state files; `self` is the path of the weir binary, which
 * is run again as `weir engine-shim`. NULL: no memory. */
NODISCARD struct supervisor *supervisor_new(struct net_loop *loop, const char *run_dir,
                                            const char *self);

/* The engines that are to run from now on: new ones start, changed ones restart after draining,
 * missing ones stop. Configs are copied. False: no memory. */
NODISCARD bool supervisor_apply(struct supervisor *s, const struct engine_config *configs, size_t n);

/* Socket of the engine `name`: "<run_dir>/<name>.sock", into `out`; false: too long for a socket. */
NODISCARD bool supervisor_socket(const struct supervisor *s, struct slice name, char *out,
                                 size_t size);

/* Ends all engines (SIGTERM, then SIGKILL to their groups); `done` is called on the loop. */
void supervisor_stop(struct supervisor *s, void (*done)(void *ctx), void *ctx);
void supervisor_free(struct supervisor *s);

/* An array with name, state, pid, restarts, since, reason of the last failure. */
void supervisor_dump(const struct supervisor *s, struct json_writer *w);

/* Metrics of all engines, as a collector (observe/metrics.h); any thread. */
void supervisor_metrics(struct buf *out, void *supervisor);

/* `weir engine-shim`: the small process between Weir and an engine. Returns the exit status. */
int engine_shim_main(void);

/* Looks for an engine binary: `configured` if given, else llama-server, then llama, on PATH, then the
 * cache where `make run` puts it. False: nothing found; `out` says what was looked at. */
NODISCARD bool engine_find_binary(struct slice configured, char *out, size_t size);

#endif

/* The life of one engine process. All changes of state go through `move`. */
#include "replica.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "observe/log.h"
#include "process.h"
#include "tail.h"

#define REPLICA_MAGIC   0x5245504cu
#define NEVER_NS        INT64_MAX
#define POLL_FIRST_NS   (10 * NS_PER_MS)
#define POLL_MAX_NS     (250 * NS_PER_MS)
#define HEALTH_EVERY_NS (5 * NS_PER_S)
#define HEALTH_WAIT_NS  (5 * NS_PER_S) /* for an answer */
#define HEALTH_FAILURES 3              /* in a row: it is started again */
#define START_CAP       10 /* times start_timeout: no start takes longer, whatever it shows */
#define RSS_STEP_BYTES  ((int64_t)256 << 10) /* less growth is no progress */
#define DRAIN_EVERY_NS  (20 * NS_PER_MS)
#define LINGER_EVERY_NS (20 * NS_PER_MS)
#define TERM_WAIT_NS    (2 * NS_PER_S) /* from SIGTERM to SIGKILL */
#define KILL_WAIT_NS    (2 * NS_PER_S) /* from SIGKILL to ending the shim itself */

static const struct {
    const char *name;
    enum gate_state gate;
} states[] = {
#define X(id, name, gate) {name, gate},
    REPLICA_STATES(X)
#undef X
};

const char *replica_state_name(enum replica_state s)
{
    return states[s].name;
}

static bool on_its_way_out(const struct replica *r)
{
    return r->state == REPLICA_DRAINING || r->state == REPLICA_STOPPING;
}

enum gate_state replica_gate(const struct replica *r)
{
    return states[on_its_way_out(r) ? r->next : r->state].gate;
}

static bool may_move(enum replica_state from, enum replica_state to)
{
#define TO(id) (1u << REPLICA_##id)
    static const unsigned allowed[REPLICA_STATES_N] = {
        [REPLICA_STOPPED] = TO(STARTING),
        [REPLICA_STARTING] = TO(READY) | TO(STOPPING),
        [REPLICA_READY] = TO(DRAINING) | TO(STOPPING),
        [REPLICA_DRAINING] = TO(READY) | TO(STOPPING),
        [REPLICA_STOPPING] = TO(STOPPED) | TO(STARTING) | TO(BACKOFF) | TO(FAILED),
        [REPLICA_BACKOFF] = TO(STARTING) | TO(STOPPED),
        [REPLICA_FAILED] = TO(STARTING) | TO(RETRYING) | TO(STOPPED),
        [REPLICA_RETRYING] = TO(STARTING) | TO(READY) | TO(STOPPING),
    };
#undef TO
    return (allowed[from] >> to & 1) != 0;
}

/* "engine.ready" and so on. */
static void log_state(const struct replica *r)
{
    struct slice name = r->settings->config.name;
    long long ms =
        (long long)((r->state == REPLICA_READY ? r->start_took_ns : r->pause_ns) / NS_PER_MS);
    switch (r->state) {
    case REPLICA_STARTING:
    case REPLICA_RETRYING:
        log_event(LOG_INFO, "engine.starting", "%.*s: %.*s", SLICE_ARG(name),
                  SLICE_ARG(r->settings->config.model));
        break;
    case REPLICA_READY:
        log_event(LOG_INFO, "engine.ready", "%.*s: after %lld ms, pid %lld", SLICE_ARG(name), ms,
                  (long long)r->pid);
        break;
    case REPLICA_BACKOFF:
        log_event(LOG_WARN, "engine.backoff", "%.*s: %s; next start in %lld ms", SLICE_ARG(name),
                  r->reason, ms);
        break;
    case REPLICA_FAILED:
        log_event(LOG_ERROR, "engine.failed", "%.*s: %s; next start in %lld ms", SLICE_ARG(name),
                  r->reason, ms);
        break;
    case REPLICA_STOPPED: log_event(LOG_INFO, "engine.stopped", "%.*s", SLICE_ARG(name)); break;
    case REPLICA_DRAINING: log_event(LOG_INFO, "engine.draining", "%.*s", SLICE_ARG(name)); break;
    case REPLICA_STOPPING: log_event(LOG_INFO, "engine.stopping", "%.*s", SLICE_ARG(name)); break;
    case REPLICA_STATES_N: break;
    }
}

static void wake_at(struct replica *r, int64_t at_ns)
{
    bool set = net_timer_set(r->loop, &r->timer, at_ns);
    ASSERT(set); /* it is armed: moving it cannot fail */
}

/* The only place that changes the state. `wake_ns` is when `on_timer` is to look at it. */
static void move(struct replica *r, enum replica_state to, int64_t wake_ns)
{
    ASSERT(may_move(r->state, to));
    r->state = to;
    r->state_since_ns = net_now(r->loop);
    r->state_since_wall_ns = clock_wall_ns();
    wake_at(r, wake_ns);
    log_state(r);
    r->owner->changed(r);
}

static void set_reason(struct replica *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void set_reason(struct replica *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->reason, sizeof r->reason, fmt, ap);
    va_end(ap);
}

static void start(struct replica *r, enum replica_state how);

/* The shim ended without a word of the engine, and is not there to end the engine's group. */
static bool lingers(struct replica *r)
{
    int64_t now_ns = net_now(r->loop);
    if (r->pid == 0 || kill((pid_t)-r->pid, SIGKILL) != 0 || !process_group_runs((pid_t)r->pid))
        return false;
    if (now_ns < r->deadline_ns) {
        wake_at(r, now_ns + LINGER_EVERY_NS);
        return true;
    }
    log_event(LOG_WARN, "engine.stuck", "%.*s: something of process group %lld is still there",
              SLICE_ARG(r->settings->config.name), (long long)r->pid);
    return false;
}

/* The shim is gone. When nothing of the engine is left either: on to what was to come next. */
static void finish_stopping(struct replica *r)
{
    if (lingers(r))
        return;
    r->pid = 0;
    if (r->settings->socket != NULL)
        unlink(r->settings->socket);
    if (r->fresh != NULL) {
        settings_free(r->settings);
        r->settings = TAKE(r->fresh);
    }
    if (r->next == REPLICA_STARTING) {
        start(r, REPLICA_STARTING);
    } else if (r->next == REPLICA_STOPPED) {
        move(r, REPLICA_STOPPED, NEVER_NS);
    } else {
        move(r, r->next, net_now(r->loop) + r->pause_ns);
    }
}

static void send_signal(struct replica *r, int signum)
{
    /* If it does not get through, the next step is harder. */
    (void)!channel_send(r->channel, &(struct shim_message){.type = SHIM_SIGNAL, .number = signum});
}

static void begin_stopping(struct replica *r, enum replica_state next)
{
    probe_cancel(&r->probe);
    r->next = next;
    r->stop_steps = 0;
    move(r, REPLICA_STOPPING, net_now(r->loop) + TERM_WAIT_NS);
    if (r->channel == NULL)
        finish_stopping(r);
    else
        send_signal(r, SIGTERM);
}

/* Harder and harder, until the channel says that it is closed. */
static void stop_harder(struct replica *r)
{
    struct slice name = r->settings->config.name;
    r->stop_steps++;
    if (r->stop_steps == 1) {
        send_signal(r, SIGKILL);
    } else {
        log_event(LOG_WARN, "engine.stuck", "%.*s: its shim does not answer and is killed",
                  SLICE_ARG(name));
        channel_kill(r->channel);
    }
    wake_at(r, net_now(r->loop) + KILL_WAIT_NS);
}

/* The engine did what it should not have done, as `r->reason` says: it ends, and after a pause it
 * starts again. */
static void fail(struct replica *r)
{
    int64_t now_ns = net_now(r->loop);
    int64_t ready_ns =
        r->state == REPLICA_READY || r->state == REPLICA_DRAINING ? now_ns - r->state_since_ns : -1;
    r->pause_ns = retry_failed(&r->retry, now_ns, ready_ns);
    begin_stopping(r, r->retry.given_up ? REPLICA_FAILED : REPLICA_BACKOFF);
}

static void on_started(struct replica *r, int64_t pid)
{
    r->pid = pid;
    r->progress_ns = net_now(r->loop);
    r->owner->changed(r);
}

static void on_exited(struct replica *r, const struct shim_message *m)
{
    bool was_ready = r->state == REPLICA_READY;
    struct slice line = tail_reason(m->list, m->list_n, !was_ready);
    r->pid = 0;
    if (r->state == REPLICA_DRAINING)
        begin_stopping(r, r->next);
    if (r->state == REPLICA_STOPPING)
        return; /* as it was told; the channel closes next */
    if (m->text.n > 0)
        set_reason(r, "%.*s", SLICE_ARG(m->text));
    else if (m->signal != 0)
        set_reason(r, "ended by signal %d (%s)%s%.*s", (int)m->signal, strsignal((int)m->signal),
                   line.n > 0 ? ": " : "", SLICE_ARG(line));
    else
        set_reason(r, "exited with code %d%s%.*s", (int)m->number, line.n > 0 ? ": " : "",
                   SLICE_ARG(line));
    fail(r);
}

static void on_message(void *ctx, const struct shim_message *m)
{
    struct replica *r = ctx;
    switch (m->type) {
    case SHIM_STARTED: on_started(r, m->number); break;
    case SHIM_OUTPUT: r->progress_ns = net_now(r->loop); break;
    case SHIM_EXITED: on_exited(r, m); break;
    case SHIM_START:
    case SHIM_SIGNAL:
    case SHIM_MESSAGES_N: break; /* those are ours to send */
    }
}

static void on_channel_closed(void *ctx)
{
    struct replica *r = ctx;
    r->channel = NULL;
    r->deadline_ns = net_now(r->loop) + KILL_WAIT_NS;
    if (r->state == REPLICA_STOPPING) {
        finish_stopping(r);
    } else if (r->state == REPLICA_DRAINING) {
        begin_stopping(r, r->next);
    } else {
        set_reason(r, "its shim has ended");
        fail(r);
    }
}

/* Spawns; in the state STARTING or RETRYING. */
static bool spawn(struct replica *r)
{
    static const struct channel_ops ops = {.on_message = on_message,
                                           .on_closed = on_channel_closed};
    const struct settings *s = r->settings;
    const char *why;
    if (s->socket == NULL) {
        set_reason(r, "the path of its socket would be too long, or its name cannot be in one");
        return false;
    }
    unlink(s->socket); /* llama-server does not start when one is left over */
    r->channel = channel_open(r->loop, r->self, s->env, &ops, r, &why);
    if (r->channel == NULL) {
        set_reason(r, "cannot run %s: %s", r->self, why);
        return false;
    }
    struct shim_message m = {.type = SHIM_START, .list = s->argv, .list_n = s->argv_n};
    if (channel_send(r->channel, &m))
        return true;
    set_reason(r, "out of memory");
    return false;
}

static void start(struct replica *r, enum replica_state how)
{
    int64_t now_ns = net_now(r->loop);
    r->starts++;
    r->progress_ns = now_ns;
    r->rss_bytes = 0;
    r->poll_ns = POLL_FIRST_NS;
    r->probe_failures = 0;
    move(r, how, now_ns + POLL_FIRST_NS);
    if (!spawn(r))
        fail(r);
}

/* STARTING, RETRYING: is it still getting on? */
static void watch_start(struct replica *r)
{
    int64_t now_ns = net_now(r->loop), patience_ns = r->settings->config.start_timeout_ns;
    int64_t rss = r->pid > 0 ? process_rss_bytes((pid_t)r->pid) : -1;
    if (rss >= r->rss_bytes + RSS_STEP_BYTES) {
        r->rss_bytes = rss;
        r->progress_ns = now_ns;
    }
    if (now_ns - r->progress_ns >= patience_ns) {
        set_reason(r, "no sign of progress for %lld s while it started",
                   (long long)(patience_ns / NS_PER_S));
        fail(r);
    } else if (now_ns - r->state_since_ns >= START_CAP * patience_ns) {
        set_reason(r, "not ready %lld s after its start",
                   (long long)(START_CAP * patience_ns / NS_PER_S));
        fail(r);
    } else {
        wake_at(r, now_ns + r->poll_ns);
        r->poll_ns = MIN_OF(r->poll_ns * 5 / 4, POLL_MAX_NS);
        if (r->probe.flying && now_ns - r->probed_ns >= HEALTH_WAIT_NS)
            probe_cancel(&r->probe);
        if (!r->probe.flying && r->pid > 0) {
            r->probed_ns = now_ns;
            probe_start(&r->probe);
        }
    }
}

static void count_probe_failure(struct replica *r, const char *why)
{
    r->probe_failures++;
    log_event(LOG_WARN, "engine.unhealthy", "%.*s: %s", SLICE_ARG(r->settings->config.name), why);
    if (r->probe_failures < HEALTH_FAILURES)
        return;
    set_reason(r, "unhealthy %d times in a row: %s", HEALTH_FAILURES, why);
    fail(r);
}

/* READY: asks every few seconds. */
static void watch_health(struct replica *r)
{
    wake_at(r, net_now(r->loop) + HEALTH_EVERY_NS);
    if (r->probe.flying) {
        probe_cancel(&r->probe);
        count_probe_failure(r, "no answer to /health");
    }
    if (r->state == REPLICA_READY)
        probe_start(&r->probe);
}

static void on_probed(struct probe *p, unsigned status, const char *why)
{
    struct replica *r = container_of(p, struct replica, probe);
    int64_t now_ns = net_now(r->loop);
    char text[64];
    if (r->state == REPLICA_READY) {
        snprintf(text, sizeof text, "/health says %u", status);
        if (status == 200)
            r->probe_failures = 0;
        else
            count_probe_failure(r, status != 0 ? text : why);
    } else if (status == 200 && r->pid > 0) {
        r->start_took_ns = now_ns - r->state_since_ns;
        move(r, REPLICA_READY, now_ns + HEALTH_EVERY_NS);
    }
    /* Anything else while it starts: not yet. */
}

static void watch_drain(struct replica *r)
{
    int64_t now_ns = net_now(r->loop);
    if (!r->owner->busy(r) || now_ns >= r->deadline_ns)
        begin_stopping(r, r->next);
    else
        wake_at(r, MIN_OF(now_ns + DRAIN_EVERY_NS, r->deadline_ns));
}

static void on_timer(struct timer *t)
{
    struct replica *r = container_of(t, struct replica, timer);
    bool set = net_timer_set(r->loop, t, NEVER_NS);
    ASSERT(set); /* the place in the heap that it has just left is free */
    switch (r->state) {
    case REPLICA_STARTING:
    case REPLICA_RETRYING: watch_start(r); break;
    case REPLICA_READY: watch_health(r); break;
    case REPLICA_DRAINING: watch_drain(r); break;
    case REPLICA_STOPPING: r->channel != NULL ? stop_harder(r) : finish_stopping(r); break;
    case REPLICA_BACKOFF: start(r, REPLICA_STARTING); break;
    case REPLICA_FAILED: start(r, REPLICA_RETRYING); break;
    case REPLICA_STOPPED:
    case REPLICA_STATES_N: break;
    }
}

bool replica_init(struct replica *r, struct net_loop *loop, const char *self,
                  const struct replica_owner *owner, struct settings *settings)
{
    *r = (struct replica){
        .magic = REPLICA_MAGIC, .loop = loop, .owner = owner, .self = self, .settings = settings};
    r->state_since_ns = net_now(loop);
    r->state_since_wall_ns = clock_wall_ns();
    timer_init(&r->timer, on_timer);
    const char *socket = settings->socket != NULL ? settings->socket : "";
    if (!net_timer_set(loop, &r->timer, NEVER_NS) ||
        !probe_init(&r->probe, loop, socket, on_probed)) {
        r->settings = NULL; /* stays with the caller */
        replica_done(r);
        return false;
    }
    return true;
}

void replica_done(struct replica *r)
{
    CHECK_MAGIC(r, REPLICA_MAGIC);
    net_timer_stop(r->loop, &r->timer);
    probe_done(&r->probe);
    channel_abandon(TAKE(r->channel));
    settings_free(TAKE(r->settings));
    settings_free(TAKE(r->fresh));
    r->magic = 0;
}

static void begin_draining(struct replica *r, enum replica_state next)
{
    int64_t now_ns = net_now(r->loop);
    probe_cancel(&r->probe);
    r->next = next;
    r->deadline_ns = now_ns + r->settings->config.drain_ns;
    move(r, REPLICA_DRAINING, now_ns);
}

/* The running process, if there is one, can go on with `settings`. */
static void run_as_before(struct replica *r, struct settings *settings)
{
    settings_free(TAKE(r->fresh));
    settings_free(r->settings);
    r->settings = settings;
    switch (r->state) {
    case REPLICA_DRAINING: move(r, REPLICA_READY, net_now(r->loop)); break;
    case REPLICA_RETRYING: move(r, REPLICA_STARTING, net_now(r->loop)); break;
    case REPLICA_STOPPING: r->next = REPLICA_STARTING; break;
    case REPLICA_STOPPED:
    case REPLICA_BACKOFF:
    case REPLICA_FAILED: start(r, REPLICA_STARTING); break;
    case REPLICA_STARTING:
    case REPLICA_READY:
    case REPLICA_STATES_N: break;
    }
}

/* The process has to be another one. */
static void run_anew(struct replica *r, struct settings *settings)
{
    settings_free(TAKE(r->fresh));
    r->fresh = settings;
    switch (r->state) {
    case REPLICA_READY: begin_draining(r, REPLICA_STARTING); break;
    case REPLICA_DRAINING:
    case REPLICA_STOPPING: r->next = REPLICA_STARTING; break;
    case REPLICA_STARTING:
    case REPLICA_RETRYING: begin_stopping(r, REPLICA_STARTING); break;
    case REPLICA_STOPPED:
    case REPLICA_BACKOFF:
    case REPLICA_FAILED:
        settings_free(r->settings);
        r->settings = TAKE(r->fresh);
        start(r, REPLICA_STARTING);
        break;
    case REPLICA_STATES_N: break;
    }
}

void replica_run(struct replica *r, struct settings *settings)
{
    CHECK_MAGIC(r, REPLICA_MAGIC);
    if (r->state != REPLICA_READY)
        retry_reset(&r->retry); /* whoever says so has looked at it, or changed something */
    if (settings_same_process(r->settings, settings))
        run_as_before(r, settings);
    else
        run_anew(r, settings);
    r->owner->changed(r);
}

void replica_stop(struct replica *r)
{
    CHECK_MAGIC(r, REPLICA_MAGIC);
    settings_free(TAKE(r->fresh));
    switch (r->state) {
    case REPLICA_READY: begin_draining(r, REPLICA_STOPPED); break;
    case REPLICA_STARTING:
    case REPLICA_RETRYING: begin_stopping(r, REPLICA_STOPPED); break;
    case REPLICA_BACKOFF:
    case REPLICA_FAILED: move(r, REPLICA_STOPPED, NEVER_NS); break;
    case REPLICA_DRAINING:
    case REPLICA_STOPPING:
        r->next = REPLICA_STOPPED;
        r->owner->changed(r);
        break;
    case REPLICA_STOPPED:
    case REPLICA_STATES_N: break;
    }
}

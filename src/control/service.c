/* The control thread: start, signals, reload, drain, end. */
#include "control/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/machine.h"
#include "base/mem.h"
#include "books.h"
#include "control/build.h"
#include "credentials.h"
#include "engine/supervisor.h"
#include "gateway/explain.h"
#include "health_watch.h"
#include "hours.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "probes.h"
#include "reading.h"
#include "service_listen.h"
#include "watch.h"

#define TICK_NS      (NS_PER_S / 4)
#define STUCK_NS     (2 * NS_PER_S)
#define RESERVED_FDS 256 /* for logs, engines, admin and the like */
#define ERRORS_BYTES ((size_t)1 << 20)

enum phase {
    PHASE_SERVING,
    PHASE_UNREADY,  /* /readyz says 503; accepting goes on */
    PHASE_DRAINING, /* no accepting; open exchanges end */
    PHASE_STOPPING, /* engines end */
    PHASE_ENDED,
};

struct service {
    const struct service_options *options;
    struct net_loop loop;
    struct block_budget budget;
    struct config *config;
    struct books *books;
    struct hours *hours;
    struct reading *reading;
    struct builder *builder;
    struct gw_snapshot *snapshot; /* in force; a reference */
    struct gateway *gateway;
    struct supervisor *supervisor;
    struct admin *admin;
    struct probes *probes;
    struct health_watch *health;
    struct watch *watch;
    struct listen_set listen;
    struct timer tick;
    uv_signal_t signals[6];
    unsigned signals_n;
    enum phase phase;
    int64_t phase_since_ns, started_wall_ns;
    char run_dir[512], socket_path[512];
    int64_t reloads_ok, reloads_failed, stuck_seen;
    bool *stuck;
};

static const char *from_env(const char *name)
{
    return getenv(name);
}

struct config *service_load(const struct service_options *options, struct buf *errors)
{
    static const char *const own_paths[] = {"/v1/chat/completions",
                                            "/v1/responses",
                                            "/v1/messages",
                                            "/v1/messages/count_tokens",
                                            "/v1/completions",
                                            "/v1/embeddings",
                                            "/v1/models",
                                            "/livez",
                                            "/readyz",
                                            "/health",
                                            "/ready"};
    char found[1024];
    struct config_options o = {.env = from_env,
                               .own_paths = own_paths,
                               .own_paths_n = ARRAY_LEN(own_paths),
                               .insecure = options->insecure};
    o.types = builder_provider_types(&o.types_n);
    if (options->config_path != NULL)
        return config_load(options->config_path, &o, errors);
    if (config_find(from_env, found, sizeof found))
        return config_load(found, &o, errors);
    return config_from_env(&o, errors);
}

/* Each line of `text` becomes one event. */
static void log_lines(enum log_level level, const char *what, const struct buf *text)
{
    struct slice rest = buf_view(text);
    while (rest.n > 0) {
        struct slice line = slice_cut(&rest, '\n');
        if (line.n > 0)
            log_event(level, what, "%.*s", SLICE_ARG(line));
    }
}

/* The engines that `c` wants, for the supervisor. */
static bool apply_engines(struct service *s, const struct config *c)
{
    char models[600], *binaries = mem_calloc(c->engines_n + 1, 1024);
    struct engine_config *list = mem_calloc(c->engines_n + 1, sizeof *list);
    struct arena a;
    arena_init(&a, NULL, (size_t)1 << 20);
    snprintf(models, sizeof models, "%s/models", s->options->data_dir);
    bool ok = list != NULL && binaries != NULL;
    for (size_t i = 0; i < c->engines_n && ok; i++) {
        const struct config_engine *e = &c->engines[i];
        char *binary = binaries + i * 1024;
        if (!engine_find_binary(e->binary, binary, 1024))
            log_event(LOG_ERROR, "engine.missing", "%.*s: %s", SLICE_ARG(e->name), binary);
        struct slice model = e->model;
        if (access(model.p, R_OK) != 0 && slice_find(model, '/') < 0)
            model = arena_printf(&a, "%s/%.*s", models, SLICE_ARG(e->model));
        list[i] = (struct engine_config){.name = e->name,
                                         .model = model,
                                         .binary = slice_str(binary),
                                         .args = e->args.item,
                                         .args_n = e->args.n,
                                         .slots = e->slots,
                                         .threads = e->threads,
                                         .context = e->context,
                                         .cache_ram_mib = e->cache_ram_mib,
                                         .start_timeout_ns = e->start_timeout_ns,
                                         .drain_ns = e->drain_ns,
                                         .queue = e->queue};
    }
    ok = ok && supervisor_apply(s->supervisor, list, c->engines_n);
    arena_reset(&a);
    mem_free(list);
    mem_free(binaries);
    return ok;
}

/* Settings that only a new process takes. */
static void warn_fixed(const struct config *was, const struct config *is)
{
    bool same = was->listeners_n == is->listeners_n && was->workers == is->workers &&
                was->limits.connections == is->limits.connections &&
                was->limits.connections_per_client == is->limits.connections_per_client &&
                was->limits.body_memory_bytes == is->limits.body_memory_bytes &&
                slice_eq(was->admin_listen, is->admin_listen) &&
                slice_eq(was->metrics_listen, is->metrics_listen);
    for (size_t i = 0; i < was->listeners_n && same; i++)
        same = slice_eq(was->listeners[i].address, is->listeners[i].address);
    if (!same)
        log_event(
            LOG_WARN, "reload.partial",
            "changed listeners, admin, metrics, workers, connection caps or body memory need a "
            "restart");
}

/* The hour is what systemd tells apart which reload of several has ended (sd_notify(3)). */
static void notify_reloading(void)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(clock_mono_ns() / NS_PER_US));
    service_notify(text);
}

/* All that can fail of putting `c` in force, before anything changes. NULL: see `errors`. */
static struct gw_snapshot *prepare(struct service *s, const struct config *c,
                                   struct tls_server_context **ret_admin_tls, struct buf *errors)
{
    struct gw_snapshot *snapshot = builder_build(s->builder, c, s->run_dir, errors);
    if (snapshot == NULL)
        return NULL;
    bool ok = admin_tls(c, ret_admin_tls, errors);
    if (ok && log_configure((enum log_level)c->log_level, c->log_access.p))
        return snapshot;
    if (ok)
        buf_printf(errors, "log.access: %s: %s\n", c->log_access.p, strerror(errno));
    tls_server_context_unref(TAKE(*ret_admin_tls));
    gw_snapshot_unref(snapshot);
    return NULL;
}

static int64_t wall_now(struct service *s)
{
    return net_now(&s->loop) + books_wall_offset_ns(s->books);
}

static bool reload(void *ctx, struct buf *errors)
{
    struct service *s = ctx;
    if (s->phase != PHASE_SERVING) {
        buf_lit(errors, "the gateway is stopping\n");
        return false;
    }
    notify_reloading();
    struct config *c = service_load(s->options, errors);
    struct tls_server_context *tls = NULL;
    struct gw_snapshot *snapshot = c != NULL ? prepare(s, c, &tls, errors) : NULL;
    bool ok = snapshot != NULL;
    service_notify("READY=1");
    log_lines(ok ? LOG_WARN : LOG_ERROR, ok ? "reload.warning" : "reload.refused", errors);
    if (!ok) {
        s->reloads_failed++;
        config_free(c);
        return false;
    }
    warn_fixed(s->config, c);
    if (!apply_engines(s, c)) /* before any request can ask for a new one */
        log_event(LOG_ERROR, "engine.failed", "out of memory");
    hours_install(s->hours, snapshot, s->supervisor, net_now(&s->loop), wall_now(s));
    gateway_install(s->gateway, snapshot);
    books_reconfigure(s->books, c);
    admin_update(s->admin, c, tls);
    tls_server_context_unref(tls);
    builder_settle(s->builder, snapshot);
    log_event(LOG_INFO, "reload.done", "configuration %llu is in force",
              (unsigned long long)snapshot->version);
    gw_snapshot_unref(s->snapshot);
    s->snapshot = snapshot;
    config_free(s->config);
    s->config = c;
    reading_update(s->reading, c, snapshot);
    s->reloads_ok++;
    return true;
}

static void reload_and_log(void *ctx)
{
    struct buf errors;
    buf_init(&errors, ERRORS_BYTES);
    reload(ctx, &errors);
    buf_done(&errors);
}

/* The one place where the phase changes. */
static void enter(struct service *s, enum phase phase)
{
    s->phase = phase;
    s->phase_since_ns = net_now(&s->loop);
}

static void on_engines_stopped(void *ctx)
{
    struct service *s = ctx;
    enter(s, PHASE_ENDED);
    net_loop_stop(&s->loop);
}

static void stop_now(struct service *s)
{
    int64_t open = gateway_open_exchanges(s->gateway);
    if (open > 0)
        log_event(LOG_WARN, "stop.cut", "%lld requests were still open", (long long)open);
    enter(s, PHASE_STOPPING);
    gateway_stop(TAKE(s->gateway));
    credentials_stop(builder_credentials(s->builder));
    probes_free(TAKE(s->probes));
    reading_stop(s->reading);
    supervisor_stop(s->supervisor, on_engines_stopped, s);
}

static void begin_end(struct service *s)
{
    if (s->phase >= PHASE_STOPPING)
        return;
    if (s->phase != PHASE_SERVING) {
        stop_now(s); /* a second signal */
        return;
    }
    service_notify("STOPPING=1");
    log_event(LOG_INFO, "stop.begin", "%lld requests are open",
              (long long)gateway_open_exchanges(s->gateway));
    gateway_unready(s->gateway);
    enter(s, PHASE_UNREADY);
}

/* Children that are not ours to begin with: as process 1 we inherit them. */
static void reap_orphans(const struct service *s)
{
    siginfo_t info = {0};
    if (getpid() != 1)
        return;
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        if (supervisor_owns(s->supervisor, info.si_pid))
            return; /* libuv waits for those */
        waitpid(info.si_pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct service *s = h->data;
    net_now(&s->loop);
    switch (signum) {
    case SIGTERM:
    case SIGINT: begin_end(s); break;
    case SIGHUP: reload_and_log(s); break;
    case SIGUSR1: log_reopen(); break;
    case SIGCHLD: reap_orphans(s); break;
    default: break;
    }
}

/* Says so when a worker does not come back to its loop. Returns how many are so. */
static unsigned watch_workers(struct service *s)
{
    unsigned stuck_n = 0;
    for (unsigned i = 0; i < gateway_workers(s->gateway); i++) {
        int64_t since = gateway_busy_since(s->gateway, i);
        bool stuck = since != 0 && net_now(&s->loop) - since > STUCK_NS;
        if (stuck && !s->stuck[i]) {
            s->stuck_seen++;
            log_event(LOG_ERROR, "worker.stuck", "worker %u has not come back for %lld ms", i,
                      (long long)((net_now(&s->loop) - since) / NS_PER_MS));
        }
        s->stuck[i] = stuck;
        stuck_n += stuck;
    }
    return stuck_n;
}

static void on_tick(struct timer *t)
{
    struct service *s = container_of(t, struct service, tick);
    int64_t in_phase = net_now(&s->loop) - s->phase_since_ns;
    books_tick(s->books, s->gateway, net_now(&s->loop));
    hours_tick(s->hours, s->snapshot, s->supervisor, net_now(&s->loop), wall_now(s));
    reading_tick(s->reading, s->config, s->snapshot, net_now(&s->loop), wall_now(s));
    health_watch_tick(s->health, net_now(&s->loop));
    if (s->phase == PHASE_SERVING)
        probes_tick(s->probes, s->snapshot, net_now(&s->loop));
    unsigned stuck = s->gateway != NULL ? watch_workers(s) : 0;
    if (s->phase == PHASE_SERVING && stuck == 0)
        service_notify("WATCHDOG=1"); /* else whoever runs us may want to start us anew */
    reap_orphans(s);                  /* SIGCHLD may have come for one of ours first */
    if (s->phase == PHASE_UNREADY && in_phase >= s->config->server.ready_delay_ns) {
        enter(s, PHASE_DRAINING);
        gateway_drain(s->gateway);
    } else if (s->phase == PHASE_DRAINING) {
        bool late = in_phase >= s->config->server.drain_ns;
        if (late || gateway_open_exchanges(s->gateway) == 0)
            stop_now(s);
    }
    if (s->phase < PHASE_STOPPING &&
        !net_timer_set(&s->loop, t,
                       net_now(&s->loop) + TICK_NS / (s->phase == PHASE_SERVING ? 1 : 5)))
        log_event(LOG_ERROR, "service.tick", "out of memory");
}

static void put_status(void *ctx, struct buf *out)
{
    static const char *const phases[] = {"serving", "unready", "draining", "stopping", "ended"};
    struct service *s = ctx;
    char text[LISTEN_TEXT];
    struct slice address = listen_address(&s->listen, 0, s->config->listeners[0].address, text);
    struct json_writer w = json_writer(out);
    jw_open(&w, '{');
    jw_field_string(&w, "version", slice_str(s->options->version));
    jw_field_i64(&w, "pid", getpid());
    jw_field_string(&w, "phase", slice_str(phases[s->phase]));
    jw_field_i64(&w, "uptime_s", (clock_wall_ns() - s->started_wall_ns) / NS_PER_S);
    jw_field_string(&w, "config", s->config->path.n > 0 ? s->config->path : SLICE("environment"));
    jw_field_string(&w, "listen", address);
    jw_field_i64(&w, "reloads", s->reloads_ok);
    jw_field_i64(&w, "reloads_refused", s->reloads_failed);
    jw_field_i64(&w, "workers", s->gateway != NULL ? gateway_workers(s->gateway) : 0);
    jw_field_i64(&w, "open", s->gateway != NULL ? gateway_open_exchanges(s->gateway) : 0);
    jw_key(&w, "engines");
    supervisor_dump(s->supervisor, &w);
    jw_key(&w, "credentials");
    credentials_dump(builder_credentials(s->builder), &w);
    jw_close(&w, '}');
}

static bool is_ready(void *ctx)
{
    const struct service *s = ctx;
    return s->phase == PHASE_SERVING;
}

static void put_metrics(struct buf *out, void *ctx)
{
    struct service *s = ctx;
    char number[16];
    if (s->gateway != NULL)
        gateway_metrics(out, s->gateway);
    metric_put_header(out, MS_LOOP_LAG);
    for (unsigned i = 0; s->gateway != NULL && i < gateway_workers(s->gateway); i++) {
        snprintf(number, sizeof number, "%u", i);
        metric_put_sample(out, MS_LOOP_LAG, slice_str(number),
                          (double)gateway_take_lag(s->gateway, i) / 1e9);
    }
    metric_put(out, MS_STUCK, (double)s->stuck_seen);
    metric_put(out, MS_RELOADS, (double)s->reloads_ok);
    metric_put(out, MS_RELOADS_REFUSED, (double)s->reloads_failed);
    metric_put(out, MS_READY, is_ready(s));
    metric_put_header(out, MS_BUILD);
    metric_put_sample(out, MS_BUILD, slice_str(s->options->version), 1);
    metric_put_header(out, MS_CERT_DAYS);
    for (size_t i = 0; i < s->config->listeners_n; i++) {
        const struct config_listener *l = &s->config->listeners[i];
        if (l->tls.cert.n > 0)
            metric_put_sample(out, MS_CERT_DAYS, l->address,
                              (double)tls_cert_days_left(l->tls.cert.p));
    }
    if (s->config->admin_listen.n > 0 && s->config->admin_tls.cert.n > 0)
        metric_put_sample(out, MS_CERT_DAYS, s->config->admin_listen,
                          (double)tls_cert_days_left(s->config->admin_tls.cert.p));
    health_watch_metrics(out, s->health, s->snapshot, net_now(&s->loop));
    probes_metrics(out, s->probes);
    supervisor_metrics(out, s->supervisor);
    books_metrics(out, s->books);
    if (s->reading != NULL)
        reading_metrics(out, s->reading, s->config, s->snapshot);
}

/* As many descriptors as the system lets us have; returns how many. */
static int64_t raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 1024;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    getrlimit(RLIMIT_NOFILE, &r);
    return r.rlim_cur == RLIM_INFINITY ? 1 << 20 : (int64_t)r.rlim_cur;
}

static bool catch_signals(struct service *s)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        uv_signal_t *h = &s->signals[s->signals_n];
        if (uv_signal_init(&s->loop.uv, h) != 0 || uv_signal_start(h, on_signal, caught[i]) != 0)
            return false;
        h->data = s;
        s->signals_n++;
    }
    return true;
}

static unsigned workers_of(const struct config *c)
{
    return c->workers > 0 ? (unsigned)c->workers : machine_cores();
}

static bool start_gateway(struct service *s, struct gw_snapshot *snapshot, struct buf *errors)
{
    const struct config *c = s->config;
    int64_t fds = raise_descriptors();
    unsigned workers = workers_of(c);
    if (!listen_open(c, workers, &s->listen, errors))
        return false;
    struct gateway_config config = {
        .workers = workers,
        .listen = s->listen.listen,
        .listen_n = s->listen.n,
        .connections = MIN_OF(c->limits.connections, MAX_OF((fds - RESERVED_FDS) / 2, INT64_C(16))),
        .connections_per_client = c->limits.connections_per_client,
        .body_memory_bytes = c->limits.body_memory_bytes,
        .snapshot = snapshot,
        .limits = books_limits(s->books),
        .ledger = books_ledger(s->books),
        .wall_offset_ns = books_wall_offset_ns(s->books),
    };
    s->stuck = mem_must(mem_calloc(workers, sizeof *s->stuck));
    s->gateway = gateway_start(&config);
    if (s->gateway == NULL)
        buf_lit(errors, "the workers cannot be started\n");
    return s->gateway != NULL;
}

static bool set_resolvers(const struct config *c)
{
    struct buf csv;
    bool ok = true;
    buf_init(&csv, 1024);
    for (size_t i = 0; i < c->egress.resolvers.n; i++)
        buf_printf(&csv, "%s%.*s", i > 0 ? "," : "", SLICE_ARG(c->egress.resolvers.item[i]));
    if (csv.n > 0)
        ok = net_dns_servers(buf_view(&csv));
    buf_done(&csv);
    return ok;
}

static const struct config *current_config(void *ctx)
{
    const struct service *s = ctx;
    return s->config;
}

static const struct gw_snapshot *current_snapshot(void *ctx)
{
    const struct service *s = ctx;
    return s->snapshot;
}

static void current_times(void *ctx, int64_t *ret_now_ns, int64_t *ret_wall_ns)
{
    struct service *s = ctx;
    *ret_now_ns = net_now(&s->loop);
    *ret_wall_ns = wall_now(s);
}

static bool explain(void *ctx, struct slice id, struct buf *out)
{
    struct service *s = ctx;
    return s->gateway != NULL && gateway_explain(s->gateway, id, out);
}

static bool key_check(void *ctx, const struct stored_key *k, struct buf *errors)
{
    struct service *s = ctx;
    return builder_check_key(s->builder, s->snapshot, s->config, k, errors);
}

static bool key_changed(void *ctx, const struct stored_key *k, struct buf *errors)
{
    struct service *s = ctx;
    return builder_put_key(s->builder, s->snapshot, s->config, k, errors);
}

static void key_removed(void *ctx, struct slice name)
{
    struct service *s = ctx;
    builder_remove_key(s->builder, s->snapshot, name);
}

/* Everything that has to stand before requests come. */
static bool start(struct service *s, struct buf *errors)
{
    s->config = service_load(s->options, errors);
    if (s->config == NULL)
        return false;
    if (!set_resolvers(s->config))
        return false;
    if (!log_start((enum log_level)s->config->log_level, s->config->log_access.p)) {
        buf_printf(errors, "log.access: %s: %s\n", s->config->log_access.p, strerror(errno));
        return false;
    }
    s->books = books_open(s->config, s->options->data_dir, workers_of(s->config), net_now(&s->loop),
                          errors);
    if (s->books == NULL)
        return false;
    s->hours = hours_open(books_ledger(s->books), books_folder(s->books), books_limits(s->books));
    const struct builder_links links = books_links(s->books);
    s->builder = builder_new(&links);
    s->supervisor = supervisor_new(&s->loop, s->run_dir, s->options->self);
    s->probes = probes_new(&s->loop);
    s->health = health_watch_new();
    if (s->hours == NULL || s->builder == NULL || s->supervisor == NULL || s->probes == NULL ||
        s->health == NULL)
        return false;
    struct gw_snapshot *snapshot = builder_build(s->builder, s->config, s->run_dir, errors);
    s->snapshot = snapshot;
    if (snapshot == NULL || !books_restore(s->books, snapshot, errors))
        return false;
    log_lines(LOG_WARN, "config.warning", errors);
    buf_reset(errors);
    hours_install(s->hours, snapshot, s->supervisor, net_now(&s->loop), wall_now(s));
    bool ok = catch_signals(s) && apply_engines(s, s->config) && start_gateway(s, snapshot, errors);
    if (ok) {
        credentials_start(builder_credentials(s->builder), &s->loop);
        builder_settle(s->builder, snapshot);
    }
    if (!ok)
        return false;
    s->reading = reading_open(&s->loop, s->options->data_dir, books_limits(s->books),
                              books_keys(s->books), errors);
    if (s->reading == NULL)
        return false;
    reading_update(s->reading, s->config, snapshot);
    struct admin_hooks hooks = {
        .reload = reload,
        .status = put_status,
        .ready = is_ready,
        .ctx = s,
        .keys = books_keys(s->books),
        .config = current_config,
        .snapshot = current_snapshot,
        .times = current_times,
        .explain = explain,
        .key_check = key_check,
        .key_changed = key_changed,
        .key_removed = key_removed,
        .reading = s->reading,
    };
    s->admin = admin_open(&s->loop, s->config, s->socket_path, &hooks, errors);
    if (s->admin == NULL)
        return false;
    if (s->config->path.n > 0)
        s->watch = watch_new(&s->loop, s->config->path.p, reload_and_log, s);
    return true;
}

static void announce(const struct service *s)
{
    for (size_t i = 0; i < s->config->listeners_n; i++) {
        const struct config_listener *l = &s->config->listeners[i];
        bool socket = slice_starts(l->address, SLICE("unix:"));
        char text[LISTEN_TEXT];
        struct slice address = listen_address(&s->listen, i, l->address, text);
        log_event(LOG_INFO, "serving", "%s%.*s%s",
                  socket              ? ""
                  : l->tls.cert.n > 0 ? "https://"
                                      : "http://",
                  SLICE_ARG(address), socket ? "" : "/v1");
    }
    service_notify("READY=1");
}

static void finish(struct service *s)
{
    watch_free(TAKE(s->watch));
    admin_close(TAKE(s->admin));
    reading_close(TAKE(s->reading));
    if (s->hours != NULL)
        hours_close(TAKE(s->hours), s->snapshot, s->supervisor, net_now(&s->loop), wall_now(s));
    supervisor_free(TAKE(s->supervisor));
    log_event(LOG_INFO, "stopped", "after %lld s",
              (long long)((clock_wall_ns() - s->started_wall_ns) / NS_PER_S));
    net_loop_done(&s->loop);
    gw_snapshot_unref(TAKE(s->snapshot));
    builder_free(TAKE(s->builder));
    books_close(TAKE(s->books));
    log_stop();
    metric_shards_free();
    config_free(TAKE(s->config));
    tls_roots_done();
    listen_free(&s->listen);
    health_watch_free(s->health);
    mem_free(s->stuck);
}

int service_run(const struct service_options *options)
{
    struct service *s = mem_must(mem_calloc(1, sizeof *s));
    struct buf errors;
    s->options = options;
    s->started_wall_ns = clock_wall_ns();
    s->budget.limit_bytes = INT64_MAX;
    buf_init(&errors, ERRORS_BYTES);
    snprintf(s->run_dir, sizeof s->run_dir, "%s/run", options->data_dir);
    snprintf(s->socket_path, sizeof s->socket_path, "%s/admin.sock", options->data_dir);
    mkdir(s->run_dir, 0700);
    timer_init(&s->tick, on_tick);
    if (net_loop_init(&s->loop, 1024, &s->budget) != 0 || !start(s, &errors) ||
        !net_timer_set(&s->loop, &s->tick, net_now(&s->loop) + TICK_NS)) {
        fprintf(stderr, "%.*s", SLICE_ARG(buf_view(&errors)));
        exit(1); /* nothing has been promised to anybody yet */
    }
    buf_done(&errors);
    metric_collector(put_metrics, s);
    announce(s);
    net_loop_run(&s->loop);
    finish(s);
    mem_free(s);
    return 0;
}

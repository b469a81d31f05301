/* What `weir doctor` looks at: each function adds a row or a few. */
#include "doctor_checks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/supervisor.h"
#include "fetch.h"
#include "gguf.h"
#include "llm/provider.h"
#include "net/addr.h"
#include "terminal.h"
#include "version.h"

#define MODEL_EXAMPLE                                                                              \
    "hf:bartowski/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf" /* 105 MB */
#define SPACE_WANTED  ((int64_t)2 << 30)
#define SPACE_NEEDED  ((int64_t)64 << 20)
#define MEMORY_WANTED ((int64_t)256 << 20) /* for the gateway alone */
#define FILES_WANTED  16384u               /* two for each open stream */
#define FILES_NEEDED  256u
#define ERRORS_MAX    ((size_t)65536)

static struct check *add(struct doctor *d, enum check_status status, const char *name,
                         const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A new row; the last one is written over when there are too many. */
static struct check *add(struct doctor *d, enum check_status status, const char *name,
                         const char *fmt, ...)
{
    struct check *c = &d->checks[MIN_OF(d->checks_n, (unsigned)CHECKS_MAX - 1)];
    va_list args;
    d->checks_n = MIN_OF(d->checks_n + 1, (unsigned)CHECKS_MAX);
    *c = (struct check){.status = status};
    snprintf(c->name, sizeof c->name, "%s", name);
    va_start(args, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, args);
    va_end(args);
    return c;
}

static void fix(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void fix(struct check *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->fix, sizeof c->fix, fmt, args);
    va_end(args);
}

static void fix_install(struct check *c, const struct doctor *d, enum package what)
{
    struct buf b;
    buf_init(&b, sizeof c->fix - 1);
    machine_install_command(&d->machine, what, &b);
    fix(c, SLICE_FMT, SLICE_ARG(buf_view(&b)));
    buf_done(&b);
}

/* "1.5 GB", for one printf. */
struct bytes_text {
    char s[24];
};
static struct bytes_text bytes(int64_t n)
{
    struct bytes_text t = {.s = "?"};
    struct buf b;
    buf_init(&b, sizeof t.s);
    terminal_put_bytes(&b, n);
    snprintf(t.s, sizeof t.s, SLICE_FMT, SLICE_ARG(buf_view(&b)));
    buf_done(&b);
    return t;
}

static const char *sudo(const struct doctor *d)
{
    return d->machine.root ? "" : "sudo ";
}

static const char *from_env(const char *name)
{
    return getenv(name);
}

static void check_config(struct doctor *d)
{
    struct service_options options = {
        .config_path = d->config_path, .data_dir = "", .self = "weir", .version = WEIR_VERSION};
    struct buf errors;
    char found[4096];
    const char *path = d->config_path;
    buf_init(&errors, ERRORS_MAX);
    if (path == NULL && config_find(from_env, found, sizeof found))
        path = found;
    if (loaded_read(&d->loaded, &options, &errors))
        d->config = d->loaded.config;
    struct slice text = buf_view(&errors), first = slice_cut(&text, '\n');
    if (d->config != NULL) {
        add(d, CHECK_OK, "configuration", "%s: %zu providers, %zu engines, %zu models",
            path != NULL ? path : "from environment variables", d->config->providers_n,
            d->config->engines_n, d->config->models_n);
    } else if (path != NULL) {
        struct check *c = add(d, CHECK_MISSING, "configuration", SLICE_FMT, SLICE_ARG(first));
        fix(c, "weir check %s", path);
    } else {
        struct check *c = add(d, CHECK_WARN, "configuration",
                              "no file, and no provider's key in the environment");
        fix(c, "weir init");
    }
    buf_done(&errors);
}

/* Local models are a choice: without one in the configuration nothing is missing. */
static enum check_status without_engine(const struct doctor *d)
{
    return d->config != NULL && d->config->engines_n > 0 ? CHECK_MISSING : CHECK_WARN;
}

static void check_llama_server(struct doctor *d)
{
    size_t n = d->config != NULL ? d->config->engines_n : 0;
    char path[4096];
    for (size_t i = 0; i < n; i++) {
        const struct config_engine *e = &d->config->engines[i];
        if (e->binary.n > 0 && !engine_find_binary(e->binary, path, sizeof path))
            add(d, CHECK_MISSING, "llama-server", "engine " SLICE_FMT ": %s", SLICE_ARG(e->name),
                path);
    }
    if (engine_find_binary(SLICE_NONE, path, sizeof path)) {
        add(d, CHECK_OK, "llama-server", "%s", path);
        return;
    }
    struct check *c = add(d, without_engine(d), "llama-server", "%s%s", path,
                          n == 0 ? "; only local models need it" : "");
    fix_install(c, d, PACKAGE_LLAMA_SERVER);
}

static void find_data(struct doctor *d)
{
    const char *option = d->data_option;
    if (option == NULL && d->config != NULL && d->config->data.n > 0)
        option = d->config->data.p;
    if (!datadir_find(option, d->data, sizeof d->data))
        d->data[0] = '\0';
}

/* "--data 'DIR' " where the commands would not find the folder by themselves. */
static struct slice data_flag(const struct doctor *d, char *out, size_t size)
{
    char found[DATADIR_MAX];
    if (d->data[0] == '\0' ||
        (datadir_find(NULL, found, sizeof found) && strcmp(found, d->data) == 0))
        return SLICE_NONE;
    int n = snprintf(out, size, "--data '%s' ", d->data);
    return n > 0 && (size_t)n < size ? slice_of(out, (size_t)n) : SLICE_NONE;
}

/* Whether `path` is a model that an engine can load; its size goes into the reckoning. */
static bool model_ok(struct doctor *d, const char *path, const char **ret_why)
{
    struct stat st;
    struct gguf_info info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *ret_why = strerror(errno);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &st) == 0 && gguf_check(fd, st.st_size, &info, ret_why);
    close(fd);
    if (ok)
        d->model_bytes = MAX_OF(d->model_bytes, (int64_t)st.st_size);
    return ok;
}

/* The model of an engine: a path, or a name in <data>/models with or without its ending. */
static void check_engine_model(struct doctor *d, const struct config_engine *e)
{
    char path[2 * DATADIR_MAX];
    const char *why = "";
    snprintf(path, sizeof path, SLICE_FMT, SLICE_ARG(e->model));
    bool there = access(path, F_OK) == 0;
    if (!there && slice_find(e->model, '/') < 0) {
        snprintf(path, sizeof path, "%s/models/" SLICE_FMT, d->data, SLICE_ARG(e->model));
        there = access(path, F_OK) == 0;
    }
    if (!there && slice_find(e->model, '/') < 0)
        snprintf(path, sizeof path, "%s/models/" SLICE_FMT ".gguf", d->data, SLICE_ARG(e->model));
    if (model_ok(d, path, &why)) {
        add(d, CHECK_OK, "model", SLICE_FMT ": %s", SLICE_ARG(e->name), path);
        return;
    }
    struct check *c = add(d, CHECK_MISSING, "model", SLICE_FMT ": " SLICE_FMT ": %s",
                          SLICE_ARG(e->name), SLICE_ARG(e->model), why);
    struct slice flag = data_flag(d, path, sizeof path);
    if (slice_find(e->model, '/') >= 0)
        fix(c, "curl -fLo '" SLICE_FMT "' URL", SLICE_ARG(e->model));
    else
        fix(c, "weir pull " SLICE_FMT "--name " SLICE_FMT " URL", SLICE_ARG(flag),
            SLICE_ARG(e->model));
}

/* Any model that has been pulled. */
static void check_models(struct doctor *d)
{
    char dir[DATADIR_MAX + 16], path[DATADIR_MAX + 300];
    unsigned found = 0;
    snprintf(dir, sizeof dir, "%s/models", d->data);
    DIR *list = d->data[0] != '\0' ? opendir(dir) : NULL;
    for (struct dirent *e; list != NULL && (e = readdir(list)) != NULL;) {
        struct slice name = slice_str(e->d_name), end = SLICE(".gguf");
        const char *why;
        if (name.n <= end.n || !slice_eq(slice_from(name, name.n - end.n), end))
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (model_ok(d, path, &why)) {
            found++;
        } else {
            struct check *c = add(d, CHECK_WARN, "model", "%s: %s", path, why);
            fix(c, "rm '%s'", path);
        }
    }
    if (list != NULL)
        closedir(list);
    if (found > 0) {
        add(d, CHECK_OK, "model", "%u in %s, the largest of %s", found, dir,
            bytes(d->model_bytes).s);
    } else {
        struct check *c =
            add(d, CHECK_WARN, "model", "none in %s; only local models need one", dir);
        struct slice flag = data_flag(d, path, sizeof path);
        fix(c, "weir pull " SLICE_FMT MODEL_EXAMPLE, SLICE_ARG(flag));
    }
}

static void check_model(struct doctor *d)
{
    size_t n = d->config != NULL ? d->config->engines_n : 0;
    for (size_t i = 0; i < n; i++)
        check_engine_model(d, &d->config->engines[i]);
    if (n == 0)
        check_models(d);
}

/* The nearest folder above `path` that exists, `path` itself included. */
static void existing_above(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    for (size_t n = strlen(out); access(out, F_OK) != 0 && n > 0;) {
        while (n > 0 && out[n - 1] != '/')
            n--;
        while (n > 1 && out[n - 1] == '/')
            n--;
        out[n] = '\0';
    }
    if (out[0] == '\0')
        snprintf(out, size, path[0] == '/' ? "/" : ".");
}

static void check_space(struct doctor *d, const char *dir)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return;
    int64_t available = (int64_t)(fs.f_bavail * fs.f_frsize);
    enum check_status status = available < SPACE_NEEDED   ? CHECK_MISSING
                               : available < SPACE_WANTED ? CHECK_WARN
                                                          : CHECK_OK;
    struct check *c = add(d, status, "disk space", "%s free at %s", bytes(available).s, dir);
    if (status != CHECK_OK)
        fix(c, "du -xh -d 2 '%s' | sort -h | tail", dir);
}

static void check_data(struct doctor *d)
{
    char dir[DATADIR_MAX];
    struct check *c;
    if (d->data[0] == '\0') {
        c = add(d, CHECK_MISSING, "data folder", "none is known: there is no HOME");
        fix(c, "export WEIR_DATA=/path/to/folder");
        return;
    }
    existing_above(d->data, dir, sizeof dir);
    bool there = strcmp(dir, d->data) == 0;
    if (access(dir, W_OK | X_OK) == 0) {
        add(d, CHECK_OK, "data folder", "%s%s", d->data, there ? "" : " (will be made)");
    } else {
        c = add(d, CHECK_MISSING, "data folder", "%s: %s", d->data, strerror(errno));
        fix(c, "sudo install -d -o %lld -m 700 '%s'", (long long)geteuid(), d->data);
    }
    check_space(d, dir);
}

static void check_files(struct doctor *d)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    enum check_status status = r.rlim_cur < FILES_NEEDED   ? CHECK_MISSING
                               : r.rlim_cur < FILES_WANTED ? CHECK_WARN
                                                           : CHECK_OK;
    unsigned long long now = r.rlim_cur, most = r.rlim_max;
    struct check *c = r.rlim_cur == RLIM_INFINITY
                          ? add(d, CHECK_OK, "open files", "no limit")
                          : add(d, status, "open files",
                                "%llu at once, %llu at most; a stream takes "
                                "two",
                                now, most);
    if (status != CHECK_OK && (r.rlim_max >= FILES_WANTED || d->machine.root))
        fix(c, "ulimit -n %llu", r.rlim_max >= FILES_WANTED ? MIN_OF(most, 65536ull) : 65536ull);
    else if (status != CHECK_OK && d->machine.platform == PLATFORM_MACOS)
        fix(c, "sudo launchctl limit maxfiles 65536 65536");
    else if (status != CHECK_OK)
        fix(c, "sudo prlimit --pid $$ --nofile=65536:65536");
}

static bool on_live_head(void *ctx, const struct http_head *h, bool leads_on)
{
    bool *alive = ctx;
    (void)leads_on;
    *alive = h->status == 200;
    return false;
}

static bool on_no_data(void *ctx, struct slice data)
{
    (void)ctx, (void)data;
    return false;
}

/* Is it a gateway that has the port? */
static bool gateway_answers(const struct net_addr *a)
{
    struct fetcher *f = fetcher_new(NULL, "weir/" WEIR_VERSION);
    char text[NET_ADDR_TEXT], url[128];
    bool alive = false;
    struct slice host = net_addr_text(a, text);
    bool any = slice_is(host, "0.0.0.0") || slice_is(host, "::");
    snprintf(url, sizeof url,
             a->family == AF_INET6 && !any ? "http://[%.*s]:%u/livez" : "http://%.*s:%u/livez",
             SLICE_ARG(any ? SLICE("127.0.0.1") : host), a->port);
    const struct fetch_request r = {.method = HTTP_GET,
                                    .url = slice_str(url),
                                    .connect_ns = NS_PER_S,
                                    .head_ns = NS_PER_S,
                                    .idle_ns = NS_PER_S,
                                    .on_head = on_live_head,
                                    .on_data = on_no_data,
                                    .ctx = &alive};
    if (f != NULL)
        fetch(f, &r);
    fetcher_free(f);
    return alive;
}

/* 0, or why nothing can listen there. */
static int try_bind(const struct net_addr *a)
{
    struct sockaddr_storage ss;
    socklen_t n = net_addr_sockaddr(a, &ss);
    int one = 1, fd = n > 0 ? socket(a->family, SOCK_STREAM, 0) : -1;
    if (fd < 0)
        return errno != 0 ? errno : EINVAL;
    (void)!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int err = bind(fd, (struct sockaddr *)&ss, n) == 0 && listen(fd, 1) == 0 ? 0 : errno;
    close(fd);
    return err;
}

static void fix_port(struct check *c, const struct doctor *d, int err, unsigned port)
{
    bool macos = d->machine.platform == PLATFORM_MACOS;
    if (err == EADDRINUSE && macos)
        fix(c, "%slsof -nP -iTCP:%u -sTCP:LISTEN", sudo(d), port);
    else if (err == EADDRINUSE && d->machine.platform == PLATFORM_ALPINE)
        fix(c, "%snetstat -ltnp | grep ':%u '", sudo(d), port); /* BusyBox; there is no ss */
    else if (err == EADDRINUSE)
        fix(c, "%sss -ltnp 'sport = :%u'", sudo(d), port);
    else if (err == EACCES)
        fix(c, "sudo setcap cap_net_bind_service=+ep \"$(command -v weir)\"");
    else if (err == EADDRNOTAVAIL)
        fix(c, "%s", macos ? "ifconfig" : "ip address");
}

static void check_port(struct doctor *d, struct slice address)
{
    struct net_addr a;
    char name[80];
    if (slice_starts(address, SLICE("unix:")) || !net_addr_parse_port(address, &a))
        return; /* the configuration has been checked */
    snprintf(name, sizeof name, "port " SLICE_FMT, SLICE_ARG(address));
    int err = a.port > 0 ? try_bind(&a) : 0;
    if (err == 0) {
        add(d, CHECK_OK, name, "free");
    } else if (err == EADDRINUSE && gateway_answers(&a)) {
        add(d, CHECK_OK, name, "a gateway is running there");
    } else {
        struct check *c = add(d, CHECK_MISSING, name, "%s", strerror(err));
        fix_port(c, d, err, a.port);
    }
}

static void check_ports(struct doctor *d)
{
    const char *listen = getenv("WEIR_LISTEN");
    if (d->config == NULL) {
        check_port(d, listen != NULL && listen[0] != '\0' ? slice_str(listen)
                                                          : SLICE("127.0.0.1:8080"));
        return;
    }
    for (size_t i = 0; i < d->config->listeners_n; i++)
        check_port(d, d->config->listeners[i].address);
    if (d->config->admin_listen.n > 0)
        check_port(d, d->config->admin_listen);
    if (d->config->metrics_listen.n > 0)
        check_port(d, d->config->metrics_listen);
}

static unsigned certificates_in(const char *file)
{
    FILE *f = fopen(file, "re");
    unsigned n = 0;
    for (X509 *x; f != NULL && (x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL; n++)
        X509_free(x);
    if (f != NULL)
        fclose(f);
    return n;
}

static unsigned hashed_in(const char *dir)
{
    DIR *list = opendir(dir);
    unsigned n = 0;
    for (struct dirent *e; list != NULL && (e = readdir(list)) != NULL;) {
        size_t len = strlen(e->d_name); /* "3c899c73.0" */
        n += len > 9 && e->d_name[8] == '.' && e->d_name[9] >= '0' && e->d_name[9] <= '9';
    }
    if (list != NULL)
        closedir(list);
    return n;
}

/* Certificate authorities, where OpenSSL looks for them. */
static void check_roots(struct doctor *d)
{
    const char *file = getenv(X509_get_default_cert_file_env());
    const char *dir = getenv(X509_get_default_cert_dir_env());
    file = file != NULL && file[0] != '\0' ? file : X509_get_default_cert_file();
    dir = dir != NULL && dir[0] != '\0' ? dir : X509_get_default_cert_dir();
    unsigned n = certificates_in(file), hashed = n == 0 ? hashed_in(dir) : 0;
    if (n + hashed > 0) {
        add(d, CHECK_OK, "authorities for TLS", "%u in %s", n + hashed, n > 0 ? file : dir);
        return;
    }
    struct check *c = add(d, CHECK_MISSING, "authorities for TLS", "none in %s or %s", file, dir);
    fix_install(c, d, PACKAGE_CA_CERTIFICATES);
}

static void check_memory(struct doctor *d, const struct machine_limits *l)
{
    int64_t available, total;
    machine_memory(&available, &total);
    int64_t usable = available >= 0 ? available : total;
    if (l->memory_bytes >= 0)
        usable = MIN_OF(usable, l->memory_bytes - MAX_OF(l->memory_used_bytes, INT64_C(0)));
    int64_t wanted = MEMORY_WANTED + d->model_bytes;
    if (usable < 0)
        return;
    struct check *c =
        add(d, usable < wanted ? CHECK_WARN : CHECK_OK, "memory", "%s usable of %s%s",
            bytes(usable).s, bytes(total).s,
            usable < wanted && d->model_bytes > 0 ? "; the largest model may not fit" : "");
    if (usable < wanted)
        fix(c, "ps -A -o rss,pid,comm | sort -n | tail");
}

static void check_cgroup(struct doctor *d, const struct machine_limits *l)
{
    struct buf b;
    if (d->machine.platform == PLATFORM_MACOS)
        return;
    buf_init(&b, 200);
    if (l->cpu_milli >= 0)
        buf_printf(&b, "%.1f cores", (double)l->cpu_milli / 1000);
    if (l->memory_bytes >= 0)
        buf_printf(&b, "%s%s of memory", b.n > 0 ? ", " : "", bytes(l->memory_bytes).s);
    if (l->pids >= 0)
        buf_printf(&b, "%s%lld processes", b.n > 0 ? ", " : "", (long long)l->pids);
    bool tight = (l->cpu_milli >= 0 && l->cpu_milli < 500) ||
                 (l->memory_bytes >= 0 && l->memory_bytes < MEMORY_WANTED) ||
                 (l->pids >= 0 && l->pids < 64);
    struct slice text = b.n > 0 ? buf_view(&b) : SLICE("none");
    struct check *c =
        add(d, tight ? CHECK_WARN : CHECK_OK, "cgroup limits", SLICE_FMT, SLICE_ARG(text));
    if (tight)
        fix(c, "%ssystemctl set-property weir.service MemoryMax=1G CPUQuota=200%% TasksMax=4096",
            sudo(d));
    buf_done(&b);
}

/* Each worker has its own listening socket on the same port. */
static void check_reuseport(struct doctor *d)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    int fds[2], one = 1;
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        ok = ok && fds[i] >= 0 &&
             setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
             bind(fds[i], (struct sockaddr *)&sa, n) == 0 && listen(fds[i], 1) == 0 &&
             getsockname(fds[i], (struct sockaddr *)&sa, &n) == 0;
    }
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    struct check *c = add(d, ok ? CHECK_OK : CHECK_WARN, "SO_REUSEPORT", "%s",
                          ok ? "works" : "does not work here: one worker accepts for all");
    if (!ok)
        fix(c, "uname -r");
}

/* By the way that the gateway would take: its proxy, its trust; but without the key. */
static void check_host(struct doctor *d, struct fetcher *f, size_t i)
{
    const struct config_provider *p = &d->config->providers[i];
    const struct gw_provider *built = &d->loaded.snapshot->provider_list[i];
    struct slice url = p->url.n > 0 ? p->url : slice_str(built->row->base_url);
    bool alive = false;
    char name[80];
    const struct fetch_request r = {.method = HTTP_GET,
                                    .url = url,
                                    .upstream = built->upstream,
                                    .connect_ns = 10 * NS_PER_S,
                                    .head_ns = 10 * NS_PER_S,
                                    .idle_ns = 10 * NS_PER_S,
                                    .on_head = on_live_head,
                                    .on_data = on_no_data,
                                    .ctx = &alive};
    snprintf(name, sizeof name, "provider " SLICE_FMT, SLICE_ARG(p->name));
    struct fetch_outcome o = fetch(f, &r);
    if (o.headed) {
        add(d, CHECK_OK, name, SLICE_FMT " answers", SLICE_ARG(url));
        return;
    }
    struct check *c = add(d, CHECK_MISSING, name, SLICE_FMT ": %s", SLICE_ARG(url), o.why);
    fix(c, "curl -sSv -o /dev/null '" SLICE_FMT "'", SLICE_ARG(url));
}

/* Only asked for: it leaves the machine. */
static void check_hosts(struct doctor *d)
{
    struct fetcher *f = fetcher_new(NULL, "weir/" WEIR_VERSION);
    for (size_t i = 0; f != NULL && d->config != NULL && i < d->config->providers_n; i++)
        check_host(d, f, i);
    fetcher_free(f);
}

void doctor_run(struct doctor *d)
{
    struct machine_limits limits;
    machine_read_limits(&limits);
    check_config(d);
    find_data(d);
    check_llama_server(d);
    check_model(d);
    check_data(d);
    check_files(d);
    check_ports(d);
    check_roots(d);
    check_memory(d, &limits);
    check_cgroup(d, &limits);
    check_reuseport(d);
    if (d->connect)
        check_hosts(d);
}

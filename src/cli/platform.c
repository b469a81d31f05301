/* The machine that a command runs on. */
#include "platform.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/machine.h"

#define TEXT_MAX    16384
#define CGROUP_ROOT "/sys/fs/cgroup"
#define V1_NO_LIMIT INT64_C(0x7000000000000000) /* v1 says "none" as a number close to 2^63 */

static const struct slice names[PLATFORMS_N] = {
#define X(id, name) {(name), sizeof(name) - 1},
    PLATFORMS(X)
#undef X
};

const char *platform_name(enum platform p)
{
    return names[p].p;
}

/* The value of "KEY=value" or KEY="value". */
static struct slice os_release_value(struct slice text, const char *key)
{
    while (text.n > 0) {
        struct slice line = slice_trim(slice_cut(&text, '\n'));
        if (!slice_is(slice_cut(&line, '='), key))
            continue;
        if (line.n >= 2 && (*line.p == '"' || *line.p == '\'') && line.p[line.n - 1] == *line.p)
            line = slice_of(line.p + 1, line.n - 2);
        return line;
    }
    return SLICE_NONE;
}

/* Identifiers as they stand in ID and ID_LIKE. */
static bool platform_of(struct slice id, enum platform *ret)
{
    static const struct {
        const char *id;
        enum platform platform;
    } rows[] = {
        {"debian", PLATFORM_DEBIAN},  {"ubuntu", PLATFORM_UBUNTU}, {"fedora", PLATFORM_FEDORA},
        {"rhel", PLATFORM_RHEL},      {"centos", PLATFORM_RHEL},   {"rocky", PLATFORM_RHEL},
        {"almalinux", PLATFORM_RHEL}, {"arch", PLATFORM_ARCH},     {"alpine", PLATFORM_ALPINE},
        {"archlinux", PLATFORM_ARCH},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slice_is(id, rows[i].id)) {
            *ret = rows[i].platform;
            return true;
        }
    }
    return false;
}

static unsigned leading_number(struct slice s)
{
    uint64_t n;
    return slice_to_u64(slice_cut(&s, '.'), &n) && n < 100000 ? (unsigned)n : 0;
}

static void read_os_release(struct machine *m, struct slice text)
{
    struct slice like = os_release_value(text, "ID_LIKE");
    struct slice about = os_release_value(text, "PRETTY_NAME");
    m->platform = PLATFORM_LINUX;
    m->major = 0;
    if (platform_of(os_release_value(text, "ID"), &m->platform)) {
        m->major = leading_number(os_release_value(text, "VERSION_ID"));
    } else { /* a derivative's version says nothing of its parent's */
        while (like.n > 0 && !platform_of(slice_cut(&like, ' '), &m->platform))
            ;
    }
    snprintf(m->about, sizeof m->about, SLICE_FMT,
             SLICE_ARG(about.n > 0 && about.n < 80 ? about : SLICE("Linux")));
}

void machine_read(struct machine *m)
{
    char text[TEXT_MAX];
    struct utsname u;
    *m = (struct machine){.platform = PLATFORM_LINUX, .root = geteuid() == 0};
    if (uname(&u) != 0)
        return;
    if (strcmp(u.sysname, "Darwin") == 0) {
        m->platform = PLATFORM_MACOS;
        snprintf(m->about, sizeof m->about, "macOS");
    } else {
        struct slice s = machine_read_file("/etc/os-release", text, sizeof text);
        read_os_release(m,
                        s.n > 0 ? s : machine_read_file("/usr/lib/os-release", text, sizeof text));
    }
    size_t n = strlen(m->about);
    snprintf(m->about + n, sizeof m->about - n, ", %.16s, %.60s", u.machine, u.release);
}

bool machine_pretend(struct machine *m, struct slice name)
{
    struct slice version = name;
    name = slice_cut(&version, ':');
    for (unsigned i = 0; i < PLATFORMS_N; i++) {
        if (!slice_eq(names[i], name))
            continue;
        m->platform = (enum platform)i;
        m->major = leading_number(version);
        snprintf(m->about, sizeof m->about, SLICE_FMT, SLICE_ARG(name));
        return true;
    }
    return false;
}

#define ANY_LINUX "curl -LsSf https://llama.app/install.sh | sh"

/* Where the system's own packages have llama-server. */
static const char *llama_server(const struct machine *m)
{
    switch (m->platform) {
    case PLATFORM_DEBIAN: return m->major >= 14 ? "apt install llama.cpp" : NULL;
    case PLATFORM_UBUNTU: return m->major >= 26 ? "apt install llama.cpp" : NULL;
    case PLATFORM_FEDORA: return "dnf install llama-cpp";
    case PLATFORM_ARCH: return "pacman -S llama.cpp";
    case PLATFORM_ALPINE: return "apk add llama.cpp";
    default: return NULL;
    }
}

static const char *ca_certificates(const struct machine *m)
{
    switch (m->platform) {
    case PLATFORM_DEBIAN:
    case PLATFORM_UBUNTU: return "apt install ca-certificates";
    case PLATFORM_FEDORA:
    case PLATFORM_RHEL: return "dnf install ca-certificates";
    case PLATFORM_ARCH: return "pacman -S ca-certificates";
    case PLATFORM_ALPINE: return "apk add ca-certificates";
    default: return NULL;
    }
}

void machine_install_command(const struct machine *m, enum package what, struct buf *out)
{
    bool llama = what == PACKAGE_LLAMA_SERVER;
    const char *package = llama ? llama_server(m) : ca_certificates(m);
    if (package != NULL)
        buf_printf(out, "%s%s", m->root ? "" : "sudo ", package);
    else if (m->platform == PLATFORM_MACOS)
        buf_printf(out, "brew install %s", llama ? "llama.cpp" : "ca-certificates");
    else
        buf_printf(out, "%s", llama ? ANY_LINUX : "export SSL_CERT_FILE=/path/to/ca-bundle.crt");
}

/* The smaller of two limits of which -1 is none. */
static int64_t lesser(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : MIN_OF(a, b);
}

/* The number in a cgroup's file; -1: none, "max", or v1's way of saying so. */
static int64_t cgroup_number(const char *dir, const char *file)
{
    char path[1024], text[64];
    uint64_t n;
    int len = snprintf(path, sizeof path, "%s/%s", dir, file);
    if (len < 0 || (size_t)len >= sizeof path)
        return -1;
    struct slice s = machine_read_file(path, text, sizeof text);
    if (!slice_to_u64(slice_trim(slice_cut(&s, '\n')), &n) || n >= (uint64_t)V1_NO_LIMIT)
        return -1;
    return (int64_t)n;
}

/* cpu.max: "200000 100000", or "max 100000". */
static int64_t cgroup_cpu(const char *dir)
{
    char path[1024], text[64];
    uint64_t quota, period;
    int len = snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (len < 0 || (size_t)len >= sizeof path)
        return -1;
    struct slice s = machine_read_file(path, text, sizeof text), line = slice_cut(&s, '\n');
    if (slice_to_u64(slice_cut(&line, ' '), &quota) && slice_to_u64(line, &period) && period > 0)
        return (int64_t)(quota * 1000 / period);
    int64_t q = cgroup_number(dir, "cpu.cfs_quota_us"), p = cgroup_number(dir, "cpu.cfs_period_us");
    return q > 0 && p > 0 ? q * 1000 / p : -1;
}

/* One cgroup of the way up: its limits count if they are tighter. */
static void add_limits(const char *dir, struct machine_limits *l)
{
    int64_t memory =
        lesser(cgroup_number(dir, "memory.max"), cgroup_number(dir, "memory.limit_in_bytes"));
    if (memory >= 0 && (l->memory_bytes < 0 || memory < l->memory_bytes)) {
        int64_t used = cgroup_number(dir, "memory.current");
        l->memory_bytes = memory;
        l->memory_used_bytes = used >= 0 ? used : cgroup_number(dir, "memory.usage_in_bytes");
    }
    l->cpu_milli = lesser(l->cpu_milli, cgroup_cpu(dir));
    l->pids = lesser(l->pids, cgroup_number(dir, "pids.max"));
}

/* `path` below `root` and all above it, `root` included. */
static void walk_up(const char *root, struct slice path, struct machine_limits *l)
{
    char dir[1024];
    size_t base = strlen(root);
    int n = snprintf(dir, sizeof dir, "%s" SLICE_FMT, root, SLICE_ARG(path));
    if (n < 0 || (size_t)n >= sizeof dir)
        return;
    for (size_t len = (size_t)n;; len--) {
        if (dir[len] != '/' && dir[len] != '\0')
            continue;
        dir[len] = '\0';
        add_limits(dir, l);
        if (len <= base)
            return;
    }
}

void machine_read_limits(struct machine_limits *ret)
{
    char text[TEXT_MAX];
    struct slice s = machine_read_file("/proc/self/cgroup", text, sizeof text);
    *ret = (struct machine_limits){-1, -1, -1, -1};
    while (s.n > 0) { /* "0::/path", or "4:cpu,cpuacct:/path" with version 1 */
        struct slice path = slice_cut(&s, '\n');
        slice_cut(&path, ':');
        struct slice controllers = slice_cut(&path, ':');
        if (controllers.n == 0)
            walk_up(CGROUP_ROOT, path, ret);
        while (controllers.n > 0) {
            char root[128];
            struct slice name = slice_cut(&controllers, ',');
            snprintf(root, sizeof root, CGROUP_ROOT "/%.*s", (int)MIN_OF(name.n, (size_t)60),
                     name.p);
            walk_up(root, path, ret);
        }
    }
}

/* "MemAvailable:  123 kB" of /proc/meminfo in bytes, or -1. */
static int64_t meminfo(struct slice text, const char *key)
{
    uint64_t kib;
    while (text.n > 0) {
        struct slice line = slice_cut(&text, '\n');
        if (!slice_is(slice_cut(&line, ':'), key))
            continue;
        line = slice_trim(line);
        return slice_to_u64(slice_cut(&line, ' '), &kib) ? (int64_t)(kib * 1024) : -1;
    }
    return -1;
}

void machine_memory(int64_t *ret_available, int64_t *ret_total)
{
    char text[TEXT_MAX];
    struct slice s = machine_read_file("/proc/meminfo", text, sizeof text);
    *ret_available = meminfo(s, "MemAvailable");
    *ret_total = meminfo(s, "MemTotal");
    if (*ret_total < 0) {
        long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
        *ret_total = pages > 0 && size > 0 ? (int64_t)pages * size : -1;
    }
}

/* What the machine grants this process. On Linux: sched(7), cgroups(7), /proc/self/cgroup. */
#include "base/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_BYTES  4096

struct slice machine_read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return SLICE_NONE;
    ssize_t n = read(fd, out, size);
    close(fd);
    return n > 0 ? slice_of(out, (size_t)n) : SLICE_NONE;
}

static int64_t affinity_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    return sysconf(_SC_NPROCESSORS_ONLN); /* or more cores than the set has room for */
}

/* Whole cores that the files of one cgroup grant (cgroup v2: cpu.max; v1: a pair); 0: no limit. */
static int64_t quota_of(const char *dir)
{
    char path[PATH_BYTES + 32], text[128], second[128];
    uint64_t quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    struct slice rest = machine_read_file(path, text, sizeof text), head;
    if (rest.p == NULL) {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
        head = machine_read_file(path, text, sizeof text);
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
        rest = machine_read_file(path, second, sizeof second);
        head = slice_cut(&head, '\n');
    } else {
        head = slice_cut(&rest, ' ');
    }
    if (!slice_to_u64(head, &quota) || !slice_to_u64(slice_cut(&rest, '\n'), &period) ||
        quota == 0 || period == 0)
        return 0;
    return (int64_t)MAX_OF(quota / period, UINT64_C(1)); /* a thread more would be throttled */
}

/* The least quota of the cgroup `root` + `path` and all above it; 0: no limit. */
static int64_t quota_along(const char *root, struct slice path)
{
    char dir[PATH_BYTES];
    int64_t least = 0;
    for (;;) {
        int n = snprintf(dir, sizeof dir, "%s%.*s", root, SLICE_ARG(path));
        int64_t q = n > 0 && (size_t)n < sizeof dir ? quota_of(dir) : 0;
        if (q > 0)
            least = least > 0 ? MIN_OF(least, q) : q;
        if (path.n == 0)
            return least;
        do
            path.n--;
        while (path.n > 0 && path.p[path.n] != '/');
    }
}

/* From the lines of /proc/self/cgroup: "0::/path" (v2), "4:cpu,cpuacct:/path" (v1). */
static int64_t cgroup_cores(void)
{
    char text[PATH_BYTES];
    int64_t least = 0;
    struct slice rest = machine_read_file("/proc/self/cgroup", text, sizeof text);
    while (rest.n > 0) {
        struct slice path = slice_cut(&rest, '\n');
        struct slice number = slice_cut(&path, ':'), controllers = slice_cut(&path, ':');
        bool v2 = slice_is(number, "0") && controllers.n == 0;
        bool cpu = slice_is(controllers, "cpu") || slice_starts(controllers, SLICE("cpu,"));
        if (!v2 && !cpu)
            continue;
        int64_t q = quota_along(v2 ? CGROUP_ROOT : CGROUP_ROOT "/cpu", path);
        if (q > 0)
            least = least > 0 ? MIN_OF(least, q) : q;
    }
    return least;
}

unsigned machine_cores(void)
{
    int64_t cores = affinity_cores(), quota = cgroup_cores();
    return (unsigned)MAX_OF(quota > 0 ? MIN_OF(cores, quota) : cores, INT64_C(1));
}

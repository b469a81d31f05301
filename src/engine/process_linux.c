/* Processes on Linux: prctl(2), proc(5), cgroups(7). */
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/slice.h"

#define OOM_SCORE   "500" /* of -1000 to 1000; our own is usually 0 */
#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_BYTES  4096

void process_die_with_parent(int signum)
{
    prctl(PR_SET_PDEATHSIG, signum);
}

void process_adopt_orphans(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void process_offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, OOM_SCORE, sizeof OOM_SCORE - 1);
    (void)n; /* not allowed to: then it competes on equal terms */
    close(fd);
}

/* The start of a small file as text; empty when it cannot be read. */
static struct slice read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return SLICE_NONE;
    ssize_t n = read(fd, out, size);
    close(fd);
    return n > 0 ? slice_of(out, (size_t)n) : SLICE_NONE;
}

/* Does the process in /proc/<name> run, and in that group? "4711 (a name) S 1 4700 ...". */
static bool runs_in_group(const char *name, pid_t group)
{
    char path[320], text[512];
    uint64_t pgrp;
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    struct slice all = read_text(path, text, sizeof text), rest = all;
    for (size_t i = 0; i < all.n; i++) {
        if (all.p[i] == ')') /* the last one: names may have any character */
            rest = slice_from(all, i + 1);
    }
    slice_cut(&rest, ' ');
    struct slice state = slice_cut(&rest, ' ');
    slice_cut(&rest, ' ');
    return slice_to_u64(slice_cut(&rest, ' '), &pgrp) && pgrp == (uint64_t)group &&
           !slice_is(state, "Z") && !slice_is(state, "X");
}

bool process_group_runs(pid_t group)
{
    bool found = false;
    DIR *d = kill(-group, 0) == 0 ? opendir("/proc") : NULL;
    if (d == NULL)
        return false;
    for (struct dirent *e = readdir(d); e != NULL && !found; e = readdir(d))
        found = e->d_name[0] >= '0' && e->d_name[0] <= '9' && runs_in_group(e->d_name, group);
    closedir(d);
    return found;
}

int64_t process_rss_bytes(pid_t pid)
{
    char path[64], text[256];
    uint64_t pages;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    struct slice rest = read_text(path, text, sizeof text);
    slice_cut(&rest, ' ');
    if (!slice_to_u64(slice_cut(&rest, ' '), &pages))
        return -1;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int64_t affinity_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    return sysconf(_SC_NPROCESSORS_ONLN); /* more processors than the set has room for */
}

/* Whole cores that the files of one cgroup grant (cgroup v2: cpu.max; v1: a pair); 0: no limit. */
static int64_t quota_of(const char *dir)
{
    char path[PATH_BYTES + 32], text[128], second[128];
    uint64_t quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    struct slice rest = read_text(path, text, sizeof text), head;
    if (rest.p == NULL) {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
        head = read_text(path, text, sizeof text);
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
        rest = read_text(path, second, sizeof second);
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
    struct slice rest = read_text("/proc/self/cgroup", text, sizeof text);
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

int64_t process_cores(void)
{
    int64_t cores = affinity_cores(), quota = cgroup_cores();
    return MAX_OF(quota > 0 ? MIN_OF(cores, quota) : cores, INT64_C(1));
}

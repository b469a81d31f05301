/* Processes on Linux: prctl(2), proc(5). */
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/machine.h"

#define OOM_SCORE "500" /* of -1000 to 1000; our own is usually 0 */

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

/* Does the process in /proc/<name> run, and in that group? "4711 (a name) S 1 4700 ...". */
static bool runs_in_group(const char *name, pid_t group)
{
    char path[320], text[512];
    uint64_t pgrp;
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    struct slice all = machine_read_file(path, text, sizeof text), rest = all;
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
    struct slice rest = machine_read_file(path, text, sizeof text);
    slice_cut(&rest, ' ');
    if (!slice_to_u64(slice_cut(&rest, ' '), &pages))
        return -1;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

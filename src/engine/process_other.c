/* Processes where nothing but POSIX is known: what cannot be asked is left out. */
#include "process.h"

#include <signal.h>
#include <unistd.h>

void process_die_with_parent(int signum)
{
    (void)signum;
}

void process_adopt_orphans(void)
{
}

void process_offer_to_oom_killer(void)
{
}

bool process_group_runs(pid_t group)
{
    return kill(-group, 0) == 0;
}

int64_t process_rss_bytes(pid_t pid)
{
    (void)pid;
    return -1;
}

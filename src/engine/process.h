/* What the operating system is asked about processes; one source file for each platform. */
#ifndef ENGINE_PROCESS_H
#define ENGINE_PROCESS_H

#include <sys/types.h>

#include "base/compiler.h"

/* `signum` comes when the thread that forked this process ends. Nothing where there is no such
 * thing: the shim's channel does the same by other means. May be called between fork and exec. */
void process_die_with_parent(int signum);

/* Descendants whose parents die become this process' children, so that it can wait for them. */
void process_adopt_orphans(void);

/* Makes the kernel end this process and its children before others when memory runs out. May be
 * called between fork and exec. */
void process_offer_to_oom_killer(void);

/* Does something of process group `group` still run? What has only not been waited for does not. */
bool process_group_runs(pid_t group);

/* Resident memory of `pid`, or -1: unknown. */
int64_t process_rss_bytes(pid_t pid);

#endif

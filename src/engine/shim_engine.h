/* The engine as its shim sees it: a child process that leads a group of its own. */
#ifndef ENGINE_SHIM_ENGINE_H
#define ENGINE_SHIM_ENGINE_H

#include <sys/types.h>

#include "base/compiler.h"

/* Runs argv[0] with its output to `*ret_output`, a pipe's end that the caller closes. Returns its
 * pid, or -1 with errno. */
pid_t shim_engine_spawn(char *const *argv, int *ret_output);

/* Has the leader ended? Does not wait, and leaves it unreaped: its number stays taken. Adopted
 * orphans that have ended are reaped. */
bool shim_engine_ended(pid_t engine);

/* Ends all of the group and waits until it is gone, one second at most. True: nothing is left.
 * `*ret_status` is the leader's wait status. */
bool shim_engine_clear(pid_t engine, int *ret_status);

#endif

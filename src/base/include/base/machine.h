/* What the machine grants this process. */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include "base/slice.h"

/* The first `size` bytes of a small file (of /proc or /sys, say) into `out`; SLICE_NONE when it is
 * empty or cannot be read. */
struct slice machine_read_file(const char *path, char *out, size_t size);

/* Cores that this process may use: the affinity mask, cut to whole cores of the cgroup's quota; at
 * least 1. */
unsigned machine_cores(void);

#endif

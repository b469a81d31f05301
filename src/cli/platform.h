/* The machine that a command runs on: which system it is, what installs software on it, and what it
 * grants a process. */
#ifndef CLI_PLATFORM_H
#define CLI_PLATFORM_H

#include "base/buf.h"
#include "base/slice.h"

/* X(id, name) */
#define PLATFORMS(X)                                                                               \
    X(DEBIAN, "debian")                                                                            \
    X(UBUNTU, "ubuntu")                                                                            \
    X(FEDORA, "fedora")                                                                            \
    X(RHEL, "rhel")                                                                                \
    X(ARCH, "arch")                                                                                \
    X(ALPINE, "alpine")                                                                            \
    X(MACOS, "macos")                                                                              \
    X(LINUX, "linux") /* any other */

enum platform {
#define X(id, name) PLATFORM_##id,
    PLATFORMS(X)
#undef X
        PLATFORMS_N
};
const char *platform_name(enum platform p);

struct machine {
    enum platform platform;
    unsigned major;  /* version of the distribution, 0: unknown, or a rolling one */
    char about[120]; /* "Debian GNU/Linux 12 (bookworm), x86_64, 6.1.0" */
    bool root;
};

/* Reads uname(2) and os-release(5). */
void machine_read(struct machine *m);
/* Takes the system called `name` for this one, "ubuntu:26" with its version. False: unknown. */
NODISCARD bool machine_pretend(struct machine *m, struct slice name);

/* Things that the system's packages bring. */
enum package { PACKAGE_LLAMA_SERVER, PACKAGE_CA_CERTIFICATES, PACKAGES_N };
/* The one command that installs it. */
void machine_install_command(const struct machine *m, enum package what, struct buf *out);

/* What the control groups (cgroups(7), version 1 and 2) that hold this process leave it; -1: no
 * limit. */
struct machine_limits {
    int64_t memory_bytes, memory_used_bytes;
    int64_t cpu_milli; /* thousandths of a core */
    int64_t pids;
};
void machine_read_limits(struct machine_limits *ret);

/* Memory that could be used now, and in all; -1: unknown. */
void machine_memory(int64_t *ret_available, int64_t *ret_total);

#endif

/* Starting and ending an engine's process group. */
#include "shim_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "process.h"

#define CLEAR_NS      NS_PER_S
#define CLEAR_STEP_NS (2 * NS_PER_MS)

static bool pipe_cloexec(int fds[2])
{
    if (pipe(fds) != 0)
        return false;
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    return true;
}

static void close_pair(int fds[2])
{
    int e = errno;
    close(fds[0]);
    close(fds[1]);
    errno = e;
}

/* In the new process. Says on `failure` why it could not become the engine. */
static NORETURN void become_engine(char *const *argv, pid_t shim, int output, int failure)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    process_die_with_parent(SIGKILL);
    process_offer_to_oom_killer();
    if (getppid() != shim) /* it ended before it would have been noticed */
        _exit(1);
    umask(077); /* its socket is for us alone */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2) {
        if (null > 2)
            close(null);
        execve(argv[0], argv, environ);
    }
    int e = errno;
    ssize_t n = write(failure, &e, sizeof e);
    (void)n; /* nobody reads: the shim is gone as well */
    _exit(127);
}

pid_t shim_engine_spawn(char *const *argv, int *ret_output)
{
    int output[2], failure[2], e = 0;
    pid_t self = getpid();
    if (!pipe_cloexec(output))
        return -1;
    if (!pipe_cloexec(failure)) {
        close_pair(output);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_engine(argv, self, output[1], failure[1]);
    if (pid < 0) {
        close_pair(output);
        close_pair(failure);
        return -1;
    }
    setpgid(pid, pid); /* whoever comes first; EACCES after the exec is no matter */
    close(output[1]);
    close(failure[1]);
    ssize_t n;
    do
        n = read(failure[0], &e, sizeof e); /* ends at the exec */
    while (n < 0 && errno == EINTR);
    close(failure[0]);
    if (n == (ssize_t)sizeof e) {
        waitpid(pid, NULL, 0);
        close(output[0]);
        errno = e;
        return -1;
    }
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    *ret_output = output[0];
    return pid;
}

bool shim_engine_ended(pid_t engine)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
            if (errno == EINTR)
                continue;
            return true; /* no children: it cannot have gone unnoticed, but it is not there */
        }
        if (info.si_pid == 0 || info.si_pid == engine)
            return info.si_pid != 0;
        waitpid(info.si_pid, NULL, WNOHANG); /* an orphan that was adopted */
    }
}

/* Reaps what has ended of the group. False: nothing of it is left. */
static bool reap_group(pid_t engine, int *ret_status)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-engine, &status, WNOHANG);
        if (pid == engine)
            *ret_status = status;
        if (pid == 0)
            return true;
        if (pid < 0 && errno != EINTR)
            break;
    }
    return kill(-engine, 0) == 0; /* members whose parents are outside of the group */
}

bool shim_engine_clear(pid_t engine, int *ret_status)
{
    /* Killed before the leader is reaped: until then nobody else can be called by its number. */
    kill(-engine, SIGKILL);
    int64_t until_ns = clock_mono_ns() + CLEAR_NS;
    while (reap_group(engine, ret_status)) {
        struct timespec step = {.tv_nsec = CLEAR_STEP_NS};
        if (clock_mono_ns() > until_ns)
            return false;
        nanosleep(&step, NULL);
    }
    return true;
}

/* What the measuring tools share; see util.h. */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

void bench_die(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void *bench_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        bench_die("out of memory (%zu x %zu bytes)", count, size);
    return memory;
}

void bench_free(void *memory)
{
    free(memory);
}

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t bench_parse_int(const char *option, const char *text, int64_t min, int64_t max)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        bench_die("%s: '%s' is not a whole number from %lld to %lld", option, text, (long long)min,
                  (long long)max);
    return value;
}

double bench_parse_real(const char *option, const char *text, double min, double max)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= min && value <= max))
        bench_die("%s: '%s' is not a number from %g to %g", option, text, min, max);
    return value;
}

char *bench_read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        bench_die("%s: %s", path, strerror(errno));
    long len = ftell(file);
    if (len < 0)
        bench_die("%s: %s", path, strerror(errno));
    rewind(file);
    char *text = bench_alloc((size_t)len + 1, 1);
    if (fread(text, 1, (size_t)len, file) != (size_t)len)
        bench_die("%s: cannot be read whole", path);
    fclose(file);
    *ret_len = (size_t)len;
    return text;
}

void bench_raise_files(int64_t files)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        bench_die("getrlimit: %s", strerror(errno));
    if (limit.rlim_cur >= (rlim_t)files)
        return;
    struct rlimit wanted = {.rlim_cur = (rlim_t)files, .rlim_max = limit.rlim_max};
    if (wanted.rlim_max < wanted.rlim_cur)
        wanted.rlim_max = wanted.rlim_cur;
    if (!setrlimit(RLIMIT_NOFILE, &wanted))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int bench_listen(int port, int *ret_port)
{
    struct sockaddr_in address = loopback(port);
    socklen_t len = sizeof(address);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
        bench_die("socket: %s", strerror(errno));
    if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, LISTEN_BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        bench_die("port %d: %s", port, strerror(errno));
    *ret_port = ntohs(address.sin_port);
    return fd;
}

void bench_set_nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int bench_connect(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bench_set_nodelay(fd);
    if (!connect(fd, (struct sockaddr *)&address, sizeof(address)) || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int bench_signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        bench_die("signalfd: %s", strerror(errno));
    return fd;
}

int bench_signals_take(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n = read(fd, &info, sizeof(info));
    return n == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

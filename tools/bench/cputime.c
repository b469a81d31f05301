/* The CPU time that given processes have used; see cputime.h. */
#include "cputime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "util.h"

void cputime_init(struct cputime *cputime, const char *list)
{
    cputime->count = 0;
    while (*list) {
        char number[16] = "";
        size_t len = strcspn(list, ",");
        if (len >= sizeof(number) || cputime->count == CPUTIME_PROCESSES)
            bench_die("--cpu-of: '%s' is not a short list of process ids", list);
        memcpy(number, list, len);
        cputime->processes[cputime->count++] =
            (int)bench_parse_int("--cpu-of", number, 1, INT32_MAX);
        list += len + (list[len] == ',');
    }
}

/* A thread that ends between the listing and the reading counts as nothing. */
static int64_t read_thread(const char *path)
{
    char line[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, line, sizeof(line) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    line[n] = '\0';
    return (int64_t)strtoull(line, NULL, 10);
}

static int64_t read_process(int process)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", process);
    DIR *threads = opendir(path);
    if (!threads)
        bench_die("%s: %s", path, strerror(errno));
    int64_t sum = 0;
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.')
            continue;
        char stat[128];
        snprintf(stat, sizeof(stat), "%s/%.16s/schedstat", path, entry->d_name);
        sum += read_thread(stat);
    }
    closedir(threads);
    return sum;
}

int64_t cputime_read(const struct cputime *cputime)
{
    int64_t sum = 0;
    for (int i = 0; i < cputime->count; i++)
        sum += read_process(cputime->processes[i]);
    return sum;
}

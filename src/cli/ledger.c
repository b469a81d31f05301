/* `weir ledger`: what the ledger's files hold, whether they are sound, and copies of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "command.h"
#include "datadir.h"
#include "options.h"
#include "store/ledger_files.h"

#define ERROR_MAX ((size_t)16 << 10)
#define USAGE                                                                                      \
    "ledger verify|backup DIR|export|migrate\n"                                                    \
    "  verify   checks every record, and that the rollups are the sums of their rows\n"            \
    "  backup   copies the ledger to a new folder; the gateway may run meanwhile\n"                \
    "  export   prints the rows as lines of JSON, those that began in --from to --to\n"            \
    "  migrate  brings the database up to this version; the gateway may not run"

struct call {
    const char *data, *from, *to;
    char dir[DATADIR_MAX], folder[DATADIR_MAX + 16];
    struct buf error;
};

static int failed(struct call *c)
{
    fprintf(stderr, "weir ledger: " SLICE_FMT "\n", SLICE_ARG(buf_view(&c->error)));
    return 1;
}

static int verify(struct call *c)
{
    struct ledger_verdict v;
    if (!ledger_verify(c->folder, &v, &c->error))
        return failed(c);
    printf("%lld rows and %lld names in %lld segments: %lld damaged records, %lld rows twice, "
           "%lld sequences missing\n",
           (long long)v.rows, (long long)v.names, (long long)v.segments, (long long)v.damaged,
           (long long)v.repeated, (long long)v.missing);
    printf("%lld lines of rollups compared with their rows: %lld differ\n", (long long)v.lines,
           (long long)v.differing);
    return v.damaged + v.repeated + v.missing + v.differing == 0 ? 0 : 1;
}

static int backup(struct call *c, const char *to)
{
    if (to == NULL) {
        fputs("weir ledger backup: into which folder?\n", stderr);
        return 2;
    }
    if (!ledger_backup(c->folder, to, &c->error))
        return failed(c);
    printf("%s is a copy of %s\n", to, c->folder);
    return 0;
}

/* A day ("2026-10-01") or a moment ("2026-10-01T08:00:00Z"), UTC. */
static bool read_time(const char *text, int64_t *ret_ns)
{
    struct tm tm = {.tm_isdst = 0};
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest != NULL && rest[0] == 'T')
        rest = strptime(rest, "T%H:%M:%SZ", &tm);
    if (rest == NULL || rest[0] != '\0') {
        fprintf(stderr, "weir ledger: `%s` is no time like 2026-10-01 or 2026-10-01T08:00:00Z\n",
                text);
        return false;
    }
    *ret_ns = (int64_t)timegm(&tm) * NS_PER_S;
    return true;
}

static bool print_line(void *ctx, struct slice line)
{
    (void)ctx;
    return fwrite(line.p, 1, line.n, stdout) == line.n;
}

static int export_rows(struct call *c)
{
    int64_t from_ns = INT64_MIN, to_ns = INT64_MAX;
    if ((c->from != NULL && !read_time(c->from, &from_ns)) ||
        (c->to != NULL && !read_time(c->to, &to_ns)))
        return 2;
    return ledger_export(c->folder, from_ns, to_ns, print_line, NULL, &c->error) ? 0 : failed(c);
}

static int migrate(struct call *c)
{
    char path[DATADIR_MAX + 8];
    int from, to;
    snprintf(path, sizeof path, "%s/lock", c->dir);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
        fprintf(stderr, "weir ledger: %s: %s\n", path,
                lock < 0 ? strerror(errno) : "a gateway is running; stop it first");
        if (lock >= 0)
            close(lock);
        return 1;
    }
    bool ok = ledger_migrate(c->folder, &from, &to, &c->error);
    close(lock);
    if (!ok)
        return failed(c);
    if (from == to)
        printf("the ledger is of version %d already\n", to);
    else
        printf("the ledger is of version %d now; a copy of version %d is beside it\n", to, from);
    return 0;
}

static int run(struct call *c, const char *what, const char *word)
{
    if (strcmp(what, "backup") == 0)
        return backup(c, word);
    if (word != NULL) {
        fprintf(stderr, "weir ledger: `%s` is one word too many\n", word);
        return 2;
    }
    if (strcmp(what, "verify") == 0)
        return verify(c);
    if (strcmp(what, "export") == 0)
        return export_rows(c);
    if (strcmp(what, "migrate") == 0)
        return migrate(c);
    fprintf(stderr, "weir ledger: `%s` is unknown; see weir ledger --help\n", what);
    return 2;
}

int cmd_ledger(int argc, char **argv)
{
    struct call c = {.data = NULL};
    const struct option_row rows[] = {
        {"--data", "folder of the gateway", &c.data, NULL},
        {"--from", "day or moment (UTC), for export", &c.from, NULL},
        {"--to", "day or moment that is not in it any more", &c.to, NULL},
    };
    int n = options_read(argc, argv, USAGE, rows, ARRAY_LEN(rows), 2);
    if (n < 0)
        return options_status(n);
    if (n == 0) {
        fputs("weir ledger: verify, backup, export or migrate? See weir ledger --help\n", stderr);
        return 2;
    }
    if (!datadir_find(c.data, c.dir, sizeof c.dir)) {
        fputs("weir ledger: there is no data folder (--data)\n", stderr);
        return 1;
    }
    snprintf(c.folder, sizeof c.folder, "%s/ledger", c.dir);
    buf_init(&c.error, ERROR_MAX);
    int status = run(&c, argv[1], n > 1 ? argv[2] : NULL);
    buf_done(&c.error);
    return status;
}

/* The log of alerts: each once, also after it was opened again; messages until they are sent. */
#include "store/alert_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

struct place {
    char folder[64], path[96];
    struct alert_log *log;
    struct buf error;
    struct arena arena;
};

static void place_open(struct place *p)
{
    snprintf(p->folder, sizeof p->folder, "/tmp/weir-alerts-XXXXXX");
    CHECK(mkdtemp(p->folder) != NULL);
    snprintf(p->path, sizeof p->path, "%s/alerts.db", p->folder);
    buf_init(&p->error, 4096);
    arena_init(&p->arena, NULL, 1 << 20);
    p->log = alert_log_open(p->path, &p->error);
    CHECK(p->log != NULL);
}

static void place_again(struct place *p)
{
    alert_log_close(p->log);
    p->log = alert_log_open(p->path, &p->error);
    CHECK(p->log != NULL);
}

static void place_close(struct place *p)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[128];
    alert_log_close(p->log);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(path, sizeof path, "%s%s", p->path, ends[i]);
        unlink(path);
    }
    CHECK(rmdir(p->folder) == 0);
    buf_done(&p->error);
    arena_reset(&p->arena);
}

static struct alert_mark mark(const char *name, int64_t period, int64_t percent)
{
    return (struct alert_mark){.kind = SCOPE_TEAM,
                               .name = slice_str(name),
                               .budget = LIMIT_BUDGET_MONTH - LIMIT_BUDGET_HOUR,
                               .period_ns = period,
                               .percent = percent,
                               .at_ns = period + 1,
                               .message = SLICE("{\"a\":1}")};
}

static enum alert_result add(struct place *p, const char *name, int64_t period, int64_t percent)
{
    struct alert_mark m = mark(name, period, percent);
    return alert_log_add(p->log, &m, &p->error);
}

TEST(once_each)
{
    struct place p;
    place_open(&p);
    CHECK_EQ_I64(add(&p, "search", 1000, 50), ALERT_NEW);
    CHECK_EQ_I64(add(&p, "search", 1000, 50), ALERT_KNOWN);
    CHECK_EQ_I64(add(&p, "search", 1000, 80), ALERT_NEW);
    CHECK_EQ_I64(add(&p, "search", 2000, 50), ALERT_NEW);
    CHECK_EQ_I64(add(&p, "Search", 1000, 50), ALERT_NEW);
    place_again(&p);
    CHECK_EQ_I64(add(&p, "search", 1000, 80), ALERT_KNOWN);
    struct alert_mark key = mark("search", 1000, 50);
    key.kind = SCOPE_KEY;
    CHECK_EQ_I64(alert_log_add(p.log, &key, &p.error), ALERT_NEW);
    place_close(&p);
}

static void append(void *ctx, int64_t percent, int64_t at_ns)
{
    buf_printf(ctx, "%lld@%lld ", (long long)percent, (long long)at_ns);
}

TEST(given)
{
    struct place p;
    struct buf out;
    buf_init(&out, 4096);
    place_open(&p);
    CHECK_EQ_I64(add(&p, "a", 1000, 80), ALERT_NEW);
    CHECK_EQ_I64(add(&p, "a", 1000, 50), ALERT_NEW);
    CHECK_EQ_I64(add(&p, "b", 1000, 100), ALERT_NEW);
    struct alert_mark of = mark("a", 1000, 0);
    CHECK(alert_log_given(p.log, &of, append, &out, &p.error));
    CHECK_EQ_LIT(buf_view(&out), "50@1001 80@1001 ");
    buf_done(&out);
    place_close(&p);
}

static size_t unsent(struct place *p, int64_t after, struct alert_mark **ret)
{
    size_t n = 0;
    CHECK(alert_log_unsent(p->log, after, 10, &p->arena, ret, &n, &p->error));
    return n;
}

TEST(messages_wait)
{
    struct place p;
    struct alert_mark *list;
    place_open(&p);
    CHECK_EQ_I64(add(&p, "a", 1000, 50), ALERT_NEW);
    CHECK_EQ_I64(add(&p, "a", 1000, 80), ALERT_NEW);
    place_again(&p);
    CHECK_EQ_U64(unsent(&p, 0, &list), 2);
    CHECK_EQ_LIT(list[0].message, "{\"a\":1}");
    CHECK_EQ_LIT(list[0].name, "a");
    CHECK_EQ_I64(list[0].kind, SCOPE_TEAM);
    CHECK_EQ_I64(list[1].percent, 80);
    CHECK_EQ_U64(unsent(&p, list[0].id, &list), 1);
    CHECK(alert_log_sent(p.log, list[0].id, &p.error));
    CHECK_EQ_U64(unsent(&p, 0, &list), 1);
    CHECK(alert_log_prune(p.log, 5000, &p.error)); /* what was not sent stays */
    CHECK_EQ_U64(unsent(&p, 0, &list), 1);
    CHECK_EQ_I64(add(&p, "a", 1000, 50), ALERT_KNOWN);
    CHECK_EQ_I64(add(&p, "a", 1000, 80), ALERT_NEW); /* forgotten with its period */
    place_close(&p);
}

TEST(no_such_place)
{
    struct buf error;
    buf_init(&error, 4096);
    CHECK(alert_log_open("/nonexistent/alerts.db", &error) == NULL);
    CHECK_EQ_LIT(buf_view(&error), "/nonexistent/alerts.db: No such file or directory");
    buf_done(&error);
}

TEST(another_file)
{
    char path[] = "/tmp/weir-alerts-file-XXXXXX";
    struct buf error;
    int fd = mkstemp(path);
    buf_init(&error, 4096);
    CHECK(fd >= 0 &&
          write(fd, "not a database at all, but longer than a header is: padding...", 60) == 60);
    close(fd);
    CHECK(alert_log_open(path, &error) == NULL);
    CHECK(error.n > 0);
    unlink(path);
    buf_done(&error);
}

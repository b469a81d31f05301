/* What tests of the ledger share. */
#include "ledger_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#define YEAR_NS (INT64_C(366) * 86400 * NS_PER_S)

void fixture_folder(char out[FIXTURE_PATH])
{
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL)
        tmp =
            access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* no disk: fsync costs nothing */
    snprintf(out, FIXTURE_PATH, "%s/weir-ledger-XXXXXX", tmp);
    CHECK(mkdtemp(out) != NULL);
}

void fixture_remove(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d != NULL)
        closedir(d);
    rmdir(folder);
}

struct ledger_config fixture_config(const char *folder, unsigned lanes)
{
    return (struct ledger_config){
        .folder = folder, .lanes = lanes, .spool_rows = 256, .open_rows = 16};
}

struct ledger *fixture_open(const struct ledger_config *c)
{
    struct buf why;
    buf_init(&why, 4096);
    struct ledger *l = ledger_open(c, &why);
    if (l == NULL)
        check_fail(CHECK_AT("ledger_open"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    buf_done(&why);
    return l;
}

static uint32_t name_with(struct ledger *l, enum ledger_name_kind kind, const char *stem,
                          unsigned i)
{
    char text[64];
    snprintf(text, sizeof text, "%s%u", stem, i);
    return ledger_name(l, kind, slice_str(text));
}

struct ledger_row fixture_row(struct ledger *l, unsigned i)
{
    struct ledger_row r = {
        .reason = LEDGER_COMPLETE,
        .attempt = 1,
        .start_ns = FIXTURE_NS + (int64_t)i * 7 * NS_PER_S,
        .user_hash = i % 4 == 0 ? 0 : 1000 + i % 10,
        .flags = LEDGER_FINAL,
        .status = 200,
        .duration_us = 1000 * (i + 1),
        .first_us = 100 * (i + 1),
        .input = 100 + i,
        .output = 10 + i,
        .cached = i,
        .cost_nano = 1000000 + i,
    };
    memcpy(r.id, &i, sizeof i);
    r.name[NAME_MODEL] = name_with(l, NAME_MODEL, "model", i % FIXTURE_MODELS);
    r.name[NAME_PROVIDER] = name_with(l, NAME_PROVIDER, "provider", i % 2);
    r.name[NAME_TARGET] = name_with(l, NAME_TARGET, "target", i % FIXTURE_MODELS);
    r.name[NAME_KEY] = name_with(l, NAME_KEY, "key", i % FIXTURE_KEYS);
    r.name[NAME_TEAM] = name_with(l, NAME_TEAM, "team", i % 2);
    r.name[NAME_USE_CASE] = i % 7 == 0 ? 0 : name_with(l, NAME_USE_CASE, "case", i % 7);
    return r;
}

struct usage_line *fixture_lines(const char *folder, struct usage_query q, size_t *ret_n,
                                 struct slice *ret_next)
{
    static struct arena a;
    struct buf why;
    struct usage_line *lines = NULL;
    arena_reset(&a);
    arena_init(&a, NULL, (size_t)1 << 30);
    buf_init(&why, 4096);
    struct usage_reader *u = usage_open(folder, &why);
    if (q.from_ns == 0)
        q.from_ns = FIXTURE_NS;
    if (q.to_ns == 0)
        q.to_ns = q.from_ns + YEAR_NS;
    if (u == NULL || !usage_read(u, &q, &a, &lines, ret_n, ret_next, &why))
        check_fail(CHECK_AT("usage_read"), SLICE_FMT, SLICE_ARG(buf_view(&why)));
    usage_close(u);
    buf_done(&why);
    return lines;
}

struct usage_line fixture_total(const char *folder)
{
    size_t n;
    struct slice next;
    struct usage_line *lines =
        fixture_lines(folder, (struct usage_query){.by = USAGE_TOTAL}, &n, &next);
    CHECK(n <= 1);
    return n == 1 ? lines[0] : (struct usage_line){.requests = 0};
}

struct counting {
    int64_t rows, bad;
};

static bool count_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    struct counting *c = ctx;
    (void)r;
    (void)at;
    c->rows += kind == RECORD_ROW;
    c->bad += kind == RECORD_BAD;
    return true;
}

void fixture_count(const char *folder, int64_t *ret_rows, int64_t *ret_bad)
{
    struct counting c = {0, 0};
    uint32_t *list;
    size_t n;
    struct place good;
    int dir = open(folder, O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0 && segment_list(dir, &list, &n));
    for (size_t i = 0; i < n; i++)
        CHECK(segment_read(dir, (struct place){list[i], 0}, -1, count_record, &c, &good));
    mem_free(list);
    close(dir);
    *ret_rows = c.rows;
    *ret_bad = c.bad;
}

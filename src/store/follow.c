/* Following the ledger's segments up to the place that the database has. */
#include "store/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ledger_db.h"
#include "ledger_segment.h"

#define FOLLOWER_MAGIC 0x464c4c57
#define SKEW_NS        (600 * NS_PER_S) /* of the machine's clock, which headers have */
#define BUSY_MS        200

struct follower {
    uint32_t magic;
    int dir;
    sqlite3 *sql;
    struct place at; /* behind what was told */
    follower_fn *fn; /* of the read under way */
    void *ctx;
};

/* The newest file that was begun before `from_ns`, or the oldest one. */
static bool find_start(struct follower *f, int64_t from_ns)
{
    uint32_t *list;
    size_t n;
    if (!segment_list(f->dir, &list, &n))
        return false;
    for (size_t i = n; i-- > 0;) {
        int64_t created_ns = segment_created(f->dir, list[i]);
        f->at = (struct place){.segment = list[i]};
        if (created_ns != 0 && created_ns <= from_ns - SKEW_NS)
            break;
    }
    mem_free(list);
    return true;
}

struct follower *follower_open(const char *folder, int64_t from_ns, struct buf *error)
{
    char path[4096];
    struct follower *f = mem_calloc(1, sizeof *f);
    if (f == NULL) {
        buf_lit(error, "no memory to follow the ledger");
        return NULL;
    }
    f->magic = FOLLOWER_MAGIC;
    f->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int n = snprintf(path, sizeof path, "%s/" DB_FILE, folder);
    bool ok = f->dir >= 0 && n > 0 && (size_t)n < sizeof path;
    if (!ok || !find_start(f, from_ns)) {
        buf_printf(error, "the ledger's folder %s cannot be read: %s", folder, strerror(errno));
        follower_close(f);
        return NULL;
    }
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &f->sql, flags, NULL) != SQLITE_OK) {
        buf_printf(error, "%s cannot be opened: %s", path,
                   f->sql != NULL ? sqlite3_errmsg(f->sql) : "no memory");
        follower_close(f);
        return NULL;
    }
    sqlite3_busy_timeout(f->sql, BUSY_MS);
    return f;
}

void follower_close(struct follower *f)
{
    if (f == NULL)
        return;
    CHECK_MAGIC(f, FOLLOWER_MAGIC);
    if (f->dir >= 0)
        close(f->dir);
    sqlite3_close(f->sql);
    f->magic = 0;
    mem_free(f);
}

static bool on_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    const struct follower *f = ctx;
    if (kind == RECORD_ROW)
        f->fn(f->ctx, &r->row);
    return true;
}

/* To the file after the present one, once all of that was told. */
static void go_on(struct follower *f)
{
    int64_t size = segment_size(f->dir, f->at.segment); /* 0: retention took it */
    if (f->at.offset + (int64_t)RECORD_BYTES > size)
        f->at = (struct place){.segment = f->at.segment + 1};
}

bool follower_read(struct follower *f, size_t most, follower_fn *fn, void *ctx, bool *ret_all)
{
    CHECK_MAGIC(f, FOLLOWER_MAGIC);
    struct place place[DB_PARTS_N], good;
    struct buf why;
    buf_init(&why, 1024);
    bool ok = db_load_places(f->sql, place, &why);
    buf_done(&why);
    errno = 0;
    f->fn = fn;
    f->ctx = ctx;
    struct place to = place[DB_FAST];
    for (int64_t left = (int64_t)most * (int64_t)RECORD_BYTES; ok && left > 0;) {
        if (place_cmp(f->at, to) >= 0)
            break;
        int64_t end = f->at.offset + left, from = f->at.offset;
        if (f->at.segment == to.segment)
            end = MIN_OF(end, to.offset);
        ok = segment_read(f->dir, f->at, end, on_record, f, &good) || errno == ENOENT;
        /* Damaged records are left behind too. */
        int64_t size = segment_size(f->dir, f->at.segment);
        if (ok)
            f->at.offset = MIN_OF(end, size - size % (int64_t)RECORD_BYTES);
        left -= MAX_OF(f->at.offset - from, (int64_t)RECORD_BYTES);
        if (ok && f->at.segment < to.segment)
            go_on(f);
    }
    *ret_all = ok && place_cmp(f->at, to) >= 0;
    return ok;
}

/* `weir ledger backup`, `export` and `migrate`. */
#include "store/ledger_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "ledger_db.h"

#define COPY_BYTES ((size_t)1 << 20)
#define SALT_FILE  "salt"
#define LINE_MAX_N ((size_t)16 << 10)

static bool fail(struct buf *error, const char *what, const char *name)
{
    buf_printf(error, "%s %s: %s", what, name, strerror(errno));
    return false;
}

/* The first `n` bytes of a file (-1: all); it may grow meanwhile. */
static bool copy_file(int from_dir, int to_dir, const char *name, int64_t n)
{
    char *bytes = mem_alloc(COPY_BYTES);
    int in = openat(from_dir, name, O_RDONLY | O_CLOEXEC);
    int out = in >= 0 ? openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    bool ok = bytes != NULL && in >= 0 && out >= 0;
    while (ok && n != 0) {
        size_t want = n < 0 ? COPY_BYTES : (size_t)MIN_OF(n, (int64_t)COPY_BYTES);
        ssize_t got = read(in, bytes, want);
        ok = got >= 0;
        if (got <= 0)
            break;
        ok = write(out, bytes, (size_t)got) == got;
        n -= n < 0 ? 0 : got;
    }
    int error = bytes == NULL ? ENOMEM : errno;
    ok = (out < 0 || fsync(out) == 0) && ok;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    mem_free(bytes);
    errno = error;
    return ok;
}

static bool copy_database(const char *folder, const char *to, struct place *ret_from,
                          struct buf *error)
{
    char path[2][4096];
    sqlite3 *in = NULL, *out = NULL;
    struct place place[DB_PARTS_N];
    snprintf(path[0], sizeof path[0], "%s/" DB_FILE, folder);
    snprintf(path[1], sizeof path[1], "%s/" DB_FILE, to);
    int fd = open(path[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* the owner's alone */
    if (fd < 0)
        return fail(error, "cannot make", path[1]);
    close(fd);
    bool ok = sqlite3_open_v2(path[0], &in, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
              sqlite3_open(path[1], &out) == SQLITE_OK;
    sqlite3_backup *b = ok ? sqlite3_backup_init(out, "main", in, "main") : NULL;
    ok = b != NULL && sqlite3_backup_step(b, -1) == SQLITE_DONE;
    ok = (b == NULL || sqlite3_backup_finish(b) == SQLITE_OK) && ok;
    if (!ok)
        buf_printf(error, "the database cannot be copied: %s",
                   sqlite3_errmsg(out != NULL ? out : in));
    ok = ok && db_load_places(out, place, error);
    *ret_from = place[DB_SLOW];
    sqlite3_close(in);
    sqlite3_close(out);
    return ok;
}

static bool copy_segments(int from_dir, int to_dir, struct place merged, struct buf *error)
{
    uint32_t *list;
    size_t n;
    bool ok = segment_list(from_dir, &list, &n);
    if (!ok)
        return fail(error, "the segments cannot be listed in", "the ledger's folder");
    for (size_t i = 0; i < n && ok; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_file_name(list[i], name);
        int64_t size = segment_size(from_dir, list[i]);
        ok = copy_file(from_dir, to_dir, name, size - size % (int64_t)RECORD_BYTES);
        if (!ok && errno == ENOENT && list[i] < merged.segment)
            ok = true; /* retention took it meanwhile */
        if (!ok)
            fail(error, "cannot copy", name);
    }
    mem_free(list);
    return ok;
}

bool ledger_backup(const char *folder, const char *to, struct buf *error)
{
    struct place merged;
    struct stat st;
    if (mkdir(to, 0700) != 0 && errno != EEXIST)
        return fail(error, "cannot make", to);
    int in = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int out = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = in >= 0 && out >= 0;
    if (!ok) {
        fail(error, "cannot open", in < 0 ? folder : to);
    } else if (fstatat(in, DB_FILE, &st, 0) != 0) {
        ok = fail(error, "there is no ledger in", folder);
    } else if (fstatat(out, DB_FILE, &st, 0) == 0) {
        errno = EEXIST;
        ok = fail(error, "there is a ledger already in", to);
    }
    ok = ok && copy_database(folder, to, &merged, error);
    if (ok && !copy_file(in, out, SALT_FILE, -1))
        ok = fail(error, "cannot copy", SALT_FILE);
    ok = ok && copy_segments(in, out, merged, error);
    if (ok)
        ok = fsync(out) == 0;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return ok;
}

struct exporting {
    struct names names;
    int64_t from_ns, to_ns;
    ledger_export_fn *fn;
    void *ctx;
    struct buf line;
};

static void put_names(struct json_writer *w, const struct exporting *e, const struct ledger_row *r)
{
    static const char *const keys[NAME_KINDS_N] = {"model", "provider",     "target",  "key",
                                                   "team",  "organisation", "use_case"};
    for (unsigned k = 0; k < NAME_KINDS_N; k++) {
        struct slice text = names_text(&e->names, (enum ledger_name_kind)k, r->name[k]);
        if (r->name[k] == 0)
            continue;
        jw_key_slice(w, slice_str(keys[k]));
        jw_string(w, text);
    }
}

static void put_flags(struct json_writer *w, uint16_t flags)
{
    static const char *const names[] = {"final",  "estimated_input", "estimated_output", "unpriced",
                                        "stream", "self_hosted",     "overrun"};
    jw_key(w, "flags");
    jw_open(w, '[');
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if ((flags >> i & 1) != 0)
            jw_string(w, slice_str(names[i]));
    }
    jw_close(w, ']');
}

static void put_line(struct buf *out, const struct exporting *e, const struct ledger_row *r)
{
    char time[CLOCK_RFC3339_SIZE], id[LEDGER_ID_TEXT], user[17];
    struct json_writer w = json_writer(out);
    clock_format_rfc3339(r->start_ns, time);
    ledger_id_text(r->id, id);
    snprintf(user, sizeof user, "%016llx", (unsigned long long)r->user_hash);
    jw_open(&w, '{');
    jw_field_string(&w, "time", slice_str(time));
    jw_field_i64(&w, "start_ns", r->start_ns);
    jw_field_string(&w, "id", slice_str(id));
    jw_field_i64(&w, "lane", r->lane);
    jw_field_i64(&w, "sequence", (int64_t)r->sequence);
    jw_field_i64(&w, "attempt", r->attempt);
    jw_field_string(&w, "reason", slice_str(ledger_reason_name((enum ledger_reason)r->reason)));
    jw_field_i64(&w, "status", r->status);
    put_flags(&w, r->flags);
    put_names(&w, e, r);
    if (r->user_hash != 0)
        jw_field_string(&w, "user", slice_str(user));
    jw_field_i64(&w, "duration_us", r->duration_us);
    if (r->first_us != UINT32_MAX)
        jw_field_i64(&w, "first_us", r->first_us);
    jw_field_i64(&w, "input", r->input);
    jw_field_i64(&w, "output", r->output);
    jw_field_i64(&w, "cached", r->cached);
    jw_field_i64(&w, "cache_write", r->cache_write);
    jw_field_i64(&w, "reasoning", r->reasoning);
    jw_field_i64(&w, "cost_nano", r->cost_nano);
    jw_field_i64(&w, "reserved_nano", r->reserved_nano);
    jw_field_i64(&w, "work_ns", r->work_ns);
    jw_field_i64(&w, "bytes_in", r->bytes_in);
    jw_field_i64(&w, "bytes_out", r->bytes_out);
    jw_close(&w, '}');
    buf_char(out, '\n');
}

static bool export_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    struct exporting *e = ctx;
    if (kind == RECORD_NAME)
        (void)!names_put(&e->names, (enum ledger_name_kind)r->name.kind, r->name.id,
                         slice_of(r->name.text, r->name.n));
    if (kind != RECORD_ROW || r->row.start_ns < e->from_ns || r->row.start_ns >= e->to_ns)
        return true;
    buf_reset(&e->line);
    put_line(&e->line, e, &r->row);
    return !e->line.failed && e->fn(e->ctx, buf_view(&e->line));
}

bool ledger_export(const char *folder, int64_t from_ns, int64_t to_ns, ledger_export_fn *fn,
                   void *ctx, struct buf *error)
{
    struct exporting *e = mem_calloc(1, sizeof *e);
    uint32_t *list = NULL;
    size_t n = 0;
    struct place good;
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = e != NULL && dir >= 0 && segment_list(dir, &list, &n);
    if (!ok) {
        fail(error, "cannot read", folder);
        if (dir >= 0)
            close(dir);
        mem_free(e);
        return false;
    }
    e->from_ns = from_ns;
    e->to_ns = to_ns;
    e->fn = fn;
    e->ctx = ctx;
    names_init(&e->names);
    buf_init(&e->line, LINE_MAX_N);
    for (size_t i = 0; i < n && ok; i++) {
        ok = segment_read(dir, (struct place){.segment = list[i]}, -1, export_record, e, &good);
        if (!ok && errno != 0)
            fail(error, "cannot read the segments in", folder);
        else if (!ok)
            buf_lit(error, "the output cannot be written");
    }
    names_done(&e->names);
    buf_done(&e->line);
    mem_free(list);
    mem_free(e);
    close(dir);
    return ok;
}

bool ledger_migrate(const char *folder, int *ret_from, int *ret_to, struct buf *error)
{
    char path[4096];
    struct stat st;
    sqlite3 *sql = NULL;
    snprintf(path, sizeof path, "%s/" DB_FILE, folder);
    if (stat(path, &st) != 0)
        return fail(error, "there is no ledger in", folder);
    if (!db_open_schema(path, db_steps, db_steps_n, &sql, ret_from, error))
        return false;
    *ret_to = DB_VERSION;
    sqlite3_close(sql);
    return true;
}

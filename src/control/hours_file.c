/* The file of hours that may still change. */
#include "hours_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "observe/log.h"
#include "policy/calendar.h"

#define FILE_NAME "hours"
#define HEAD      "weir-hours 1\n"
#define ENGINE    "engine/"
#define READ_STEP 65536

/* Figures of a line in their order: all are integers, rates of work as the bits of their double, so
 * that they come back as they were. */
enum field {
    FIELD_START,
    FIELD_SINCE,
    FIELD_PRICE,
    FIELD_RUN,
    FIELD_BUSY,
    FIELD_PAST_PAID,
    FIELD_PAST_IDLE,
    FIELD_RATES,
    FIELDS_N = FIELD_RATES + HOURS_KINDS_N
};

void hours_file_put(struct buf *out, const struct hours_book *b, bool engine, struct slice name)
{
    int64_t v[FIELDS_N] = {[FIELD_START] = b->start_ns,
                           [FIELD_SINCE] = b->since_ns,
                           [FIELD_PRICE] = b->hour_nano,
                           [FIELD_RUN] = b->run_ns,
                           [FIELD_BUSY] = b->busy_ns,
                           [FIELD_PAST_PAID] = b->past_paid_nano,
                           [FIELD_PAST_IDLE] = b->past_idle_nano};
    memcpy(&v[FIELD_RATES], b->before.ns, sizeof b->before.ns);
    if (out->n == 0)
        buf_lit(out, HEAD);
    for (unsigned i = 0; i < FIELDS_N; i++)
        buf_printf(out, "%" PRId64 " ", v[i]);
    buf_printf(out, "%s%.*s\n", engine ? ENGINE : "", SLICE_ARG(name));
}

static bool get_fields(struct slice *line, int64_t v[FIELDS_N])
{
    for (unsigned i = 0; i < FIELDS_N; i++) {
        uint64_t n;
        if (!slice_to_u64(slice_cut(line, ' '), &n) || n > INT64_MAX)
            return false;
        v[i] = (int64_t)n;
    }
    return line->n > 0 && v[FIELD_BUSY] <= v[FIELD_RUN] && v[FIELD_PAST_IDLE] <= v[FIELD_PAST_PAID];
}

struct hours_book *hours_file_get(struct slice *rest, bool *ret_engine, struct slice *ret_name)
{
    int64_t v[FIELDS_N];
    if (slice_starts(*rest, SLICE(HEAD)))
        *rest = slice_from(*rest, sizeof HEAD - 1);
    if (rest->n == 0)
        return NULL;
    struct slice line = slice_cut(rest, '\n');
    struct hours_book *b = NULL;
    if (get_fields(&line, v))
        b = hours_book_new(v[FIELD_START], calendar_next(CALENDAR_HOUR, v[FIELD_START]));
    if (b == NULL)
        return NULL;
    b->since_ns = v[FIELD_SINCE];
    b->hour_nano = v[FIELD_PRICE];
    b->run_ns = v[FIELD_RUN];
    b->busy_ns = v[FIELD_BUSY];
    b->past_paid_nano = v[FIELD_PAST_PAID];
    b->past_idle_nano = v[FIELD_PAST_IDLE];
    memcpy(b->before.ns, &v[FIELD_RATES], sizeof b->before.ns);
    for (unsigned k = 0; k < HOURS_KINDS_N; k++) {
        if (!(b->before.ns[k] >= 0 && b->before.ns[k] < 1e18))
            b->before = hours_rates_first;
    }
    *ret_engine = slice_starts(line, SLICE(ENGINE));
    *ret_name = *ret_engine ? slice_from(line, sizeof ENGINE - 1) : line;
    return b;
}

bool hours_file_write(const char *folder, struct slice text)
{
    char path[2][4096];
    snprintf(path[0], sizeof path[0], "%s/" FILE_NAME ".new", folder);
    snprintf(path[1], sizeof path[1], "%s/" FILE_NAME, folder);
    int fd = open(path[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, text.p, text.n) == (ssize_t)text.n;
    return close(fd) == 0 && ok && rename(path[0], path[1]) == 0;
}

bool hours_file_read(const char *folder, struct buf *ret)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/" FILE_NAME, folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return false;
    ssize_t got = fd >= 0 ? 1 : -1;
    while (got > 0 && buf_reserve(ret, READ_STEP)) {
        got = read(fd, ret->p + ret->n, READ_STEP);
        ret->n += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    bool ok = got == 0 && slice_starts(buf_view(ret), SLICE(HEAD));
    if (!ok)
        log_event(LOG_ERROR, "hours.file",
                  "%s cannot be read; hours of own hardware begin with now", path);
    return ok;
}

/* Makes a ledger of rows that standard input describes, through the store's own interface:
 *   usage_db FOLDER [ZONE] < rows.tsv
 * One line of fields parted by tabs for each row:
 *   start_s model provider target key team organisation use_case user input output cached cost_nano
 *   duration_ms reason flags count
 * `user` is a number, 0: none; `reason` a name as in the ledger; `flags` a sum of enum ledger_flag;
 * `count` says how many rows like it there are. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "policy/calendar.h"
#include "store/ledger.h"

#define FIELDS_N   17
#define SPOOL_ROWS 65536u
#define WAIT_NS    (60 * NS_PER_S)

static bool read_fields(char *line, struct slice field[FIELDS_N])
{
    struct slice rest = slice_of(line, strcspn(line, "\n"));
    for (unsigned i = 0; i < FIELDS_N; i++) {
        if (rest.p == NULL)
            return false;
        ptrdiff_t tab = slice_find(rest, '\t');
        field[i] = tab >= 0 ? slice_of(rest.p, (size_t)tab) : rest;
        rest = tab >= 0 ? slice_of(rest.p + tab + 1, rest.n - (size_t)tab - 1) : SLICE_NONE;
    }
    return true;
}

static bool number(struct slice s, int64_t *ret)
{
    uint64_t v;
    if (!slice_to_u64(s, &v) || v > INT64_MAX)
        return false;
    *ret = (int64_t)v;
    return true;
}

static bool find_reason(struct slice name, uint8_t *ret)
{
    for (unsigned i = 0; i < LEDGER_REASONS_N; i++) {
        if (slice_is(name, ledger_reason_name((enum ledger_reason)i))) {
            *ret = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static bool read_row(struct ledger *l, char *line, struct ledger_row *ret, int64_t *ret_count)
{
    struct slice f[FIELDS_N];
    int64_t start_s, user, duration_ms, flags;
    struct ledger_row r = {.attempt = 1, .status = 200, .first_us = 200000};
    if (!read_fields(line, f) || !number(f[0], &start_s) || !number(f[8], &user) ||
        !number(f[9], &r.input) || !number(f[10], &r.output) || !number(f[11], &r.cached) ||
        !number(f[12], &r.cost_nano) || !number(f[13], &duration_ms) ||
        !find_reason(f[14], &r.reason) || !number(f[15], &flags) || !number(f[16], ret_count))
        return false;
    r.start_ns = start_s * NS_PER_S;
    r.user_hash = (uint64_t)user;
    r.flags = (uint16_t)flags;
    r.duration_us = (uint32_t)(duration_ms * 1000);
    const struct slice names[NAME_KINDS_N] = {
        [NAME_MODEL] = f[1], [NAME_PROVIDER] = f[2],     [NAME_TARGET] = f[3],  [NAME_KEY] = f[4],
        [NAME_TEAM] = f[5],  [NAME_ORGANISATION] = f[6], [NAME_USE_CASE] = f[7]};
    for (unsigned k = 0; k < NAME_KINDS_N; k++)
        r.name[k] = ledger_name(l, (enum ledger_name_kind)k, names[k]);
    *ret = r;
    return true;
}

static int fill(struct ledger *l)
{
    char line[4096];
    int64_t rows = 0, at = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct ledger_row row;
        int64_t count;
        at++;
        if (!read_row(l, line, &row, &count)) {
            fprintf(stderr, "usage_db: line %lld cannot be read\n", (long long)at);
            return 2;
        }
        for (; count > 0; count--) {
            if (++rows % (SPOOL_ROWS / 2) == 0 && !ledger_flush(l, WAIT_NS))
                return 1;
            memcpy(row.id, &rows, sizeof rows);
            ledger_settle(ledger_lane(l, 0), LEDGER_NO_SLOT, &row);
        }
    }
    return ledger_flush(l, WAIT_NS) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct buf error;
    buf_init(&error, 4096);
    if (argc < 2 || argc > 3) {
        fputs("usage: usage_db FOLDER [ZONE] < rows.tsv\n", stderr);
        return 2;
    }
    if (!calendar_set_zone(slice_str(argc > 2 ? argv[2] : "UTC")))
        return 2;
    const struct ledger_config c = {
        .folder = argv[1], .lanes = 1, .spool_rows = SPOOL_ROWS, .open_rows = 64};
    struct ledger *l = ledger_open(&c, &error);
    if (l == NULL || !ledger_start(l)) {
        fprintf(stderr, "usage_db: %.*s\n", SLICE_ARG(buf_view(&error)));
        return 1;
    }
    int status = fill(l);
    ledger_close(l);
    buf_done(&error);
    return status;
}

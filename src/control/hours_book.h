/* An hour of one hardware: how long it was paid for and busy, who had its requests, and what of its
 * cost is in the ledger by now. All figures of requests come from the ledger's rows, corrections of
 * earlier processes too, so that dividing the same hour again corrects nothing. */
#ifndef CONTROL_HOURS_BOOK_H
#define CONTROL_HOURS_BOOK_H

#include "policy/hours_share.h"
#include "store/ledger.h"

#define HOURS_GROUPS_MAX 65536 /* the requests of more than that are nobody's */

/* Requests of the same names. */
struct hours_group {
    uint32_t name[NAME_KINDS_N];
    int64_t tokens[HOURS_KINDS_N], work_ns, rows;
    int64_t booked_nano;
};

struct hours_book {
    struct hours_book *next;
    int64_t start_ns, end_ns;
    int64_t since_ns;        /* when the counting of this hour began; rows of before are not its */
    int64_t hour_nano;       /* the price now */
    int64_t run_ns, busy_ns; /* paid for, and busy, at that price */
    int64_t past_paid_nano, past_idle_nano; /* at prices before it */
    struct hours_rates before;              /* rates of work known when the hour began */
    struct hours_fit fit;
    int64_t idle_booked_nano;
    struct hours_group nobody; /* what no other group can have: busy, and no request is known yet */
    struct hours_group *groups;
    uint32_t *slots; /* index + 1, by hash of the names */
    size_t groups_n, groups_size;
    int64_t awaited;    /* corrections of this process that have not come back as rows */
    int64_t divided_ns; /* when it was divided last; monotonic */
    bool divided, changed, unfinished;
};

/* NULL: no memory. */
NODISCARD struct hours_book *hours_book_new(int64_t start_ns, int64_t end_ns);
void hours_book_free(struct hours_book *b);

/* It was paid for `run_ns` more, and busy for `busy_ns` of them. */
void hours_book_measure(struct hours_book *b, int64_t run_ns, int64_t busy_ns, int64_t hour_nano);
/* What it has to cost in all, and what of that is idle. */
int64_t hours_book_paid(const struct hours_book *b);
int64_t hours_book_idle(const struct hours_book *b);

/* A row of one of its requests, or a correction, that the ledger has in this hour. */
void hours_book_add(struct hours_book *b, const struct ledger_row *row);
/* The part from `from_ns` to `to_ns` of the request's time was in this hour: so is that part of its
 * work. */
void hours_book_work(struct hours_book *b, const struct ledger_row *row, int64_t from_ns,
                     int64_t to_ns);

struct hours_rates hours_book_rates(const struct hours_book *b);

/* Told of what has to be added to a group, not 0. False: no more now. */
typedef bool hours_correct_fn(void *ctx, const struct hours_group *g, int64_t nano);
/* Divides the cost of the busy time. False: no memory, or `fn` ended it. */
NODISCARD bool hours_book_divide(const struct hours_book *b, hours_correct_fn *fn, void *ctx);

#endif

/* What tests of the ledger share: a folder of their own, rows, and what the rollups say. */
#ifndef TESTS_UNIT_STORE_LEDGER_FIXTURE_H
#define TESTS_UNIT_STORE_LEDGER_FIXTURE_H

#include "base/clock.h"
#include "check.h"
#include "ledger_internal.h"
#include "store/ledger.h"
#include "store/usage.h"

/* 2026-10-14 10:00 UTC. */
#define FIXTURE_NS (INT64_C(1791972000) * NS_PER_S)

#define FIXTURE_PATH 256
/* A new empty folder; remove it with fixture_remove. */
void fixture_folder(char out[FIXTURE_PATH]);
void fixture_remove(const char *folder);

struct ledger_config fixture_config(const char *folder, unsigned lanes);
/* Opens it, or the test fails with the reason. */
struct ledger *fixture_open(const struct ledger_config *c);

/* A row of one attempt: `i` gives its figures, names and time. */
struct ledger_row fixture_row(struct ledger *l, unsigned i);
#define FIXTURE_MODELS 3
#define FIXTURE_KEYS   5

/* The sums of all rows in the rollups, by `by`: of its line of that name. */
struct usage_line fixture_total(const char *folder);
/* Lines of a query from then on for a year, in a static arena that the next call empties. */
struct usage_line *fixture_lines(const char *folder, struct usage_query q, size_t *ret_n,
                                 struct slice *ret_next);

/* The number of good rows in all segments, and of damaged records. */
void fixture_count(const char *folder, int64_t *ret_rows, int64_t *ret_bad);

#endif

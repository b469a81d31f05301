/* The ledger: what every attempt used and cost. Workers put fixed rows into a spool, a file that
 * is mapped into memory, so that a killed process has lost none of them; the store thread appends
 * them to segment files (CRC, sequence) and merges rollups into SQLite once a second, with the
 * segment's position in the same transaction, so that a replay repeats nothing. The request path
 * takes no lock, makes no system call and never waits here. */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "base/buf.h"
#include "base/slice.h"

/* Why an exchange ended. */
#define LEDGER_REASONS(X)                                                                          \
    X(COMPLETE, "complete")                                                                        \
    X(CLIENT_GONE, "client_gone")                                                                  \
    X(UPSTREAM_CUT, "upstream_cut")                                                                \
    X(UPSTREAM_ERROR, "upstream_error")                                                            \
    X(TIMED_OUT, "timed_out")                                                                      \
    X(REFUSED, "refused") /* by a limit, a right or the request itself */                          \
    X(BLOCKED, "blocked") /* by a guard */                                                         \
    X(CACHED, "cached")                                                                            \
    X(CRASHED, "crashed") /* the process ended while it was open */                                \
    X(FAILED, "failed")   /* inside the gateway, or it was shut down */                            \
    X(TRUE_UP, "true_up") /* no exchange: hours of own hardware, divided anew */                   \
    X(IDLE, "idle")       /* no exchange: hours of own hardware that nobody used */                \
    X(HEDGED, "hedged")   /* another attempt of the exchange was sooner */
enum ledger_reason {
#define X(id, name) LEDGER_##id,
    LEDGER_REASONS(X)
#undef X
        LEDGER_REASONS_N
};
const char *ledger_reason_name(enum ledger_reason r);

/* The exchange's id, x-weir-request-id: "wr-" and 21 digits. */
#define LEDGER_ID_TEXT 25 /* with its NUL */
void ledger_id_make(uint8_t ret[16], int64_t wall_ms, uint64_t rest);
void ledger_id_text(const uint8_t id[16], char ret[LEDGER_ID_TEXT]);
/* False: the text is no such id. */
NODISCARD bool ledger_id_read(struct slice text, uint8_t ret[16]);

/* Names are kept once and stand in rows as numbers; 0 is "" (none). */
enum ledger_name_kind {
    NAME_MODEL,    /* what clients ask for: an alias, an engine, or provider/model */
    NAME_PROVIDER, /* a provider or "engine" */
    NAME_TARGET,   /* the model there */
    NAME_KEY,
    NAME_TEAM,
    NAME_ORGANISATION,
    NAME_USE_CASE,
    NAME_KINDS_N
};

enum ledger_flag {
    LEDGER_FINAL = 1 << 0,           /* the exchange's last row: counts as its request */
    LEDGER_ESTIMATED_INPUT = 1 << 1, /* the provider did not say */
    LEDGER_ESTIMATED_OUTPUT = 1 << 2,
    LEDGER_UNPRICED = 1 << 3, /* cost_nano is 0 because it is not known */
    LEDGER_STREAM = 1 << 4,
    LEDGER_SELF_HOSTED = 1 << 5, /* cost_nano is provisional: a share of hours */
    LEDGER_OVERRUN = 1 << 6,     /* more was used than reserved */
};

/* One attempt, or a refusal without one. 192 bytes, as on disk (little-endian). */
struct ledger_row {
    uint32_t crc;       /* of what follows; set by the store */
    uint16_t version;   /* of this layout: 1; set by the store */
    uint8_t reason;     /* enum ledger_reason */
    uint8_t attempt;    /* number of the attempt; 0: none was made */
    uint64_t sequence;  /* of the worker's lane; set by the store */
    uint8_t id[16];     /* of the exchange: the x-weir-request-id */
    int64_t start_ns;   /* wall clock (steady) of the exchange's start: the time of its buckets */
    uint64_t user_hash; /* of (team or key, user) with the installation's salt; 0: none */
    uint32_t name[NAME_KINDS_N];
    uint16_t lane;
    uint16_t flags;  /* enum ledger_flag */
    uint16_t status; /* sent to the client */
    uint16_t spare;
    uint32_t duration_us, first_us;                        /* first content; UINT32_MAX: none */
    int64_t input, output, cached, cache_write, reasoning; /* tokens */
    int64_t cost_nano;
    int64_t reserved_nano;
    int64_t work_ns; /* self-hosted: time of the hardware that it took */
    uint32_t bytes_in, bytes_out;
    uint8_t pad[24];
};
_Static_assert(sizeof(struct ledger_row) == 192, "rows are as on disk");

struct ledger;

struct ledger_config {
    const char *folder;    /* <data>/ledger; made when it is not there */
    unsigned lanes;        /* workers */
    uint32_t spool_rows;   /* of each lane, a power of two: what a stalled disk may hold up */
    uint32_t open_rows;    /* of each lane: attempts under way that a crash may not forget */
    bool sync_commit;      /* fsync each batch; else at most once a second */
    bool refuse_when_full; /* else rows that find the spool full are counted as lost */
    int64_t keep_rows_ns, keep_minutes_ns, keep_hours_ns, keep_days_ns; /* retention; 0: for ever */
};

/* Opens it, replays what an earlier process left (open attempts of a killed one become `crashed`
 * rows with their reservation as estimate) and merges it, so that queries see all of it. NULL: the
 * reason is in `error`. One process at a time (the data folder is locked by the caller). */
NODISCARD struct ledger *ledger_open(const struct ledger_config *c, struct buf *error);
/* Starts the store thread. False: no thread. */
NODISCARD bool ledger_start(struct ledger *l);
/* New retention and policies, after a reload. */
void ledger_reconfigure(struct ledger *l, const struct ledger_config *c);
/* Everything handed over is written and merged; the thread ends. NULL is fine. */
void ledger_close(struct ledger *l);

/* The number of a name, made when it has none; 0 when the name is empty or there are too many
 * (65,536 of a kind). A name over 176 bytes stands as its beginning and a digest. Takes a lock:
 * workers keep what they got. */
uint32_t ledger_name(struct ledger *l, enum ledger_name_kind kind, struct slice name);
/* The name of a number, or an empty slice; lives as long as the ledger. */
struct slice ledger_name_text(struct ledger *l, enum ledger_name_kind kind, uint32_t id);
/* The hash of a user for `user_hash`: keyed with the installation's salt. Never 0. */
uint64_t ledger_user_hash(const struct ledger *l, struct slice owner, struct slice user);

/* A worker's end. */
struct ledger_lane;
struct ledger_lane *ledger_lane(struct ledger *l, unsigned index);

#define LEDGER_NO_SLOT UINT32_MAX
/* May new work begin? False: the spool is full, and policy says to refuse. */
bool ledger_has_room(const struct ledger_lane *lane);
/* Remembers an attempt that begins, with its reservation as figures; the result is its place, or
 * LEDGER_NO_SLOT (counted: a crash would forget it). */
uint32_t ledger_begin(struct ledger_lane *lane, const struct ledger_row *draft);
/* The attempt at `slot` (or LEDGER_NO_SLOT) is to be forgotten: nothing is written of it. */
void ledger_forget(struct ledger_lane *lane, uint32_t slot);
/* Hands over a row, and frees the place `slot` (or LEDGER_NO_SLOT). */
void ledger_settle(struct ledger_lane *lane, uint32_t slot, const struct ledger_row *row);

/* For metrics. */
struct ledger_counts {
    int64_t rows;      /* written since the start */
    int64_t spooled;   /* handed over and not yet in a segment */
    int64_t lost;      /* found the spool full */
    int64_t untracked; /* attempts that found no place in ledger_begin */
    int64_t crashed;   /* rows of the latest replay */
    int64_t segment_bytes, write_errors;
    int64_t merged_ns; /* wall clock of the latest merge; 0: never */
};
void ledger_counts(struct ledger *l, struct ledger_counts *ret);

/* Waits until all that was handed over before the call is merged; false: not within `ns`. For
 * tests, drain and `weir ledger`. */
bool ledger_flush(struct ledger *l, int64_t ns);

/* Rows that no worker made: corrections of the store's own (TRUE_UP, IDLE). Control thread. */
void ledger_append(struct ledger *l, const struct ledger_row *row);

#endif

/* What the files of `weir usage` share. */
#ifndef CLI_USAGE_H
#define CLI_USAGE_H

#include "base/arena.h"
#include "base/json.h"
#include "terminal.h"

#define USAGE_OUT_MAX ((size_t)64 << 20)

enum usage_question { ASK_REPORT, ASK_WHY, ASK_FORECAST };

/* Where answers come from: the running gateway, or, when none runs, the ledger's files. */
struct usage_from {
    const char *data;   /* as in datadir_find */
    const char *config; /* for the timezone, when no gateway runs; NULL: searched */
    struct usage_reader *reader;
    bool opened, here;
    bool wrong; /* the question was refused: wrong usage */
};
/* Asks; the answer's JSON is appended to `answer`. False: standard error says why. */
NODISCARD bool usage_ask(struct usage_from *f, enum usage_question what, struct slice query,
                         struct buf *answer);
void usage_from_done(struct usage_from *f);

/* One line of an answer. Money in nano-dollars; -1 where a figure is not known. */
struct usage_row {
    struct slice name, local, start;
    int64_t cost, idle, unpriced, requests, refused, failed, crashed, attempts;
    int64_t input, output, cached, cache_write, reasoning, estimated, users;
    double p50_ms, p95_ms, p99_ms, first_p95_ms;
};

/* An answer of ASK_REPORT, all its pages. Text lives in the arena. */
struct usage_report_rows {
    struct slice by, step, first_day, last_day;
    struct usage_row *row, total;
    size_t n, size;
    bool more;       /* there are lines that were not asked for */
    struct buf json; /* all of it as one object */
    struct arena arena;
};

/* How it is to be shown. */
struct usage_look {
    struct terminal to;
    int width;    /* columns; 0: no limit */
    bool unicode; /* block characters and the ellipsis */
    bool bars;
};
struct usage_look usage_look_of(int fd, bool ascii, bool bars);

/* "12,345", "$1,234.56", "$0.0042": appended. */
void usage_put_count(struct buf *out, int64_t v);
void usage_put_dollars(struct buf *out, int64_t nano);
/* A name made harmless, cut to `columns`; "(none)" for an empty one. */
void usage_put_name(struct buf *out, struct slice name, int columns, const struct usage_look *look);
/* Columns that UTF-8 text takes, one for each character. */
int usage_columns(struct slice s);

/* A bar of at most `columns` columns, `value` of `most` long; padded with spaces where `pad`. */
void usage_put_bar(struct buf *out, double value, double most, int columns, bool pad,
                   const struct usage_look *look);

/* Each writes its whole output. */
void usage_put_table(struct buf *out, const struct usage_report_rows *r,
                     const struct usage_look *look);
void usage_put_csv(struct buf *out, const struct usage_report_rows *r);
/* An answer of ASK_WHY, or of ASK_FORECAST, in words. */
void usage_put_why(struct buf *out, const struct json_doc *d, struct arena *a,
                   const struct usage_look *look);
void usage_put_forecast(struct buf *out, const struct json_doc *d, struct arena *a,
                        const struct usage_look *look);

/* Members of a JSON object: a number, or -1; text, or an empty one. */
int64_t usage_member_i64(const struct json_doc *d, uint32_t node, const char *name);
double usage_member_double(const struct json_doc *d, uint32_t node, const char *name);
struct slice usage_member_text(const struct json_doc *d, uint32_t node, const char *name,
                               struct arena *a);

#endif

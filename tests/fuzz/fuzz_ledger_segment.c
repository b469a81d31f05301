/* Segment files of the ledger: no bytes make the reader read past them, every record is told of
 * once, what is called good is good, and a text that is cut anywhere gives the records before the
 * cut. Every other input has the CRCs of its records set right, so that what is in them matters. */
/* layer: store */
#include "base/mem.h"
#include "ledger_rollup.h"
#include "ledger_segment.h"
#include "ledger_tally.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    size_t n, good_rows;
    int64_t next;
    struct rollup rollup;
    uint64_t sum; /* over the rows' inputs: the same for the same records */
};

static bool on_record(void *ctx, const union record *r, enum record_kind kind, struct place at)
{
    struct reading *g = ctx;
    ASSERT(at.offset == g->next);
    g->next += (int64_t)RECORD_BYTES;
    g->n++;
    ASSERT(kind == record_check(r));
    if (kind == RECORD_NAME)
        ASSERT(r->name.n <= RECORD_NAME_BYTES && r->name.kind < NAME_KINDS_N);
    if (kind != RECORD_ROW)
        return true;
    ASSERT(ledger_reason_name((enum ledger_reason)r->row.reason)[0] != '\0');
    g->good_rows++;
    g->sum = g->sum * 31 + (uint64_t)r->row.input;
    ASSERT(rollup_add(&g->rollup, &r->row, g->good_rows % 2 == 0));
    return true;
}

static struct reading scan(struct slice bytes, struct place *ret_good)
{
    struct reading g = {.n = 0};
    rollup_init(&g.rollup);
    *ret_good = (struct place){1, 0};
    ASSERT(segment_scan(bytes, (struct place){1, 0}, on_record, &g, ret_good));
    ASSERT(rollup_stage(&g.rollup));
    rollup_done(&g.rollup);
    return g;
}

static void set_right(char *p, size_t n)
{
    for (size_t at = 0; at + RECORD_BYTES <= n; at += RECORD_BYTES) {
        union record r;
        memcpy(&r, p + at, sizeof r);
        r.row.version = r.row.version % 2 == 0 ? RECORD_VERSION_ROW : r.row.version;
        r.row.reason %= LEDGER_REASONS_N + 1;
        record_seal(&r);
        memcpy(p + at, &r, sizeof r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct place good, cut_good;
    struct tally *t;
    if (size < 2)
        return 0;
    size_t n = size - 2, cut = (size_t)(data[0] << 8 | data[1]) % (n + 1);
    char *bytes =
        mem_strndup((const char *)data + 2, n); /* of that size: a read behind it is seen */
    ASSERT(bytes != NULL);
    if (data[0] % 2 == 0)
        set_right(bytes, n);
    struct reading whole = scan(slice_of(bytes, n), &good);
    ASSERT(whole.n == n / RECORD_BYTES && good.offset <= (int64_t)n);
    struct reading part = scan(slice_of(bytes, cut), &cut_good);
    ASSERT(part.n == cut / RECORD_BYTES && part.good_rows <= whole.good_rows);
    struct reading again = scan(slice_of(bytes, (size_t)good.offset), &cut_good);
    ASSERT(cut_good.offset == good.offset && again.sum == whole.sum);
    t = mem_calloc(1, sizeof *t);
    ASSERT(t != NULL);
    if (tally_decode_add(slice_of(bytes, n), t)) /* the other form that is read from a disk */
        (void)sketch_count(t->rank);
    mem_free(t);
    mem_free(bytes);
    return 0;
}

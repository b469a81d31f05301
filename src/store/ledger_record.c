/* Records of segment files. */
#include "ledger_record.h"

#include "crc32c.h"

#define SEGMENT_MAGIC "weir ledger 0001"

static uint32_t crc_of(const union record *r)
{
    const char *p = (const char *)r + sizeof r->any.crc;
    return crc32c(slice_of(p, RECORD_BYTES - sizeof r->any.crc));
}

void record_seal(union record *r)
{
    r->any.crc = crc_of(r);
}

enum record_kind record_check(const union record *r)
{
    if (r->any.crc != crc_of(r))
        return RECORD_BAD;
    switch (r->any.version) {
    case RECORD_VERSION_ROW:
        return r->row.reason < LEDGER_REASONS_N && r->row.lane <= LEDGER_LANE_STORE ? RECORD_ROW
                                                                                    : RECORD_BAD;
    case RECORD_VERSION_NAME:
        return r->name.kind < NAME_KINDS_N && r->name.n > 0 && r->name.n <= RECORD_NAME_BYTES &&
                       r->name.id > 0
                   ? RECORD_NAME
                   : RECORD_BAD;
    case RECORD_VERSION_HEADER:
        return memcmp(r->header.magic, SEGMENT_MAGIC, sizeof r->header.magic) == 0 ? RECORD_HEADER
                                                                                   : RECORD_BAD;
    default: return RECORD_BAD;
    }
}

void record_header(union record *r, uint32_t segment, int64_t created_ns)
{
    *r = (union record){
        .header = {.version = RECORD_VERSION_HEADER, .segment = segment, .created_ns = created_ns}};
    memcpy(r->header.magic, SEGMENT_MAGIC, sizeof r->header.magic);
    record_seal(r);
}

void record_name(union record *r, enum ledger_name_kind kind, uint32_t id, struct slice text)
{
    ASSERT(text.n > 0 && text.n <= RECORD_NAME_BYTES);
    *r = (union record){
        .name = {
            .version = RECORD_VERSION_NAME, .kind = (uint8_t)kind, .n = (uint8_t)text.n, .id = id}};
    memcpy(r->name.text, text.p, text.n);
    record_seal(r);
}

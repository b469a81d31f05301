/* Records of segment files: 192 bytes each, so that a reader finds the next one behind a damaged
 * one. A row, a name (written before the first row of the segment that uses it, so that each
 * segment explains itself) or the segment's header. Little-endian. */
#ifndef STORE_LEDGER_RECORD_H
#define STORE_LEDGER_RECORD_H

#include "store/ledger.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are as in memory");

#define RECORD_BYTES      sizeof(struct ledger_row)
#define RECORD_NAME_BYTES 176
#define LEDGER_LANES_MAX  1024
#define LEDGER_LANE_STORE LEDGER_LANES_MAX /* number of the lane of ledger_append */

/* What stands in `version`. */
#define RECORD_VERSION_ROW    1
#define RECORD_VERSION_NAME   0x8001
#define RECORD_VERSION_HEADER 0xC001

struct name_record {
    uint32_t crc;
    uint16_t version;
    uint8_t kind; /* enum ledger_name_kind */
    uint8_t n;    /* bytes of text */
    uint32_t id;
    uint32_t spare;
    char text[RECORD_NAME_BYTES];
};

struct header_record {
    uint32_t crc;
    uint16_t version, spare;
    uint32_t segment, spare2;
    char magic[16];
    int64_t created_ns; /* wall clock */
    uint8_t pad[152];
};

union record {
    struct {
        uint32_t crc;
        uint16_t version;
    } any;
    struct ledger_row row;
    struct name_record name;
    struct header_record header;
};
_Static_assert(sizeof(union record) == RECORD_BYTES, "all records have one size");

enum record_kind { RECORD_BAD, RECORD_ROW, RECORD_NAME, RECORD_HEADER };

/* Sets the CRC (CRC-32C) of all that follows it. */
void record_seal(union record *r);
/* What it is, when its CRC is right and nothing in it is out of range. */
enum record_kind record_check(const union record *r);

void record_header(union record *r, uint32_t segment, int64_t created_ns);
/* `text` has at most RECORD_NAME_BYTES. */
void record_name(union record *r, enum ledger_name_kind kind, uint32_t id, struct slice text);

#endif

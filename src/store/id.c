/* Ids of exchanges: 45 bits of milliseconds, 60 bits that no other has; as text sortable by time,
 * in base 32. */
#include "store/ledger.h"

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void ledger_id_make(uint8_t ret[16], int64_t wall_ms, uint64_t rest)
{
    uint64_t part[2] = {(uint64_t)wall_ms & ((UINT64_C(1) << 45) - 1),
                        rest & ((UINT64_C(1) << 60) - 1)};
    for (unsigned i = 0; i < 16; i++)
        ret[i] = (uint8_t)(part[i / 8] >> (56 - 8 * (i % 8)));
}

void ledger_id_text(const uint8_t id[16], char ret[LEDGER_ID_TEXT])
{
    uint64_t part[2] = {0, 0};
    for (unsigned i = 0; i < 16; i++)
        part[i / 8] = part[i / 8] << 8 | id[i];
    memcpy(ret, "wr-", 3);
    for (unsigned i = 0; i < 9; i++)
        ret[11 - i] = digits[part[0] >> (5 * i) & 31];
    for (unsigned i = 0; i < 12; i++)
        ret[23 - i] = digits[part[1] >> (5 * i) & 31];
    ret[24] = '\0';
}

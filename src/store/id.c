/* Ids of exchanges: 45 bits of milliseconds, 60 bits that no other has; as text sortable by time,
 * in base 32. */
#include "store/ledger.h"

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void put_parts(const uint64_t part[2], uint8_t ret[16])
{
    for (unsigned i = 0; i < 16; i++)
        ret[i] = (uint8_t)(part[i / 8] >> (56 - 8 * (i % 8)));
}

void ledger_id_make(uint8_t ret[16], int64_t wall_ms, uint64_t rest)
{
    const uint64_t part[2] = {(uint64_t)wall_ms & ((UINT64_C(1) << 45) - 1),
                              rest & ((UINT64_C(1) << 60) - 1)};
    put_parts(part, ret);
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

bool ledger_id_read(struct slice text, uint8_t ret[16])
{
    uint64_t part[2] = {0, 0};
    if (text.n != LEDGER_ID_TEXT - 1 || !slice_starts(text, SLICE("wr-")))
        return false;
    for (size_t i = 3; i < text.n; i++) {
        const char *digit = memchr(digits, text.p[i], sizeof digits - 1);
        if (digit == NULL)
            return false;
        part[i >= 12] = part[i >= 12] << 5 | (uint64_t)(digit - digits);
    }
    put_parts(part, ret);
    return true;
}

/* CRC-32C: with SSE 4.2, else eight bytes at a time by tables (the "slicing-by-8" of Kounavis and
 * Berry, 2005). */
#include "crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (unsigned t = 1; t < 8; t++) {
        for (unsigned i = 0; i < 256; i++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
    }
}

uint32_t crc32c_by_tables(struct slice s)
{
    uint32_t crc = UINT32_MAX;
    pthread_once(&once, make_tables);
    while (s.n >= 8) {
        uint64_t word;
        memcpy(&word, s.p, sizeof word); /* little-endian, as all of the ledger */
        word ^= crc;
        crc = 0;
        for (unsigned i = 0; i < 8; i++)
            crc ^= table[7 - i][word >> (8 * i) & 255];
        s = slice_of(s.p + 8, s.n - 8);
    }
    for (size_t i = 0; i < s.n; i++)
        crc = crc >> 8 ^ table[0][(crc ^ (unsigned char)s.p[i]) & 255];
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(struct slice s)
{
    uint64_t crc = UINT32_MAX, word;
    while (s.n >= 8) {
        memcpy(&word, s.p, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
        s = slice_of(s.p + 8, s.n - 8);
    }
    uint32_t rest = (uint32_t)crc;
    for (size_t i = 0; i < s.n; i++)
        rest = __builtin_ia32_crc32qi(rest, (unsigned char)s.p[i]);
    return ~rest;
}

uint32_t crc32c(struct slice s)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(s) : crc32c_by_tables(s);
}
#else
uint32_t crc32c(struct slice s)
{
    return crc32c_by_tables(s);
}
#endif

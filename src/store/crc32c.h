/* CRC-32C (Castagnoli; RFC 3720, B.4), by the CPU's own instruction where it has one. */
#ifndef STORE_CRC32C_H
#define STORE_CRC32C_H

#include "base/slice.h"

uint32_t crc32c(struct slice s);
/* The same by tables: what CPUs without the instruction run. For tests. */
uint32_t crc32c_by_tables(struct slice s);

#endif

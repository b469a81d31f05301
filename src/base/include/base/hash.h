/* Hashing: a fast seeded hash for tables, and SHA-256 for credentials. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/compiler.h"
#include "base/slice.h"

#define SHA256_BYTES 32

/* 64-bit hash with a per-process random seed, after wyhash's folded multiplication
 * (Wang Yi, github.com/wangyi-fudan/wyhash, public domain). Not stable across processes. */
uint64_t hash64(struct slice s);

/* The hash of a text that goes on, after each part of it: of stripes of 64 bytes, in four lanes
 * which do not wait for each other's products (as wyhash's three). Each lane has a secret factor of
 * its own, so that it matters which of them a text went through. Only hash_run_begin sets it up. */
#define HASH_LANES  4
#define HASH_STRIPE 64
struct hash_run {
    uint64_t lane[HASH_LANES];
};
void hash_run_begin(struct hash_run *r, uint64_t seed);
/* Adds so many stripes; the hash of the seed and of all that was added. */
uint64_t hash_run_add(struct hash_run *r, const char *p, size_t stripes);

/* Scatters the bits of a number, and is a bijection: the finaliser of SplitMix64 (Steele, Lea,
 * Flood, "Fast splittable pseudorandom number generators", 2014). Multiples of HASH_STEP through it
 * are that generator's numbers. */
#define HASH_STEP UINT64_C(0x9e3779b97f4a7c15)
static inline uint64_t hash_mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* SHA-256 (FIPS 180-4) of `s`. False: the library failed. */
NODISCARD bool hash_sha256(struct slice s, uint8_t ret[SHA256_BYTES]);

/* HMAC-SHA-256 (RFC 2104) of `s`. False: the library failed. */
NODISCARD bool hash_hmac_sha256(struct slice key, struct slice s, uint8_t ret[SHA256_BYTES]);

/* A hash over pieces, for downloads. NULL: no memory. hash_sha256_end frees the state. */
struct hash_sha256_state;
NODISCARD struct hash_sha256_state *hash_sha256_begin(void);
NODISCARD bool hash_sha256_add(struct hash_sha256_state *st, struct slice s);
NODISCARD bool hash_sha256_end(struct hash_sha256_state *st, uint8_t ret[SHA256_BYTES]);

/* The value of a hex digit, or -1. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Lower-case hex with a final NUL: `out` has 2 * n + 1 bytes. */
void hex_encode(const uint8_t *p, size_t n, char *out);
/* Exactly 2 * n hex digits, else false. */
NODISCARD bool hex_decode(struct slice s, uint8_t *ret, size_t n);

/* Equality in time that depends on `n` only. */
bool equal_constant_time(const void *a, const void *b, size_t n);

/* Random bytes from the kernel, buffered per thread. */
void random_bytes(void *out, size_t n);
uint64_t random_u64(void);

#endif

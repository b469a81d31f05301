/* Table hash, SHA-256, hex and random bytes. */
#include "base/hash.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sys/random.h>

/* The factors are secret too: with a known one, a block that makes it zero would make the product
 * forget the seed and the rest of the text. */
static struct {
    uint64_t seed, k0, k1, lane[HASH_LANES];
} secret;
static EVP_MD *sha256_md;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t ctx_key; /* each thread's EVP_MD_CTX */

static void fill(void *out, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = getrandom((char *)out + done, n - done, 0);
        ASSERT(got > 0 || (got < 0 && errno == EINTR));
        done += got > 0 ? (size_t)got : 0;
    }
}

static void free_ctx(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void init_once(void)
{
    fill(&secret, sizeof secret);
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    ASSERT(pthread_key_create(&ctx_key, free_ctx) == 0);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t load(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

uint64_t hash64(struct slice s)
{
    pthread_once(&once, init_once);
    const uint64_t k0 = secret.k0, k1 = secret.k1;
    uint64_t h = secret.seed ^ fold(s.n ^ k0, k1);
    while (s.n >= 16) {
        h = fold(load(s.p, 8) ^ k0, load(s.p + 8, 8) ^ h);
        s = slice_of(s.p + 16, s.n - 16);
    }
    uint64_t a = s.n > 0 ? load(s.p, MIN_OF(s.n, (size_t)8)) : 0;
    uint64_t b = s.n > 8 ? load(s.p + 8, s.n - 8) : 0;
    return fold(fold(a ^ k1, b ^ h) ^ k0, k1); /* one fold leaves short texts in few buckets */
}

void hash_run_begin(struct hash_run *r, uint64_t seed)
{
    pthread_once(&once, init_once);
    for (unsigned i = 0; i < HASH_LANES; i++)
        r->lane[i] = secret.seed ^ seed;
}

uint64_t hash_run_add(struct hash_run *r, const char *p, size_t stripes)
{
    const uint64_t k0 = secret.lane[0], k1 = secret.lane[1], k2 = secret.lane[2],
                   k3 = secret.lane[3];
    uint64_t h0 = r->lane[0], h1 = r->lane[1], h2 = r->lane[2], h3 = r->lane[3];
    for (; stripes > 0; stripes--, p += HASH_STRIPE) {
        h0 = fold(load(p, 8) ^ k0, load(p + 8, 8) ^ h0);
        h1 = fold(load(p + 16, 8) ^ k1, load(p + 24, 8) ^ h1);
        h2 = fold(load(p + 32, 8) ^ k2, load(p + 40, 8) ^ h2);
        h3 = fold(load(p + 48, 8) ^ k3, load(p + 56, 8) ^ h3);
    }
    *r = (struct hash_run){{h0, h1, h2, h3}};
    return fold(h0 ^ k1, h1 ^ k0) ^ fold(h2 ^ k3, h3 ^ k2);
}

bool hash_sha256(struct slice s, uint8_t ret[SHA256_BYTES])
{
    pthread_once(&once, init_once);
    EVP_MD_CTX *ctx = pthread_getspecific(ctx_key);
    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();
        pthread_setspecific(ctx_key, ctx);
    }
    return ctx != NULL && sha256_md != NULL && EVP_DigestInit_ex2(ctx, sha256_md, NULL) == 1 &&
           EVP_DigestUpdate(ctx, s.p, s.n) == 1 && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
}

bool hash_hmac_sha256(struct slice key, struct slice s, uint8_t ret[SHA256_BYTES])
{
    pthread_once(&once, init_once);
    const char *secret_key = key.n > 0 ? key.p : ""; /* NULL would be no key at all */
    return sha256_md != NULL && key.n <= INT_MAX &&
           HMAC(sha256_md, secret_key, (int)key.n, (const unsigned char *)s.p, s.n, ret, NULL) !=
               NULL;
}

struct hash_sha256_state *hash_sha256_begin(void)
{
    pthread_once(&once, init_once);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex2(ctx, sha256_md, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct hash_sha256_state *)ctx;
}

bool hash_sha256_add(struct hash_sha256_state *st, struct slice s)
{
    return EVP_DigestUpdate((EVP_MD_CTX *)st, s.p, s.n) == 1;
}

bool hash_sha256_end(struct hash_sha256_state *st, uint8_t ret[SHA256_BYTES])
{
    bool ok = EVP_DigestFinal_ex((EVP_MD_CTX *)st, ret, NULL) == 1;
    EVP_MD_CTX_free((EVP_MD_CTX *)st);
    return ok;
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

bool hex_decode(struct slice s, uint8_t *ret, size_t n)
{
    if (s.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(s.p[2 * i]), lo = hex_digit(s.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        ret[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

bool equal_constant_time(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void random_bytes(void *out, size_t n)
{
    static _Thread_local uint8_t pool[512];
    static _Thread_local size_t left;
    if (n > sizeof pool) {
        fill(out, n);
        return;
    }
    if (left < n) {
        fill(pool, sizeof pool);
        left = sizeof pool;
    }
    memcpy(out, pool + sizeof pool - left, n);
    explicit_bzero(pool + sizeof pool - left, n);
    left -= n;
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

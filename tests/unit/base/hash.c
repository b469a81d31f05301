/* Hashes, hex and random bytes. */
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#include "check.h"

static const struct {
    struct slice text;
    const char *want;
} vectors[] = {
    /* FIPS 180-4 examples, and lengths around the padding's edges. */
    {{"", 0}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {{NULL, 0}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {{"abc", 3}, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56},
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 55},
     "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
    {{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 64},
     "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
};

static const char *hex(const uint8_t digest[SHA256_BYTES])
{
    static _Thread_local char out[2 * SHA256_BYTES + 1];
    hex_encode(digest, SHA256_BYTES, out);
    return out;
}

TEST(sha256_vectors)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        uint8_t digest[SHA256_BYTES];
        check_note("vector %zu", i);
        CHECK(hash_sha256(vectors[i].text, digest));
        CHECK_EQ_STR(hex(digest), vectors[i].want);
    }
}

TEST(sha256_in_pieces)
{
    static char million[1000000];
    uint8_t digest[SHA256_BYTES];
    memset(million, 'a', sizeof million);
    for (int round = 0; round < 3; round++) {
        struct hash_sha256_state *st = hash_sha256_begin();
        CHECK(st != NULL);
        for (size_t done = 0; done < sizeof million;) {
            size_t n = MIN_OF(check_random_below(50000), sizeof million - done);
            CHECK(hash_sha256_add(st, slice_of(million + done, n)));
            done += n;
        }
        CHECK(hash_sha256_end(st, digest));
        CHECK_EQ_STR(hex(digest),
                     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    CHECK(hash_sha256(slice_of(million, sizeof million), digest));
    CHECK_EQ_STR(hex(digest), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void *hash_in_thread(void *arg)
{
    uint8_t digest[SHA256_BYTES];
    for (int i = 0; i < 200; i++) {
        size_t v = (size_t)i % ARRAY_LEN(vectors);
        CHECK(hash_sha256(vectors[v].text, digest));
        CHECK_EQ_STR(hex(digest), vectors[v].want);
        *(uint64_t *)arg ^= hash64(vectors[v].text) ^ random_u64();
    }
    return NULL;
}

TEST(threads_do_not_meet)
{
    pthread_t t[4];
    uint64_t sums[4] = {0};
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, hash_in_thread, &sums[i]) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
}

TEST(hex_text)
{
    uint8_t all[256], back[256];
    char out[513];
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    hex_encode(all, 256, out);
    CHECK_EQ_SLICE(slice_of(out, 8), SLICE("00010203"));
    CHECK_EQ_STR(out + 504, "fcfdfeff");
    CHECK(hex_decode(slice_of(out, 512), back, 256));
    CHECK(memcmp(all, back, 256) == 0);
    CHECK(hex_decode(SLICE("aBcDeF"), back, 3) && back[0] == 0xAB && back[2] == 0xEF);
    CHECK(hex_decode(SLICE_NONE, back, 0));
    CHECK(!hex_decode(SLICE("abc"), back, 1));
    CHECK(!hex_decode(SLICE("abcd"), back, 1));
    hex_encode(all, 0, out);
    CHECK_EQ_STR(out, "");
    for (int c = 0; c < 256; c++) {
        char pair[2] = {'0', (char)c};
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        check_note("byte %d", c);
        CHECK_EQ_I64(hex_decode(slice_of(pair, 2), back, 1), digit);
        pair[0] = (char)c, pair[1] = '0';
        CHECK_EQ_I64(hex_decode(slice_of(pair, 2), back, 1), digit);
    }
}

TEST(constant_time_equality)
{
    CHECK(equal_constant_time("abc", "abc", 3));
    CHECK(!equal_constant_time("abc", "abd", 3));
    CHECK(!equal_constant_time("xbc", "abc", 3));
    CHECK(equal_constant_time("a", "b", 0));
}

TEST(hash64_is_a_function_of_the_text)
{
    char text[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)check_random();
    for (size_t n = 0; n < 150; n++) {
        char copy[200];
        memcpy(copy + 3, text, n); /* another alignment */
        CHECK_EQ_U64(hash64(slice_of(copy + 3, n)), hash64(slice_of(text, n)));
    }
    CHECK_EQ_U64(hash64(SLICE_NONE), hash64(SLICE("")));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* `n` hashes have no two equal, and each of their bits is set about half of the time. */
static void check_spread(uint64_t *h, size_t n)
{
    size_t ones[64] = {0}, buckets[256] = {0};
    for (size_t i = 0; i < n; i++) {
        buckets[h[i] & 255]++;
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += h[i] >> bit & 1;
    }
    for (size_t bit = 0; bit < 64; bit++)
        CHECK(ones[bit] > n * 45 / 100 && ones[bit] < n * 55 / 100);
    for (size_t i = 0; i < 256; i++)
        CHECK(buckets[i] > n / 768 && buckets[i] < n / 96);
    qsort(h, n, sizeof *h, by_value);
    for (size_t i = 1; i < n; i++)
        CHECK(h[i] != h[i - 1]);
}

#define HASHES 20000

TEST(hash64_spreads)
{
    static uint64_t h[HASHES];
    static const size_t lengths[] = {2, 4, 8, 9, 15, 16, 17, 31, 32, 33, 100};
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
        for (size_t where = 0; where + 2 <= lengths[l]; where += 1 + where) {
            char text[100] = {0};
            check_note("length %zu, counter at %zu", lengths[l], where);
            for (size_t i = 0; i < HASHES; i++) {
                text[where] = (char)(i & 255);
                text[where + 1] = (char)(i >> 8);
                h[i] = hash64(slice_of(text, lengths[l]));
            }
            check_spread(h, HASHES);
        }
    }
}

TEST(hash64_of_equal_bytes_differs_by_length)
{
    static uint64_t h[1000];
    static const char zeros[1000];
    for (size_t n = 0; n < 1000; n++)
        h[n] = hash64(slice_of(zeros, n));
    qsort(h, 1000, sizeof *h, by_value);
    for (size_t i = 1; i < 1000; i++)
        CHECK(h[i] != h[i - 1]);
}

/* A factor that an attacker knows can be made zero, and the product then forgets the other factor:
 * neither of wyhash's public constants may have that effect on a block. */
TEST(hash64_has_no_blinding_block)
{
    static const uint64_t constants[] = {0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu,
                                         0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u};
    for (size_t c = 0; c < ARRAY_LEN(constants); c++) {
        for (size_t length = 16; length <= 32; length += 8) {
            for (size_t at = 0; at + 8 <= length; at += 8) {
                char x[32] = {0}, y[32] = {0};
                memcpy(x + at, &constants[c], 8);
                memcpy(y + at, &constants[c], 8);
                size_t other = at >= 8 ? at - 8 : at + 8;
                x[other] = 1;
                y[other] = 2;
                check_note("constant %zu, length %zu, at %zu", c, length, at);
                CHECK(hash64(slice_of(x, length)) != hash64(slice_of(y, length)));
            }
        }
    }
}

static uint64_t run_of(uint64_t seed, const char *p, size_t stripes)
{
    struct hash_run r;
    hash_run_begin(&r, seed);
    return hash_run_add(&r, p, stripes);
}

TEST(a_run_is_the_same_in_any_parts)
{
    char text[8 * HASH_STRIPE + 1];
    random_bytes(text, sizeof text);
    memmove(text, text + 1, sizeof text - 1); /* aligned in one of the two */
    uint64_t whole = run_of(7, text, 8);
    for (size_t n = 0; n <= 8; n++) {
        struct hash_run r;
        hash_run_begin(&r, 7);
        CHECK_EQ_U64(hash_run_add(&r, text, n), run_of(7, text, n));
        memmove(text + 1, text, sizeof text - 1);
        CHECK_EQ_U64(hash_run_add(&r, text + 1 + n * HASH_STRIPE, 8 - n), whole);
        memmove(text, text + 1, sizeof text - 1);
    }
    CHECK(run_of(8, text, 8) != whole);
    CHECK(run_of(7, text, 7) != whole);
}

TEST(a_run_spreads)
{
    static uint64_t h[HASHES];
    for (size_t where = 0; where < 2 * HASH_STRIPE; where += 7) {
        char text[2 * HASH_STRIPE] = {0};
        check_note("counter at %zu", where);
        for (size_t i = 0; i < HASHES; i++) {
            text[where] = (char)(i & 255);
            text[where + 1] = (char)(i >> 8);
            h[i] = run_of(1, text, 2);
        }
        check_spread(h, HASHES);
    }
    for (size_t i = 0; i < HASHES; i++)
        h[i] = run_of(i, "", 0);
    check_spread(h, HASHES);
}

/* What is exchanged stands in other lanes, or in the same one at another time. */
TEST(a_run_knows_the_order_of_its_parts)
{
    char text[2 * HASH_STRIPE], other[2 * HASH_STRIPE];
    random_bytes(text, sizeof text);
    for (size_t a = 0; a < sizeof text; a += 8) {
        for (size_t b = 0; b < a; b += 8) {
            memcpy(other, text, sizeof text);
            memcpy(other + a, text + b, 8);
            memcpy(other + b, text + a, 8);
            CHECK(run_of(1, text, 2) != run_of(1, other, 2));
        }
    }
}

TEST(random_bytes_are_fresh)
{
    static uint64_t v[4000];
    uint8_t large[2000] = {0}, small[3];
    for (size_t i = 0; i < 4000; i++) {
        v[i] = random_u64();
        random_bytes(small, i % 4); /* shifts the position in the pool */
    }
    qsort(v, 4000, sizeof *v, by_value);
    for (size_t i = 1; i < 4000; i++)
        CHECK(v[i] != v[i - 1]);
    random_bytes(large, sizeof large); /* more than the pool holds */
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof large; i++)
        zeros += large[i] == 0;
    CHECK(zeros < 60); /* 8 expected */
    random_bytes(large, 0);
}

/* HMAC-SHA-256: the test cases 1, 2, 3 and 6 of RFC 4231, and empty texts. */
#include "base/hash.h"
#include "check.h"

static const struct {
    struct slice key, text;
    char key_byte, text_byte; /* what fills them where .p is NULL */
    const char *digest;
} rows[] = {
    {{NULL, 20},
     {"Hi There", 8},
     0x0b,
     0,
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {{"Jefe", 4},
     {"what do ya want for nothing?", 28},
     0,
     0,
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {{NULL, 20},
     {NULL, 50},
     (char)0xaa,
     (char)0xdd,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {{NULL, 131},
     {"Test Using Larger Than Block-Size Key - Hash Key First", 54},
     (char)0xaa,
     0,
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {{NULL, 0},
     {NULL, 0},
     0,
     0,
     "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
};

static struct slice filled(struct slice s, char byte, char room[256])
{
    if (s.p != NULL || s.n == 0)
        return s;
    memset(room, byte, s.n);
    return slice_of(room, s.n);
}

TEST(hmac_vectors)
{
    char key[256], text[256], hex[2 * SHA256_BYTES + 1];
    uint8_t digest[SHA256_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %zu", i);
        CHECK(hash_hmac_sha256(filled(rows[i].key, rows[i].key_byte, key),
                               filled(rows[i].text, rows[i].text_byte, text), digest));
        hex_encode(digest, sizeof digest, hex);
        CHECK_EQ_STR(hex, rows[i].digest);
    }
}

/* A key may stand where its digest goes. */
TEST(hmac_in_place)
{
    uint8_t digest[SHA256_BYTES] = "Jefe";
    char hex[2 * SHA256_BYTES + 1];
    CHECK(hash_hmac_sha256(slice_of((const char *)digest, 4), SLICE("what do ya want for nothing?"),
                           digest));
    hex_encode(digest, sizeof digest, hex);
    CHECK_EQ_STR(hex, rows[1].digest);
}

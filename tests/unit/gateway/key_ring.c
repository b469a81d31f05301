/* Keys by digest: found, replaced, removed, expired; and readers beside the writer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "check.h"
#include "gateway/identity.h"

#define KEYS    300u /* more than the first table holds, so that it grows under the readers */
#define ROUNDS  200u
#define READERS 3u

static void digest_of(unsigned i, uint8_t ret[SHA256_BYTES])
{
    char text[32];
    int n = snprintf(text, sizeof text, "sk-%u", i);
    CHECK(hash_sha256(slice_of(text, (size_t)n), ret));
}

TEST(find_put_remove)
{
    struct gw_key_ring *r = gw_key_ring_new();
    struct gw_key a = {.max_tokens = 1}, b = {.max_tokens = 2};
    uint8_t one[SHA256_BYTES], two[SHA256_BYTES];
    digest_of(1, one);
    digest_of(2, two);
    CHECK(gw_key_ring_find(r, one, 5) == NULL && gw_key_ring_count(r) == 0);
    CHECK(gw_key_ring_put(r, one, &a, 0));
    CHECK(gw_key_ring_put(r, two, &a, 10)); /* its old digest */
    CHECK(gw_key_ring_find(r, one, 5) == &a && gw_key_ring_find(r, two, 9) == &a);
    CHECK(gw_key_ring_find(r, two, 10) == NULL && gw_key_ring_count(r) == 2);
    CHECK(gw_key_ring_peek(r, two) == &a);
    CHECK(gw_key_ring_put(r, one, &b, 0));
    CHECK(gw_key_ring_find(r, one, 5) == &b && gw_key_ring_count(r) == 2);
    b.expires_ns = 5;
    CHECK(gw_key_ring_find(r, one, 4) == &b && gw_key_ring_find(r, one, 5) == NULL);
    b.expires_ns = 0;
    b.disabled = true;
    CHECK(gw_key_ring_find(r, one, 4) == NULL && gw_key_ring_peek(r, one) == &b);
    gw_key_ring_remove(r, one);
    gw_key_ring_remove(r, one);
    CHECK(gw_key_ring_find(r, one, 4) == NULL && gw_key_ring_count(r) == 1);
    CHECK(gw_key_ring_peek(r, one) == NULL);
    CHECK(gw_key_ring_put(r, one, &a, 0));
    CHECK(gw_key_ring_find(r, one, 4) == &a && gw_key_ring_count(r) == 2);
    gw_key_ring_free(r);
}

/* Only the issued key of that name loses its other digests. */
TEST(keep)
{
    struct gw_key_ring *r = gw_key_ring_new();
    struct gw_key issued = {.scope.name = SLICE("a"), .issued = true};
    struct gw_key of_file = {.scope.name = SLICE("a")}, other = issued;
    uint8_t digest[5][SHA256_BYTES];
    other.scope.name = SLICE("b");
    for (unsigned i = 0; i < 5; i++)
        digest_of(i, digest[i]);
    for (unsigned i = 0; i < 3; i++)
        CHECK(gw_key_ring_put(r, digest[i], &issued, 0));
    CHECK(gw_key_ring_put(r, digest[3], &of_file, 0));
    CHECK(gw_key_ring_put(r, digest[4], &other, 0));
    gw_key_ring_keep(r, SLICE("a"), (const uint8_t(*)[SHA256_BYTES]) & digest[1], 1);
    for (unsigned i = 0; i < 5; i++)
        CHECK((gw_key_ring_find(r, digest[i], 1) != NULL) == (i != 0 && i != 2));
    gw_key_ring_keep(r, SLICE("a"), NULL, 0);
    for (unsigned i = 0; i < 5; i++)
        CHECK((gw_key_ring_find(r, digest[i], 1) != NULL) == (i >= 3));
    CHECK_EQ_U64(gw_key_ring_count(r), 2);
    gw_key_ring_free(r);
}

TEST(many)
{
    struct gw_key_ring *r = gw_key_ring_new();
    struct gw_key key = {0};
    uint8_t digest[SHA256_BYTES];
    for (unsigned i = 0; i < 20000; i++) {
        digest_of(i, digest);
        CHECK(gw_key_ring_put(r, digest, &key, 0));
        if (i % 2 == 1)
            gw_key_ring_remove(r, digest);
    }
    CHECK_EQ_U64(gw_key_ring_count(r), 10000);
    for (unsigned i = 0; i < 20000; i++) {
        digest_of(i, digest);
        CHECK((gw_key_ring_find(r, digest, 1) != NULL) == (i % 2 == 0));
    }
    gw_key_ring_free(r);
}

struct shared {
    struct gw_key_ring *ring;
    uint8_t digest[KEYS][SHA256_BYTES];
    _Atomic bool stop;
    _Atomic unsigned wrong;
    _Atomic uint64_t found;
};

/* Every key that is found is the one of its digest, and the first, which is never touched, is
 * always found. */
static void *reader(void *arg)
{
    struct shared *s = arg;
    uint64_t found = 0;
    while (!s->stop) {
        for (unsigned i = 0; i < KEYS; i++) {
            const struct gw_key *k = gw_key_ring_find(s->ring, s->digest[i], 1);
            s->wrong += k == NULL ? i == 0 : k->max_tokens != i;
            found += k != NULL;
        }
    }
    s->found += found;
    return NULL;
}

static void write_rounds(struct shared *s)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 1; i < KEYS; i++) {
            struct gw_key *k = arena_new(gw_key_ring_arena(s->ring), struct gw_key);
            CHECK(k != NULL);
            k->max_tokens = i;
            k->disabled = (i + round) % 7 == 0;
            CHECK(gw_key_ring_put(s->ring, s->digest[i], k, 0));
            if ((i + round) % 3 == 0)
                gw_key_ring_remove(s->ring, s->digest[i]);
            /* what the writer has done counts */
            bool there = gw_key_ring_find(s->ring, s->digest[i], 1) != NULL;
            CHECK(there == ((i + round) % 3 != 0 && (i + round) % 7 != 0));
        }
    }
}

TEST(readers_beside_the_writer)
{
    struct shared *s = mem_calloc(1, sizeof *s);
    pthread_t threads[READERS];
    struct gw_key first = {0};
    CHECK(s != NULL);
    s->ring = gw_key_ring_new();
    for (unsigned i = 0; i < KEYS; i++)
        digest_of(i, s->digest[i]);
    CHECK(gw_key_ring_put(s->ring, s->digest[0], &first, 0));
    for (unsigned i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, reader, s) == 0);
    write_rounds(s);
    s->stop = true;
    for (unsigned i = 0; i < READERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ_U64(s->wrong, 0);
    CHECK(s->found > 0);
    gw_key_ring_free(s->ring);
    mem_free(s);
}

TEST(patterns)
{
    const struct slice list[] = {SLICE("chat"), SLICE("openai/*")};
    CHECK(gw_allows(NULL, 0, SLICE("x")));
    CHECK(gw_allows(list, 2, SLICE("chat")) && !gw_allows(list, 2, SLICE("chat2")));
    CHECK(gw_allows(list, 2, SLICE("openai/")) && gw_allows(list, 2, SLICE("openai/x")));
    CHECK(!gw_allows(list, 2, SLICE("openai")) && !gw_allows(list, 2, SLICE("")));
    const struct slice all[] = {SLICE("*")};
    CHECK(gw_allows(all, 1, SLICE("")) && gw_allows(all, 1, SLICE("x")));
}

/* Issued keys, in SQLite: what `weir key` and the admin API create. Secrets are not kept, only
 * their SHA-256. Control thread. */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/slice.h"

/* One key. What it may and must not is kept as the text of its YAML (a map with the keys of
 * `keys.<name>` in the configuration: team, plan, limits, models, ...), so that a key in the file
 * and one in the store are read by the same code. */
struct stored_key {
    struct slice name; /* unique, also against the file's */
    uint8_t digest[SHA256_BYTES];
    uint8_t old_digest[SHA256_BYTES]; /* the one before the latest rotation */
    int64_t old_until_ns;             /* wall clock; 0: no old one counts */
    struct slice hint;                /* first and last characters, for people: "wk-Ab...9x" */
    struct slice rights;              /* YAML flow map: "{team: search, plan: free}" */
    int64_t created_ns, expires_ns;   /* wall clock; expires 0: never */
    int64_t changed_ns;
    bool disabled;
    struct slice note; /* for people */
};

struct key_store;
/* `path`: the database file, made when it is not there. NULL: `error` says why. */
NODISCARD struct key_store *key_store_open(const char *path, struct buf *error);
void key_store_close(struct key_store *s);

enum key_result { KEY_OK, KEY_EXISTS, KEY_NOT_FOUND, KEY_FAILED };
/* KEY_EXISTS: the name or the digest is taken. KEY_FAILED: `error` says why. All changes are
 * durable when these return. */
enum key_result key_store_add(struct key_store *s, const struct stored_key *k, struct buf *error);
enum key_result key_store_get(struct key_store *s, struct slice name, struct arena *a,
                              struct stored_key *ret, struct buf *error);
/* Replaces all but the name. */
enum key_result key_store_put(struct key_store *s, const struct stored_key *k, struct buf *error);
enum key_result key_store_delete(struct key_store *s, struct slice name, struct buf *error);
/* In order of names, those behind `after`, at most `limit` (0: all). The lines live in `a`. */
enum key_result key_store_list(struct key_store *s, struct slice after, unsigned limit,
                               struct arena *a, struct stored_key **ret, size_t *ret_n,
                               struct buf *error);

#endif

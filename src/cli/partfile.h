/* A download that may take several runs: NAME.part holds the bytes, NAME.part.json what they are
 * of, and NAME comes to be only when all of it is there and right. One process at a time works on a
 * name: the part file is locked. */
#ifndef CLI_PARTFILE_H
#define CLI_PARTFILE_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/slice.h"

#define PARTFILE_NAME_MAX 200
#define PARTFILE_PATH_MAX 4352
#define VALIDATOR_MAX     300

struct partfile {
    char path[PARTFILE_PATH_MAX]; /* of the final file */
    char part[PARTFILE_PATH_MAX], state[PARTFILE_PATH_MAX];
    char dir[PARTFILE_PATH_MAX];
    int fd;     /* of the part file; -1: closed */
    int64_t at; /* bytes that are there */
    /* what they belong to; kept in the state file */
    char validator[VALIDATOR_MAX]; /* for If-Range: a strong ETag or a Last-Modified; "": none */
    char sha256[2 * SHA256_BYTES + 1]; /* that the server has named; "": none */
    int64_t total;                     /* bytes of the whole, -1: unknown */
};

enum part_open { PART_OPEN, PART_BUSY, PART_ERROR };

/* Opens or makes the part file of `name` in `dir` and locks it. What an earlier run left is taken
 * up if it came from `url` and has a validator, else discarded. BUSY: another process has it.
 * ERROR: see errno. */
NODISCARD enum part_open partfile_open(struct partfile *p, const char *dir, const char *name,
                                       struct slice url);
/* Discards what is there. False: see errno. */
NODISCARD bool partfile_restart(struct partfile *p);
/* Writes the state file anew from the fields above. False: see errno. */
NODISCARD bool partfile_save(const struct partfile *p, struct slice url);
/* Appends. False: see errno. */
NODISCARD bool partfile_append(struct partfile *p, struct slice data);

/* SHA-256 of the first `size` bytes of `fd` in hex. `step` (may be NULL) is told how far it is;
 * false from it stops. False: it cannot be read, or was stopped. */
NODISCARD bool partfile_hash(int fd, int64_t size, char ret[2 * SHA256_BYTES + 1],
                             bool (*step)(void *ctx, int64_t at), void *ctx);

/* The part becomes the file, on disk before it has its name. False: see errno; nothing has changed.
 * The part file is closed after success. */
NODISCARD bool partfile_commit(struct partfile *p);
/* Removes what is there, and closes: it turned out to be wrong. */
void partfile_discard(struct partfile *p);
/* Closes; a part of no bytes is removed. */
void partfile_close(struct partfile *p);

#endif

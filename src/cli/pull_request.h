/* One request of `weir pull`: what is asked for, and what the answer means for the part file. */
#ifndef CLI_PULL_REQUEST_H
#define CLI_PULL_REQUEST_H

#include "fetch.h"
#include "partfile.h"
#include "pull_source.h"
#include "terminal.h"

/* What a request came to. */
enum pull_step {
    PULL_COMPLETE, /* all of the file is in the part */
    PULL_AGAIN,    /* may work later */
    PULL_RESTART,  /* what is there is of another version: from the start, at once */
    PULL_COMPARE,  /* the file that is there already may be the same: see `hash_there` */
    PULL_PRESENT,  /* it is the same */
    PULL_FAILED,   /* no use trying again */
    PULL_STOPPED,  /* by the user */
};

struct pull {
    struct pull_source source;
    struct partfile part;
    struct fetcher *fetcher;
    int64_t idle_ns;
    unsigned tries_max;
    char wanted[2 * SHA256_BYTES + 1]; /* --sha256, "": none */
    int64_t present_bytes;             /* of the file that has the name now, -1: none */
    /* of the request under way, or the last one */
    enum pull_step step;
    bool decided;                          /* `step` is set */
    char why[700];                         /* for people */
    char hub_sha256[2 * SHA256_BYTES + 1]; /* X-Linked-Etag, or such an ETag of the first answer */
    int64_t hub_bytes;                     /* X-Linked-Size, -1: none */
    int64_t retry_after_ns;
    int64_t began_at; /* part.at when it began */
    bool receiving;   /* the body belongs into the part */
    bool redirected, progress_on;
    struct progress progress;
};

/* Asks for what is missing of the part, and takes it; a part that the server cannot be asked to go
 * on with, for want of a validator, is begun anew. The outcome is in `step` and `why`. */
void pull_request(struct pull *p);

/* The hash that the file has to have, or "". */
const char *pull_expected_hash(const struct pull *p);

#endif

/* Google's credentials: key files, and the requests that turn them into tokens. */
#ifndef CONTROL_TOKEN_GOOGLE_H
#define CONTROL_TOKEN_GOOGLE_H

#include "base/arena.h"
#include "base/buf.h"

/* What a key file says. `type` authorized_user (gcloud auth application-default login): client_id,
 * client_secret and refresh_token; service_account: the others. */
struct google_key {
    bool user;
    struct slice email, private_key, private_key_id;
    struct slice client_id, client_secret, refresh_token;
    struct slice token_uri; /* both; Google's where the file names none */
    struct slice project;   /* .p NULL: not named */
};

/* Reads a key file; text is in `a`. False: `*ret_why` says what is wrong with it, as in "the value
 * ...". */
NODISCARD bool google_key_read(struct slice json, struct arena *a, struct google_key *ret,
                               const char **ret_why);

/* The JSON Web Token of RFC 7523 with which a service account asks for a token: RS256 over header
 * and claims, `wall_s` being now in seconds since 1970. In `a`. .p NULL: it cannot be made. */
NODISCARD struct slice google_assertion(const struct google_key *key, int64_t wall_s,
                                        struct arena *a);

#endif

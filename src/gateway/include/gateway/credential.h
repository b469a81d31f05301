/* Credentials of providers that have to be fetched and renewed: bearer tokens (Google, Entra) and
 * AWS keys. They live in a registry keyed by a stable identity and outlive reloads. The control
 * thread stores new values, well before the old ones run out; workers read the one there is and
 * never wait. A value is immutable, and its memory is locked (base/secret.h). */
#ifndef GATEWAY_CREDENTIAL_H
#define GATEWAY_CREDENTIAL_H

#include "base/arena.h"
#include "base/slice.h"

enum gw_credential_kind {
    CREDENTIAL_TOKEN, /* goes upstream as "Authorization: Bearer TOKEN" */
    CREDENTIAL_AWS,   /* signs requests (AWS Signature Version 4) */
};

enum gw_credential_state {
    CREDENTIAL_NONE,    /* nothing has been fetched yet */
    CREDENTIAL_FRESH,   /* there is one to use, whatever the last renewal came to */
    CREDENTIAL_EXPIRED, /* the one there was has run out */
    CREDENTIAL_FAILED,  /* there has been none, and the last try to get one failed */
};

#define CREDENTIAL_TEXT_MAX 256 /* bytes of an explanation, NUL included */
#define CREDENTIAL_FOREVER  INT64_MAX

struct gw_credential;

/* The keys of AWS; `session` is empty for long-lived ones. */
struct gw_aws_keys {
    struct slice access, secret, session;
};

/* The credential of that identity, made when there is none; the caller owns the reference. The
 * identity holds no secret: it is shown in logs. NULL: no memory. */
NODISCARD struct gw_credential *gw_credential_get(struct slice identity,
                                                  enum gw_credential_kind kind);
struct gw_credential *gw_credential_ref(struct gw_credential *c);
void gw_credential_unref(struct gw_credential *c); /* NULL is fine */

enum gw_credential_kind gw_credential_kind(const struct gw_credential *c);
struct slice gw_credential_identity(const struct gw_credential *c);

/* A new value, which is good until `expires_ns` on the monotonic clock (CREDENTIAL_FOREVER: until
 * it is replaced). It is copied, and takes the place of the old one for all requests from now on.
 * False: no memory, or a token that no header can carry; the old value stays. */
NODISCARD bool gw_credential_set_token(struct gw_credential *c, struct slice token,
                                       int64_t expires_ns);
NODISCARD bool gw_credential_set_aws(struct gw_credential *c, const struct gw_aws_keys *keys,
                                     int64_t expires_ns);

/* Getting a new value failed, for the reason `why` (copied, cut to CREDENTIAL_TEXT_MAX). A value
 * that is there stays in use as long as it is good. */
void gw_credential_set_failed(struct gw_credential *c, const char *why);

/* Any thread. With FRESH `*ret_line` is the complete header line, CRLF included, in `a` (.p NULL:
 * no memory); otherwise there is no token and `*ret_line` is untouched. `now_ns` is monotonic. */
enum gw_credential_state gw_credential_token(struct gw_credential *c, int64_t now_ns,
                                             struct arena *a, struct slice *ret_line);
/* The same for keys, in `a` (.access.p NULL: no memory). */
enum gw_credential_state gw_credential_aws(struct gw_credential *c, int64_t now_ns, struct arena *a,
                                           struct gw_aws_keys *ret);

/* Any thread. The state alone, and what it means as a sentence without a full stop for logs and
 * error messages: "the token has expired; last attempt: HTTP 400: invalid_grant". */
enum gw_credential_state gw_credential_explain(struct gw_credential *c, int64_t now_ns,
                                               char out[CREDENTIAL_TEXT_MAX]);
/* Any thread: the provider has refused the value although it should be good (401: revoked, or the
 * machine has slept). It stays in use; the control thread gets a new one soon. */
void gw_credential_refused(struct gw_credential *c);
/* Has it been refused since the last call? The control thread's. */
bool gw_credential_take_refused(struct gw_credential *c);

/* When the value runs out; 0: there is none. */
int64_t gw_credential_expires(struct gw_credential *c);

#endif

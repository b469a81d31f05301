/* Who may call the admin API, and as what. */
#ifndef CONTROL_ADMIN_ACCESS_H
#define CONTROL_ADMIN_ACCESS_H

#include "admin_route.h"
#include "base/hash.h"

/* The tokens that count, as digests: comparing those tells nothing of a token's length either. */
struct admin_tokens {
    bool set[ROLES_N], any;
    uint8_t digest[ROLES_N][SHA256_BYTES];
};

/* False: the library that hashes failed, and no token counts. */
NODISCARD bool admin_tokens_set(struct admin_tokens *t, const struct config *c);

/* What the caller may do by what stands in its head; NOBODY: nothing. */
enum admin_role admin_authenticate(const struct admin_tokens *t, const struct http_head *h);

/* May this request come through a browser? A page of another origin may not talk to us, nor a name
 * that was rebound: that would lend a stranger the place of whoever runs the browser. `guarded`:
 * callers need a credential, or all the world may ask; a name alone gives them no place then. */
bool admin_browser_safe(const struct http_head *h, bool guarded);

/* "viewer". */
const char *admin_role_name(enum admin_role r);

#endif

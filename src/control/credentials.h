/* Keeps the providers' credentials fresh (gateway/credential.h): fetches them on the control
 * thread's loop, renews them well before they run out, and tries again when that fails. What is
 * fetched how is the sources' business (credential_source.h). */
#ifndef CONTROL_CREDENTIALS_H
#define CONTROL_CREDENTIALS_H

#include "base/json_write.h"
#include "gateway/snapshot.h"
#include "net/loop.h"

struct config;
struct config_provider;
struct credentials;

/* Without a loop nothing is fetched. NULL: no memory. */
NODISCARD struct credentials *credentials_new(void);
void credentials_free(struct credentials *cs); /* NULL is fine; stopped, if it was started */

/* The credential that the provider's configuration asks for, or NULL in `*ret` where its header
 * lines are fixed; the caller owns the reference. What can be had without a call (keys in the
 * configuration, the environment or a file) is there at once. False: it cannot be used; `why` says
 * why, without a secret. */
NODISCARD bool credentials_get(struct credentials *cs, const struct config *c,
                               const struct config_provider *p, struct gw_credential **ret,
                               struct buf *why);

/* After a snapshot has been installed: what it uses is kept fresh from now on, the rest is let go.
 */
void credentials_settle(struct credentials *cs, const struct gw_snapshot *s);

/* Fetching begins, on `loop`, with what credentials_settle finds in use; it ends with
 * credentials_stop, while the loop still runs. */
void credentials_start(struct credentials *cs, struct net_loop *loop);
void credentials_stop(struct credentials *cs);

/* An array of all of them, without secrets. */
void credentials_dump(struct credentials *cs, struct json_writer *w);

/* When a value that is good for `life_ns` is to be renewed, from now: five minutes before its end,
 * or after 80 % of its life, whichever is later, and up to a tenth of the rest earlier, as `random`
 * has it. */
int64_t credentials_renew_after(int64_t life_ns, uint64_t random);
/* How long to wait after the n-th failure in a row (from 1 on): one second, doubled each time up to
 * a minute, less up to a quarter. */
int64_t credentials_retry_after(unsigned failures, uint64_t random);

#endif

/* Names to addresses, per thread, through c-ares: literals at once, answers cached for their TTL,
 * the last good answer served when a resolver fails or is silent. A dead resolver delays only the
 * names it is asked for. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/list.h"
#include "net/addr.h"
#include "net/loop.h"

#define DNS_ADDRS_MAX 12

struct dns_addrs {
    unsigned n;
    struct net_addr addr[DNS_ADDRS_MAX]; /* families alternate, the resolver's first choice first */
};

struct dns_query;
/* `addrs` is NULL when there is no answer; `error` then says why, e.g. "name not found". */
typedef void dns_done_fn(struct dns_query *q, const struct dns_addrs *addrs, const char *error);

/* In the caller's memory; must stay in place until done or cancelled. */
struct dns_query {
    struct list node;
    dns_done_fn *done;
};

/* Resolves `host`; `done` may be called before the function returns. */
void dns_resolve(struct net_loop *loop, struct slice host, struct dns_query *q, dns_done_fn *done);
/* The query is forgotten; harmless when it is done. */
void dns_cancel(struct dns_query *q);

void dns_free(struct net_dns *dns);

#endif

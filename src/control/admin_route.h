/* What a route of the admin API is: one row of a table, and a function from a request to a reply.
 * Tables of other files are named at the end; admin.c walks them all. */
#ifndef CONTROL_ADMIN_ROUTE_H
#define CONTROL_ADMIN_ROUTE_H

#include "admin.h"
#include "base/arena.h"
#include "base/json.h"
#include "net/http.h"

/* Each may do what those before it may. */
enum admin_role {
    ROLE_NOBODY,
    ROLE_VIEWER,   /* reads */
    ROLE_OPERATOR, /* also reloads, reopens logs, disables and enables keys, drains targets */
    ROLE_ADMIN,
    ROLES_N
};

/* A request whose body is whole. Valid during the call. */
struct admin_request {
    enum http_method method;
    struct slice param; /* what stands in the place of the row's asterisks, decoded; else empty */
    struct slice query; /* behind the '?', not decoded: see admin_query */
    struct slice body;
    enum admin_role role;
    const struct admin_hooks *hooks; /* the service; its functions take hooks->ctx */
    struct json_parser *parser;      /* for the body, and scratch of the call */
    struct arena *arena;             /* memory until the reply is sent */
};

/* 200, application/json and an empty body until the route says otherwise. The body is sent as it
 * stands; one that outgrew its ceiling (64 MiB) becomes a 500. */
struct admin_reply {
    unsigned status;
    const char *type;
    struct buf body;
};

struct admin_route {
    const char *path; /* a segment "*" takes any one segment that is not empty, "**" one or more */
    enum http_method method;
    enum admin_role least; /* NOBODY: without a credential */
    bool metrics;          /* on the metrics port too */
    size_t body_max;       /* bytes; 0: it takes none */
    void (*run)(const struct admin_request *q, struct admin_reply *r);
};

struct admin_table {
    const struct admin_route *rows;
    size_t n;
};

#define ADMIN_BODY_BYTES  ((size_t)1 << 20) /* what a route that takes a body usually takes */
#define ADMIN_TABLE_BYTES ((size_t)4 << 20) /* a table of prices */

/* The first value of `name` in the query, decoded ('+' is a space). False: it is not there, or its
 * escapes are broken, or there is no memory; `*ret` is untouched then. */
NODISCARD bool admin_query(const struct admin_request *q, const char *name, struct slice *ret);

/* Makes the reply an error: {"error":{"message":...}}, the message as JSON. */
void admin_fail(struct admin_reply *r, unsigned status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Parses the body, which has to be one JSON object without repeated keys. False: the reply says
 * what is wrong. */
NODISCARD bool admin_body(const struct admin_request *q, struct admin_reply *r,
                          struct json_doc *ret);

extern const struct admin_table admin_key_routes;     /* admin_keys.c */
extern const struct admin_table admin_usage_routes;   /* admin_usage.c */
extern const struct admin_table admin_explain_routes; /* admin_explain.c */
extern const struct admin_table admin_target_routes;  /* admin_targets.c */

#endif

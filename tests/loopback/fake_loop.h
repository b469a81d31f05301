/* What the files of the played network share. */
#ifndef LOOPBACK_FAKE_LOOP_H
#define LOOPBACK_FAKE_LOOP_H

#include <uv.h>

#include "fake_net.h"

/* Hangs on the loop's `pools`. */
struct net_pools {
    struct net_listener *listener;
    struct list calls;
    unsigned calls_made;
    loop_work_fn *work; /* NULL: the test turns the loop */
    uv_idle_t idle;
    uv_sem_t may_run;
    bool stopped;
};

static inline struct net_pools *fake_of(struct net_loop *loop)
{
    return loop->pools;
}

/* A copy in memory of its own, and the end of it. */
struct slice fresh_copy(struct slice s);
void fresh_free(struct slice s);

/* "name: value\n" lines as fields that point into them; returns how many. */
unsigned fields_parse(struct slice lines, struct http_field *ret);
/* Aborts unless these are whole lines "name: value CRLF" of valid fields. */
void fields_check(struct slice lines);

/* Forgets all calls. */
void calls_free(struct net_loop *loop);

#endif

/* Exchanges that start inside the gateway. */
#include "base/clock.h"
#include "base/mem.h"
#include "worker.h"

#define ABORTED 502 /* the status of an answer that broke off */

static enum net_sent buffer_send(struct exchange *x, const struct net_answer *head,
                                 struct slice body, bool end)
{
    struct child *c = x->child;
    (void)end;
    if (head != NULL)
        c->status = head->status;
    buf_slice(&c->answer, body);
    return c->answer.failed ? NET_SENT_GONE : NET_SENT_ALL;
}

static void buffer_abort(struct exchange *x)
{
    x->child->status = ABORTED;
}

static const struct sink_ops buffer_sink = {.send = buffer_send, .abort = buffer_abort};

static enum net_sent drop_send(struct exchange *x, const struct net_answer *head, struct slice body,
                               bool end)
{
    (void)x, (void)head, (void)body, (void)end;
    return NET_SENT_ALL;
}

static void drop_abort(struct exchange *x)
{
    (void)x;
}

static const struct sink_ops null_sink = {.send = drop_send, .abort = drop_abort};

static bool copy(struct exchange *x, struct slice text, struct slice *into)
{
    *into = text.n > 0 ? arena_copy(&x->arena, text) : SLICE_NONE;
    return into->n == text.n;
}

/* Whose it is and what it is for, by the snapshot that the parent began with: its key is there. */
static bool copy_identity(struct exchange *x, const struct exchange *parent)
{
    const struct admission *ad = parent->admission;
    struct snapshot_use *before = x->use;
    x->use = snapshot_use_ref(parent->use);
    x->snapshot = x->use->snapshot;
    snapshot_use_unref(before);
    x->key = parent->key;
    x->peer = parent->peer;
    struct slice user = ad != NULL ? ad->user : parent->asked_user;
    struct slice use_case = ad == NULL             ? parent->asked_use_case
                            : ad->use_case != NULL ? ad->use_case->scope.name
                                                   : SLICE_NONE;
    return copy(x, parent->client_key, &x->client_key) && copy(x, user, &x->asked_user) &&
           copy(x, use_case, &x->asked_use_case);
}

static bool copy_body(struct exchange *x, struct slice body)
{
    if (body.n > CHILD_BODY_MAX || !block_reserve(&x->worker->loop.blocks, &x->body, body.n))
        return false;
    memcpy(x->body.p, body.p, body.n);
    x->body.n = body.n;
    return true;
}

/* A detached child outlives whoever asked for it, so it gets a record of its own. */
static struct child *detach(const struct child *c)
{
    struct child *own = mem_calloc(1, sizeof *own);
    if (own != NULL)
        *own = *c;
    return own;
}

bool exchange_child_start(struct exchange *parent, struct child *c)
{
    unsigned depth = parent->child != NULL ? parent->child->depth + 1 : 1;
    if (depth > CHILD_DEPTH_MAX)
        return false;
    struct child *kept = c->detached ? detach(c) : c;
    struct exchange *x = kept != NULL ? exchange_new(parent->worker) : NULL;
    if (x == NULL || !copy_identity(x, parent) || !copy_body(x, c->body)) {
        if (x != NULL) {
            x->purpose = c->purpose;
            x->cancelled = GW_NO_MEMORY;
            exchange_run(x);
        }
        if (kept != c)
            mem_free(kept);
        return false;
    }
    kept->depth = depth;
    kept->exchange = x;
    kept->parent = c->detached ? NULL : parent;
    kept->status = 0;
    buf_init(&kept->answer, (size_t)x->snapshot->limits.answer_bytes);
    list_init(&kept->node);
    if (!c->detached)
        list_push_back(&parent->children, &kept->node);
    x->child = kept;
    x->purpose = kept->purpose;
    x->sink = c->detached ? &null_sink : &buffer_sink;
    x->method = HTTP_POST;
    pipeline_to_parse(x, c->op);
    exchange_run(x);
    return true;
}

/* The exchange may live on for as long as a job of it runs, so it forgets `c` first. */
void exchange_child_cancel(struct child *c)
{
    struct exchange *x = TAKE(c->exchange);
    if (x == NULL)
        return;
    list_remove(&c->node);
    buf_done(&c->answer);
    x->child = NULL;
    x->sink = NULL;
    exchange_cancel(x, GW_CLIENT_GONE);
}

void child_settled(struct child *c, bool whole)
{
    child_done_fn *done = c->done;
    c->exchange = NULL;
    list_remove(&c->node);
    struct buf answer = c->answer;
    unsigned status = whole || c->status == ABORTED ? c->status : 0;
    if (c->detached)
        mem_free(c);
    else if (done != NULL)
        done(c, status, whole ? buf_view(&answer) : SLICE_NONE);
    buf_done(&answer);
}

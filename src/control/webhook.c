/* The sender of messages: see webhook.h. */
#include "webhook.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "build_egress.h"
#include "net/upstream.h"
#include "observe/log.h"
#include "policy/retry_budget.h"

#define CALL_NS     (10 * NS_PER_S) /* one try, name and handshake included */
#define RETRY_NS    NS_PER_S
#define RETRY_MAX   (600 * NS_PER_S)
#define GIVE_UP_NS  (86400 * NS_PER_S)
#define WAITING_MAX 1000
#define URL_MAX     ((size_t)8192)

struct message {
    struct list node;
    int64_t id, queued_ns, due_ns;
    unsigned failures;
    char why[WEBHOOK_WHY_MAX];
    size_t n;
    char json[];
};

/* Where the sender is; its timer says when it goes on. */
enum stage {
    STAGE_IDLE,     /* until a message is due */
    STAGE_CALLING,  /* until the answer, or its limit */
    STAGE_ANSWERED, /* until the callbacks of the call have returned */
};

struct webhook {
    struct net_loop *loop;
    webhook_done_fn *done;
    void *ctx;
    struct list waiting;
    size_t waiting_n;
    struct upstream *upstream; /* NULL: there is no receiver */
    struct buf target;         /* path and query */
    enum stage stage;
    struct timer timer;
    struct message *sending; /* in the list as well */
    struct net_lease lease;
    struct net_request request;
    struct slice body;
    unsigned status;
    char broken[WEBHOOK_WHY_MAX];
};

int64_t webhook_retry_after(unsigned failures, uint64_t random)
{
    return retry_pause_ns(failures, RETRY_NS, RETRY_MAX, random);
}

size_t webhook_waiting(const struct webhook *w)
{
    return w->waiting_n;
}

/* The one place where the stage changes. */
static void enter(struct webhook *w, enum stage stage, int64_t after_ns)
{
    w->stage = stage;
    if (!net_timer_set(w->loop, &w->timer, net_now(w->loop) + after_ns))
        log_event(LOG_ERROR, "webhook.stuck", "out of memory");
}

/* Idle until the earliest message is due. */
static void rest(struct webhook *w)
{
    int64_t due = INT64_MAX;
    list_foreach (it, &w->waiting)
        due = MIN_OF(due, container_of(it, struct message, node)->due_ns);
    w->sending = NULL;
    if (due == INT64_MAX)
        w->stage = STAGE_IDLE;
    else
        enter(w, STAGE_IDLE, MAX_OF(due - net_now(w->loop), INT64_C(0)));
}

static void forget(struct webhook *w, struct message *m)
{
    list_remove(&m->node);
    w->waiting_n--;
    mem_free(m);
}

static void finish(struct webhook *w, struct message *m, bool taken, const char *why)
{
    int64_t id = m->id;
    char text[WEBHOOK_WHY_MAX];
    snprintf(text, sizeof text, "%s", why);
    forget(w, m);
    w->done(w->ctx, id, taken, text);
}

static void failed(struct webhook *w, struct message *m, const char *why)
{
    int64_t after = webhook_retry_after(++m->failures, random_u64());
    m->due_ns = net_now(w->loop) + after;
    if (m->due_ns - m->queued_ns > GIVE_UP_NS) {
        finish(w, m, false, why);
        return;
    }
    snprintf(m->why, sizeof m->why, "%s", why);
    log_event(LOG_WARN, "webhook.failed", "%s; next try in %lld ms", why,
              (long long)(after / NS_PER_MS));
}

/* ---- calls */

static void call_over(struct webhook *w, const char *broken, const char *detail)
{
    snprintf(w->broken, sizeof w->broken, "%s%s%s", broken, detail[0] != '\0' ? ": " : "", detail);
    enter(w, STAGE_ANSWERED, 0); /* the lease is still on the stack */
}

static void on_head(struct net_lease *l, const struct http_head *head)
{
    container_of(l, struct webhook, lease)->status = head->status;
}

static void on_body(struct net_lease *l, struct slice data, bool last)
{
    (void)l, (void)data, (void)last; /* the status says it all */
}

static void on_idle(struct net_lease *l)
{
    (void)l;
}

static bool on_end(struct net_lease *l)
{
    call_over(container_of(l, struct webhook, lease), "", "");
    return true;
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    call_over(container_of(l, struct webhook, lease), net_fail_text(why), detail);
}

static const struct net_lease_ops lease_ops = {.on_head = on_head,
                                               .on_body = on_body,
                                               .on_writable = on_idle,
                                               .on_flush = on_idle,
                                               .on_end = on_end,
                                               .on_fail = on_fail};

static void call(struct webhook *w, struct message *m)
{
    w->sending = m;
    w->status = 0;
    w->broken[0] = '\0';
    w->body = slice_of(m->json, m->n);
    w->request = (struct net_request){
        .method = HTTP_POST,
        .target = buf_view(&w->target),
        .fields = SLICE("User-Agent: weir\r\nContent-Type: application/json\r\n"
                        "Accept-Encoding: identity\r\n"),
        .body = &w->body,
        .body_parts = 1,
        .body_bytes = m->n,
        .has_body = true};
    enter(w, STAGE_CALLING, CALL_NS);
    net_lease_start(&w->lease, w->loop, w->upstream, &w->request, &lease_ops);
}

/* The message that has been due longest, or NULL. */
static struct message *next_due(struct webhook *w)
{
    struct message *first = NULL;
    list_foreach (it, &w->waiting) {
        struct message *m = container_of(it, struct message, node);
        if (m->due_ns <= net_now(w->loop) && (first == NULL || m->due_ns < first->due_ns))
            first = m;
    }
    return first;
}

static void answered(struct webhook *w)
{
    struct message *m = TAKE(w->sending);
    char why[WEBHOOK_WHY_MAX];
    snprintf(why, sizeof why, "HTTP %u", w->status);
    if (w->broken[0] != '\0')
        failed(w, m, w->broken);
    else if (w->status >= 200 && w->status < 300)
        finish(w, m, true, why);
    else
        failed(w, m, why);
    rest(w);
}

static void on_timer(struct timer *t)
{
    struct webhook *w = container_of(t, struct webhook, timer);
    struct message *m = w->stage == STAGE_IDLE ? next_due(w) : NULL;
    if (w->stage == STAGE_ANSWERED) {
        answered(w);
    } else if (w->stage == STAGE_CALLING) {
        net_lease_cancel(&w->lease);
        failed(w, TAKE(w->sending), "no answer within 10 s");
        rest(w);
    } else if (m != NULL && w->upstream != NULL) {
        call(w, m);
    } else {
        rest(w);
    }
}

/* ---- life */

struct webhook *webhook_new(struct net_loop *loop, webhook_done_fn *done, void *ctx)
{
    struct webhook *w = mem_calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->loop = loop;
    w->done = done;
    w->ctx = ctx;
    w->lease.phase = LEASE_DONE;
    list_init(&w->waiting);
    timer_init(&w->timer, on_timer);
    buf_init(&w->target, URL_MAX);
    return w;
}

/* Ends a call that is under way; its message is due again at once. */
static void stop_call(struct webhook *w)
{
    net_lease_cancel(&w->lease);
    net_timer_stop(w->loop, &w->timer);
    w->sending = NULL;
    w->stage = STAGE_IDLE;
}

void webhook_free(struct webhook *w)
{
    if (w == NULL)
        return;
    stop_call(w);
    list_foreach (it, &w->waiting)
        forget(w, container_of(it, struct message, node));
    upstream_unref(w->upstream);
    if (w->target.p != NULL)
        mem_wipe(w->target.p, w->target.n);
    buf_done(&w->target);
    mem_free(w);
}

/* What the URL leads to; NULL: see `error`. */
static struct upstream *make_upstream(const struct config_egress *e, const struct net_url *url,
                                      struct arena *a, struct buf *error)
{
    const struct config_provider like = {.ca_file = SLICE_NONE}; /* nothing of its own */
    struct upstream_config uc = {.host = url->host, .port = url->port};
    const char *wrong = "out of memory or too many upstreams";
    if (!egress_proxy(e, &like, url, a, &uc, &wrong)) {
        buf_printf(error, "alerts.webhook: %s", wrong);
        return NULL;
    }
    if (url->tls && (uc.tls = egress_tls(e, &like, error)) == NULL)
        return NULL;
    struct upstream *u = upstream_new(&uc);
    tls_client_context_unref(uc.tls);
    if (u == NULL)
        buf_printf(error, "alerts.webhook: %s", wrong);
    return u;
}

/* Path and query as they stand: net_url_parse takes final slashes away and refuses queries, which
 * is where tokens often are. */
static void set_target(struct webhook *w, struct slice url, const struct net_url *parts)
{
    size_t at = parts->path.p != NULL ? (size_t)(parts->path.p - url.p) : url.n;
    ptrdiff_t query = slice_find(url, '?');
    buf_reset(&w->target);
    if (parts->path.p == NULL) {
        buf_char(&w->target, '/');
        at = query >= 0 ? (size_t)query : url.n;
    }
    buf_slice(&w->target, slice_from(url, at));
}

bool webhook_set(struct webhook *w, const struct config_egress *e, struct slice url,
                 struct buf *error)
{
    struct net_url parts;
    const char *wrong = "";
    struct arena a;
    struct upstream *u = NULL;
    ptrdiff_t query = slice_find(url, '?');
    struct slice bare = query >= 0 ? slice_of(url.p, (size_t)query) : url;
    if (url.n > 0 && (url.n > URL_MAX / 2 || !net_url_parse(bare, &parts, &wrong))) {
        buf_printf(error, "alerts.webhook: %s", wrong[0] != '\0' ? wrong : "too long");
        return false;
    }
    if (url.n > 0 && parts.userinfo.n > 0) {
        buf_lit(error, "alerts.webhook: a user or password in the URL is not supported");
        return false;
    }
    if (url.n > 0) {
        arena_init(&a, NULL, (size_t)1 << 16);
        u = make_upstream(e, &parts, &a, error);
        arena_reset(&a);
        if (u == NULL)
            return false;
    }
    stop_call(w);
    upstream_unref(w->upstream);
    w->upstream = u;
    if (u == NULL) {
        list_foreach (it, &w->waiting)
            finish(w, container_of(it, struct message, node), false, "there is no receiver");
        return true;
    }
    set_target(w, url, &parts);
    rest(w);
    return !w->target.failed;
}

bool webhook_post(struct webhook *w, int64_t id, struct slice json)
{
    if (w->upstream == NULL || w->waiting_n >= WAITING_MAX)
        return false;
    struct message *m = mem_alloc(sizeof *m + json.n);
    if (m == NULL)
        return false;
    *m = (struct message){.id = id, .queued_ns = net_now(w->loop), .n = json.n};
    m->due_ns = m->queued_ns;
    memcpy(m->json, json.p, json.n);
    list_push_back(&w->waiting, &m->node);
    w->waiting_n++;
    if (w->stage == STAGE_IDLE)
        rest(w);
    return true;
}

/* The runner of the sources of credentials: see credentials.h. */
#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "build_egress.h"
#include "credential_source.h"
#include "observe/log.h"
#include "policy/retry_budget.h"
#include "watch.h"

#define CALL_NS    (10 * NS_PER_S) /* one call, name and handshake included */
#define EARLY_NS   (300 * NS_PER_S)
#define RETRY_NS   (1 * NS_PER_S)
#define RETRY_MAX  (60 * NS_PER_S)
#define ARENA_MAX  ((size_t)1 << 20)
#define FILE_NS    (30 * NS_PER_S) /* a watched file is looked at that often in any case */
#define LOOK_NS    (1 * NS_PER_S)  /* how often refusals and the wall clock are looked at */
#define REFUSED_NS (5 * NS_PER_S)  /* a refused value that is younger is not the reason */
#define STEPS_MAX  4

/* Where an entry is; its timer says when it goes on. */
enum stage {
    STAGE_IDLE,     /* until the next round */
    STAGE_CALLING,  /* until the answer, or its limit */
    STAGE_ANSWERED, /* until the callbacks of the call have returned */
};

struct entry {
    struct list node;
    struct credentials *all;
    struct gw_credential *credential; /* a reference */
    struct source source;
    struct arena keep;         /* the source's text */
    struct secret_box *secret; /* the source's secret */
    struct upstream *upstream; /* NULL: the source makes no calls */
    char *way;                 /* which upstream that is */
    bool running;              /* of the stages below */
    enum stage stage;
    struct timer timer;
    struct watch *watch;
    unsigned failures;                 /* in a row */
    bool again;                        /* the file changed during a round */
    int64_t renewed;                   /* how often */
    int64_t renewed_ns, renew_wall_ns; /* when, and when it is to be done again by the wall clock */
    struct source_round round;
    struct net_lease lease;
    struct net_request request;
    struct buf answer;
    char broken[SOURCE_WHY_MAX]; /* why the call came to nothing; "": it did not */
};

struct credentials {
    struct list entries;
    struct net_loop *loop; /* NULL: not started */
    struct timer look;
    struct json_parser *parser;
};

static void on_timer(struct timer *t);
static void on_look(struct timer *t);

int64_t credentials_renew_after(int64_t life_ns, uint64_t random)
{
    int64_t after = MAX_OF(life_ns - EARLY_NS, life_ns / 5 * 4);
    int64_t jitter = (life_ns - after) / 10;
    return after - (jitter > 0 ? (int64_t)(random % (uint64_t)jitter) : 0);
}

int64_t credentials_retry_after(unsigned failures, uint64_t random)
{
    return retry_pause_ns(failures, RETRY_NS, RETRY_MAX, random);
}

struct credentials *credentials_new(void)
{
    struct credentials *cs = mem_calloc(1, sizeof *cs);
    struct json_parser *parser = json_parser_new();
    if (cs == NULL || parser == NULL) {
        mem_free(cs);
        json_parser_free(parser);
        return NULL;
    }
    list_init(&cs->entries);
    timer_init(&cs->look, on_look);
    cs->parser = parser;
    return cs;
}

/* ---- rounds */

/* Forgets everything that a round has gathered. */
static void clear_round(struct entry *e)
{
    arena_wipe(&e->round.arena);
    arena_reset(&e->round.arena);
    if (e->answer.p != NULL)
        mem_wipe(e->answer.p, e->answer.size);
    buf_done(&e->answer);
    mem_wipe(&e->round, sizeof e->round);
    arena_init(&e->round.arena, NULL, ARENA_MAX);
    e->broken[0] = '\0';
}

/* The one place where the stage changes. */
static void enter(struct entry *e, enum stage stage, int64_t after_ns)
{
    struct net_loop *loop = e->all->loop;
    e->stage = stage;
    if (!net_timer_set(loop, &e->timer, net_now(loop) + after_ns))
        log_event(LOG_ERROR, "credential.stuck", SLICE_FMT ": out of memory",
                  SLICE_ARG(e->source.label));
}

static void wait_for_round(struct entry *e, int64_t after_ns)
{
    clear_round(e);
    if (e->running)
        enter(e, STAGE_IDLE, e->again ? 0 : after_ns);
    e->again = false;
}

static void round_failed(struct entry *e, const char *why)
{
    int64_t after = credentials_retry_after(++e->failures, random_u64());
    gw_credential_set_failed(e->credential, why);
    if (e->running)
        log_event(LOG_WARN, "credential.failed", SLICE_FMT ": %s; next try in %lld ms",
                  SLICE_ARG(e->source.label), why, (long long)(after / NS_PER_MS));
    wait_for_round(e, after);
}

/* Keys of a file are looked at again now and then; what never changes is not. */
static int64_t next_round_after(const struct entry *e)
{
    if (e->round.life_ns != CREDENTIAL_FOREVER)
        return credentials_renew_after(e->round.life_ns, random_u64());
    return e->source.watch.n > 0 ? FILE_NS : INT64_MAX / 4;
}

static void round_done(struct entry *e)
{
    const struct source_round *r = &e->round;
    bool forever = r->life_ns == CREDENTIAL_FOREVER;
    int64_t expires = forever ? CREDENTIAL_FOREVER : clock_mono_ns() + r->life_ns;
    bool ok = e->source.ops->kind == CREDENTIAL_TOKEN
                  ? gw_credential_set_token(e->credential, r->token, expires)
                  : gw_credential_set_aws(e->credential, &r->keys, expires);
    if (!ok) {
        round_failed(e, "what came has characters that no header can carry");
        return;
    }
    if (e->running && (e->failures > 0 || e->renewed == 0) && !forever)
        log_event(LOG_INFO, "credential.fresh", SLICE_FMT ": good for %lld s",
                  SLICE_ARG(e->source.label), (long long)(r->life_ns / NS_PER_S));
    int64_t after = next_round_after(e);
    e->failures = 0;
    e->renewed++;
    e->renewed_ns = clock_mono_ns();
    e->renew_wall_ns = forever ? INT64_MAX : clock_wall_ns() + after;
    wait_for_round(e, after);
}

/* ---- calls */

static void call_over(struct entry *e, const char *broken, const char *detail)
{
    snprintf(e->broken, sizeof e->broken, "%s%s%s", broken, detail[0] != '\0' ? ": " : "", detail);
    enter(e, STAGE_ANSWERED, 0); /* the lease is still on the stack */
}

static void on_head(struct net_lease *l, const struct http_head *head)
{
    container_of(l, struct entry, lease)->round.status = head->status;
}

static void on_body(struct net_lease *l, struct slice data, bool last)
{
    struct entry *e = container_of(l, struct entry, lease);
    (void)last;
    buf_slice(&e->answer, data);
    if (!e->answer.failed)
        return;
    net_lease_cancel(l);
    call_over(e, "the answer is larger than 64 KiB", "");
}

static void on_idle(struct net_lease *l)
{
    (void)l; /* no body is streamed, and nothing is to be done between two pieces of the answer */
}

static bool on_end(struct net_lease *l)
{
    call_over(container_of(l, struct entry, lease), "", "");
    return true;
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    struct entry *e = container_of(l, struct entry, lease);
    const char *what = why == NET_FAIL_DNS       ? "the name cannot be resolved"
                       : why == NET_FAIL_CONNECT ? "no connection"
                       : why == NET_FAIL_RESET   ? "the connection was closed without an answer"
                                                 : net_fail_text(why);
    call_over(e, what, detail);
}

static const struct net_lease_ops lease_ops = {.on_head = on_head,
                                               .on_body = on_body,
                                               .on_writable = on_idle,
                                               .on_flush = on_idle,
                                               .on_end = on_end,
                                               .on_fail = on_fail};

static void call(struct entry *e)
{
    struct source_round *r = &e->round;
    struct buf fields;
    buf_init(&fields, (size_t)128 << 10);
    buf_lit(&fields, "User-Agent: weir\r\nAccept-Encoding: identity\r\n");
    buf_slice(&fields, r->fields);
    r->fields = fields.failed ? SLICE_NONE : arena_copy(&r->arena, buf_view(&fields));
    if (fields.p != NULL)
        mem_wipe(fields.p, fields.n);
    buf_done(&fields);
    buf_reset(&e->answer);
    /* all of it at once: growing would leave copies of a token behind */
    if (r->fields.p == NULL || r->target.p == NULL || !buf_reserve(&e->answer, SOURCE_ANSWER_MAX)) {
        round_failed(e, "out of memory");
        return;
    }
    r->status = 0;
    e->broken[0] = '\0';
    e->request = (struct net_request){.method = r->method,
                                      .target = r->target,
                                      .fields = r->fields,
                                      .body = &r->body,
                                      .body_parts = r->has_body && r->body.n > 0,
                                      .body_bytes = r->has_body ? r->body.n : 0,
                                      .has_body = r->has_body};
    enter(e, STAGE_CALLING, CALL_NS);
    net_lease_start(&e->lease, e->all->loop, e->upstream, &e->request, &lease_ops);
}

/* On with the round: to its next call, or to its end. */
static void advance(struct entry *e)
{
    struct source_round *r = &e->round;
    r->parser = e->all->parser;
    r->wall_ns = clock_wall_ns();
    enum source_result result = e->source.ops->next(&e->source, r);
    switch (result) {
    case SOURCE_CALL:
        ASSERT(e->upstream != NULL && r->step < STEPS_MAX);
        call(e);
        break;
    case SOURCE_DONE: round_done(e); break;
    case SOURCE_FAILED: round_failed(e, r->why); break;
    }
}

static void answered(struct entry *e)
{
    if (e->broken[0] != '\0') {
        char why[SOURCE_WHY_MAX];
        memcpy(why, e->broken, sizeof why); /* which goes with the round */
        round_failed(e, why);
        return;
    }
    e->round.answer = buf_view(&e->answer);
    e->round.step++;
    advance(e);
}

static void on_timer(struct timer *t)
{
    struct entry *e = container_of(t, struct entry, timer);
    switch (e->stage) {
    case STAGE_IDLE: advance(e); break;
    case STAGE_ANSWERED: answered(e); break;
    case STAGE_CALLING:
        net_lease_cancel(&e->lease);
        round_failed(e, "no answer within 10 s");
        break;
    }
}

/* A new round as soon as can be. */
static void hurry(struct entry *e)
{
    if (e->stage == STAGE_IDLE)
        enter(e, STAGE_IDLE, 0);
    else
        e->again = true;
}

static void on_file_changed(void *ctx)
{
    hurry(ctx);
}

/* Time that the machine has slept through is missing from the loop's clock, and a provider may
 * refuse a value before its time. After a failure, the pause before the next try stands. */
static void look_at(struct entry *e, int64_t now, int64_t wall)
{
    bool refused = gw_credential_take_refused(e->credential) && now - e->renewed_ns > REFUSED_NS;
    bool fetched = e->upstream != NULL || e->source.watch.n > 0;
    bool idle = e->running && e->stage == STAGE_IDLE && e->failures == 0 && e->renewed > 0;
    if (fetched && idle && (refused || wall >= e->renew_wall_ns))
        hurry(e);
}

static void on_look(struct timer *t)
{
    struct credentials *cs = container_of(t, struct credentials, look);
    int64_t now = clock_mono_ns(), wall = clock_wall_ns();
    list_foreach (it, &cs->entries)
        look_at(container_of(it, struct entry, node), now, wall);
    if (!net_timer_set(cs->loop, t, net_now(cs->loop) + LOOK_NS))
        log_event(LOG_ERROR, "credential.stuck", "out of memory");
}

/* ---- entries */

static void entry_stop(struct entry *e)
{
    if (!e->running)
        return;
    e->running = false;
    net_lease_cancel(&e->lease);
    net_timer_stop(e->all->loop, &e->timer);
    watch_free(TAKE(e->watch));
    clear_round(e);
}

static void entry_start(struct entry *e)
{
    if (e->running || e->all->loop == NULL)
        return;
    e->running = true;
    if (e->source.watch.n > 0)
        e->watch = watch_new(e->all->loop, e->source.watch.p, on_file_changed, e);
    bool idle = e->upstream == NULL && e->source.watch.n == 0; /* its value is there for good */
    if (!idle)
        enter(e, STAGE_IDLE, e->renewed > 0 ? FILE_NS : 0);
}

static void entry_free(struct entry *e)
{
    if (e == NULL)
        return;
    entry_stop(e);
    list_remove(&e->node);
    clear_round(e);
    arena_reset(&e->round.arena);
    gw_credential_unref(e->credential);
    upstream_unref(e->upstream);
    secret_box_free(e->secret);
    arena_reset(&e->keep);
    mem_free(e->way);
    mem_free(e);
}

void credentials_free(struct credentials *cs)
{
    if (cs == NULL)
        return;
    list_foreach (it, &cs->entries)
        entry_free(container_of(it, struct entry, node));
    json_parser_free(cs->parser);
    mem_free(cs);
}

static const char *from_env(const char *name)
{
    return getenv(name);
}

/* Makes the upstream of the source's calls, unless `e` has the very same already. Trust and proxy
 * are the provider's; its client certificate is for itself alone. */
static bool set_upstream(struct entry *e, const struct config *c, const struct config_provider *p,
                         struct source *s, struct arena *scratch, struct buf *why)
{
    struct config_provider like = {.ca_file = p->ca_file, .proxy = p->proxy};
    struct upstream_config uc = {0};
    struct net_url url;
    const char *wrong = "";
    bool ok = net_url_parse(s->url, &url, &wrong);
    if (ok && !s->direct)
        ok = egress_proxy(&c->egress, &like, &url, scratch, &uc, &wrong);
    if (!ok) {
        buf_printf(why, SLICE_FMT ": %s", SLICE_ARG(s->url), wrong);
        return false;
    }
    s->path = url.path;
    uc.host = url.host;
    uc.port = url.port;
    struct slice way = egress_key(&c->egress, &like, &url, &uc, scratch);
    if (way.p != NULL && e->way != NULL && slice_is(way, e->way))
        return true;
    if (url.tls && (uc.tls = egress_tls(&c->egress, &like, why)) == NULL)
        return false;
    struct upstream *u = way.p != NULL ? upstream_new(&uc) : NULL;
    char *copy = way.p != NULL ? mem_strndup(way.p, way.n) : NULL;
    tls_client_context_unref(uc.tls);
    if (u == NULL || copy == NULL) {
        upstream_unref(u);
        mem_free(copy);
        buf_lit(why, "out of memory or too many upstreams");
        return false;
    }
    bool calling = e->running && e->stage == STAGE_CALLING;
    if (calling)
        net_lease_cancel(&e->lease);
    upstream_unref(e->upstream);
    mem_free(e->way);
    e->upstream = u;
    e->way = copy;
    if (calling)
        call_over(e, "the way to the server has changed", "");
    return true;
}

static struct entry *find(struct credentials *cs, const struct source *s)
{
    list_foreach (it, &cs->entries) {
        struct entry *e = container_of(it, struct entry, node);
        if (e->source.ops == s->ops && slice_eq(e->source.identity, s->identity))
            return e;
    }
    return NULL;
}

/* Moves the source into `e`, its secret into locked memory. */
static bool adopt(struct entry *e, const struct source *s)
{
    e->source = *s;
    if (s->secret.n > 0) {
        e->secret = secret_box_new(s->secret.n);
        e->source.secret = e->secret != NULL ? secret_copy(e->secret, s->secret) : SLICE_NONE;
        if (e->source.secret.p == NULL)
            return false;
    }
    e->credential = gw_credential_get(s->identity, s->ops->kind);
    return e->credential != NULL;
}

static struct entry *entry_new(struct credentials *cs)
{
    struct entry *e = mem_calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->all = cs;
    e->lease.phase = LEASE_DONE;
    list_init(&e->node);
    timer_init(&e->timer, on_timer);
    arena_init(&e->keep, NULL, ARENA_MAX);
    arena_init(&e->round.arena, NULL, ARENA_MAX);
    buf_init(&e->answer, SOURCE_ANSWER_MAX);
    return e;
}

/* The entry of what `b` describes: one that is there already, or `fresh` with it. */
static struct entry *place(struct credentials *cs, const struct config *c, struct source_build *b,
                           struct source *s, struct entry *fresh, struct buf *why)
{
    struct entry *e = find(cs, s);
    bool known = e != NULL;
    e = known ? e : fresh;
    if (s->url.n > 0 && !set_upstream(e, c, b->provider, s, b->scratch, why))
        return NULL;
    if (known)
        return e;
    if (!adopt(e, s)) {
        buf_lit(why, "out of memory");
        return NULL;
    }
    if (s->url.n == 0) {
        advance(e);
        char text[CREDENTIAL_TEXT_MAX];
        if (gw_credential_explain(e->credential, clock_mono_ns(), text) != CREDENTIAL_FRESH) {
            buf_append(why, text, strlen(text));
            return NULL;
        }
    }
    list_push_back(&cs->entries, &e->node);
    return e;
}

bool credentials_get(struct credentials *cs, const struct config *c,
                     const struct config_provider *p, struct gw_credential **ret, struct buf *why)
{
    struct arena scratch;
    struct source s;
    bool none = false;
    struct entry *fresh = entry_new(cs), *e = NULL;
    *ret = NULL;
    if (fresh == NULL) {
        buf_lit(why, "out of memory");
        return false;
    }
    arena_init(&scratch, NULL, ARENA_MAX);
    struct source_build b = {
        .provider = p, .keep = &fresh->keep, .scratch = &scratch, .env = from_env};
    bool ok = source_make(&b, &s, &none);
    if (!ok)
        buf_append(why, b.why, strlen(b.why));
    if (ok && !none)
        e = place(cs, c, &b, &s, fresh, why);
    if (e != NULL)
        *ret = gw_credential_ref(e->credential);
    if (e != fresh)
        entry_free(fresh);
    arena_wipe(&scratch);
    arena_reset(&scratch);
    return ok && (none || e != NULL);
}

void credentials_settle(struct credentials *cs, const struct gw_snapshot *s)
{
    list_foreach (it, &cs->entries) {
        struct entry *e = container_of(it, struct entry, node);
        bool used = false;
        for (size_t i = 0; i < s->providers_n; i++)
            used = used || s->provider_list[i].credential == e->credential;
        if (used)
            entry_start(e);
        else
            entry_free(e);
    }
}

void credentials_start(struct credentials *cs, struct net_loop *loop)
{
    cs->loop = loop;
    if (!net_timer_set(loop, &cs->look, net_now(loop) + LOOK_NS))
        log_event(LOG_ERROR, "credential.stuck", "out of memory");
}

void credentials_stop(struct credentials *cs)
{
    if (cs->loop == NULL)
        return;
    net_timer_stop(cs->loop, &cs->look);
    list_foreach (it, &cs->entries)
        entry_stop(container_of(it, struct entry, node));
    cs->loop = NULL;
}

void credentials_dump(struct credentials *cs, struct json_writer *w)
{
    static const char *const states[] = {[CREDENTIAL_NONE] = "none",
                                         [CREDENTIAL_FRESH] = "fresh",
                                         [CREDENTIAL_EXPIRED] = "expired",
                                         [CREDENTIAL_FAILED] = "failed"};
    int64_t now = clock_mono_ns();
    jw_open(w, '[');
    list_foreach (it, &cs->entries) {
        struct entry *e = container_of(it, struct entry, node);
        char text[CREDENTIAL_TEXT_MAX];
        enum gw_credential_state state = gw_credential_explain(e->credential, now, text);
        int64_t expires = gw_credential_expires(e->credential);
        jw_open(w, '{');
        jw_field_string(w, "credential", e->source.label);
        jw_field_string(w, "state", slice_str(states[state]));
        jw_field_string(w, "text", slice_str(text));
        jw_field_i64(w, "renewed", e->renewed);
        jw_field_i64(w, "failures", e->failures);
        if (expires > 0 && expires != CREDENTIAL_FOREVER)
            jw_field_i64(w, "expires_in_s", (expires - now) / NS_PER_S);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

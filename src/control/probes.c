/* Active probes: see probes.h. */
#include "probes.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "gateway/probe_call.h"
#include "llm/smallest.h"
#include "observe/log.h"
#include "observe/metrics.h"

#define PATIENCE_NS (10 * NS_PER_S) /* of one probe, from its start to the answer's end */
#define LOOK_NS     NS_PER_S        /* between looks at the targets */
#define TARGET_MAX  ((size_t)8192)
#define ANSWER_MAX  ((size_t)1 << 18) /* of a completion */

enum stage {
    STAGE_IDLE,
    STAGE_CALLING,
    STAGE_ANSWERED, /* until the next tick: the lease is still on the stack */
};

/* Of one provider, by its name, or of one target that is asked for completions, by its label: as
 * long as the process. */
struct probe {
    struct probe *next;
    char *name;
    enum stage stage;
    bool wanted, completes;
    int64_t due_ns, until_ns; /* of the next or present one (0: none is); the end of its time */
    int64_t ended_ns;
    struct gw_snapshot *snapshot; /* a reference, while one is under way */
    struct buf target;
    struct net_lease lease;
    struct net_request request;
    unsigned status; /* 0: there was no whole answer */
    bool lacked;     /* it could not be asked, for want of something of our own */
    /* of completions */
    const struct gw_target *asked; /* in the snapshot */
    struct gw_probe_call call;
    struct buf answer;
};

struct probes {
    struct net_loop *loop;
    struct probe *list;
    struct json_parser *json;
    int64_t looked_ns, completions, tokens;
};

struct probes *probes_new(struct net_loop *loop)
{
    struct probes *p = mem_calloc(1, sizeof *p);
    struct json_parser *json = json_parser_new();
    if (p == NULL || json == NULL) {
        json_parser_free(json);
        mem_free(p);
        return NULL;
    }
    p->loop = loop;
    p->json = json;
    return p;
}

int probe_verdict(unsigned status)
{
    if (status == 429)
        return 0;
    return status >= 200 && status < 500 ? 1 : -1;
}

int64_t probe_after(int64_t interval_ns, uint64_t random)
{
    int64_t fifth = interval_ns / 5;
    return interval_ns - fifth + (int64_t)(random % (uint64_t)(2 * fifth + 1));
}

/* ---- one call */

static void on_head(struct net_lease *l, const struct http_head *head)
{
    container_of(l, struct probe, lease)->status = head->status;
}

static void on_body(struct net_lease *l, struct slice data, bool last)
{
    struct probe *b = container_of(l, struct probe, lease);
    (void)last;
    if (b->completes) /* else the status says it all */
        buf_slice(&b->answer, data);
}

static void on_idle(struct net_lease *l)
{
    (void)l;
}

static void end(struct probe *b)
{
    b->ended_ns = net_now(b->lease.loop);
    b->stage = STAGE_ANSWERED;
}

static bool on_end(struct net_lease *l)
{
    end(container_of(l, struct probe, lease));
    return false; /* the next one wants to know whether a connection can be made */
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    struct probe *b = container_of(l, struct probe, lease);
    (void)detail;
    b->status = 0;
    b->lacked = why == NET_FAIL_EXHAUSTED || why == NET_FAIL_MEMORY;
    end(b);
}

static const struct net_lease_ops lease_ops = {.on_head = on_head,
                                               .on_body = on_body,
                                               .on_writable = on_idle,
                                               .on_flush = on_idle,
                                               .on_end = on_end,
                                               .on_fail = on_fail};

static bool has_free_call(const struct gw_provider *p)
{
    return !p->engine && p->credential == NULL && p->row->models_path != NULL;
}

static bool may_be_asked(const struct gw_provider *p, bool completes)
{
    if (p->probe_by_completion != completes)
        return false;
    return completes ? llm_smallest_wire(p->row) != NULL : has_free_call(p);
}

static bool make_request(struct probe *b, const struct gw_provider *p)
{
    buf_reset(&b->target);
    buf_printf(&b->target, "%.*s%s", SLICE_ARG(p->base_path), p->row->models_path);
    bool anthropic = p->row->wire == &anthropic_wire;
    b->request = (struct net_request){
        .method = HTTP_GET,
        .target = buf_view(&b->target),
        .fields = p->keys_n > 0 ? p->keys[0].fields : p->fields,
        .more_fields = anthropic ? SLICE("anthropic-version: 2023-06-01\r\n") : SLICE_NONE};
    return !b->target.failed;
}

/* The provider's own request, or that of one target. What cannot be made now is not asked. */
static bool prepare(struct probes *all, struct probe *b, const struct gw_provider *p,
                    const struct gw_target *t, int64_t now_ns)
{
    if (t == NULL)
        return make_request(b, p);
    b->asked = t;
    buf_reset(&b->answer);
    if (!gw_probe_call_make(&b->call, t, all->json, now_ns)) {
        gw_probe_call_done(&b->call);
        return false;
    }
    b->request = b->call.request;
    all->completions++;
    return true;
}

/* `t`: of completions, else NULL. */
static void begin(struct probes *all, struct probe *b, struct gw_snapshot *s,
                  const struct gw_provider *p, const struct gw_target *t, int64_t now_ns)
{
    b->due_ns = now_ns;
    if (!prepare(all, b, p, t, now_ns)) {
        b->due_ns += probe_after(s->probe_ns, random_u64());
        return;
    }
    b->snapshot = gw_snapshot_ref(s); /* its box holds the fields */
    b->status = 0;
    b->lacked = false;
    b->stage = STAGE_CALLING;
    b->until_ns = now_ns + PATIENCE_NS;
    net_lease_start(&b->lease, all->loop, p->upstream, &b->request, &lease_ops);
}

struct told {
    struct slice provider;
    bool good;
    int64_t now_ns;
};

static void tell(void *ctx, struct slice label, struct target_live *t)
{
    const struct told *o = ctx;
    bool its = slice_starts(label, o->provider) && label.n > o->provider.n &&
               label.p[o->provider.n] == '/';
    if (its)
        target_live_probe(t, o->good, o->now_ns);
}

/* What it cost goes to the log and the metrics, for nobody's request was it. */
static void log_completion(struct probes *all, const struct probe *b, const char *what,
                           const struct llm_usage *u)
{
    const struct gw_target *t = b->asked;
    struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "`%.*s`: %s", SLICE_ARG(t->label), what);
    if (b->status != 0)
        buf_printf(&text, ", HTTP %u", b->status);
    buf_printf(&text, ", %lld ms",
               (long long)((b->ended_ns - b->until_ns + PATIENCE_NS) / NS_PER_MS));
    if (u->input >= 0 || u->output >= 0) {
        int64_t in = MAX_OF(u->input, INT64_C(0)), out = MAX_OF(u->output, INT64_C(0));
        buf_printf(&text, ", %lld tokens in, %lld out", (long long)in, (long long)out);
        all->tokens += in + out;
    }
    if (u->input >= 0 && u->output >= 0 && t->price != NULL) {
        buf_lit(&text, ", $");
        buf_money(&text, price_cost(t->price, u, clock_wall_ns() / NS_PER_S));
    }
    log_event(LOG_INFO, "health.probe", SLICE_FMT, SLICE_ARG(buf_view(&text)));
    buf_done(&text);
}

/* A good completion is as good as a client's answer, and ends an ejection like that. What was too
 * slow has to be quick for clients. */
static void tell_target(struct target_live *live, bool completed, bool good, int64_t now_ns)
{
    struct target_view v;
    target_live_look(live, now_ns, &v);
    target_live_probe(live, good, now_ns);
    if (completed && v.reason != HEALTH_SLOW_FIRST && v.reason != HEALTH_SLOW_GAP)
        target_live_served(live, now_ns);
}

static void settle_completion(struct probes *all, struct probe *b, int64_t now_ns)
{
    struct llm_usage usage = LLM_USAGE_NONE;
    struct target_live *live = b->asked->live;
    int verdict = b->lacked ? 0 : probe_verdict(b->status);
    bool answered = b->status >= 200 && b->status < 300;
    bool completed =
        answered && !b->answer.failed &&
        gw_probe_call_read(&b->call, b->asked, all->json, buf_view(&b->answer), &usage);
    if (answered && !completed)
        verdict = -1;
    if (verdict != 0 && live != NULL)
        tell_target(live, completed, verdict > 0, now_ns);
    log_completion(all, b,
                   completed     ? "answers"
                   : verdict > 0 ? "is there"
                   : verdict < 0 ? "fails"
                                 : "no news",
                   &usage);
    gw_probe_call_done(&b->call);
}

/* Takes what came of a call that is over. */
static void settle(struct probes *all, struct probe *b, int64_t now_ns)
{
    int verdict = b->lacked ? 0 : probe_verdict(b->status);
    struct told o = {.provider = slice_str(b->name), .good = verdict > 0, .now_ns = now_ns};
    if (b->completes)
        settle_completion(all, b, now_ns);
    else if (verdict != 0)
        target_live_each(tell, &o);
    if (b->snapshot->probe_ns > 0)
        b->due_ns += probe_after(b->snapshot->probe_ns, random_u64());
    gw_snapshot_unref(TAKE(b->snapshot));
    b->stage = STAGE_IDLE;
}

/* ---- all of them */

static struct probe *find(struct probes *p, struct slice name, bool completes)
{
    struct probe *b = p->list;
    while (b != NULL && (b->completes != completes || !slice_is(name, b->name)))
        b = b->next;
    if (b != NULL)
        return b;
    b = mem_calloc(1, sizeof *b);
    char *copy = mem_strndup(name.p, name.n);
    if (b == NULL || copy == NULL) {
        mem_free(b);
        mem_free(copy);
        return NULL;
    }
    b->name = copy;
    b->completes = completes;
    b->lease.phase = LEASE_DONE;
    buf_init(&b->target, TARGET_MAX);
    buf_init(&b->answer, ANSWER_MAX);
    b->next = p->list;
    p->list = b;
    return b;
}

/* Who is to be asked: providers with a target that is not well, and, before that shows, own ones.
 * Hosted ones that answer have their requests for it. Completions are of targets, one by one. */
static void look_at(struct probes *p, const struct gw_target *t, int64_t now_ns)
{
    bool completes = t->provider->probe_by_completion;
    struct target_view v;
    if (t->live == NULL || !may_be_asked(t->provider, completes))
        return;
    target_live_look(t->live, now_ns, &v);
    bool sick = v.state == HEALTH_EJECTED || v.state == HEALTH_HALF_OPEN;
    struct probe *b = sick || t->provider->self_hosted
                          ? find(p, completes ? t->label : t->provider->name, completes)
                          : NULL;
    if (b != NULL)
        b->wanted = true;
}

static void look(struct probes *p, const struct gw_snapshot *s, int64_t now_ns)
{
    for (struct probe *b = p->list; b != NULL; b = b->next)
        b->wanted = false;
    for (size_t m = 0; m < s->models_n && s->probe_ns > 0; m++) {
        for (size_t i = 0; i < s->model_list[m].targets_n; i++)
            look_at(p, &s->model_list[m].targets[i], now_ns);
    }
}

static const struct gw_target *find_target(const struct gw_snapshot *s, const char *label)
{
    for (size_t m = 0; m < s->models_n; m++) {
        for (size_t i = 0; i < s->model_list[m].targets_n; i++) {
            if (slice_is(s->model_list[m].targets[i].label, label))
                return &s->model_list[m].targets[i];
        }
    }
    return NULL;
}

/* It is idle, and its time may have come. */
static void begin_due(struct probes *p, struct probe *b, struct gw_snapshot *s, int64_t now_ns)
{
    const struct gw_target *t = b->completes ? find_target(s, b->name) : NULL;
    const struct gw_provider *provider =
        t != NULL ? t->provider : strmap_get(&s->providers, slice_str(b->name));
    if (!b->wanted || provider == NULL || !may_be_asked(provider, b->completes))
        b->due_ns = 0;
    else if (b->due_ns == 0)
        b->due_ns = now_ns + probe_after(s->probe_ns, random_u64());
    else if (b->due_ns <= now_ns)
        begin(p, b, s, provider, t, now_ns);
}

static void step(struct probes *p, struct probe *b, struct gw_snapshot *s, int64_t now_ns)
{
    if (b->stage == STAGE_CALLING && now_ns >= b->until_ns) {
        net_lease_cancel(&b->lease);
        b->status = 0;
        b->ended_ns = now_ns;
        b->stage = STAGE_ANSWERED;
    }
    if (b->stage == STAGE_ANSWERED)
        settle(p, b, now_ns);
    if (b->stage == STAGE_IDLE)
        begin_due(p, b, s, now_ns);
}

void probes_tick(struct probes *p, struct gw_snapshot *s, int64_t now_ns)
{
    if (now_ns - p->looked_ns >= LOOK_NS) {
        p->looked_ns = now_ns;
        look(p, s, now_ns);
    }
    for (struct probe *b = p->list; b != NULL; b = b->next)
        step(p, b, s, now_ns);
}

void probes_free(struct probes *p)
{
    while (p != NULL && p->list != NULL) {
        struct probe *b = p->list;
        p->list = b->next;
        net_lease_cancel(&b->lease);
        if (b->snapshot != NULL)
            gw_snapshot_unref(b->snapshot);
        if (b->stage != STAGE_IDLE && b->completes)
            gw_probe_call_done(&b->call);
        buf_done(&b->target);
        buf_done(&b->answer);
        mem_free(b->name);
        mem_free(b);
    }
    if (p != NULL)
        json_parser_free(p->json);
    mem_free(p);
}

void probes_metrics(struct buf *out, const struct probes *p)
{
    if (p == NULL)
        return;
    metric_put(out, MS_PROBE_COMPLETIONS, (double)p->completions);
    metric_put(out, MS_PROBE_TOKENS, (double)p->tokens);
}

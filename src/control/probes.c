/* Active probes: see probes.h. */
#include "probes.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "llm/wire.h"
#include "net/upstream.h"

#define PATIENCE_NS (10 * NS_PER_S) /* of one probe, from its start to the answer's end */
#define LOOK_NS     NS_PER_S        /* between looks at the targets */
#define TARGET_MAX  ((size_t)8192)

enum stage {
    STAGE_IDLE,
    STAGE_CALLING,
    STAGE_ANSWERED, /* until the next tick: the lease is still on the stack */
};

/* Of one provider, by its name: as long as the process. */
struct probe {
    struct probe *next;
    char *name;
    enum stage stage;
    bool wanted;
    int64_t due_ns, until_ns;     /* of the next or present one (0: none is); the end of its time */
    struct gw_snapshot *snapshot; /* a reference, while one is under way */
    struct buf target;
    struct net_lease lease;
    struct net_request request;
    unsigned status; /* 0: there was no whole answer */
};

struct probes {
    struct net_loop *loop;
    struct probe *list;
    int64_t looked_ns;
};

struct probes *probes_new(struct net_loop *loop)
{
    struct probes *p = mem_calloc(1, sizeof *p);
    if (p != NULL)
        p->loop = loop;
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
    (void)l, (void)data, (void)last; /* the status says it all */
}

static void on_idle(struct net_lease *l)
{
    (void)l;
}

static bool on_end(struct net_lease *l)
{
    container_of(l, struct probe, lease)->stage = STAGE_ANSWERED;
    return false; /* the next one wants to know whether a connection can be made */
}

static void on_fail(struct net_lease *l, enum net_fail why, const char *detail)
{
    struct probe *b = container_of(l, struct probe, lease);
    (void)why, (void)detail;
    b->status = 0;
    b->stage = STAGE_ANSWERED;
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

static void begin(struct probes *all, struct probe *b, struct gw_snapshot *s,
                  const struct gw_provider *p, int64_t now_ns)
{
    buf_reset(&b->target);
    buf_printf(&b->target, "%.*s%s", SLICE_ARG(p->base_path), p->row->models_path);
    if (b->target.failed)
        return;
    bool anthropic = p->row->wire == &anthropic_wire;
    b->snapshot = gw_snapshot_ref(s); /* its box holds the fields */
    b->request = (struct net_request){
        .method = HTTP_GET,
        .target = buf_view(&b->target),
        .fields = p->keys_n > 0 ? p->keys[0].fields : p->fields,
        .more_fields = anthropic ? SLICE("anthropic-version: 2023-06-01\r\n") : SLICE_NONE};
    b->status = 0;
    b->stage = STAGE_CALLING;
    b->due_ns = now_ns;
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

/* Takes what came of a call that is over. */
static void settle(struct probe *b, int64_t now_ns)
{
    int verdict = probe_verdict(b->status);
    struct told o = {.provider = slice_str(b->name), .good = verdict > 0, .now_ns = now_ns};
    if (verdict != 0)
        target_live_each(tell, &o);
    if (b->snapshot->probe_ns > 0)
        b->due_ns += probe_after(b->snapshot->probe_ns, random_u64());
    gw_snapshot_unref(TAKE(b->snapshot));
    b->stage = STAGE_IDLE;
}

/* ---- all of them */

static struct probe *find(struct probes *p, struct slice name)
{
    struct probe *b = p->list;
    while (b != NULL && !slice_is(name, b->name))
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
    b->lease.phase = LEASE_DONE;
    buf_init(&b->target, TARGET_MAX);
    b->next = p->list;
    p->list = b;
    return b;
}

/* Who is to be asked: providers with a target that is not well, and, before that shows, own ones.
 * Hosted ones that answer have their requests for it. */
static void look(struct probes *p, const struct gw_snapshot *s, int64_t now_ns)
{
    for (struct probe *b = p->list; b != NULL; b = b->next)
        b->wanted = false;
    for (size_t m = 0; m < s->models_n && s->probe_ns > 0; m++) {
        const struct gw_model *model = &s->model_list[m];
        for (size_t i = 0; i < model->targets_n; i++) {
            const struct gw_target *t = &model->targets[i];
            struct target_view v;
            if (t->live == NULL || !has_free_call(t->provider))
                continue;
            target_live_look(t->live, now_ns, &v);
            bool sick = v.state == HEALTH_EJECTED || v.state == HEALTH_HALF_OPEN;
            struct probe *b = sick || t->provider->self_hosted ? find(p, t->provider->name) : NULL;
            if (b != NULL)
                b->wanted = true;
        }
    }
}

static void step(struct probes *p, struct probe *b, struct gw_snapshot *s, int64_t now_ns)
{
    const struct gw_provider *provider = strmap_get(&s->providers, slice_str(b->name));
    if (b->stage == STAGE_CALLING && now_ns >= b->until_ns) {
        net_lease_cancel(&b->lease);
        b->status = 0;
        b->stage = STAGE_ANSWERED;
    }
    if (b->stage == STAGE_ANSWERED)
        settle(b, now_ns);
    if (b->stage != STAGE_IDLE)
        return;
    if (!b->wanted || provider == NULL || !has_free_call(provider))
        b->due_ns = 0;
    else if (b->due_ns == 0)
        b->due_ns = now_ns + probe_after(s->probe_ns, random_u64());
    else if (b->due_ns <= now_ns)
        begin(p, b, s, provider, now_ns);
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
        buf_done(&b->target);
        mem_free(b->name);
        mem_free(b);
    }
    mem_free(p);
}

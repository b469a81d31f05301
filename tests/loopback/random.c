/* Seeded random interleavings of everything that can happen to a gateway: clients come, send their
 * bodies in any pieces, are slow, leave; upstreams answer well and badly, in any pieces; clocks,
 * reloads, gates, children, jobs; with second attempts, rescue, retries, health, keys of all
 * classes and texts of last resort as the seed has it. After each step the counts have to agree,
 * and at the end nothing is left. WEIR_SEEDS says how many seeds are played, WEIR_SEED plays only
 * that one. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "world.h"

#define SEEDS        500
#define STEPS        160
#define CLIENTS_MAX  10
#define CHILDREN_MAX 6

struct visitor {
    struct net_stream *s;
    struct text body; /* what it has still to send, from `sent` on */
    size_t sent;
    bool last_sent, raw; /* `raw`: passed through, whatever it says */
};

/* What an upstream is going to answer to one call. */
struct script {
    unsigned number; /* of the call */
    struct text body;
    size_t at;
    unsigned ending; /* 0: fails, else ends */
};

struct play {
    uint64_t random;
    struct world *w;
    struct visitor visitors[CLIENTS_MAX];
    struct child children[CHILDREN_MAX];
    bool child_used[CHILDREN_MAX];
    unsigned done_calls, done_due;
    struct script script[64];
    unsigned step;
};

static struct play *playing; /* for callbacks without a context */

static uint64_t chance(struct play *p, uint64_t below)
{
    return hash_mix(p->random += HASH_STEP) % below;
}

/* What the seed's gateway does beside the usual; a bit each. */
enum {
    DOES_HEDGE = 1,
    DOES_RESCUE = 2,
    DOES_RETRY = 4,
    DOES_WATCH = 8,
    DOES_LAST = 16,
    HAS_CLASSES = 32,
    HAS_KEYS = 64,
    DOES_ALL = 127
};
static unsigned manner;
static bool hurried; /* its limits are short */

#define PICK(p, list) ((list)[chance((p), ARRAY_LEN(list))])

/* --- clients */

static void plan_body(struct play *p, struct visitor *v, const char *path, const char *model,
                      unsigned how)
{
    static char spaces[1 << 20];
    bool messages = strcmp(path, "/v1/messages") == 0;
    struct slice body = messages ? messages_body(model, how & ASK_STREAM) : chat_body(model, how);
    memset(spaces, ' ', sizeof spaces);
    if (chance(p, 40) == 0)
        text_add(&v->body, slice_of(spaces, sizeof spaces)); /* to the thread pool */
    text_add(&v->body, chance(p, 20) == 0 ? slice_of(body.p, body.n - 1) : body);
}

static void client_comes(struct play *p)
{
    static const char *const models[] = {"one",          "two",         "three",      "four",
                                         "five",         "house",       "tiny",       "own",
                                         "modal",        "mistral",     "house",      "house-twice",
                                         "both",         "no",          "house-tiny", "house-tiny",
                                         "claude-first", "claude-last", "wires",      "replicate"};
    static const char *const paths[] = {"/v1/audio/a",    "/v1/files",   "/v1/models",
                                        "/v1/models/one", "/v1/nothing", "/livez"};
    static const char *const asked[] = {"/v1/chat/completions", "/v1/chat/completions",
                                        "/v1/messages"};
    static const enum http_method methods[] = {HTTP_POST, HTTP_GET, HTTP_HEAD, HTTP_DELETE};
    static const char *const keys[] = {"Authorization: Bearer sk-low\n",
                                       "Authorization: Bearer sk-normal\n",
                                       "Authorization: Bearer sk-high\n"};
    struct visitor *v = &p->visitors[chance(p, CLIENTS_MAX)];
    bool asks = chance(p, 4) > 0;
    struct client_request r = {.method = asks ? HTTP_POST : PICK(p, methods),
                               .path = asks ? PICK(p, asked) : PICK(p, paths),
                               .fields = manner & HAS_CLASSES && chance(p, 20) > 0 ? PICK(p, keys)
                                         : chance(p, 4) > 0                        ? NULL
                                                            : "x-api-key: sk-mine\n",
                               .content_length = -1,
                               .gone_at = chance(p, 30) == 0,
                               .sync_body = chance(p, 2)};
    if (v->s != NULL)
        return;
    if (r.method == HTTP_POST)
        plan_body(p, v, r.path, PICK(p, models), (unsigned)chance(p, 4));
    r.chunked = r.method == HTTP_POST && chance(p, 2);
    r.content_length = r.method == HTTP_POST && !r.chunked ? (int64_t)v->body.n : -1;
    bool health = strcmp(r.path, "/livez") == 0 && (r.method == HTTP_GET || r.method == HTTP_HEAD);
    p->w->started += !health;
    v->raw = !asks && (r.path == paths[0] || r.path == paths[1]);
    v->s = client_new(p->w->loop, &r);
    v->s->piece = chance(p, 3) ? 0 : 1 + chance(p, 40);
    v->s->room = chance(p, 4) ? SIZE_MAX : chance(p, 400);
    if (v->s->gone_at == 0 && chance(p, 8) == 0)
        v->s->gone_at = (unsigned)(v->s->sends + 1 + chance(p, 4));
}

static void client_goes_on(struct play *p)
{
    struct visitor *v = &p->visitors[chance(p, CLIENTS_MAX)];
    if (v->s == NULL || v->last_sent || v->s->state != CLIENT_OPEN)
        return;
    size_t left = v->body.n - v->sent;
    size_t n = chance(p, 2) ? left : chance(p, left + 1);
    v->sent += n;
    v->last_sent = v->sent == v->body.n;
    client_body(v->s, slice_of(v->body.p + v->sent - n, n), v->last_sent);
}

static void client_takes(struct play *p)
{
    struct visitor *v = &p->visitors[chance(p, CLIENTS_MAX)];
    if (v->s == NULL || !v->s->full)
        return;
    v->s->room = chance(p, 2) ? SIZE_MAX : chance(p, 400);
    client_drain(v->s);
}

/* Ended ones are looked at and go. */
static void client_ends(struct play *p, struct visitor *v)
{
    if (v->s == NULL || v->s->state == CLIENT_OPEN)
        return;
    if (v->s->state == CLIENT_ENDED && v->s->sends != v->s->gone_at && !v->raw &&
        !answer_is_whole(v->s))
        check_fail(CHECK_AT("answer"), "is not whole: %u, %s %.*s", v->s->status,
                   v->s->close_after ? "closed after" : "", (int)MIN_OF(v->s->body.n, (size_t)1500),
                   v->s->body.p);
    client_free(TAKE(v->s));
    text_done(&v->body);
    *v = (struct visitor){0};
    (void)p;
}

static void client_leaves(struct play *p)
{
    struct visitor *v = &p->visitors[chance(p, CLIENTS_MAX)];
    if (v->s != NULL)
        client_leave(v->s, (enum net_gone)chance(p, 4));
}

/* --- upstreams */

#define EV_OTHER_TEXT EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\"and so on\"}}]}\n\n"
#define EV_SPACE      EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\" \"}}]}\n\n"

/* Anthropic's events, mostly in their order. */
static void write_messages(struct play *p, struct script *sc)
{
    static const char *const events[] = {AV_START,      AV_BLOCK, AV_TEXT, AV_TEXT,
                                         AV_BLOCK_STOP, AV_DELTA, AV_STOP};
    static const char *const others[] = {AV_ERROR, EV_JUNK, EV_TEXT, ": ping\n\n", AV("ping", "")};
    sc->ending = (unsigned)chance(p, 6);
    for (size_t i = 0; i < ARRAY_LEN(events) && chance(p, 30) > 0; i++) {
        if (chance(p, 20) == 0)
            text_add(&sc->body, slice_str(PICK(p, others)));
        text_add(&sc->body, slice_str(events[i]));
    }
}

/* An answer as it should be, or the beginning of one. */
static void write_answer(struct play *p, struct script *sc)
{
    char event[128];
    text_add(&sc->body, SLICE(EV_ROLE));
    for (uint64_t n = 1 + chance(p, 5); n > 0; n--) {
        snprintf(event, sizeof event,
                 EV_CHOICES "{\"index\":0,\"delta\":{\"content\":\"%c%u \"}}]}\n\n",
                 (char)('a' + chance(p, 26)), (unsigned)chance(p, 1000));
        text_add(&sc->body, slice_str(event));
    }
    sc->ending = chance(p, 2) == 0;
    if (chance(p, 2) == 0)
        text_add(&sc->body, SLICE(EV_FINISH EV_USAGE EV_DONE));
}

static void write_script(struct play *p, struct script *sc)
{
    static const char *const events[] = {EV_ROLE,  EV_TEXT,  EV_OTHER_TEXT, EV_FINISH,
                                         EV_USAGE, EV_SPACE, ": ping\n\n",  "data: \n\n"};
    static const char *const endings[] = {EV_DONE, EV_DONE,         EV_DONE,  EV_FINISH EV_DONE,
                                          "",      EV_DONE EV_JUNK, EV_ERROR, EV_JUNK};
    sc->ending = (unsigned)chance(p, 6);
    switch (chance(p, 7)) {
    case 0: text_add(&sc->body, SLICE(CHAT_ANSWER)); break;
    case 2:
    case 3: write_answer(p, sc); break;
    case 1: text_add(&sc->body, SLICE("{\"error\":{\"message\":\"no\"}}")); break;
    default:
        for (uint64_t n = chance(p, 9); n > 0; n--)
            text_add(&sc->body, slice_str(PICK(p, events)));
        text_add(&sc->body, slice_str(PICK(p, endings)));
        break;
    }
}

static struct script *script_of(struct play *p, const struct call *c)
{
    struct script *sc = &p->script[c->number % ARRAY_LEN(p->script)];
    if (sc->number == c->number)
        return sc;
    text_done(&sc->body);
    *sc = (struct script){.number = c->number};
    if (c->upstream == p->w->up[CLAUDE] && chance(p, 4) > 0)
        write_messages(p, sc);
    else
        write_script(p, sc);
    return sc;
}

static struct call *some_call(struct play *p)
{
    unsigned n = calls_open(p->w->loop);
    uint64_t skip = n > 0 ? chance(p, n) : 0;
    for (unsigned i = 0;; i++) {
        struct call *c = call_at(p->w->loop, i);
        if (c == NULL || (c->lease != NULL && skip-- == 0))
            return c;
    }
}

static void upstream_heads(struct play *p, struct call *c)
{
    static const unsigned statuses[] = {200, 200, 200, 200, 200, 200, 429, 500, 400, 303, 204, 401};
    static const char *const fields[] = {SSE_HEAD,
                                         SSE_HEAD,
                                         JSON_HEAD,
                                         JSON_HEAD "Retry-After: 3\nx-ratelimit-a: b\n",
                                         NULL,
                                         "Location: /moved\n",
                                         "Content-Type: text/html\n"};
    struct script *sc = script_of(p, c);
    bool stream = sc->body.n > 0 && sc->body.p[0] != '{' && chance(p, 10) > 0;
    unsigned status = PICK(p, statuses);
    call_head(c, status, stream ? SSE_HEAD : PICK(p, fields), -1);
    if (status == 204 && c->lease != NULL)
        call_end(c);
}

/* One read of its answer, cut anywhere. */
static void upstream_reads(struct play *p, struct call *c)
{
    struct script *sc = script_of(p, c);
    for (uint64_t pieces = 1 + chance(p, 3); pieces > 0 && c->lease != NULL; pieces--) {
        size_t left = sc->body.n - sc->at;
        size_t n = chance(p, 3) ? left : chance(p, left + 1);
        sc->at += n;
        if (n > 0)
            call_body(c, slice_of(sc->body.p + sc->at - n, n), false);
    }
    if (c->lease == NULL)
        return;
    if (sc->at == sc->body.n && chance(p, 2))
        sc->ending == 0 ? call_fail(c, NET_FAIL_TRUNCATED, "") : (void)call_end(c);
    else if (chance(p, 30) == 0)
        call_fail(c, NET_FAIL_BAD_ANSWER, "malformed chunk");
    else
        call_flush(c);
}

static void upstream_acts(struct play *p)
{
    struct call *c = some_call(p);
    if (c == NULL)
        return;
    if (chance(p, 25) == 0) {
        call_fail(c, (enum net_fail)chance(p, NET_FAILS_N), chance(p, 2) ? "why" : "");
    } else if (c->lease->phase == LEASE_BODY) {
        if (!call_paused(c))
            upstream_reads(p, c);
    } else if (c->streamed && c->lease->phase == LEASE_WRITE) {
        call_writable(c, chance(p, 2) ? SIZE_MAX : chance(p, 30));
    } else if (chance(p, 3) == 0) {
        if (!c->streamed)
            call_phase(c, (enum lease_phase)chance(p, LEASE_BODY));
    } else {
        upstream_heads(p, c);
    }
}

/* --- the rest of the world */

static void time_passes(struct play *p)
{
    static const int64_t steps[] = {1,
                                    NS_PER_MS,
                                    NS_PER_S,
                                    3 * NS_PER_S,
                                    5 * NS_PER_S,
                                    10 * NS_PER_S,
                                    60 * NS_PER_S,
                                    120 * NS_PER_S,
                                    300 * NS_PER_S};
    int64_t ns = PICK(p, steps);
    if (chance(p, 3) > 0) {
        loop_advance(p->w->loop, ns);
    } else { /* timers before messages */
        p->w->loop->now_ns += ns;
        timers_run(&p->w->loop->timers, p->w->loop->now_ns);
    }
}

/* More than one key, each with a health of its own. */
static void give_keys(struct gw_snapshot *s, struct gw_provider *p)
{
    static const char *const labels[] = {"random#1", "random#2"};
    p->keys_n = ARRAY_LEN(labels);
    p->keys = mem_must(arena_zalloc(&s->arena, p->keys_n * sizeof *p->keys));
    for (size_t i = 0; i < p->keys_n; i++) {
        p->keys[i].fields = SLICE("Authorization: Bearer one-of-two\r\n");
        p->keys[i].live = mem_must(target_live_get(slice_str(labels[i])));
    }
}

static void vary_model(struct gw_model *m, size_t i)
{
    if (manner & DOES_WATCH)
        snapshot_watch(m);
    if (manner & DOES_HEDGE) {
        snapshot_watch(m);
        m->hedge_after_ns = i % 3 == 0 ? 1 : (int64_t)i * NS_PER_S;
        m->hedge_percent = 100;
    }
    m->rescue = manner & DOES_RESCUE ? RESCUE_CONTINUE : RESCUE_OFF;
    m->first_token_adaptive = manner & DOES_WATCH && i % 2;
    if (manner & DOES_LAST && i % 2)
        m->last_resort = SLICE("{\"sorry\":true}");
}

static void vary(struct gw_snapshot *s)
{
    for (size_t i = 0; i < s->models_n; i++)
        vary_model(&s->model_list[i], i);
    if (manner & DOES_RETRY)
        s->retry = (struct gw_retry){.attempts = ATTEMPTS_MAX,
                                     .same_target = 2,
                                     .backoff_ns = NS_PER_S,
                                     .max_backoff_ns = 2 * NS_PER_S,
                                     .percent = 50,
                                     .per_second = 1};
    if (manner & DOES_RESCUE) /* which are given the text so far */
        snapshot_provider(s, BETA)->row = snapshot_provider(s, GAMMA)->row =
            llm_provider_find(SLICE("vllm"));
    if (manner & HAS_KEYS)
        give_keys(s, snapshot_provider(s, ALPHA));
    s->auth_keys = manner & HAS_CLASSES;
    snapshot_add_key(s, "low", PRIORITY_LOW);
    snapshot_add_key(s, "normal", PRIORITY_NORMAL);
    snapshot_add_key(s, "high", PRIORITY_HIGH);
}

static void short_limits(struct gw_snapshot *s)
{
    for (unsigned i = 0; i < PROVIDERS_N; i++) {
        for (unsigned k = 0; k < TIMEOUTS_N; k++)
            snapshot_provider(s, i)->timeouts.ns[k] = 1 + (int64_t)(k + i) % 5 * NS_PER_S;
    }
    s->limits.commit_hold_ns = 0;
    s->limits.event_bytes = 200;
    s->limits.answer_bytes = 200;
}

static void as_seeded(struct gw_snapshot *s)
{
    if (hurried)
        short_limits(s);
    vary(s);
}

static void gates_move(struct play *p)
{
    struct world *w = p->w;
    if (chance(p, 2))
        gate_set_limits(w->house, 1 + (int64_t)chance(p, 3), (int64_t)chance(p, 4));
    else
        gate_set_state(w->tiny, (enum gate_state)chance(p, 3), 1, 2);
}

static void child_done(struct child *c, unsigned status, struct slice body)
{
    playing->done_calls++;
    playing->child_used[c - playing->children] = false;
    CHECK(status == 0 || body.n > 0 || status == 502);
}

static void child_starts(struct play *p)
{
    struct worker *k = p->w->worker;
    uint64_t skip = k->open_n > 0 ? chance(p, (uint64_t)k->open_n) : 0;
    size_t i = chance(p, CHILDREN_MAX);
    list_foreach (it, &k->open) {
        struct exchange *x = container_of(it, struct exchange, node);
        if (skip-- > 0 || p->child_used[i])
            continue;
        bool detached = chance(p, 3) == 0;
        p->child_used[i] = !detached;
        p->children[i] = (struct child){
            .purpose = "judge",
            .op = LLM_CHAT,
            .body = chat_body(chance(p, 2) ? "two" : "house", (unsigned)chance(p, 2)),
            .deadline_ns = net_now(p->w->loop) + (int64_t)chance(p, 100) * NS_PER_S,
            .detached = detached,
            .done = detached ? NULL : child_done,
        };
        if (exchange_child_start(x, &p->children[i]))
            p->w->started++;
        else
            p->child_used[i] = false;
        return;
    }
}

/* Children that were cancelled with their parents have no call of `done`. */
static void forget_cancelled_children(struct play *p)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        p->child_used[i] = p->child_used[i] && p->children[i].exchange != NULL;
}

static void check_step(struct play *p)
{
    const struct world *w = p->w;
    int64_t at_house = 0;
    CHECK_EQ_I64(w->worker->open_n + log_lines(), w->started);
    CHECK_EQ_I64((int64_t)w->worker->out.n, 0);
    CHECK(w->gateway->budget.used_bytes >= 0);
    for (unsigned i = 0;; i++) {
        const struct call *c = call_at(w->loop, i);
        if (c == NULL)
            break;
        at_house += c->lease != NULL && c->upstream == w->up[HOUSE];
    }
    CHECK(at_house <= w->house->permits.held);
    CHECK(w->house->permits.waiting_n >= 0);
}

static void reload(struct play *p)
{
    hurried = chance(p, 2);
    if (chance(p, 3) == 0)
        manner = (unsigned)chance(p, DOES_ALL + 1);
    world_reload(p->w, as_seeded);
}

static void step(struct play *p)
{
    uint64_t n = chance(p, 100);
    if (n < 14)
        client_comes(p);
    else if (n < 36)
        client_goes_on(p);
    else if (n < 42)
        client_takes(p);
    else if (n < 46)
        client_leaves(p);
    else if (n < 80)
        upstream_acts(p);
    else if (n < 86)
        time_passes(p);
    else if (n < 91)
        loop_turn(p->w->loop);
    else if (n < 93)
        reload(p);
    else if (n < 95)
        gates_move(p);
    else if (n < 98)
        child_starts(p);
    else if (n < 99)
        loop_jobs(p->w->loop);
    else if (chance(p, 20) == 0)
        gateway_drain(p->w->gateway);
    for (unsigned i = 0; i < PROVIDERS_N; i++)
        p->w->up[i]->begins = (enum lease_phase)chance(p, LEASE_BODY);
    calls_forget(p->w->loop);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        client_ends(p, &p->visitors[i]);
    forget_cancelled_children(p);
    check_step(p);
}

/* Everybody goes home: by themselves, or because the gateway stops. */
static void leave(struct play *p)
{
    bool stops = chance(p, 4) == 0;
    for (size_t i = 0; i < CLIENTS_MAX && !stops; i++) {
        if (p->visitors[i].s != NULL)
            client_leave(p->visitors[i].s, NET_GONE_CLOSED);
    }
    if (!stops) {
        gate_set_state(p->w->tiny, GATE_OPEN, 1, 2);
        for (int i = 0; i < 12; i++) {
            loop_jobs(p->w->loop);
            loop_advance(p->w->loop, 300 * NS_PER_S);
        }
        calls_forget(p->w->loop);
        world_check_rest(p->w);
    }
    world_stop(p->w);
    CHECK_EQ_I64(log_lines(), p->w->started);
    CHECK_EQ_I64(p->w->house->permits.held + p->w->tiny->permits.held, 0);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        client_ends(p, &p->visitors[i]);
    for (unsigned i = 0; i < log_lines(); i++)
        CHECK(json_valid(log_line(i)));
    for (size_t i = 0; i < ARRAY_LEN(p->script); i++)
        text_done(&p->script[i].body);
}

/* What has happened at least once in all seeds. */
static int64_t hedges, rescues, retries_refused, last_resorts;

static void count_events(void)
{
    hedges += metric_plain_value(MP_HEDGES);
    rescues += metric_plain_value(MP_RESCUES);
    retries_refused += metric_plain_value(MP_RETRIES_REFUSED);
    last_resorts += world_gauge("weir_last_resort_total");
}

static void play_seed(uint64_t seed)
{
    static struct play p;
    bool books = seed % 8 == 0; /* they take time */
    p = (struct play){.random = seed};
    hurried = false;
    manner = seed % 4 == 0 ? 0 : (unsigned)chance(&p, DOES_ALL + 1); /* some are as usual */
    p.w = books ? world_new_books(as_seeded, 4096) : world_new(as_seeded);
    playing = &p;
    for (p.step = 0; p.step < STEPS; p.step++) {
        check_note("WEIR_SEED=%llu, step %u", (unsigned long long)seed, p.step);
        step(&p);
    }
    check_note("WEIR_SEED=%llu, the end", (unsigned long long)seed);
    leave(&p);
    count_events();
    CHECK(!books || world_rows_lost(p.w) == 0);
    world_free(p.w);
    check_note("%s", "");
}

static uint64_t number_of(const char *variable, uint64_t standard)
{
    const char *text = getenv(variable);
    uint64_t n = standard;
    if (text != NULL && !slice_to_u64(slice_str(text), &n))
        CHECK(false);
    return n;
}

TEST(interleavings)
{
    uint64_t one = number_of("WEIR_SEED", 0);
    uint64_t n = number_of("WEIR_SEEDS", SEEDS);
    if (one != 0) {
        play_seed(one);
        return;
    }
    for (uint64_t seed = 1; seed <= n; seed++)
        play_seed(seed);
    CHECK(n < SEEDS || (hedges > 0 && rescues > 0 && retries_refused > 0 && last_resorts > 0));
}

/* Smallest completions, for probes. */
#include "gateway/probe_call.h"

#include "exchange.h"
#include "llm/smallest.h"
#include "sign.h"
#include "translate.h"

#define ARENA_BYTES ((size_t)1 << 20)
#define BODY_BYTES  ((size_t)1 << 16)

/* The lines of the first key that may be used; without any, of the first. */
static struct slice key_fields(const struct gw_provider *p, int64_t now_ns)
{
    struct target_view v;
    for (size_t i = 0; i < p->keys_n; i++) {
        if (p->keys[i].live == NULL)
            return p->keys[i].fields;
        target_live_look(p->keys[i].live, now_ns, &v);
        if (v.state != HEALTH_COOLING && v.state != HEALTH_DENIED && v.state != HEALTH_DRAINED)
            return p->keys[i].fields;
    }
    return p->keys_n > 0 ? p->keys[0].fields : p->fields;
}

static struct slice target_of(struct arena *a, const struct gw_target *t)
{
    struct slice path = llm_wire_path(llm_smallest_wire(t->provider->row), a, t->provider->row,
                                      LLM_CHAT, t->model, false);
    return path.p != NULL && !request_path_leaves(path) ? translate_target(a, t->provider, path)
                                                        : SLICE_NONE;
}

static bool put_fields(struct gw_probe_call *c, const struct gw_provider *p, int64_t now_ns)
{
    buf_lit(&c->fields, "Content-Type: application/json\r\nAccept: application/json\r\n");
    if (p->row->wire == &anthropic_wire && !(p->row->quirks & QUIRK_RAW_PREDICT))
        http_put_field(&c->fields, SLICE("anthropic-version"), SLICE("2023-06-01"));
    const struct sign_ask q = {.provider = p,
                               .request = &c->request,
                               .now_ns = now_ns,
                               .arena = &c->arena,
                               .key = &c->signing_key};
    enum gw_credential_state state;
    return sign_lines(&q, &c->fields, &state) && state == CREDENTIAL_FRESH && !c->fields.failed;
}

bool gw_probe_call_make(struct gw_probe_call *c, const struct gw_target *t,
                        struct json_parser *json, int64_t now_ns)
{
    const struct gw_provider *p = t->provider;
    arena_init(&c->arena, NULL, ARENA_BYTES);
    buf_init(&c->body, BODY_BYTES);
    buf_init(&c->fields, BODY_BYTES);
    if (llm_smallest_wire(p->row) == NULL ||
        !llm_smallest_write(&c->arena, json, p->row, t->model, &c->body))
        return false;
    c->part = buf_view(&c->body);
    c->request = (struct net_request){.method = HTTP_POST,
                                      .target = target_of(&c->arena, t),
                                      .fields = key_fields(p, now_ns),
                                      .body = &c->part,
                                      .body_parts = 1,
                                      .body_bytes = c->part.n,
                                      .has_body = true};
    if (c->request.target.p == NULL || !put_fields(c, p, now_ns))
        return false;
    c->request.more_fields = buf_view(&c->fields);
    return true;
}

bool gw_probe_call_read(struct gw_probe_call *c, const struct gw_target *t,
                        struct json_parser *json, struct slice body, struct llm_usage *ret_usage)
{
    return llm_smallest_read(&c->arena, json, t->provider->row, t->model, body, ret_usage);
}

void gw_probe_call_done(struct gw_probe_call *c)
{
    arena_reset(&c->arena);
    buf_done(&c->body);
    buf_done(&c->fields);
}

/* Fields, positions and single values of a configuration. */
#include "base/clock.h"
#include "check.h"
#include "config_fixture.h"
#include "config_read.h"

static struct config *parse(const char *text)
{
    struct buf errors;
    buf_init(&errors, 1 << 16);
    struct config *c = config_parse(slice_str(text), "t", &fixture_options, &errors);
    CHECK_EQ_LIT(buf_view(&errors), "");
    buf_done(&errors);
    CHECK(c != NULL);
    return c;
}

static void check_timeouts_are(const struct config_timeouts *t, int64_t all)
{
    CHECK_EQ_I64(t->queue_ns, all < 0 ? all : 60 * NS_PER_S);
    CHECK_EQ_I64(t->connect_ns, all < 0 ? all : 3 * NS_PER_S);
    CHECK_EQ_I64(t->tls_ns, all < 0 ? all : 5 * NS_PER_S);
    CHECK_EQ_I64(t->write_ns, all < 0 ? all : 30 * NS_PER_S);
    CHECK_EQ_I64(t->head_ns, all < 0 ? all : 300 * NS_PER_S);
    CHECK_EQ_I64(t->first_token_ns, all < 0 ? all : 300 * NS_PER_S);
    CHECK_EQ_I64(t->between_tokens_ns, all < 0 ? all : 120 * NS_PER_S);
    CHECK_EQ_I64(t->total_ns, all < 0 ? all : 600 * NS_PER_S);
}

TEST(defaults)
{
    fixture_reset();
    struct config *c = parse("");
    CHECK_EQ_U64(c->listeners_n, 1);
    CHECK_EQ_LIT(c->listeners[0].address, "127.0.0.1:8080");
    CHECK(c->listeners[0].tls.cert.p == NULL && !c->listeners[0].proxy_protocol);
    CHECK(c->listeners[0].half_close == HALF_CLOSE_GONE && c->listeners[0].pos.line == 0);
    CHECK(c->auth == AUTH_NONE && c->auth_pos.line == 0 && c->keys_n == 0);
    CHECK(c->admin_listen.p == NULL && c->admin_token.p == NULL && c->admin_tls.cert.p == NULL);
    CHECK(c->metrics_listen.p == NULL && c->data.p == NULL && c->workers == 0);
    CHECK_EQ_LIT(c->log_access, "stdout");
    CHECK(c->log_level == LOG_LEVEL_INFO);
    CHECK(c->egress.proxy.p == NULL && c->egress.no_proxy.p == NULL && c->egress.ca_file.p == NULL);
    CHECK(c->egress.client_cert.p == NULL && c->egress.client_key.p == NULL);
    CHECK_EQ_U64(c->expose.n, 1);
    CHECK_EQ_LIT(c->expose.item[0], "*");
    CHECK(c->cors_origins.n == 0 && c->trusted_proxies.n == 0);
    CHECK_EQ_I64(c->limits.body_bytes, 33554432);
    CHECK_EQ_I64(c->limits.body_memory_bytes, 1000000000);
    CHECK_EQ_I64(c->limits.connections, 20000);
    CHECK_EQ_I64(c->limits.connections_per_client, 0);
    CHECK_EQ_I64(c->limits.answer_bytes, 64000000);
    CHECK_EQ_I64(c->limits.event_bytes, 1000000);
    CHECK_EQ_I64(c->server.head_ns, 10 * NS_PER_S);
    CHECK_EQ_I64(c->server.idle_ns, 75 * NS_PER_S);
    CHECK_EQ_I64(c->server.body_idle_ns, 30 * NS_PER_S);
    CHECK_EQ_I64(c->server.write_ns, 60 * NS_PER_S);
    CHECK_EQ_I64(c->server.commit_hold_ns, 10 * NS_PER_S);
    CHECK_EQ_I64(c->server.ready_delay_ns, 0);
    CHECK_EQ_I64(c->server.drain_ns, 30 * NS_PER_S);
    check_timeouts_are(&c->timeouts, 0);
    CHECK(c->providers_n == 0 && c->engines_n == 0 && c->models_n == 0 && c->passthrough_n == 0);
    config_free(c);
}

TEST(defaults_of_targets)
{
    fixture_reset();
    struct config *c = parse("providers: {groq: {type: groq}, bare: {type: bare}}\n"
                             "engines: {e: {model: x.gguf}}\n");
    const struct config_provider *p = &c->providers[0];
    CHECK_EQ_LIT(p->name, "groq");
    CHECK_EQ_LIT(p->url, "https://api.groq.com/openai/v1");
    CHECK(p->url_pos.line == 0 && p->api_key.p == NULL && p->headers.n == 0 && p->models.n == 0);
    CHECK(p->sni.p == NULL && p->ca_file.p == NULL && p->client_cert.p == NULL);
    CHECK(p->client_key.p == NULL && p->proxy.p == NULL);
    CHECK(p->max_connections == 0 && p->max_inflight == 0 && p->queue == 0);
    check_timeouts_are(&p->timeouts, -1);
    CHECK(c->providers[1].url.p == NULL);
    const struct config_engine *e = &c->engines[0];
    CHECK(e->binary.p == NULL && e->args.n == 0 && e->threads == 0 && e->context == 0);
    CHECK_EQ_I64(e->slots, 4);
    CHECK_EQ_I64(e->cache_ram_mib, 256);
    CHECK_EQ_I64(e->start_timeout_ns, 120 * NS_PER_S);
    CHECK_EQ_I64(e->drain_ns, 30 * NS_PER_S);
    CHECK_EQ_I64(e->queue, 64);
    check_timeouts_are(&e->timeouts, -1);
    config_free(c);
    c = parse("providers: {groq: {type: groq, max_inflight: 3}}\n");
    CHECK_EQ_I64(c->providers[0].queue, 64);
    config_free(c);
}

#define CHECK_POS(pos, l, c) CHECK((pos).line == (l) && (pos).column == (c))

/* Values and positions of full.yaml; the golden covers the rest of the values. */
TEST(full)
{
    struct buf text;
    fixture_reset();
    fixture_read("full.yaml", &text);
    CHECK(buf_reserve(&text, 1));
    text.p[text.n] = '\0';
    struct config *c = parse(text.p);
    CHECK_EQ_U64(c->listeners_n, 3);
    CHECK_POS(c->listeners[0].pos, 3, 5);
    CHECK_POS(c->listeners[1].pos, 4, 5);
    CHECK(c->listeners[1].half_close == HALF_CLOSE_ANSWER && c->listeners[1].proxy_protocol);
    CHECK_POS(c->auth_pos, 9, 7);
    CHECK_POS(c->keys[0].pos, 11, 3);
    CHECK_EQ_LIT(c->keys[0].secret, "hunter2-app");
    CHECK_POS(c->admin_pos, 14, 3);
    CHECK(c->log_level == LOG_LEVEL_DEBUG);
    CHECK_POS(c->expose.pos[1], 29, 19);
    const struct config_provider *p = &c->providers[0];
    CHECK_POS(p->pos, 36, 3);
    CHECK_POS(p->type_pos, 37, 11);
    CHECK_POS(p->url_pos, 38, 10);
    CHECK_EQ_LIT(p->headers.key[1], "X-Trace");
    CHECK_EQ_LIT(p->headers.value[1], "hunter2-trace");
    CHECK_POS(p->headers.pos[1], 40, 37);
    CHECK_POS(p->models.pos[1], 41, 29);
    CHECK_EQ_I64(p->timeouts.total_ns, 0);
    CHECK_EQ_I64(p->timeouts.connect_ns, -1);
    CHECK_EQ_I64(c->engines[0].cache_ram_mib, 1024);
    CHECK_POS(c->models[0].targets[0].pos, 66, 20);
    CHECK_POS(c->models[0].targets[1].pos, 66, 48);
    CHECK_POS(c->passthrough[1].pos, 70, 5);
    CHECK_POS(c->passthrough[1].to_pos, 71, 9);
    CHECK_EQ_STR(c->models[0].targets[1].use.p, "client/gpt-4o"); /* a NUL stands behind it */
    CHECK_EQ_STR(p->models.item[1].p, "org/model:tag");
    config_free(c);
    buf_done(&text);
}

TEST(sizes)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: not a size */
    } rows[] = {
        {"0", 0},
        {"1", 1},
        {"17B", 17},
        {"3kB", 3000},
        {"3KB", 3000},
        {"32MB", 32000000},
        {"1GB", 1000000000},
        {"2TB", 2000000000000},
        {"4KiB", 4096},
        {"1MiB", 1048576},
        {"1GiB", 1073741824},
        {"1TiB", 1099511627776},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -1},
        {"9223372036854775807KB", -1},
        {"", -1},
        {"MB", -1},
        {"1 MB", -1},
        {"1M", -1},
        {"1mb", -1},
        {"1.5GB", -1},
        {"-1", -1},
        {"1MBs", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = -1;
        check_note("%s", rows[i].text);
        CHECK(value_parse_size(slice_str(rows[i].text), &got) == (rows[i].want >= 0));
        CHECK_EQ_I64(got, rows[i].want);
    }
}

/* What is printed is read as the same. */
TEST(printed_values)
{
    struct buf b;
    buf_init(&b, 64);
    for (int i = 0; i < 20000; i++) {
        int64_t v = (int64_t)(check_random() >> (1 + check_random_below(63))), got;
        v -= v % (check_random_below(2) ? 1 : INT64_C(1000000));
        buf_reset(&b);
        value_print_size(&b, v);
        CHECK(value_parse_size(buf_view(&b), &got));
        CHECK_EQ_I64(got, v);
        v -= v % NS_PER_US; /* the finest unit */
        buf_reset(&b);
        value_print_duration(&b, v);
        CHECK(clock_parse_duration(b.p, b.n, &got));
        CHECK_EQ_I64(got, v);
    }
    buf_done(&b);
}

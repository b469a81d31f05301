/* Each allocation fails once while a call goes from a client's connection through a lease to a
 * server and back, with and without TLS: nothing crashes, hangs or stays taken. */
#include <unistd.h>

#include "kit.h"

static struct kit kit;
static struct server server;
static struct net_listener_config config;
static struct upstream *upstream;

/* One request from Weir's client side to its server side, with a body that has to wait in queues.
 */
static void one_call(void *arg)
{
    static char large[300000];
    const struct slice body[] = {{large, sizeof large}};
    struct call c;
    int64_t end = clock_mono_ns() + PATIENCE_NS;
    (void)arg;
    call_init(&c, &kit);
    c.request = (struct net_request){.method = HTTP_POST,
                                     .target = SLICE("/x"),
                                     .body = body,
                                     .body_parts = 1,
                                     .body_bytes = sizeof large,
                                     .has_body = true};
    c.refuse_reuse = true;
    call_start(&c, upstream);
    while (!c.ended && !c.failed) {
        CHECK(clock_mono_ns() < end);
        kit_turn(&kit);
    }
    call_done(&c);
    RUN_UNTIL(&kit, server.counts.open == 0 && upstream_connections(upstream) == 0);
    CHECK_EQ_I64(kit.budget.used_bytes, 0);
    buf_done(&server.log);
}

static void torture(bool tls)
{
    struct tls_server_context *accepting = NULL;
    struct tls_client_context *connecting = NULL;
    struct buf error;
    check_needs_torture();
    buf_init(&error, 1000);
    kit_init(&kit);
    server_init(&server, &kit, &config);
    config.limits.head_ns = config.limits.body_ns = 300 * NS_PER_MS;
    if (tls) {
        accepting = tls_server_context_new(cert_file("good"), key_file("good"), NULL, &error);
        connecting = tls_client_context_new(cert_file("ca"), NULL, NULL, &error);
        CHECK(accepting != NULL && connecting != NULL);
    }
    config.tls = accepting;
    server_start(&server, &config);
    struct upstream_config to = {
        .host = SLICE("127.0.0.1"), .port = server.port, .tls = connecting, .max_connections = 1};
    upstream = upstream_new(&to);
    CHECK(upstream != NULL);
    CHECK(check_torture(one_call, NULL) > 5);
    server_done(&server);
    kit_done(&kit);
    upstream_unref(upstream);
    tls_server_context_unref(accepting);
    tls_client_context_unref(connecting);
}

TEST(plain)
{
    torture(false);
}

TEST(over_tls)
{
    torture(true);
}

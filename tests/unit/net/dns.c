/* Names to addresses, against a name server of the test's own. */
#include "dns.h"

#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "kit.h"

static struct kit kit;

/* --- the name server: answers by what the name begins with --- */

static uv_udp_t socket_;
static unsigned asked;     /* queries for an address, A and AAAA */
static bool silent;        /* answers nothing */
static unsigned ttl_s = 1; /* of its answers */
static uint8_t host_byte;  /* 127.0.0.<it> */

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    static char bytes[2048];
    (void)h, (void)n;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

/* Appends an answer of `n` bytes of data for the name in the question. */
static size_t put_answer(uint8_t *p, uint8_t type, const uint8_t *data, uint8_t n)
{
    const uint8_t head[] = {0xC0, 12, 0, type, 0, 1, 0, 0, 0, (uint8_t)ttl_s, 0, n};
    memcpy(p, head, sizeof head);
    memcpy(p + sizeof head, data, n);
    return sizeof head + n;
}

static size_t answer(uint8_t *p, size_t n)
{
    static const uint8_t v6[16] = {[15] = 1};
    const uint8_t v4[4] = {127, 0, 0, host_byte};
    uint8_t type = p[n - 3];
    char first = (char)p[13];
    p[2] = 0x81, p[3] = 0x80; /* an answer, recursion available */
    p[10] = p[11] = 0;        /* no additional records */
    if (first == 'n')
        p[3] |= 3; /* no such name */
    if (first == 'f')
        p[3] |= 2; /* SERVFAIL */
    if (first == 'o' && type == 1) {
        p[7] = 1;
        n += put_answer(p + n, 1, v4, 4);
    }
    if (first == 'b') { /* both families */
        p[7] = 1;
        n += put_answer(p + n, type, type == 1 ? v4 : v6, type == 1 ? 4 : 16);
    }
    return n;
}

static void on_query(uv_udp_t *u, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                     unsigned flags)
{
    (void)flags;
    uint8_t *p = (uint8_t *)buf->base;
    if (n < 17 || from == NULL)
        return;
    asked++;
    if (silent || p[13] == 'h') /* a black hole */
        return;
    size_t end = 12; /* of the question: any extension behind it is left out */
    while (p[end] != 0)
        end += p[end] + 1u;
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)answer(p, end + 5));
    uv_udp_try_send(u, &out, 1, from);
}

static void set_up(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int n = sizeof in;
    char servers[40];
    kit_init(&kit);
    CHECK_EQ_I64(uv_udp_init(&kit.loop.uv, &socket_), 0);
    CHECK_EQ_I64(uv_udp_bind(&socket_, (struct sockaddr *)&in, 0), 0);
    CHECK_EQ_I64(uv_udp_getsockname(&socket_, (struct sockaddr *)&in, &n), 0);
    CHECK_EQ_I64(uv_udp_recv_start(&socket_, on_alloc, on_query), 0);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(in.sin_port));
    CHECK(net_dns_servers(slice_str(servers)));
    asked = 0;
    silent = false;
    ttl_s = 1;
    host_byte = 7;
}

static void tear_down(void)
{
    kit_done(&kit);
    CHECK(net_dns_servers(SLICE("")));
}

/* --- a query --- */

struct ask {
    struct dns_query query;
    struct dns_addrs addrs;
    const char *error;
    unsigned done;
    int64_t began_ns, took_ns;
};

static void on_done(struct dns_query *q, const struct dns_addrs *addrs, const char *error)
{
    struct ask *a = container_of(q, struct ask, query);
    a->done++;
    a->took_ns = clock_mono_ns() - a->began_ns;
    a->error = addrs == NULL ? error : NULL;
    a->addrs = addrs != NULL ? *addrs : (struct dns_addrs){.n = 0};
}

static void ask(struct ask *a, const char *name)
{
    *a = (struct ask){.began_ns = clock_mono_ns()};
    dns_resolve(&kit.loop, slice_str(name), &a->query, on_done);
}

static const char *first_text(const struct ask *a)
{
    static char text[NET_ADDR_TEXT];
    struct slice s = a->addrs.n > 0 ? net_addr_text(&a->addrs.addr[0], text) : SLICE("none");
    static char copy[NET_ADDR_TEXT];
    snprintf(copy, sizeof copy, SLICE_FMT, SLICE_ARG(s));
    return copy;
}

/* Asks and waits. */
static void resolve(struct ask *a, const char *name)
{
    ask(a, name);
    RUN_UNTIL(&kit, a->done > 0);
    CHECK_EQ_U64(a->done, 1);
}

TEST(literals_ask_nobody)
{
    struct ask a;
    set_up();
    ask(&a, "127.0.0.3");
    CHECK_EQ_U64(a.done, 1);
    CHECK_EQ_STR(first_text(&a), "127.0.0.3");
    ask(&a, "::1");
    CHECK_EQ_STR(first_text(&a), "::1");
    CHECK_EQ_U64(asked, 0);
    tear_down();
}

TEST(names_and_families)
{
    struct ask a;
    set_up();
    resolve(&a, "one.test");
    CHECK_EQ_U64(a.addrs.n, 1);
    CHECK_EQ_STR(first_text(&a), "127.0.0.7");
    resolve(&a, "both.test");
    CHECK_EQ_U64(a.addrs.n, 2);
    CHECK(a.addrs.addr[0].family != a.addrs.addr[1].family);
    tear_down();
}

TEST(failures_say_why)
{
    struct ask a;
    char longest[300];
    set_up();
    resolve(&a, "none.test");
    CHECK(a.error != NULL && a.addrs.n == 0);
    resolve(&a, "fails.test");
    CHECK(a.error != NULL && a.addrs.n == 0);
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    resolve(&a, longest);
    CHECK(a.error != NULL);
    tear_down();
}

/* Answers are kept for their time to live, failures for a second; names do not differ by case. */
TEST(cache)
{
    struct ask a;
    set_up();
    resolve(&a, "one.test");
    unsigned before = asked;
    for (int i = 0; i < 5; i++) {
        ask(&a, i % 2 == 0 ? "one.test" : "ONE.test");
        CHECK_EQ_U64(a.done, 1);
        CHECK_EQ_STR(first_text(&a), "127.0.0.7");
    }
    CHECK_EQ_U64(asked, before);
    resolve(&a, "none.test");
    before = asked;
    ask(&a, "none.test");
    CHECK(a.done == 1 && a.error != NULL && asked == before);
    host_byte = 8; /* the address changes, and is seen once the time is over */
    kit_run_for(&kit, 1050 * NS_PER_MS);
    resolve(&a, "one.test");
    CHECK_EQ_STR(first_text(&a), "127.0.0.8");
    tear_down();
}

TEST(many_waiters_one_question)
{
    struct ask a[10];
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        ask(&a[i], "one.test");
    dns_cancel(&a[3].query);
    RUN_UNTIL(&kit, a[9].done == 1);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        CHECK_EQ_U64(a[i].done, i == 3 ? 0 : 1);
    CHECK(asked <= 2);
    tear_down();
}

TEST(black_hole_delays_no_other_name)
{
    struct ask hole, other;
    set_up();
    ask(&hole, "hole.test");
    kit_run_for(&kit, 20 * NS_PER_MS);
    for (int i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "one%d.test", i);
        resolve(&other, name);
        CHECK_EQ_STR(first_text(&other), "127.0.0.7");
        CHECK(other.took_ns < 500 * NS_PER_MS);
    }
    CHECK_EQ_U64(hole.done, 0);
    dns_cancel(&hole.query);
    tear_down();
}

/* An expired answer serves when the resolver is silent: after half a second for those who wait, and
 * at once for those who come later. */
TEST(stale_answer_when_the_resolver_is_silent)
{
    struct ask a, later;
    set_up();
    resolve(&a, "one.test");
    silent = true;
    kit_run_for(&kit, 1050 * NS_PER_MS);
    resolve(&a, "one.test");
    CHECK_EQ_STR(first_text(&a), "127.0.0.7");
    CHECK(a.took_ns > 400 * NS_PER_MS && a.took_ns < 1400 * NS_PER_MS);
    ask(&later, "one.test");
    CHECK_EQ_U64(later.done, 1);
    CHECK_EQ_STR(first_text(&later), "127.0.0.7");
    tear_down();
}

TEST(end_of_the_loop_with_a_question_open)
{
    struct ask a;
    set_up();
    ask(&a, "hole.test");
    kit_run_for(&kit, 5 * NS_PER_MS);
    tear_down();
    CHECK(a.done == 1 && a.error != NULL);
}

/* From a name to an answer, with the other family's address tried when the first is dead. */
TEST(call_by_name)
{
    struct call c;
    struct end e;
    uint16_t port;
    set_up();
    host_byte = 1;
    int listener = kit_listen(&port); /* 127.0.0.1 alone: ::1 refuses */
    struct upstream_config config = {.host = SLICE("both.test"), .port = port};
    struct upstream *u = upstream_new(&config);
    call_init(&c, &kit);
    call_start(&c, u);
    end_accept(&e, &kit, listener);
    serve_one(&e, NULL);
    call_expect(&c, 200, "ok");
    end_close(&e);
    close(listener);
    struct upstream_config nowhere = {.host = SLICE("none.test"), .port = port};
    struct upstream *n = upstream_new(&nowhere);
    call_init(&c, &kit);
    call_start(&c, n);
    call_expect_failure(&c, NET_FAIL_DNS);
    call_init(&c, &kit);
    struct upstream_config black = {.host = SLICE("hole.test"), .port = port};
    struct upstream *h = upstream_new(&black);
    call_start(&c, h);
    kit_turn(&kit);
    call_done(&c); /* cancelled while its name is looked for */
    CHECK_EQ_I64(upstream_connections(h), 0);
    tear_down();
    upstream_unref(u);
    upstream_unref(n);
    upstream_unref(h);
}

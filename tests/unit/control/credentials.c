/* The runner of the sources on a loop of its own, against a metadata server in a thread. */
#include "credentials.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "control/config.h"

/* Answers each connection with a token "t1", "t2", ... that is good for `life_s`. */
struct server {
    pthread_t thread;
    int fd, life_s;
    _Atomic int given;
    char host[32];
};

static void *serve(void *arg)
{
    struct server *s = arg;
    for (;;) {
        char in[4096], body[128], out[512];
        int peer = accept(s->fd, NULL, NULL);
        if (peer < 0)
            return NULL;
        ssize_t got = read(peer, in, sizeof in); /* the request is one small segment */
        snprintf(body, sizeof body, "{\"access_token\":\"t%d\",\"expires_in\":%d}", ++s->given,
                 s->life_s);
        int n = snprintf(out, sizeof out,
                         "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         strlen(body), body);
        if (got <= 0 || write(peer, out, (size_t)n) != n)
            s->given--;
        close(peer);
    }
}

static void server_start(struct server *s, int life_s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    *s = (struct server){.fd = socket(AF_INET, SOCK_STREAM, 0), .life_s = life_s};
    CHECK(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&at, n) == 0 && listen(s->fd, 8) == 0);
    CHECK(getsockname(s->fd, (struct sockaddr *)&at, &n) == 0);
    snprintf(s->host, sizeof s->host, "127.0.0.1:%u", ntohs(at.sin_port));
    CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

/* One provider with Google's metadata, kept fresh on a loop. */
struct stand {
    struct server server;
    struct block_budget budget;
    struct net_loop loop;
    struct timer until;
    struct credentials *all;
    struct gw_provider provider;
    struct arena arena;
};

static void on_until(struct timer *t)
{
    net_loop_stop(&container_of(t, struct stand, until)->loop);
}

static void stand_open(struct stand *s, int life_s)
{
    struct config config = {0};
    struct config_provider p = {.type = SLICE("vertex"),
                                .cloud = {.credentials = SLICE("metadata")}};
    struct buf why;
    *s = (struct stand){.budget.limit_bytes = 1 << 24};
    server_start(&s->server, life_s);
    CHECK(setenv("GCE_METADATA_HOST", s->server.host, 1) == 0);
    buf_init(&why, 1024);
    arena_init(&s->arena, NULL, 65536);
    timer_init(&s->until, on_until);
    CHECK(net_loop_init(&s->loop, 64, &s->budget) == 0);
    s->all = credentials_new();
    CHECK(credentials_get(s->all, &config, &p, &s->provider.credential, &why));
    buf_done(&why);
    credentials_start(s->all, &s->loop);
    struct gw_snapshot used = {.provider_list = &s->provider, .providers_n = 1};
    credentials_settle(s->all, &used);
}

/* Runs the loop for so long. */
static void stand_run(struct stand *s, int64_t ns)
{
    s->loop.now_valid = false;
    CHECK(net_timer_set(&s->loop, &s->until, net_now(&s->loop) + ns));
    net_loop_run(&s->loop);
}

static void stand_close(struct stand *s)
{
    credentials_stop(s->all);
    stand_run(s, NS_PER_MS);
    net_loop_done(&s->loop);
    credentials_free(s->all);
    gw_credential_unref(s->provider.credential);
    arena_reset(&s->arena);
    server_stop(&s->server);
    unsetenv("GCE_METADATA_HOST");
}

static struct slice token(struct stand *s)
{
    struct slice line = SLICE_NONE;
    if (gw_credential_token(s->provider.credential, clock_mono_ns(), &s->arena, &line) !=
        CREDENTIAL_FRESH)
        return SLICE("none");
    return line;
}

TEST(fetches_and_renews)
{
    struct stand s;
    stand_open(&s, 2);
    CHECK_EQ_LIT(token(&s), "none");
    stand_run(&s, 500 * NS_PER_MS);
    CHECK_EQ_LIT(token(&s), "Authorization: Bearer t1\r\n");
    stand_run(&s, 1400 * NS_PER_MS);
    CHECK_EQ_LIT(token(&s), "Authorization: Bearer t2\r\n");
    CHECK_EQ_I64(s.server.given, 2);
    stand_close(&s);
}

/* A refusal brings a new one, unless the one that was refused is new itself. */
TEST(refused)
{
    struct stand s;
    stand_open(&s, 3600);
    stand_run(&s, 500 * NS_PER_MS);
    gw_credential_refused(s.provider.credential);
    stand_run(&s, 1500 * NS_PER_MS);
    CHECK_EQ_LIT(token(&s), "Authorization: Bearer t1\r\n");
    stand_run(&s, 3500 * NS_PER_MS);
    gw_credential_refused(s.provider.credential);
    stand_run(&s, 1500 * NS_PER_MS);
    CHECK_EQ_LIT(token(&s), "Authorization: Bearer t2\r\n");
    CHECK_EQ_I64(s.server.given, 2);
    stand_close(&s);
}

/* What no snapshot uses any more is let go, also in the middle of a call; its last value stays with
 * those who hold it. */
TEST(settled_without_it)
{
    struct stand s;
    struct gw_snapshot none = {0};
    stand_open(&s, 3600);
    stand_run(&s, NS_PER_MS / 10);
    credentials_settle(s.all, &none);
    stand_run(&s, 300 * NS_PER_MS);
    CHECK(s.server.given <= 1);
    CHECK_EQ_LIT(token(&s), "none");
    stand_close(&s);
}

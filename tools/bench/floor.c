/*
 * floor: a bare HTTP/1.1 relay on libuv and llhttp without any feature: no routing, limits, logs,
 * rewriting or TLS. It is what such a proxy costs at the least on a machine, and so the figure that
 * Weir is compared with.
 *
 * Bytes are passed on as they came; llhttp reads both sides only to find where messages end, which
 * a relay must know to pool its upstream connections. A request and its answer take two reads, two
 * writes and two waits, and nothing is registered or armed per request: handles stay in epoll, and
 * reading stops only while the other side's socket is full. A client that sends its next request
 * before the answer to the last one has ended (pipelining) is hung up on.
 *
 * Usage: floor --port PORT --upstream PORT   (both on 127.0.0.1; prints a line once it listens)
 */
#include <getopt.h>
#include <llhttp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>
#include "util.h"

/* A large body costs a fifth less in pieces of 256 KB than of 64 KB; small ones do not care. */
enum { READ_BYTES = 262144, BACKLOG = 4096, FILES_WANTED = 65536 };

struct upstream;

struct client {
    uv_tcp_t tcp;
    llhttp_t parser;
    struct upstream *upstream; /* set from a request's first byte to its answer's last */
    bool keep_alive;
    bool asked; /* the request has come whole */
};

struct upstream {
    uv_tcp_t tcp;
    llhttp_t parser;
    struct client *client; /* NULL while pooled */
    struct upstream *next; /* in the pool */
    bool keep_alive;
    bool answered; /* the answer has come whole */
};

/* Bytes that a full socket did not take; their source reads again once they are gone. */
struct pending {
    uv_write_t request;
    char data[];
};

static uv_loop_t loop;
static struct sockaddr_in upstream_address;
static llhttp_settings_t client_settings;
static llhttp_settings_t upstream_settings;
static struct upstream *pool;
static char read_buffer[READ_BYTES];

static void on_client_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);
static void on_upstream_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle)
{
    bench_free(handle->data);
}

static void close_tcp(uv_tcp_t *tcp)
{
    if (!uv_is_closing((uv_handle_t *)tcp))
        uv_close((uv_handle_t *)tcp, on_closed);
}

static void upstream_close(struct upstream *upstream)
{
    for (struct upstream **at = &pool; *at; at = &(*at)->next)
        if (*at == upstream) {
            *at = upstream->next;
            break;
        }
    if (upstream->client)
        upstream->client->upstream = NULL;
    upstream->client = NULL;
    close_tcp(&upstream->tcp);
}

static void client_close(struct client *client)
{
    if (client->upstream)
        upstream_close(client->upstream);
    close_tcp(&client->tcp);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct client *client = request->data;
    bench_free(request);
    client_close(client);
}

/* Closes once what waits to be written has gone out. */
static void client_finish(struct client *client)
{
    uv_shutdown_t *request = bench_alloc(1, sizeof(*request));
    request->data = client;
    if (uv_shutdown(request, (uv_stream_t *)&client->tcp, on_shutdown)) {
        bench_free(request);
        client_close(client);
    }
}

/* ---- passing bytes on ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    *buffer = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void read_again(uv_tcp_t *tcp, uv_read_cb on_read)
{
    if (!uv_is_closing((uv_handle_t *)tcp))
        uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
}

static void on_client_drained(uv_write_t *request, int status)
{
    struct client *client = request->handle->data;
    if (status)
        client_close(client);
    else if (client->upstream)
        read_again(&client->upstream->tcp, on_upstream_read);
    bench_free(request);
}

static void on_upstream_drained(uv_write_t *request, int status)
{
    struct upstream *upstream = request->handle->data;
    if (upstream->client && status)
        client_close(upstream->client);
    else if (upstream->client)
        read_again(&upstream->client->tcp, on_client_read);
    bench_free(request);
}

/* Writes to the socket itself while nothing waits in libuv's queue: uv_try_write() would use
 * write(), which costs 2% of a request more than send(). */
static size_t send_now(uv_tcp_t *to, const char *data, size_t len)
{
    uv_os_fd_t fd;
    if (to->connect_req || to->write_queue_size || uv_fileno((uv_handle_t *)to, &fd))
        return 0;
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    return n > 0 ? (size_t)n : 0;
}

/* Passes bytes on; what the socket does not take (or its error) goes the long way of uv_write(). */
static bool pass_on(uv_stream_t *from, uv_tcp_t *to, const char *data, size_t len,
                    uv_write_cb on_drained)
{
    size_t taken = send_now(to, data, len);
    if (taken == len)
        return true;
    struct pending *pending = bench_alloc(1, sizeof(*pending) + len - taken);
    memcpy(pending->data, data + taken, len - taken);
    uv_buf_t buffer = uv_buf_init(pending->data, (unsigned)(len - taken));
    uv_read_stop(from);
    if (!uv_write(&pending->request, (uv_stream_t *)to, &buffer, 1, on_drained))
        return true;
    bench_free(pending);
    return false;
}

/* ---- upstream connections ---- */

static void on_connected(uv_connect_t *request, int status)
{
    struct upstream *upstream = request->data;
    bench_free(request);
    if (uv_is_closing((uv_handle_t *)&upstream->tcp))
        return;
    if (!status)
        status = uv_read_start((uv_stream_t *)&upstream->tcp, on_alloc, on_upstream_read);
    if (status && upstream->client)
        client_close(upstream->client);
}

static struct upstream *upstream_connect(void)
{
    struct upstream *upstream = bench_alloc(1, sizeof(*upstream));
    uv_connect_t *request = bench_alloc(1, sizeof(*request));
    uv_tcp_init(&loop, &upstream->tcp);
    upstream->tcp.data = upstream;
    upstream->keep_alive = true;
    request->data = upstream;
    llhttp_init(&upstream->parser, HTTP_RESPONSE, &upstream_settings);
    upstream->parser.data = upstream;
    int error = uv_tcp_connect(request, &upstream->tcp, (const struct sockaddr *)&upstream_address,
                               on_connected);
    uv_tcp_nodelay(&upstream->tcp, 1);
    if (!error)
        return upstream;
    bench_free(request);
    close_tcp(&upstream->tcp);
    return NULL;
}

static struct upstream *upstream_take(struct client *client)
{
    struct upstream *upstream = pool;
    if (upstream)
        pool = upstream->next;
    else
        upstream = upstream_connect();
    if (!upstream)
        return NULL;
    upstream->next = NULL;
    upstream->client = client;
    upstream->answered = false;
    client->upstream = upstream;
    return upstream;
}

static void upstream_release(struct upstream *upstream)
{
    upstream->client->upstream = NULL;
    upstream->client = NULL;
    if (!upstream->keep_alive) {
        close_tcp(&upstream->tcp);
        return;
    }
    read_again(&upstream->tcp, on_upstream_read); /* if it stopped for the client's full socket */
    upstream->next = pool;
    pool = upstream;
}

/* ---- the parser's events ---- */

static int on_request_begin(llhttp_t *parser)
{
    struct client *client = parser->data;
    if (client->upstream)
        return -1;
    client->asked = false;
    return upstream_take(client) ? 0 : -1;
}

static int on_request_complete(llhttp_t *parser)
{
    struct client *client = parser->data;
    client->asked = true;
    client->keep_alive = llhttp_should_keep_alive(parser);
    return 0;
}

/* The answer to HEAD has no body whatever its fields say: 1 tells the parser so. */
static int on_answer_head(llhttp_t *parser)
{
    struct upstream *upstream = parser->data;
    return upstream->client->parser.method == HTTP_HEAD;
}

static int on_answer_begin(llhttp_t *parser)
{
    struct upstream *upstream = parser->data;
    return upstream->client && !upstream->answered ? 0 : -1;
}

static int on_answer_complete(llhttp_t *parser)
{
    struct upstream *upstream = parser->data;
    if (parser->status_code < 200)
        return 0;
    upstream->keep_alive = llhttp_should_keep_alive(parser);
    upstream->answered = true;
    return 0;
}

/* ---- reading ---- */

static void answer_finish(struct upstream *upstream)
{
    struct client *client = upstream->client;
    bool again = client->asked && client->keep_alive && upstream->keep_alive;
    if (!client->asked)
        upstream->keep_alive = false;
    upstream_release(upstream);
    if (!again)
        client_finish(client);
}

static void on_client_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct client *client = stream->data;
    if (n == 0)
        return;
    if (n < 0 || llhttp_execute(&client->parser, buffer->base, (size_t)n) != HPE_OK ||
        !client->upstream ||
        !pass_on(stream, &client->upstream->tcp, buffer->base, (size_t)n, on_upstream_drained))
        client_close(client);
}

static void on_upstream_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct upstream *upstream = stream->data;
    if (n == 0)
        return;
    if (!upstream->client) {
        upstream_close(upstream);
        return;
    }
    bool sound;
    if (n > 0)
        sound = llhttp_execute(&upstream->parser, buffer->base, (size_t)n) == HPE_OK &&
                pass_on(stream, &upstream->client->tcp, buffer->base, (size_t)n, on_client_drained);
    else
        sound = n == UV_EOF && llhttp_finish(&upstream->parser) == HPE_OK && upstream->answered;
    if (!sound)
        client_close(upstream->client);
    else if (upstream->answered)
        answer_finish(upstream);
}

static void on_connection(uv_stream_t *server, int status)
{
    if (status)
        return;
    struct client *client = bench_alloc(1, sizeof(*client));
    uv_tcp_init(&loop, &client->tcp);
    client->tcp.data = client;
    llhttp_init(&client->parser, HTTP_REQUEST, &client_settings);
    client->parser.data = client;
    if (uv_accept(server, (uv_stream_t *)&client->tcp)) {
        close_tcp(&client->tcp);
        return;
    }
    uv_tcp_nodelay(&client->tcp, 1);
    uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_client_read);
}

static void settings_init(void)
{
    llhttp_settings_init(&client_settings);
    client_settings.on_message_begin = on_request_begin;
    client_settings.on_message_complete = on_request_complete;
    llhttp_settings_init(&upstream_settings);
    upstream_settings.on_message_begin = on_answer_begin;
    upstream_settings.on_headers_complete = on_answer_head;
    upstream_settings.on_message_complete = on_answer_complete;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"upstream", required_argument, NULL, 'u'}, {0}};
    int port = 0;
    int upstream_port = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        if (option == 'p')
            port = (int)bench_parse_int("--port", optarg, 1, 65535);
        else if (option == 'u')
            upstream_port = (int)bench_parse_int("--upstream", optarg, 1, 65535);
        else
            return 2;
    }
    if (!port || !upstream_port)
        bench_die("usage: floor --port PORT --upstream PORT");
    signal(SIGPIPE, SIG_IGN);
    bench_raise_files(FILES_WANTED);
    settings_init();
    uv_loop_init(&loop);

    uv_tcp_t server;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_ip4_addr("127.0.0.1", upstream_port, &upstream_address);
    uv_tcp_init(&loop, &server);
    int error = uv_tcp_bind(&server, (const struct sockaddr *)&address, 0);
    if (!error)
        error = uv_listen((uv_stream_t *)&server, BACKLOG, on_connection);
    if (error)
        bench_die("port %d: %s", port, uv_strerror(error));
    printf("{\"listening\": %d}\n", port);
    fflush(stdout);
    return uv_run(&loop, UV_RUN_DEFAULT);
}

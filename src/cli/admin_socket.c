/* One HTTP/1.0 exchange with the running gateway over its admin socket, or an HTTP/1.1 one with
 * one elsewhere. */
#include "admin_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "datadir.h"
#include "fetch.h"
#include "terminal.h"
#include "version.h"

#define PATIENCE_S  60 /* a reload reads files and makes TLS contexts */
#define REQUEST_MAX ((size_t)8192)

static int connect_admin(const char *dir)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int n = snprintf(un.sun_path, sizeof un.sun_path, "%s/admin.sock", dir);
    if (n < 0 || (size_t)n >= sizeof un.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
        return fd;
    int err = errno;
    if (fd >= 0)
        close(fd);
    errno = err;
    return -1;
}

static bool send_all(int fd, struct slice s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        s = slice_from(s, n > 0 ? (size_t)n : 0);
    }
    return true;
}

/* The whole answer, which ends with the connection; false: nothing came. */
static bool exchange(int fd, const char *method, const char *path, struct slice body,
                     struct buf *answer)
{
    struct buf head;
    ssize_t got = 1;
    buf_init(&head, REQUEST_MAX);
    buf_printf(&head, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", method,
               path, body.n);
    bool ok = !head.failed && send_all(fd, buf_view(&head)) && send_all(fd, body);
    buf_done(&head);
    while (ok && got > 0 && buf_reserve(answer, (size_t)1 << 16)) {
        do
            got = read(fd, answer->p + answer->n, (size_t)1 << 16);
        while (got < 0 && errno == EINTR);
        answer->n += got > 0 ? (size_t)got : 0;
    }
    return ok && got == 0 && answer->n > 0;
}

/* Removes the head. False: there is none. */
static bool split(struct buf *answer, int *ret_status)
{
    struct slice rest = buf_view(answer);
    uint64_t status;
    if (!slice_starts(rest, SLICE("HTTP/1.")) || rest.n < sizeof "HTTP/1.x 200" ||
        !slice_to_u64(slice_of(rest.p + sizeof "HTTP/1.x", 3), &status))
        return false;
    const char *end = memmem(rest.p, rest.n, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    buf_consume(answer, (size_t)(end + 4 - rest.p));
    *ret_status = (int)status;
    return true;
}

static bool local_call(const char *command, const char *data, const char *method, const char *path,
                       struct slice body, struct buf *answer, int *ret_status)
{
    char dir[DATADIR_MAX] = "";
    int fd = datadir_find(data, dir, sizeof dir) ? connect_admin(dir) : -1;
    if (fd < 0) {
        fprintf(stderr,
                "weir %s: no gateway answers at %s/admin.sock: %s; is its data folder another "
                "(--data)?\n",
                command, dir, strerror(errno));
        return false;
    }
    bool ok = exchange(fd, method, path, body, answer) && split(answer, ret_status);
    close(fd);
    if (!ok)
        fprintf(stderr, "weir %s: the gateway gave no answer\n", command);
    return ok;
}

bool admin_socket_up(const char *data)
{
    char dir[DATADIR_MAX] = "";
    const char *url = getenv("WEIR_ADMIN_URL");
    if (data == NULL && url != NULL && *url != '\0')
        return true;
    int fd = datadir_find(data, dir, sizeof dir) ? connect_admin(dir) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

struct remote {
    struct buf *answer;
    int status;
};

static bool on_head(void *ctx, const struct http_head *h, bool leads_on)
{
    struct remote *r = ctx;
    (void)leads_on;
    r->status = (int)h->status;
    return true;
}

static bool on_data(void *ctx, struct slice data)
{
    struct remote *r = ctx;
    buf_slice(r->answer, data);
    return !r->answer->failed;
}

static enum http_method method_of(const char *text)
{
    for (unsigned m = 0; m < HTTP_METHODS_N; m++) {
        if (strcmp(http_method_text((enum http_method)m), text) == 0)
            return (enum http_method)m;
    }
    NEVER("callers name methods that exist");
}

static void put_credential(struct buf *out)
{
    const char *token = getenv("WEIR_ADMIN_TOKEN");
    struct buf value;
    if (token == NULL || *token == '\0')
        return;
    buf_init(&value, REQUEST_MAX);
    buf_lit(&value, "Bearer ");
    buf_slice(&value, slice_str(token));
    http_put_field(out, SLICE("Authorization"), buf_view(&value));
    mem_wipe(value.p, value.n);
    buf_done(&value);
}

static bool remote_call(const char *command, const char *base, const char *method, const char *path,
                        struct slice body, struct buf *answer, int *ret_status)
{
    struct remote remote = {.answer = answer};
    struct fetcher *f = fetcher_new(NULL, "weir/" WEIR_VERSION);
    struct buf url, credential;
    struct slice at = slice_str(base);
    while (at.n > 0 && at.p[at.n - 1] == '/')
        at.n--;
    buf_init(&url, REQUEST_MAX);
    buf_init(&credential, REQUEST_MAX);
    buf_slice(&url, at);
    buf_slice(&url, slice_str(path));
    put_credential(&credential);
    const struct fetch_request r = {.method = method_of(method),
                                    .url = buf_view(&url),
                                    .fields = SLICE("Content-Type: application/json\r\n"),
                                    .credential = buf_view(&credential),
                                    .body = body,
                                    .has_body = body.n > 0,
                                    .connect_ns = 10 * NS_PER_S,
                                    .head_ns = PATIENCE_S * NS_PER_S,
                                    .idle_ns = PATIENCE_S * NS_PER_S,
                                    .on_head = on_head,
                                    .on_data = on_data,
                                    .ctx = &remote};
    struct fetch_outcome o = {.end = FETCH_FAILED, .why = "out of memory"};
    if (f != NULL)
        o = fetch(f, &r);
    if (o.end != FETCH_DONE)
        fprintf(stderr, "weir %s: %.*s (WEIR_ADMIN_URL): %s\n", command, SLICE_ARG(at),
                o.end == FETCH_STOPPED ? "the answer is too long" : o.why);
    fetcher_free(f);
    buf_done(&url);
    if (credential.p != NULL)
        mem_wipe(credential.p, credential.n);
    buf_done(&credential);
    *ret_status = remote.status;
    return o.end == FETCH_DONE;
}

bool admin_socket_call(const char *command, const char *data, const char *method, const char *path,
                       struct slice body, struct buf *answer, int *ret_status)
{
    const char *url = getenv("WEIR_ADMIN_URL");
    bool remote = data == NULL && url != NULL && *url != '\0';
    return remote ? remote_call(command, url, method, path, body, answer, ret_status)
                  : local_call(command, data, method, path, body, answer, ret_status);
}

const char *admin_socket_ask(const char *command, const char *data, const char *method,
                             const char *path, int *ret_status)
{
    static struct buf answer;
    buf_done(&answer);
    buf_init(&answer, ADMIN_ANSWER_MAX);
    if (!admin_socket_call(command, data, method, path, SLICE_NONE, &answer, ret_status))
        return NULL;
    buf_char(&answer, '\0');
    return answer.failed ? NULL : answer.p;
}

void admin_socket_why(int status, struct slice answer, struct buf *out)
{
    struct json_parser *parser = json_parser_new();
    struct json_doc d;
    struct arena a;
    struct slice text = answer;
    size_t before = out->n;
    arena_init(&a, NULL, ADMIN_ANSWER_MAX);
    if (parser != NULL && json_parse(parser, answer, 0, &d) == JSON_OK &&
        json_type_at(&d, 0) == JSON_OBJECT) {
        uint32_t e = json_get(&d, 0, SLICE("error"));
        e = e != 0 && json_type_at(&d, e) == JSON_OBJECT ? json_get(&d, e, SLICE("message")) : 0;
        if (e != 0 && json_type_at(&d, e) == JSON_STRING)
            text = json_string(&d, e, &a);
    }
    struct terminal_text t = {.n = 0};
    terminal_text_put(&t, out, text);
    terminal_text_end(&t, out);
    if (out->n == before)
        buf_printf(out, "the gateway says %d", status);
    arena_reset(&a);
    json_parser_free(parser);
}

void admin_socket_error(const char *command, int status, struct slice answer)
{
    struct buf shown;
    buf_init(&shown, 1 << 16);
    admin_socket_why(status, answer, &shown);
    fprintf(stderr, "weir %s: %.*s\n", command, SLICE_ARG(buf_view(&shown)));
    buf_done(&shown);
}

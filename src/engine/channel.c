/* Starting shims and talking to them. */
#include "channel.h"

#include <signal.h>
#include <unistd.h>

#include "base/mem.h"

#define CHANNEL_MAGIC 0x4348414eu
#define HANDLES       2 /* process and pipe */

struct channel {
    uint32_t magic;
    struct net_loop *loop;
    const struct channel_ops *ops;
    void *ctx;
    uv_process_t process;
    uv_pipe_t pipe;
    struct buf in;
    struct json_parser *parser;
    unsigned closed; /* handles that are gone */
    bool ended;      /* the shim has said its last message */
    bool reaped, abandoned;
};

struct order {
    uv_write_t req;
    struct buf text;
};

static void on_handle_closed(uv_handle_t *h)
{
    struct channel *ch = h->data;
    if (++ch->closed < HANDLES)
        return;
    net_now(ch->loop);
    if (!ch->abandoned)
        ch->ops->on_closed(ch->ctx);
    json_parser_free(ch->parser);
    buf_done(&ch->in);
    ch->magic = 0;
    mem_free(ch);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, on_handle_closed);
}

static void on_exit_of_shim(uv_process_t *p, int64_t status, int signum)
{
    struct channel *ch = p->data;
    (void)status;
    (void)signum;
    ch->reaped = true;
    close_handle((uv_handle_t *)p); /* what it has said is still in the pipe */
}

static void read_lines(struct channel *ch)
{
    struct slice line;
    size_t bytes;
    while (!ch->abandoned && shim_line(&ch->in, &line, &bytes)) {
        struct shim_message m;
        struct arena a;
        arena_init(&a, &ch->loop->arenas, SHIM_ARENA_MAX);
        if (shim_message_read(ch->parser, line, &a, &m)) {
            ch->ended = m.type == SHIM_EXITED;
            ch->ops->on_message(ch->ctx, &m);
        }
        arena_reset(&a);
        buf_consume(&ch->in, bytes);
    }
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct channel *ch = h->data;
    (void)suggested;
    bool room = buf_reserve(&ch->in, 4096);
    *buf = room ? uv_buf_init(ch->in.p + ch->in.n, (unsigned)(ch->in.size - ch->in.n))
                : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct channel *ch = stream->data;
    (void)buf;
    net_now(ch->loop);
    if (n > 0) {
        ch->in.n += (size_t)n;
        read_lines(ch);
    } else if (n < 0) { /* its end is closed, or a line is too long: then ours closes and it ends */
        close_handle((uv_handle_t *)stream);
    }
}

static int spawn(struct channel *ch, const char *self, char **env)
{
    char name[] = "engine-shim", *path = mem_strndup(self, strlen(self));
    char *args[] = {path, name, NULL};
    uv_stdio_container_t stdio[SHIM_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&ch->pipe},
    };
    uv_process_options_t o = {
        .file = self,
        .args = args,
        .env = env,
        .exit_cb = on_exit_of_shim,
        .flags = UV_PROCESS_DETACHED, /* its own session: the terminal's signals are for Weir */
        .stdio = stdio,
        .stdio_count = ARRAY_LEN(stdio),
    };
    int err = path != NULL ? uv_spawn(&ch->loop->uv, &ch->process, &o) : UV_ENOMEM;
    mem_free(path);
    return err;
}

struct channel *channel_open(struct net_loop *loop, const char *self, char **env,
                             const struct channel_ops *ops, void *ctx, const char **ret_why)
{
    struct channel *ch = mem_calloc(1, sizeof *ch);
    *ret_why = uv_strerror(UV_ENOMEM);
    if (ch == NULL)
        return NULL;
    *ch = (struct channel){.magic = CHANNEL_MAGIC, .loop = loop, .ops = ops, .ctx = ctx};
    ch->parser = json_parser_new();
    buf_init(&ch->in, SHIM_LINE_MAX);
    if (ch->parser == NULL) {
        mem_free(ch);
        return NULL;
    }
    uv_pipe_init(&loop->uv, &ch->pipe, 0);
    ch->process.data = ch->pipe.data = ch;
    int err = spawn(ch, self, env);
    if (ch->process.loop == NULL) /* it did not come to be a handle */
        ch->closed++;
    if (err == 0)
        err = uv_read_start((uv_stream_t *)&ch->pipe, on_alloc, on_read);
    if (err != 0) {
        *ret_why = uv_strerror(err);
        channel_abandon(ch);
        return NULL;
    }
    return ch;
}

static void on_written(uv_write_t *req, int status)
{
    struct order *o = container_of(req, struct order, req);
    (void)status; /* a shim that does not read is found out by what it does not do */
    buf_done(&o->text);
    mem_free(o);
}

bool channel_send(struct channel *ch, const struct shim_message *m)
{
    CHECK_MAGIC(ch, CHANNEL_MAGIC);
    if (ch->ended || uv_is_closing((uv_handle_t *)&ch->pipe))
        return false;
    struct order *o = mem_calloc(1, sizeof *o);
    if (o == NULL)
        return false;
    buf_init(&o->text, SHIM_LINE_MAX);
    shim_message_put(&o->text, m);
    uv_buf_t b = uv_buf_init(o->text.p, (unsigned)o->text.n);
    if (o->text.failed || uv_write(&o->req, (uv_stream_t *)&ch->pipe, &b, 1, on_written) != 0) {
        buf_done(&o->text);
        mem_free(o);
        return false;
    }
    return true;
}

void channel_kill(struct channel *ch)
{
    CHECK_MAGIC(ch, CHANNEL_MAGIC);
    if (!ch->reaped)
        uv_process_kill(&ch->process, SIGKILL);
    close_handle((uv_handle_t *)&ch->pipe);
}

void channel_abandon(struct channel *ch)
{
    if (ch == NULL)
        return;
    CHECK_MAGIC(ch, CHANNEL_MAGIC);
    ch->abandoned = true;
    if (ch->process.loop != NULL)
        close_handle((uv_handle_t *)&ch->process);
    close_handle((uv_handle_t *)&ch->pipe);
}

int64_t channel_pid(const struct channel *ch)
{
    return ch->reaped ? 0 : uv_process_get_pid(&ch->process);
}

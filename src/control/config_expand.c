/* Environment variables in values, and secrets in files. Both happen after the file was parsed:
 * what comes in is text and never becomes YAML. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_read.h"

static const char too_long[] = "longer than 64 KiB";

static enum value_state fail(struct config_reader *r, const struct config_row *row,
                             const struct ynode *node, const char *text)
{
    diag_error(&r->diag, node->pos, "`%s`: %s", row->key, text);
    return VALUE_BAD;
}

static enum value_state no_memory(struct config_reader *r)
{
    diag_no_memory(&r->diag);
    return VALUE_BAD;
}

static size_t name_length(struct slice s)
{
    size_t n = 0;
    while (n < s.n && ((s.p[n] >= 'a' && s.p[n] <= 'z') || (s.p[n] >= 'A' && s.p[n] <= 'Z') ||
                       s.p[n] == '_' || (n > 0 && s.p[n] >= '0' && s.p[n] <= '9')))
        n++;
    return n;
}

static bool has_variable(struct slice s)
{
    return s.n >= 2 && memmem(s.p, s.n, "${", 2) != NULL;
}

static enum value_state append(struct config_reader *r, const struct config_row *row,
                               const struct ynode *node, struct slice text, struct buf *out)
{
    if (text.n > CONFIG_TEXT_MAX - MIN_OF(out->n, CONFIG_TEXT_MAX))
        return fail(r, row, node, too_long);
    buf_slice(out, text);
    return VALUE_OK;
}

/* Appends what the text between "${" and "}" stands for. The text itself is shown in messages only
 * as far as it is a variable's name. */
static enum value_state expand_one(struct config_reader *r, const struct config_row *row,
                                   const struct ynode *node, struct slice inner, struct buf *out)
{
    struct slice name = slice_of(inner.p, name_length(inner));
    struct slice rest = slice_from(inner, name.n);
    bool fallback = slice_starts(rest, SLICE(":-"));
    if (name.n == 0 || name.n > 255 || (rest.n > 0 && !fallback))
        return fail(r, row, node,
                    "only `${NAME}` and `${NAME:-default}` can be expanded (`$${` means `${`)");
    if (has_variable(rest))
        return fail(r, row, node, "a default inside `${...}` cannot hold another variable");
    char *text = arena_str(&r->scratch, name);
    if (text == NULL)
        return no_memory(r);
    const char *value = reader_getenv(r, text);
    if (value != NULL && (value[0] != '\0' || !fallback))
        return append(r, row, node, slice_str(value), out);
    if (fallback)
        return append(r, row, node, slice_from(rest, 2), out);
    diag_error(&r->diag, node->pos,
               "`%s`: the environment variable `%s` is not set (`${%s:-...}` gives a default)",
               row->key, text, text);
    return VALUE_BAD;
}

static enum value_state expand_all(struct config_reader *r, const struct config_row *row,
                                   const struct ynode *node, struct buf *out)
{
    enum value_state state = VALUE_OK;
    struct slice s = node->text;
    while (s.n > 0) {
        if (slice_starts(s, SLICE("$${"))) {
            buf_lit(out, "${");
            s = slice_from(s, 3);
        } else if (slice_starts(s, SLICE("${"))) {
            ptrdiff_t end = slice_find(s, '}');
            if (end < 0)
                return fail(r, row, node, "`${` without its `}` (`$${` means `${`)");
            if (expand_one(r, row, node, slice_of(s.p + 2, (size_t)end - 2), out) != VALUE_OK)
                state = VALUE_BAD;
            s = slice_from(s, (size_t)end + 1);
        } else {
            buf_char(out, s.p[0]);
            s = slice_from(s, 1);
        }
    }
    return state;
}

enum value_state expand_variables(struct config_reader *r, const struct config_row *row,
                                  const struct ynode *node, struct slice *ret, bool *ret_changed)
{
    struct slice text = node->text;
    struct buf out;
    enum value_state state = VALUE_OK;
    buf_init(&out, 2 * CONFIG_TEXT_MAX + 1);
    *ret_changed = !node->literal && has_variable(text);
    if (*ret_changed && text.n <= CONFIG_TEXT_MAX) {
        state = expand_all(r, row, node, &out);
        text = buf_view(&out);
    }
    if (out.failed)
        state = no_memory(r);
    else if (state == VALUE_OK && text.n > CONFIG_TEXT_MAX)
        state = fail(r, row, node, too_long);
    if (state == VALUE_OK) {
        *ret = arena_copy(&r->c->arena, text);
        if (ret->p == NULL)
            state = no_memory(r);
    }
    buf_done(&out);
    return state;
}

/* Fills `buf` (CONFIG_TEXT_MAX + 1 bytes) from the file; false: errno says why. */
static bool read_whole(int fd, char *buf, size_t *ret_n)
{
    size_t n = 0;
    while (n <= CONFIG_TEXT_MAX) {
        ssize_t got = read(fd, buf + n, CONFIG_TEXT_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *ret_n = n;
    return true;
}

static enum value_state fail_file(struct config_reader *r, const struct config_row *row,
                                  const struct ynode *node, const char *path, const char *why)
{
    diag_error(&r->diag, node->pos, "`%s`: cannot use the file %s: %s", row->key,
               diag_quote(&r->diag, slice_str(path)), why);
    return VALUE_BAD;
}

static enum value_state read_secret(struct config_reader *r, const struct config_row *row,
                                    const struct ynode *node, int fd, struct slice *text)
{
    const char *path = text->p + strlen("file:");
    struct stat st;
    size_t n;
    if (fstat(fd, &st) != 0)
        return fail_file(r, row, node, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail_file(r, row, node, path, "it is not a plain file");
    char *content = arena_alloc(&r->c->arena, CONFIG_TEXT_MAX + 2);
    if (content == NULL)
        return no_memory(r);
    if (!read_whole(fd, content, &n))
        return fail_file(r, row, node, path, strerror(errno));
    if (n > CONFIG_TEXT_MAX)
        return fail_file(r, row, node, path, "it is larger than 64 KiB");
    if (n > 0 && content[n - 1] == '\n')
        n--;
    if (n > 0 && content[n - 1] == '\r')
        n--;
    if (n == 0)
        return fail_file(r, row, node, path, "it is empty");
    content[n] = '\0';
    if (st.st_mode & S_IROTH)
        diag_warn(&r->diag, node->pos, "`%s`: everybody on this machine can read the file %s",
                  row->key, diag_quote(&r->diag, slice_str(path)));
    *text = slice_of(content, n);
    return VALUE_OK;
}

enum value_state expand_file(struct config_reader *r, const struct config_row *row,
                             const struct ynode *node, struct slice *text)
{
    if (!slice_starts(*text, SLICE("file:")))
        return VALUE_OK;
    const char *path = text->p + strlen("file:");
    if (path[0] != '/')
        return fail(r, row, node, "`file:` needs an absolute path");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail_file(r, row, node, path, strerror(errno));
    enum value_state state = read_secret(r, row, node, fd, text);
    close(fd);
    return state;
}

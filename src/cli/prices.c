/* `weir prices`: shows what models cost, and takes newer prices. */
#include "prices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "options.h"

#define MODELS_MAX 1000

static const char usage[] =
    "prices [--json] [--data DIR] [MODEL...]\n"
    "       weir prices update [--data DIR] [--ca FILE] FILE|URL\n"
    "Shows dollars per million tokens, of MODEL or of PROVIDER/MODEL, or of all models. `update`\n"
    "takes newer prices: a table in Weir's format, or the data.json of genai-prices.";

void prices_say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("weir prices: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

bool prices_read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    if (fd < 0)
        return false;
    while (buf_reserve(out, 65536) && (got = read(fd, out->p + out->n, 65536)) > 0)
        out->n += (size_t)got;
    int err = out->failed ? EFBIG : errno;
    close(fd);
    errno = err;
    return got == 0 && !out->failed;
}

struct price_book *prices_in_use(const char *data)
{
    char dir[DATADIR_MAX], path[PRICES_PATH_MAX];
    struct buf text, why;
    struct price_book *b = NULL;
    if (!datadir_find(data, dir, sizeof dir)) {
        prices_say("there is no data folder: give one with --data");
        return NULL;
    }
    snprintf(path, sizeof path, "%s/prices.json", dir);
    buf_init(&text, PRICES_FILE_MAX + 65536);
    buf_init(&why, 1000);
    if (prices_read_file(path, &text)) {
        b = price_book_with(buf_view(&text), &why);
        if (b == NULL)
            prices_say("%s:" SLICE_FMT, path, SLICE_ARG(buf_view(&why)));
    } else if (errno == ENOENT) {
        b = price_book_new();
    } else {
        prices_say("%s: %s", path, strerror(errno));
    }
    buf_done(&text);
    buf_done(&why);
    return b;
}

static int update(int argc, char **argv)
{
    const char *data = NULL, *ca = NULL;
    const struct option_row rows[] = {
        {"--data", "DIR   the data folder", &data, NULL},
        {"--ca", "FILE    further certificate authorities to trust (PEM)", &ca, NULL},
    };
    int n = options_read(argc, argv, "prices update [--data DIR] [--ca FILE] FILE|URL", rows,
                         ARRAY_LEN(rows), 1);
    if (n < 0)
        return options_status(n);
    if (n == 0) {
        prices_say("a file or a URL is needed; see weir prices --help");
        return 2;
    }
    return prices_update(argv[1], data, ca);
}

int cmd_prices(int argc, char **argv)
{
    const char *data = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--json", "as JSON", NULL, &json},
        {"--data", "DIR   the data folder", &data, NULL},
    };
    if (argc >= 2 && strcmp(argv[1], "update") == 0)
        return update(argc - 1, argv + 1);
    int n = options_read(argc, argv, usage, rows, ARRAY_LEN(rows), MODELS_MAX);
    if (n < 0)
        return options_status(n);
    struct price_book *b = prices_in_use(data);
    if (b == NULL)
        return 1;
    int status = prices_show(b, argv + 1, n, json);
    price_book_unref(b);
    return status;
}

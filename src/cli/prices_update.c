/* `weir prices update`: takes a table from a file or URL, says what it changes, and keeps it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin_socket.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "fetch.h"
#include "policy/price_feed.h"
#include "prices.h"
#include "terminal.h"
#include "version.h"

#define CHANGES_SHOWN 5
#define ROWS_BYTES    ((size_t)64 << 20)

/* ---------------------------------------------------------------- reading */

struct download {
    struct buf *out;
    unsigned status;
};

static bool on_head(void *ctx, const struct http_head *head, bool leads_on)
{
    struct download *d = ctx;
    if (!leads_on)
        d->status = head->status;
    return leads_on || head->status == 200;
}

static bool on_data(void *ctx, struct slice data)
{
    struct download *d = ctx;
    buf_slice(d->out, data);
    return !d->out->failed;
}

static bool download(const char *url, const char *ca_file, struct buf *out)
{
    struct download d = {.out = out};
    struct fetcher *f = fetcher_new(ca_file, "weir/" WEIR_VERSION);
    const struct fetch_request r = {.method = HTTP_GET,
                                    .url = slice_str(url),
                                    .fields = SLICE("Accept: application/json\r\n"),
                                    .redirects_max = 5,
                                    .connect_ns = 15 * NS_PER_S,
                                    .head_ns = 60 * NS_PER_S,
                                    .idle_ns = 60 * NS_PER_S,
                                    .on_head = on_head,
                                    .on_data = on_data,
                                    .ctx = &d};
    if (f == NULL) {
        prices_say("out of memory");
        return false;
    }
    struct fetch_outcome o = fetch(f, &r);
    fetcher_free(f);
    if (o.end == FETCH_DONE && d.status == 200 && !out->failed)
        return true;
    if (d.status != 0 && d.status != 200)
        prices_say("%s: the answer is status %u", url, d.status);
    else
        prices_say("%s: %s", url, out->failed ? "too large for a table of prices" : o.why);
    return false;
}

static bool read_source(const char *source, const char *ca_file, struct buf *out)
{
    if (strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0)
        return download(source, ca_file, out);
    if (prices_read_file(source, out))
        return true;
    prices_say("%s: %s", source,
               errno == EFBIG ? "too large for a table of prices" : strerror(errno));
    return false;
}

/* Whether the text is a list, as genai-prices publishes it, rather than Weir's own table. */
static bool is_feed(struct slice text)
{
    size_t at = 0;
    while (at < text.n && strchr(" \t\r\n", text.p[at]) != NULL && text.p[at] != '\0')
        at++;
    return at < text.n && text.p[at] == '[';
}

/* The table in Weir's format, and its book. NULL: told. */
static struct price_book *read_table(const char *source, const char *ca_file, struct buf *table)
{
    struct buf text, why;
    struct price_feed_result result = {0};
    struct price_book *b = NULL;
    char today[CLOCK_RFC3339_SIZE];
    buf_init(&text, PRICES_FILE_MAX + 65536);
    buf_init(&why, 1000);
    clock_format_rfc3339(clock_wall_ns(), today);
    bool ok = read_source(source, ca_file, &text), told = !ok;
    if (ok && is_feed(buf_view(&text)))
        ok = price_feed_convert(buf_view(&text), slice_of(today, 10), table, &result, &why);
    else if (ok)
        buf_slice(table, buf_view(&text));
    if (ok)
        b = price_book_with(buf_view(table), &why);
    if (b == NULL && !told) {
        struct buf shown;
        buf_init(&shown, 2000);
        terminal_text_line(&shown, buf_view(&why), 600);
        prices_say("%s:" SLICE_FMT, source, SLICE_ARG(buf_view(&shown)));
        buf_done(&shown);
    }
    if (b != NULL && result.rules + result.prices > 0)
        prices_say("%u rules for names and %u prices are of a form that is not known, and left out",
                   result.rules, result.prices);
    buf_done(&text);
    buf_done(&why);
    return b;
}

/* ---------------------------------------------------------------- what changes */

struct row {
    struct slice provider, model, key;
    const struct price *price;
};
struct change {
    const struct row *before, *now;
    double factor; /* at least 1; the larger of input and output */
};
struct rows {
    struct arena arena;
    struct buf list; /* of struct row */
    struct strmap by_key;
    bool failed;
};

static struct row *rows_of(const struct rows *r, size_t *ret_n)
{
    *ret_n = r->list.n / sizeof(struct row);
    return (struct row *)(void *)r->list.p;
}

static void on_row(void *ctx, const struct price_row *row)
{
    struct rows *r = ctx;
    if (row->table != 0)
        return;
    struct row added = {.provider = row->provider, .model = row->model, .price = row->price};
    added.key = arena_printf(&r->arena, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(row->provider),
                             SLICE_ARG(row->model));
    r->failed |= added.key.p == NULL;
    buf_append(&r->list, &added, sizeof added);
}

/* The models of the newest table of the book. */
static void rows_read(struct rows *r, const struct price_book *b)
{
    size_t n;
    *r = (struct rows){.failed = false};
    arena_init(&r->arena, NULL, ROWS_BYTES);
    buf_init(&r->list, ROWS_BYTES);
    price_book_each(b, on_row, r);
    struct row *rows = rows_of(r, &n);
    r->failed |= r->list.failed || !strmap_init(&r->by_key, &r->arena, n);
    for (size_t i = 0; i < n && !r->failed; i++)
        if (strmap_get(&r->by_key, rows[i].key) == NULL)
            r->failed |= !strmap_add(&r->by_key, rows[i].key, &rows[i]);
}

static void rows_done(struct rows *r)
{
    buf_done(&r->list);
    arena_reset(&r->arena);
}

static bool same_tiers(const struct price_tier *a, unsigned a_n, const struct price_tier *b,
                       unsigned b_n)
{
    return a_n == b_n && memcmp(a, b, a_n * sizeof *a) == 0;
}

static bool same_price(const struct price *a, const struct price *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (!same_tiers(a->tier, a->tiers_n, b->tier, b->tiers_n) || a->windows_n != b->windows_n)
        return false;
    for (unsigned i = 0; i < a->windows_n; i++) {
        const struct price_window *x = &a->window[i], *y = &b->window[i];
        if (x->from_s != y->from_s || x->to_s != y->to_s ||
            !same_tiers(x->tier, x->tiers_n, y->tier, y->tiers_n))
            return false;
    }
    return true;
}

/* By what a rate has grown or shrunk; from or to nothing is beyond all. */
static double factor_of(int64_t before, int64_t now)
{
    double a = (double)MAX_OF(before, INT64_C(0)), b = (double)MAX_OF(now, INT64_C(0));
    if (before == now)
        return 1;
    return a <= 0 || b <= 0 ? HUGE_VAL : fmax(a / b, b / a);
}

static double change_factor(const struct price *a, const struct price *b)
{
    if (a == NULL || b == NULL)
        return HUGE_VAL;
    return fmax(factor_of(a->tier[0].rate[PRICE_INPUT], b->tier[0].rate[PRICE_INPUT]),
                factor_of(a->tier[0].rate[PRICE_OUTPUT], b->tier[0].rate[PRICE_OUTPUT]));
}

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    return (x->factor < y->factor) - (x->factor > y->factor);
}

static void put_prices(struct buf *out, const struct price *p)
{
    if (p == NULL) {
        buf_lit(out, "unknown");
        return;
    }
    prices_put_dollars(out, p->tier[0].rate[PRICE_INPUT]);
    buf_lit(out, " in, ");
    prices_put_dollars(out, p->tier[0].rate[PRICE_OUTPUT]);
    buf_lit(out, " out");
}

static void print_change(const struct change *c)
{
    struct buf line;
    buf_init(&line, 4096);
    buf_lit(&line, "  ");
    terminal_text_line(&line, c->now->key, 300);
    buf_lit(&line, ": ");
    put_prices(&line, c->before->price);
    buf_lit(&line, " -> ");
    put_prices(&line, c->now->price);
    if (c->factor <= 1)
        buf_lit(&line, " (other rates change)");
    printf(SLICE_FMT "\n", SLICE_ARG(buf_view(&line)));
    buf_done(&line);
}

/* Says how the tables differ. False: no memory. */
static bool print_changes(struct rows *before, struct rows *now)
{
    size_t n, before_n, changed = 0, added = 0, gone = 0;
    const struct row *rows = rows_of(now, &n), *old = rows_of(before, &before_n);
    struct change *changes = mem_calloc(MAX_OF(n, (size_t)1), sizeof *changes);
    if (changes == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct row *was = strmap_get(&before->by_key, rows[i].key);
        if (was == NULL)
            added++;
        else if (!same_price(was->price, rows[i].price))
            changes[changed++] =
                (struct change){was, &rows[i], change_factor(was->price, rows[i].price)};
    }
    for (size_t i = 0; i < before_n; i++)
        gone += strmap_get(&now->by_key, old[i].key) == NULL;
    printf("%zu models: %zu new, %zu changed, %zu gone\n", n, added, changed, gone);
    qsort(changes, changed, sizeof *changes, compare_changes);
    for (size_t i = 0; i < MIN_OF(changed, (size_t)CHANGES_SHOWN); i++)
        print_change(&changes[i]);
    if (changed > CHANGES_SHOWN)
        printf("  and %zu more\n", changed - CHANGES_SHOWN);
    mem_free(changes);
    return true;
}

static bool compare_books(const struct price_book *before, const struct price_book *now)
{
    struct rows a, b;
    rows_read(&a, before);
    rows_read(&b, now);
    bool ok = !a.failed && !b.failed && print_changes(&a, &b);
    if (!ok)
        prices_say("out of memory");
    rows_done(&a);
    rows_done(&b);
    return ok;
}

/* ---------------------------------------------------------------- keeping */

/* Writes a file beside and gives it the name, so that nobody ever sees half of it. */
static bool keep(const char *path, struct slice text)
{
    char next[PRICES_PATH_MAX + 16];
    snprintf(next, sizeof next, "%s.XXXXXX", path);
    int fd = mkostemp(next, O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = terminal_write(fd, text) && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
    ok = ok && rename(next, path) == 0;
    int err = errno;
    if (!ok)
        unlink(next);
    close(fd);
    errno = err;
    return ok;
}

/* Has the gateway read it, if one runs here. False: told. */
static bool reload(const char *dir)
{
    char path[PRICES_PATH_MAX];
    int status = 0;
    snprintf(path, sizeof path, "%s/admin.sock", dir);
    if (access(path, F_OK) != 0)
        return true;
    const char *body = admin_socket_ask("prices", dir, "POST", "/admin/v1/reload", &status);
    if (body == NULL)
        return true; /* a socket that a gateway left: told, and no harm */
    if (status == 200)
        puts("the running gateway uses it from now on");
    else
        prices_say("the gateway did not take it: %s", body);
    return status == 200;
}

/* What was there before may be damaged, which is a reason to write it anew. */
static struct price_book *book_before(const char *dir)
{
    struct price_book *b = prices_in_use(dir);
    return b != NULL ? b : price_book_new();
}

int prices_update(const char *source, const char *data, const char *ca_file)
{
    char dir[DATADIR_MAX], path[PRICES_PATH_MAX];
    struct buf table;
    int status = 1;
    if (!datadir_find(data, dir, sizeof dir)) {
        prices_say("there is no data folder: give one with --data");
        return 1;
    }
    snprintf(path, sizeof path, "%s/prices.json", dir);
    buf_init(&table, (size_t)64 << 20);
    struct price_book *now = read_table(source, ca_file, &table);
    struct price_book *before = now != NULL ? book_before(dir) : NULL;
    if (before == NULL || !compare_books(before, now)) {
        status = 1;
    } else if (!datadir_make(dir) || !keep(path, buf_view(&table))) {
        prices_say("%s: %s", path, strerror(errno));
    } else {
        printf("%s: prices of " SLICE_FMT "\n", path, SLICE_ARG(price_book_date(now)));
        status = reload(dir) ? 0 : 1;
    }
    price_book_unref(before);
    price_book_unref(now);
    buf_done(&table);
    return status;
}

/* Tables of prices, in Weir's format and in that of the public data: what is accepted can be
 * searched and counted with, what is refused is told, and what is converted is accepted. */
/* layer: policy */
#include "policy/price.h"
#include "policy/price_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_price(const struct price *p)
{
    struct llm_usage u = {.input = 250000, .output = 1000, .cached = 5, .cache_write = 7};
    for (int64_t s = 0; s < 86400; s += 3600)
        ASSERT(price_cost(p, &u, s) >= 0);
}

static void on_row(void *ctx, const struct price_row *row)
{
    if (row->table == 0) {
        if (row->price != NULL)
            check_price(row->price);
        const struct price *p = price_find(ctx, row->provider, row->model);
        if (p != NULL)
            check_price(p);
        ASSERT(price_context(ctx, row->provider, row->model) >= 0);
        struct price_abilities a = price_abilities(ctx, row->provider, row->model);
        ASSERT((a.can & a.cannot) == 0 && (a.can | a.cannot) >> LLM_ABILITIES == 0);
    }
}

static void check_book(struct slice text, bool must_be_right)
{
    struct buf why;
    buf_init(&why, 2000);
    struct price_book *b = price_book_with(text, &why);
    ASSERT((b == NULL) == (why.n > 0));
    ASSERT(b != NULL || !must_be_right);
    if (b != NULL && text.n < 4096)
        price_book_each(b, on_row, b);
    price_book_unref(b);
    buf_done(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    struct price_feed_result result;
    struct buf out, why;
    check_book(text, false);
    buf_init(&out, (size_t)64 << 20);
    buf_init(&why, 2000);
    bool ok = price_feed_convert(text, SLICE("2026-11-21"), &out, &result, &why);
    ASSERT(ok == (why.n == 0));
    if (ok)
        check_book(buf_view(&out), true);
    buf_done(&out);
    buf_done(&why);
    return 0;
}

/* Pauses of the webhook's sender, and URLs that it takes. What it does with receivers that fail is
 * tested with the whole gateway. */
#include "webhook.h"

#include "base/clock.h"
#include "check.h"

TEST(pauses_grow)
{
    for (uint64_t random = 0; random < 1000; random += 7) {
        for (unsigned n = 1; n < 40; n++) {
            int64_t most = n < 11 ? NS_PER_S << (n - 1) : 600 * NS_PER_S;
            int64_t wait = webhook_retry_after(n, random * UINT64_C(0x9e3779b97f4a7c15));
            most = MIN_OF(most, 600 * NS_PER_S);
            CHECK(wait <= most && wait > most - most / 4 - 1);
        }
    }
}

static void nothing(void *ctx, int64_t id, bool taken, const char *why)
{
    (void)id, (void)why;
    *(int *)ctx += taken ? 100 : 1;
}

TEST(receivers)
{
    struct block_budget budget = {.limit_bytes = 1 << 24};
    struct config_egress egress = {.proxy = SLICE_NONE};
    struct net_loop loop;
    struct buf error;
    int lost = 0;
    buf_init(&error, 4096);
    CHECK(net_loop_init(&loop, 64, &budget) == 0);
    struct webhook *w = webhook_new(&loop, nothing, &lost);
    CHECK(w != NULL);
    CHECK(!webhook_post(w, 1, SLICE("{}"))); /* nowhere to go */
    CHECK(!webhook_set(w, &egress, SLICE("ftp://example.com/"), &error));
    CHECK_EQ_LIT(buf_view(&error), "alerts.webhook: must begin with http:// or https://");
    buf_reset(&error);
    CHECK(!webhook_set(w, &egress, SLICE("http://me:secret@127.0.0.1/"), &error));
    CHECK(slice_find(buf_view(&error), '@') < 0);
    buf_reset(&error);
    CHECK(webhook_set(w, &egress, SLICE("http://127.0.0.1:9/a/?b=c"), &error));
    CHECK(webhook_post(w, 1, SLICE("{}")));
    CHECK(webhook_post(w, 2, SLICE("{}")));
    CHECK_EQ_U64(webhook_waiting(w), 2);
    CHECK(webhook_set(w, &egress, SLICE("http://127.0.0.1:9"), &error)); /* they wait on */
    CHECK_EQ_U64(webhook_waiting(w), 2);
    CHECK(webhook_set(w, &egress, SLICE_NONE, &error));
    CHECK_EQ_U64(webhook_waiting(w), 0);
    CHECK_EQ_I64(lost, 2);
    CHECK(webhook_set(w, &egress, SLICE("http://127.0.0.1:9"), &error));
    for (int i = 0; i < 1000; i++)
        CHECK(webhook_post(w, i + 1, SLICE("{}")));
    CHECK(!webhook_post(w, 1001, SLICE("{}"))); /* a ceiling */
    webhook_free(w);
    CHECK_EQ_I64(lost, 2);
    net_loop_done(&loop);
    buf_done(&error);
}

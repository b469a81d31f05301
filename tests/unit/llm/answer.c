/* Whole answers from events, and events in the order that sequential dialects need. */
#include "base/clock.h"
#include "check.h"
#include "fixture.h"
#include "llm/neutral.h"

#define MANY 60000

static struct buf said;

static struct llm_event event(enum llm_event_kind kind, unsigned part)
{
    return (struct llm_event){.kind = kind, .part = part};
}

static struct llm_event delta(unsigned part, const char *text)
{
    struct llm_event e = event(EVENT_DELTA, part);
    e.text.inner = slice_str(text);
    return e;
}

/* One line an event. What came is overwritten at once, as by the next read. */
static void note(void *ctx, const struct llm_event *e)
{
    static const char *const names[] = {[EVENT_PART] = "part",
                                        [EVENT_DELTA] = "delta",
                                        [EVENT_SIGNATURE] = "signature",
                                        [EVENT_PART_END] = "end",
                                        [EVENT_FINISH] = "finish"};
    (void)ctx;
    buf_printf(&said, "%u.%u %s %.*s%.*s\n", e->choice, e->part, names[e->kind],
               SLICE_ARG(e->text.inner), SLICE_ARG(e->json));
}

static void pass(struct llm_sequencer *s, struct llm_event e)
{
    char text[64], json[64];
    CHECK(e.text.inner.n < sizeof text && e.json.n < sizeof json);
    if (e.text.inner.p != NULL)
        e.text.inner.p = memcpy(text, e.text.inner.p, e.text.inner.n);
    if (e.json.p != NULL)
        e.json.p = memcpy(json, e.json.p, e.json.n);
    llm_sequence(s, &e);
    memset(text, '#', sizeof text);
    memset(json, '#', sizeof json);
}

TEST(parts_wait_for_their_turn)
{
    set_up();
    buf_init(&said, 1 << 16);
    struct llm_sequencer s = {.emit = note, .arena = &arena};
    struct llm_event native = event(EVENT_PART, 2);
    native.part_kind = PART_NATIVE;
    native.json = SLICE("{\"own\":1}");
    pass(&s, event(EVENT_PART, 0));
    pass(&s, event(EVENT_PART, 1));
    pass(&s, delta(1, "b1"));
    pass(&s, native);
    pass(&s, delta(0, "a1"));
    pass(&s, delta(1, "b2"));
    pass(&s, event(EVENT_PART_END, 2));
    pass(&s, delta(1, "b3"));
    pass(&s, event(EVENT_PART_END, 1));
    CHECK_EQ_LIT(buf_view(&said), "0.0 part \n0.0 delta a1\n");
    pass(&s, event(EVENT_PART_END, 0));
    pass(&s, event(EVENT_FINISH, 0));
    CHECK_EQ_LIT(buf_view(&said), "0.0 part \n0.0 delta a1\n0.0 end \n"
                                  "0.1 part \n0.1 delta b1b2b3\n0.1 end \n"
                                  "0.2 part {\"own\":1}\n0.2 end \n0.0 finish \n");
    CHECK(!s.failed);
    buf_done(&said);
    tear_down();
}

/* Many pieces of a call that waits cost neither an entry each nor a walk along all before them. */
TEST(many_pieces_wait)
{
    set_up();
    buf_init(&said, 1 << 20);
    struct llm_sequencer s = {.emit = note, .arena = &arena};
    int64_t from = clock_mono_ns();
    pass(&s, event(EVENT_PART, 0));
    pass(&s, event(EVENT_PART, 1));
    pass(&s, event(EVENT_PART, 2));
    for (unsigned i = 0; i < MANY; i++)
        pass(&s, delta(1 + i % 2, "x"));
    CHECK(arena.used < 64 * MANY);
    pass(&s, event(EVENT_PART_END, 1));
    pass(&s, event(EVENT_PART_END, 2));
    pass(&s, event(EVENT_PART_END, 0));
    CHECK(!s.failed && said.n > MANY);
    CHECK(clock_mono_ns() - from < 2 * NS_PER_S);
    buf_done(&said);
    tear_down();
}

/* Time in proportion to their number. */
TEST(many_parts_and_citations)
{
    struct arena a;
    struct llm_answer answer = {.whole = false};
    struct llm_collector c = {.arena = &a, .answer = &answer};
    const struct llm_citation citation = {.url = SLICE("u"), .start = 1, .end = 2};
    int64_t from = clock_mono_ns();
    arena_init(&a, NULL, (size_t)256 << 20);
    for (unsigned i = 0; i < MANY; i++) {
        struct llm_event e = event(EVENT_PART, i), cited = event(EVENT_CITATION, i);
        struct llm_event text = delta(i, "x"), end = event(EVENT_PART_END, i);
        cited.citation = &citation;
        llm_collect(&c, &e);
        llm_collect(&c, &text);
        llm_collect(&c, &cited);
        llm_collect(&c, &end);
        text.part = i / 2; /* it has ended: nobody's */
        llm_collect(&c, &text);
    }
    CHECK(llm_collect_end(&c));
    CHECK(clock_mono_ns() - from < 2 * NS_PER_S);
    unsigned n = 0;
    for (const struct llm_part *p = answer.choices->parts; p != NULL; p = p->next, n++)
        CHECK_EQ_LIT(p->text.inner, "x");
    CHECK_EQ_I64(n, MANY);
    arena_reset(&a);
}

/* Joins of a cut text with any continuation: what goes on is the continuation's end, behind what
 * the contract has it begin with; a join that fails passes nothing; pieces make no difference; and
 * what keeps the contract is never changed. Bytes: how it was asked for, length of the pieces,
 * length of the delivered text; the text; the continuation. */
/* layer: llm */
#include "llm/join.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAP ((size_t)1 << 22)

static enum llm_join_result run(enum llm_continue how, struct slice delivered, struct slice text,
                                size_t step, struct buf *out)
{
    struct llm_join j;
    buf_init(out, CAP);
    llm_join_init(&j, how, delivered);
    for (size_t at = 0; at < text.n; at += step) {
        struct slice piece = slice_of(text.p + at, MIN_OF(step, text.n - at));
        enum llm_join_result r = llm_join_feed(&j, piece, out);
        ASSERT(r == JOIN_PASS || out->n == 0);
    }
    enum llm_join_result end = llm_join_end(&j, out);
    ASSERT(end == JOIN_PASS || (end == JOIN_FAILED && out->n == 0 && j.why != NULL));
    return end;
}

static bool ends_with(struct slice s, struct slice end)
{
    return s.n >= end.n && slice_eq(slice_from(s, s.n - end.n), end);
}

static struct slice without_margin(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r') ||
                       (s.p[0] >= 0x1C && s.p[0] <= 0x1F)))
        s = slice_from(s, 1);
    return s;
}

/* What was dropped is what the contract has to stand there. */
static void check_dropped(enum llm_continue how, struct slice delivered, struct slice text,
                          struct slice out)
{
    struct slice owed = slice_from(delivered, llm_join_sent(delivered).n);
    ASSERT(ends_with(text, out));
    struct slice dropped = slice_of(text.p, text.n - out.n);
    if (how == LLM_CONTINUE_INSTRUCTION) {
        dropped = without_margin(dropped);
        ASSERT(ends_with(delivered, dropped));
        ASSERT(ends_with(dropped, llm_join_anchor(delivered)));
    } else {
        bool echoed = how == LLM_CONTINUE_ECHOED && slice_eq(dropped, delivered);
        ASSERT(echoed || slice_eq(dropped, owed));
    }
}

static void check(enum llm_continue how, struct slice delivered, struct slice text, size_t step)
{
    struct buf whole, cut;
    enum llm_join_result a = run(how, delivered, text, MAX_OF(text.n, (size_t)1), &whole);
    enum llm_join_result b = run(how, delivered, text, step, &cut);
    ASSERT(a == b && slice_eq(buf_view(&whole), buf_view(&cut)));
    if (a == JOIN_PASS)
        check_dropped(how, delivered, text, buf_view(&whole));
    buf_done(&whole);
    buf_done(&cut);
}

/* A continuation that begins as the contract says. */
static void check_kept(enum llm_continue how, struct slice delivered, struct slice rest)
{
    struct slice begin = how == LLM_CONTINUE_INSTRUCTION
                             ? llm_join_anchor(delivered)
                             : slice_from(delivered, llm_join_sent(delivered).n);
    struct buf text, out;
    buf_init(&text, CAP);
    buf_slice(&text, begin);
    buf_slice(&text, rest);
    enum llm_join_result r = run(how, delivered, buf_view(&text), MAX_OF(text.n, (size_t)1), &out);
    ASSERT(r == JOIN_PASS || how != LLM_CONTINUE_INSTRUCTION);
    ASSERT(r == JOIN_FAILED || slice_eq(buf_view(&out), rest) || how == LLM_CONTINUE_ECHOED);
    buf_done(&text);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum llm_continue hows[] = {LLM_CONTINUE_PREFILL, LLM_CONTINUE_ECHOED,
                                             LLM_CONTINUE_INSTRUCTION};
    if (size < 4)
        return 0;
    enum llm_continue how = hows[data[0] % ARRAY_LEN(hows)];
    size_t n = MIN_OF((size_t)(data[2] | data[3] << 8), size - 4);
    struct slice delivered = slice_of((const char *)data + 4, n);
    struct slice text = slice_of((const char *)data + 4 + n, size - 4 - n);
    bool blank = without_margin(llm_join_sent(delivered)).n == 0;
    if (blank || (how == LLM_CONTINUE_INSTRUCTION && llm_join_anchor(delivered).n == 0))
        return 0;
    check(how, delivered, text, data[1] % 16 + 1u);
    check_kept(how, delivered, text);
    return 0;
}

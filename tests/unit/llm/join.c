/* Joins of cut answers with their continuations: recorded answers cut at every character, with
 * continuations as the contracts have them and as models spoil them. What the client has at the end
 * is the answer exactly, or the join failed before it passed anything. */
#include "llm/join.h"

#include "base/json.h"
#include "check.h"

#define CAP ((size_t)1 << 20)

static const char *const answers[] = {
    "The capital of France is Paris. It lies on the Seine, in the north of the country, and has "
    "been its seat of government, with interruptions, since 987.\n\nThree things to see there:\n"
    "1. the Louvre, the largest museum of art in the world;\n2. the Eiffel Tower, built for the "
    "fair of 1889;\n3. Notre-Dame, which opened again in December 2024.\n\nIs there more that "
    "you would like to know?",
    "Here is the function:\n\n```python\ndef total(rows):\n    result = 0\n    for row in rows:\n"
    "        if row.price is None:\n            continue\n        result += row.price * row.n\n"
    "    return result\n```\n\nIt skips rows without a price; `total([])` is `0`.\n",
    "東京は日本の首都で、人口はおよそ千四百万人です。江戸時代には江戸と呼ばれ、"
    "一八六八年に東京と改められました。\n\n主な見どころは、浅草寺、皇居、そして上野公園です。"
    "春には桜が美しく、多くの人が花見に訪れます。",
    "Great news! 🎉 The build is green 🟢 and the 👩‍👩‍👧 family plan is out — "
    "naïve "
    "caf\u00e9 owners rejoice 🥐☕. Next stop: 🇫🇷 Paris, then 🇯🇵 Tōkyō!  \n\n— "
    "the "
    "team "
    "🚀",
};

static struct slice answer(size_t i)
{
    return slice_str(answers[i]);
}

/* Some text of a test's own, made of pieces. */
struct made {
    struct buf b;
};

static struct slice made_of(struct made *m, struct slice a, struct slice b, struct slice c)
{
    buf_init(&m->b, CAP);
    buf_slice(&m->b, a);
    buf_slice(&m->b, b);
    buf_slice(&m->b, c);
    return buf_view(&m->b);
}

/* How a continuation is cut into pieces. */
enum pieces { WHOLE, BYTES, ANYHOW, PIECES_N };

static size_t piece_of(enum pieces how, size_t rest)
{
    size_t n = how == WHOLE ? rest : how == BYTES ? 1 : 1 + check_random_below(9);
    return MIN_OF(n, rest);
}

/* Feeds `text` to its end; what goes on is in `out`. */
static enum llm_join_result run(struct llm_join *j, enum llm_continue how, struct slice delivered,
                                struct slice text, enum pieces pieces, struct buf *out)
{
    enum llm_join_result r = JOIN_HOLD;
    llm_join_init(j, how, delivered);
    while (text.n > 0) {
        size_t n = piece_of(pieces, text.n), before = out->n;
        enum llm_join_result was = r;
        r = llm_join_feed(j, slice_of(text.p, n), out);
        CHECK(was == JOIN_HOLD || r == was);
        CHECK(r == JOIN_PASS || out->n == 0);
        CHECK(utf8_valid(slice_from(buf_view(out), before)));
        text = slice_from(text, n);
    }
    r = llm_join_end(j, out);
    CHECK(r != JOIN_HOLD);
    CHECK(r == JOIN_PASS || out->n == 0);
    return r;
}

/* Whether it is joined; what went on is `want` then. The same however it comes. */
static bool joins(enum llm_continue how, struct slice delivered, struct slice text,
                  struct slice want, const char **ret_why)
{
    enum llm_join_result first = JOIN_HOLD;
    for (enum pieces pieces = WHOLE; pieces < PIECES_N; pieces++) {
        struct llm_join j;
        struct buf out;
        buf_init(&out, CAP);
        enum llm_join_result r = run(&j, how, delivered, text, pieces, &out);
        if (r == JOIN_PASS)
            CHECK_EQ_SLICE(buf_view(&out), want);
        CHECK(pieces == WHOLE || r == first);
        CHECK(pieces == WHOLE || r == JOIN_PASS || strcmp(j.why, *ret_why) == 0);
        first = r;
        *ret_why = j.why;
        buf_done(&out);
    }
    return first == JOIN_PASS;
}

static void expect_join(enum llm_continue how, struct slice delivered, struct slice text,
                        struct slice rest)
{
    const char *why = "";
    bool ok = joins(how, delivered, text, rest, &why);
    CHECK_EQ_STR(ok ? "" : why, "");
}

static void expect_fail(enum llm_continue how, struct slice delivered, struct slice text,
                        const char *want)
{
    const char *why = "";
    CHECK(!joins(how, delivered, text, SLICE("(nothing)"), &why));
    CHECK_EQ_STR(why, want);
}

/* The join is right, or there is none. */
static void expect_no_lie(enum llm_continue how, struct slice delivered, struct slice text,
                          struct slice rest)
{
    const char *why = "";
    (void)joins(how, delivered, text, rest, &why);
}

/* Calls `fn` for each place between two characters of each answer, with text before it. */
static void each_cut(void (*fn)(struct slice delivered, struct slice rest))
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct slice whole = answer(i);
        for (size_t at = 1; at <= whole.n; at++) {
            struct slice before = slice_of(whole.p, at);
            if (at < whole.n && ((unsigned char)whole.p[at] & 0xC0) == 0x80)
                continue;
            check_note("answer %zu cut at %zu", i, at);
            fn(before, slice_of(whole.p + at, whole.n - at));
        }
    }
}

/* ---- Continuations as they should be. */

static void prefilled(struct slice delivered, struct slice rest)
{
    size_t sent = llm_join_sent(delivered).n;
    struct slice text = slice_of(delivered.p + sent, delivered.n - sent + rest.n);
    struct made m;
    struct slice echo = made_of(&m, delivered, rest, SLICE_NONE);
    if (text.n == 0)
        expect_fail(LLM_CONTINUE_PREFILL, delivered, text, "empty");
    else if (sent < JOIN_SURE) /* little text may repeat by chance: "1" and "11" */
        expect_no_lie(LLM_CONTINUE_PREFILL, delivered, text, rest);
    else
        expect_join(LLM_CONTINUE_PREFILL, delivered, text, rest);
    if (text.n > 0 && sent >= JOIN_SURE) {
        expect_join(LLM_CONTINUE_ECHOED, delivered, text, rest);
        expect_join(LLM_CONTINUE_ECHOED, delivered, echo, rest);
    } else {
        expect_no_lie(LLM_CONTINUE_ECHOED, delivered, text, rest);
        expect_no_lie(LLM_CONTINUE_ECHOED, delivered, echo, rest);
    }
    buf_done(&m.b);
}

TEST(prefill_at_every_cut)
{
    each_cut(prefilled);
}

static void anchored(struct slice delivered, struct slice rest)
{
    struct slice words = llm_join_anchor(delivered);
    CHECK((words.n > 0) == (llm_join_sent(delivered).n >= JOIN_SURE));
    if (words.n == 0)
        return;
    CHECK(words.n >= JOIN_SURE && words.p + words.n == delivered.p + delivered.n);
    CHECK(utf8_valid(words));
    size_t longer = delivered.n > 90 ? delivered.n - 90 : 0;
    while (((unsigned char)delivered.p[longer] & 0xC0) == 0x80 || delivered.p[longer] == ' ' ||
           delivered.p[longer] == '\n')
        longer--;
    const struct slice begins[] = {words, delivered, slice_from(delivered, longer)};
    for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
        struct made plain, spaced;
        if (begins[i].n < words.n)
            continue;
        expect_join(LLM_CONTINUE_INSTRUCTION, delivered,
                    made_of(&plain, begins[i], rest, SLICE_NONE), rest);
        expect_join(LLM_CONTINUE_INSTRUCTION, delivered,
                    made_of(&spaced, SLICE("\n \n"), begins[i], rest), rest);
        buf_done(&plain.b);
        buf_done(&spaced.b);
    }
}

TEST(instruction_at_every_cut)
{
    each_cut(anchored);
}

/* ---- Continuations as they come. */

static void spoilt_prefill(struct slice delivered, struct slice rest)
{
    struct slice sent = llm_join_sent(delivered);
    struct made restart, repeat, swerve;
    struct slice space = slice_from(delivered, sent.n);
    if (sent.n < 2 * JOIN_SURE)
        return;
    expect_fail(LLM_CONTINUE_PREFILL, delivered, made_of(&restart, space, delivered, rest),
                "restarts");
    /* What is begun anew in the same words and goes on in others. */
    expect_fail(LLM_CONTINUE_PREFILL, delivered,
                made_of(&swerve, space, slice_of(delivered.p, JOIN_SURE + 9), SLICE(" or so.")),
                "restarts");
    size_t from = sent.n - JOIN_SURE - 4;
    while (((unsigned char)delivered.p[from] & 0xC0) == 0x80 || delivered.p[from] == ' ' ||
           delivered.p[from] == '\n')
        from--;
    expect_fail(LLM_CONTINUE_PREFILL, delivered,
                made_of(&repeat, space, slice_from(delivered, from), rest), "repeats");
    if (space.n > 0) {
        expect_fail(LLM_CONTINUE_PREFILL, delivered, SLICE("so"), "white_space");
        expect_fail(LLM_CONTINUE_PREFILL, delivered, slice_of(space.p, space.n - 1),
                    space.n > 1 ? "white_space" : "empty");
    }
    expect_fail(LLM_CONTINUE_PREFILL, delivered, SLICE_NONE, "empty");
    expect_fail(LLM_CONTINUE_ECHOED, delivered, SLICE_NONE, "empty");
    buf_done(&restart.b);
    buf_done(&swerve.b);
    buf_done(&repeat.b);
}

TEST(spoilt_prefill_at_every_cut)
{
    each_cut(spoilt_prefill);
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static void spoilt_instruction(struct slice delivered, struct slice rest)
{
    static const char *const before[] = {"Sure, here is the continuation:\n\n",
                                         "Sure! ",
                                         "\"",
                                         "'",
                                         "```\n",
                                         "```python\n",
                                         "...",
                                         "<last_words>",
                                         "> ",
                                         "**"};
    static const char *const others[] = {"Paris is France's capital, and it lies in the north.",
                                         "I'm sorry, I can't do that.",
                                         "The rest of the answer is as follows.",
                                         "最後の言葉から続けます。",
                                         "🎉",
                                         "."};
    struct slice words = llm_join_anchor(delivered);
    struct made m;
    if (words.n == 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        struct slice all = made_of(&m, slice_str(before[i]), words, rest);
        size_t n = strlen(before[i]) + words.n;
        if (n <= delivered.n && memcmp(delivered.p + delivered.n - n, all.p, n) == 0)
            expect_join(LLM_CONTINUE_INSTRUCTION, delivered, all, rest); /* it stands there, too */
        else
            expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, all, "no_anchor");
        buf_done(&m.b);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, slice_str(others[i]), "no_anchor");
    expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, SLICE_NONE, "empty");
    expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, SLICE(" \n"), "no_anchor");
    if (rest.n > 0) /* without the words: nothing shows that it belongs there */
        expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, rest, "no_anchor");
    expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, slice_of(words.p, words.n - 1), "no_anchor");
    struct slice loud = made_of(&m, words, rest, SLICE_NONE);
    for (size_t i = 0; i < loud.n; i++)
        m.b.p[i] = upper(m.b.p[i]);
    if (memcmp(loud.p, words.p, words.n) != 0)
        expect_fail(LLM_CONTINUE_INSTRUCTION, delivered, loud, "no_anchor");
    buf_done(&m.b);
}

TEST(spoilt_instruction_at_every_cut)
{
    each_cut(spoilt_instruction);
}

/* ---- The seam. */

TEST(white_space_at_the_seam)
{
    struct slice hello = SLICE("Hello there, my dear old friend, ");
    struct slice line = SLICE("The list has these lines, one each:\n");
    CHECK_EQ_LIT(llm_join_sent(hello), "Hello there, my dear old friend,");
    CHECK_EQ_LIT(llm_join_sent(SLICE(" \n\t\xC2\xA0\xE3\x80\x80")), "");
    CHECK_EQ_LIT(llm_join_sent(SLICE("\xE3\x81\x82\xE3\x80\x80 \xE2\x80\x83")), "\xE3\x81\x82");
    expect_join(LLM_CONTINUE_PREFILL, hello, SLICE(" how are you?"), SLICE("how are you?"));
    expect_join(LLM_CONTINUE_PREFILL, hello, SLICE("  how?"), SLICE(" how?"));
    expect_join(LLM_CONTINUE_PREFILL, hello, SLICE(" "), SLICE(""));
    expect_fail(LLM_CONTINUE_PREFILL, hello, SLICE("how are you?"), "white_space");
    expect_fail(LLM_CONTINUE_PREFILL, hello, SLICE("\nhow are you?"), "white_space");
    expect_join(LLM_CONTINUE_PREFILL, line, SLICE("\n\n- one"), SLICE("\n- one"));
    expect_fail(LLM_CONTINUE_PREFILL, line, SLICE(" - one"), "white_space");
    expect_join(LLM_CONTINUE_INSTRUCTION, line, SLICE("has these lines, one each:\n\n- one"),
                SLICE("\n- one"));
    expect_fail(LLM_CONTINUE_INSTRUCTION, line, SLICE("has these lines, one each: - one"),
                "no_anchor");
    expect_join(LLM_CONTINUE_INSTRUCTION, hello, hello, SLICE(""));
    expect_join(LLM_CONTINUE_PREFILL, SLICE("Hello there, my dear old fri"), SLICE("end."),
                SLICE("end."));
}

/* Texts repeat themselves, too: less than JOIN_SURE bytes of it are the text's own. */
TEST(own_repetition)
{
    struct slice code = SLICE("        self.assertEqual(a, 1)\n        self.assertEqual(b, 2)\n");
    struct slice very = SLICE("This is a long sentence that is very, very,");
    expect_join(LLM_CONTINUE_PREFILL, very, SLICE(" very, very long."), SLICE(" very, very long."));
    expect_join(LLM_CONTINUE_PREFILL, slice_of(code.p, code.n - 1),
                SLICE("\n        self.assertEqual(b, 3)"),
                SLICE("\n        self.assertEqual(b, 3)"));
    expect_join(LLM_CONTINUE_PREFILL, SLICE("1"), SLICE("2 apples"), SLICE("2 apples"));
    expect_fail(LLM_CONTINUE_PREFILL, SLICE("1"), SLICE("1 apples"), "restarts");
    expect_fail(LLM_CONTINUE_ECHOED, SLICE("ha"), SLICE("haha"), "restarts");
    /* In a run, the repeated end is found though a longer stretch agrees as well. */
    char run_of[64];
    memset(run_of, '-', sizeof run_of);
    run_of[0] = '+';
    expect_fail(LLM_CONTINUE_PREFILL, slice_of(run_of, sizeof run_of),
                SLICE("------------------------------+"), "repeats");
    expect_fail(LLM_CONTINUE_PREFILL, slice_of(run_of, sizeof run_of),
                SLICE("------------------------------"), "repeats");
    expect_join(LLM_CONTINUE_PREFILL, slice_of(run_of, sizeof run_of), SLICE("--------+"),
                SLICE("--------+"));
}

TEST(anchors)
{
    char same[4096];
    memset(same, 'a', sizeof same);
    CHECK_EQ_U64(llm_join_anchor(slice_of(same, sizeof same)).n, 0);
    CHECK_EQ_U64(llm_join_anchor(slice_of(same, 5)).n, 0);
    CHECK_EQ_U64(llm_join_anchor(slice_of(same, 30)).n, 30);
    CHECK_EQ_U64(llm_join_anchor(SLICE(" \n ")).n, 0);
    CHECK_EQ_U64(llm_join_anchor(SLICE_NONE).n, 0);
    CHECK_EQ_LIT(llm_join_anchor(SLICE(" Hi to you and a good day ")), "Hi to you and a good day ");
    CHECK_EQ_LIT(llm_join_anchor(SLICE("one two three four five six seven eight nine")),
                 "five six seven eight nine");
    /* They never begin with white space, which is skipped before them. */
    CHECK_EQ_I64(llm_join_anchor(SLICE("Look here:                                            "
                                       "                                                  * x *"))
                     .p[0],
                 ':');
    /* Words that stood there before are no anchor; more of them are. */
    CHECK_EQ_LIT(llm_join_anchor(SLICE("the cat sat on the red mat today. Then the dog sat on the "
                                       "red mat today.")),
                 "Then the dog sat on the red mat today.");
}

/* A refrain of more than JOIN_TAIL bytes in front of the cut. */
TEST(long_texts)
{
    struct made m;
    struct buf b;
    buf_init(&b, CAP);
    for (unsigned i = 0; i < 20000; i++)
        buf_printf(&b, "Line %u of many, and %u more to come.\n", i, 20000 - i);
    struct slice text = buf_view(&b), words = llm_join_anchor(text);
    CHECK(words.n >= JOIN_SURE && words.n < 100);
    expect_join(LLM_CONTINUE_INSTRUCTION, text, made_of(&m, words, SLICE("The end."), SLICE_NONE),
                SLICE("The end."));
    buf_done(&m.b);
    expect_join(LLM_CONTINUE_INSTRUCTION, text, made_of(&m, text, SLICE("The end."), SLICE_NONE),
                SLICE("The end."));
    buf_done(&m.b);
    expect_fail(LLM_CONTINUE_PREFILL, text,
                made_of(&m, SLICE("\n"), slice_of(text.p, 40), SLICE_NONE), "restarts");
    buf_done(&m.b);
    buf_done(&b);
}

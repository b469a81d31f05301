/* The last lines of an engine. */
#include "tail.h"

#include <stdio.h>

#include "check.h"

static struct slice reason_of(const char *text, bool first)
{
    static struct tail t;
    static struct slice lines[TAIL_LINES];
    t = (struct tail){0};
    tail_feed(&t, slice_str(text));
    tail_end(&t);
    return tail_reason(lines, tail_get(&t, lines), first);
}

TEST(pieces_of_any_size)
{
    static const char text[] = "first line\n\nsecond\r\nthe\tthird\nopen";
    struct slice got[TAIL_LINES];
    for (size_t size = 1; size <= sizeof text; size++) {
        struct tail t = {0};
        check_note("pieces of %zu bytes", size);
        for (size_t at = 0; at < sizeof text - 1; at += size)
            tail_feed(&t, slice_of(text + at, MIN_OF(size, sizeof text - 1 - at)));
        CHECK_EQ_U64(tail_get(&t, got), 3);
        CHECK_EQ_LIT(got[0], "first line");
        CHECK_EQ_LIT(got[1], "second ");
        CHECK_EQ_LIT(got[2], "the third");
        CHECK_EQ_LIT(tail_newest(&t), "the third");
        tail_end(&t);
        CHECK_EQ_U64(tail_get(&t, got), 4);
        CHECK_EQ_LIT(got[3], "open");
    }
}

TEST(the_last_lines_are_kept)
{
    struct slice got[TAIL_LINES];
    struct tail t = {0};
    char line[32];
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(line, sizeof line, "line %d\n", i);
        tail_feed(&t, slice_of(line, (size_t)n));
    }
    CHECK_EQ_U64(tail_get(&t, got), TAIL_LINES);
    CHECK_EQ_LIT(got[TAIL_LINES - 1], "line 999");
    snprintf(line, sizeof line, "line %d", 1000 - TAIL_LINES);
    CHECK_EQ_SLICE(got[0], slice_str(line));
    tail_feed(&t, SLICE("open"));
    CHECK_EQ_U64(tail_get(&t, got), TAIL_LINES - 1);
    snprintf(line, sizeof line, "line %d", 1001 - TAIL_LINES);
    CHECK_EQ_SLICE(got[0], slice_str(line));
}

TEST(long_lines_are_cut)
{
    struct slice got[TAIL_LINES];
    struct tail t = {0};
    for (int i = 0; i < 2 * TAIL_LINE_BYTES; i++)
        tail_feed(&t, SLICE("x"));
    tail_feed(&t, SLICE("\nnext\n"));
    CHECK_EQ_U64(tail_get(&t, got), 2);
    CHECK_EQ_U64(got[0].n, TAIL_LINE_BYTES);
    CHECK_EQ_LIT(got[1], "next");
}

TEST(reasons)
{
    CHECK_EQ_LIT(reason_of("", true), "");
    CHECK_EQ_LIT(reason_of("loading\nalmost there\n", true), "almost there");
    CHECK_EQ_LIT(reason_of("error: invalid argument: --foo\n", true),
                 "error: invalid argument: --foo");
    CHECK_EQ_LIT(reason_of("0.00.001.000 I srv  load_model: loading model 'x' (errors are fatal)\n"
                           "0.00.003.950 E gguf_init: invalid magic characters\n"
                           "0.00.004.184 E srv  load_model: failed to load model\n"
                           "0.00.004.200 I srv  cleaning up before exit...\n",
                           true),
                 "gguf_init: invalid magic characters");
    CHECK_EQ_LIT(reason_of("0.00.003.950 E slot: failed to parse a request\n"
                           "0.99.004.184 E ggml: CUDA out of memory\n"
                           "0.99.004.200 I srv  cleaning up\n",
                           false),
                 "ggml: CUDA out of memory");
    CHECK_EQ_LIT(reason_of("GGML_ASSERT(n > 0) failed\n[New LWP 4711]\n#0 main\n", true),
                 "GGML_ASSERT(n > 0) failed");
    CHECK_EQ_LIT(reason_of("12 monkeys E here\n", true), "12 monkeys E here");
}

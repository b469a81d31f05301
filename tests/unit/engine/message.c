/* The lines between Weir and a shim. */
#include "message.h"

#include "base/mem.h"
#include "check.h"

static struct json_parser *parser;
static struct arena arena;
static struct buf text;

static void set_up(void)
{
    parser = mem_must(json_parser_new());
    arena_init(&arena, NULL, SHIM_ARENA_MAX);
    buf_init(&text, SHIM_LINE_MAX);
}

static void tear_down(void)
{
    json_parser_free(TAKE(parser));
    arena_reset(&arena);
    buf_done(&text);
}

TEST(what_is_written_is_read)
{
    const struct slice list[] = {SLICE("/bin/x y"), SLICE(""), SLICE("a\"b\\c\nd\xc3\xa4")};
    const struct shim_message all[] = {
        {.type = SHIM_START, .list = list, .list_n = ARRAY_LEN(list)},
        {.type = SHIM_SIGNAL, .number = 15},
        {.type = SHIM_STARTED, .number = INT64_C(1) << 40},
        {.type = SHIM_OUTPUT, .text = list[2]},
        {.type = SHIM_EXITED, .number = 1, .list = list, .list_n = 1},
        {.type = SHIM_EXITED, .signal = 9},
    };
    struct slice line;
    size_t bytes;
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        shim_message_put(&text, &all[i]);
    CHECK(!text.failed);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct shim_message m;
        check_note("message %zu", i);
        CHECK(shim_line(&text, &line, &bytes));
        CHECK(shim_message_read(parser, line, &arena, &m));
        CHECK_EQ_I64(m.type, all[i].type);
        CHECK_EQ_I64(m.number, all[i].number);
        CHECK_EQ_I64(m.signal, all[i].signal);
        CHECK_EQ_SLICE(m.text, all[i].text);
        CHECK_EQ_U64(m.list_n, all[i].list_n);
        for (size_t j = 0; j < m.list_n; j++)
            CHECK_EQ_SLICE(m.list[j], all[i].list[j]);
        buf_consume(&text, bytes);
    }
    CHECK(!shim_line(&text, &line, &bytes));
    tear_down();
}

TEST(a_line_needs_its_end)
{
    struct slice line;
    size_t bytes;
    set_up();
    buf_lit(&text, "{\"type\":\"signal\",");
    CHECK(!shim_line(&text, &line, &bytes));
    buf_lit(&text, "\"number\":9}\n{");
    CHECK(shim_line(&text, &line, &bytes));
    CHECK_EQ_LIT(line, "{\"type\":\"signal\",\"number\":9}");
    CHECK_EQ_U64(bytes, line.n + 1);
    tear_down();
}

TEST(what_is_no_message)
{
    static const char *const lines[] = {
        "",
        "{}",
        "[]",
        "hello",
        "{\"type\":\"unheard of\"}",
        "{\"type\":1}",
        "{\"type\":\"signal\",\"number\":\"9\"}",
        "{\"type\":\"signal\",\"number\":1.5}",
        "{\"type\":\"output\",\"text\":[]}",
        "{\"type\":\"start\",\"list\":\"x\"}",
        "{\"type\":\"start\",\"list\":[\"x\",1]}",
        "{\"type\":\"start\"} {}",
    };
    struct shim_message m = {.number = 77};
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        check_note("%s", lines[i]);
        CHECK(!shim_message_read(parser, slice_str(lines[i]), &arena, &m));
        CHECK_EQ_I64(m.number, 77);
    }
    tear_down();
}

/* The smallest completion, for each row of the table. */
#include "llm/smallest.h"

#include "base/json.h"
#include "check.h"

static struct arena arena;
static struct json_parser *json;

static void begin(void)
{
    arena_init(&arena, NULL, (size_t)1 << 20);
    json = json_parser_new();
}

static void end(void)
{
    json_parser_free(json);
    arena_reset(&arena);
}

static bool read_as(const char *type, struct slice body, struct llm_usage *ret_usage)
{
    const struct llm_provider *p = llm_provider_find(slice_str(type));
    return llm_smallest_read(&arena, json, p, SLICE("m"), body, ret_usage);
}

TEST(each_provider_but_those_with_jobs_has_one)
{
    size_t n;
    const struct llm_provider *rows = llm_providers(&n);
    struct json_doc d;
    begin();
    for (size_t i = 0; i < n; i++) {
        struct buf out;
        buf_init(&out, 65536);
        check_note("%s", rows[i].type);
        bool has = llm_smallest_wire(&rows[i]) != NULL;
        CHECK_EQ_I64(has, rows[i].wire != &replicate_wire && rows[i].wire != &runpod_wire);
        CHECK_EQ_I64(llm_smallest_write(&arena, json, &rows[i], SLICE("m"), &out), has);
        if (has) {
            CHECK(json_parse(json, buf_view(&out), 0, &d) == JSON_OK);
            CHECK(memmem(out.p, out.n, "Hi", 2) != NULL && out.n < 200);
        }
        buf_done(&out);
    }
    end();
}

TEST(what_is_an_answer)
{
    struct llm_usage u;
    begin();
    CHECK(
        read_as("openai",
                SLICE("{\"id\":\"1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
                      "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                      "\"content\":\"\"},\"finish_reason\":\"length\"}],"
                      "\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,"
                      "\"total_tokens\":9}}"),
                &u));
    CHECK_EQ_I64(u.input, 8);
    CHECK_EQ_I64(u.output, 1);
    CHECK(!read_as("openai", SLICE("{\"error\":{\"message\":\"out of capacity\"}}"), &u));
    CHECK(!read_as("anthropic",
                   SLICE("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                         "\"message\":\"Overloaded\"}}"),
                   &u));
    CHECK(!read_as("openai", SLICE("<html>"), &u));
    CHECK(!read_as("openai", SLICE("{}"), &u));
    CHECK(!read_as("replicate", SLICE("{}"), &u));
    end();
}

/* The full reading takes over what the light one has parsed, and only that. */
#include "reader.h"

#include "check.h"
#include "llm/dialect.h"

#define BEFORE     "{\"model\":\"m\",\"max_tokens\":9,\"messages\":"
#define BODY(text) BEFORE "[{\"role\":\"user\",\"content\":\"" text "\"}]}"

static struct json_parser *parser;
static struct arena arena;

static void begin(void)
{
    parser = json_parser_new();
    CHECK(parser != NULL);
    arena_init(&arena, NULL, 1 << 20);
}

static void end(void)
{
    arena_reset(&arena);
    json_parser_free(parser);
}

static struct llm_request read_light(const struct llm_dialect *d, const char *body)
{
    struct llm_request r;
    struct llm_bad_request bad;
    CHECK(d->read_request(parser, &arena, LLM_CHAT, slice_str(body), &r, &bad));
    return r;
}

static void expect_text(const struct llm_dialect *d, const struct llm_request *r, const char *text)
{
    struct llm_chat chat;
    struct llm_bad_request bad;
    CHECK(d->read_chat(parser, &arena, r, &chat, &bad));
    CHECK(chat.messages != NULL && chat.messages->parts != NULL);
    CHECK_EQ_SLICE(chat.messages->parts->text.inner, slice_str(text));
}

TEST(document_is_taken_over)
{
    struct json_doc d;
    begin();
    struct llm_request r = read_light(&openai_dialect, BODY("one"));
    CHECK(reader_parse(parser, &r, &d) == JSON_OK);
    CHECK(d.number == r.doc.number);
    expect_text(&openai_dialect, &r, "one");
    expect_text(&openai_dialect, &r, "one");
    end();
}

TEST(document_is_parsed_again_after_another)
{
    static const struct llm_dialect *const dialects[] = {&openai_dialect, &anthropic_dialect};
    struct json_doc d;
    begin();
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        struct llm_request one = read_light(dialects[i], BODY("one"));
        struct llm_request two = read_light(dialects[i], BODY("two"));
        expect_text(dialects[i], &one, "one");
        expect_text(dialects[i], &two, "two");
        CHECK(json_parse(parser, SLICE("[1,"), 0, &d) == JSON_BAD_SYNTAX);
        expect_text(dialects[i], &one, "one");
        CHECK(reader_parse(parser, &two, &d) == JSON_OK && d.number != two.doc.number);
    }
    end();
}

/* One request ends and the next one's body comes to the same place, read by another parser. */
TEST(same_place_is_not_the_same_document)
{
    char body[] = BODY("one");
    begin();
    struct json_parser *worker = parser, *job = json_parser_new();
    CHECK(job != NULL);
    read_light(&openai_dialect, body);
    memcpy(body, BODY("two"), sizeof body);
    parser = job;
    struct llm_request r = read_light(&openai_dialect, body);
    parser = worker;
    json_parser_free(job);
    expect_text(&openai_dialect, &r, "two");
    end();
}

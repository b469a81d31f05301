/* What requests need beside texts, as the light readings see it. */
#include "check.h"
#include "llm/dialect.h"

#define T LLM_NEEDS_TOOLS
#define I LLM_NEEDS_IMAGES
#define U (LLM_NEEDS_IMAGES | LLM_NEEDS_IMAGE_URLS)
#define S LLM_NEEDS_SCHEMA
#define J LLM_NEEDS_JSON
#define A LLM_NEEDS_AUDIO
#define N LLM_NEEDS_CHOICES

#define CHAT(content, more)                                                                        \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":" content "}]" more "}"
#define MESSAGE(content, more) CHAT(content, ",\"max_tokens\":9" more)
#define INPUT(item, more)      "{\"model\":\"m\",\"input\":[" item "]" more "}"
#define PARTS(part, more)      "{\"contents\":[{\"parts\":[" part "]}]" more "}"
#define FUNCTION               "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"

static unsigned needs_of(const struct llm_dialect *d, enum llm_op op, const char *body)
{
    struct json_parser *p = json_parser_new();
    struct llm_bad_request bad;
    struct llm_request r;
    struct arena a;
    arena_init(&a, NULL, 1 << 20);
    if (!d->read_request(p, &a, op, slice_str(body), &r, &bad))
        check_fail(CHECK_AT("read_request"), "%s", bad.message);
    unsigned needs = r.needs;
    arena_reset(&a);
    json_parser_free(p);
    return needs;
}

static const struct {
    const struct llm_dialect *dialect;
    const char *body;
    unsigned needs;
} rows[] = {
    {&openai_dialect, CHAT("\"a\"", ""), 0},
    {&openai_dialect, CHAT("\"a\"", ",\"tools\":[" FUNCTION "]"), T},
    {&openai_dialect, CHAT("\"a\"", ",\"too\\u006cs\":[" FUNCTION "]"), T},
    {&openai_dialect, CHAT("\"a\"", ",\"tools\":[],\"functions\":null"), 0},
    {&openai_dialect, CHAT("\"a\"", ",\"tools\":[" FUNCTION "],\"tool_choice\":\"none\""), 0},
    {&openai_dialect, CHAT("\"a\"", ",\"tools\":[" FUNCTION "],\"tool_choice\":\"required\""), T},
    {&openai_dialect, CHAT("\"a\"", ",\"functions\":[{\"name\":\"f\"}]"), T},
    {&openai_dialect, CHAT("\"a\"", ",\"functions\":[{\"name\":\"f\"}],\"function_call\":\"none\""),
     0},
    {&openai_dialect, CHAT("\"a\"", ",\"response_format\":{\"type\":\"text\"}"), 0},
    {&openai_dialect, CHAT("\"a\"", ",\"response_format\":{\"type\":\"json_object\"}"), J},
    {&openai_dialect, CHAT("\"a\"", ",\"response_format\":{\"type\":\"json_schema\"},\"n\":2"),
     S | N},
    {&openai_dialect, CHAT("\"a\"", ",\"text\":{\"format\":{\"type\":\"json_object\"}},\"n\":1"),
     0},
    {&openai_dialect, CHAT("[{\"type\":\"text\",\"text\":\"image_url\"}]", ""), 0},
    {&openai_dialect,
     CHAT("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\"}}]", ""),
     I},
    {&openai_dialect,
     CHAT("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b.png\"}}]", ""), U},
    {&openai_dialect, CHAT("[{\"type\":\"input_audio\",\"input_audio\":{}}]", ""), A},
    {&openai_dialect, CHAT("[7,[],{\"type\":7}]", ",\"tools\":7,\"response_format\":7"), 0},
    {&anthropic_dialect, MESSAGE("\"a\"", ""), 0},
    {&anthropic_dialect, MESSAGE("\"a\"", ",\"tools\":[{\"name\":\"f\"}]"), T},
    {&anthropic_dialect,
     MESSAGE("\"a\"", ",\"tools\":[{\"name\":\"f\"}],\"tool_choice\":{\"type\":\"none\"}"), 0},
    {&anthropic_dialect,
     MESSAGE("[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"AA==\"}}]", ""), I},
    {&anthropic_dialect,
     MESSAGE("[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://a/b\"}}]", ""), U},
    {&anthropic_dialect,
     MESSAGE("[{\"type\":\"tool_result\",\"content\":[{\"type\":\"image\",\"source\":{}}]}]", ""),
     I},
    {&anthropic_dialect,
     MESSAGE("\"a\"", ",\"output_config\":{\"format\":{\"type\":\"json_schema\"}}"), S},
    {&anthropic_dialect, MESSAGE("\"a\"", ",\"output_format\":{\"type\":\"json_schema\"}"), S},
    {&anthropic_dialect, MESSAGE("\"a\"", ",\"response_format\":{\"type\":\"json_object\"}"), 0},
    {&responses_dialect, "{\"model\":\"m\",\"input\":\"a\"}", 0},
    {&responses_dialect, "{\"model\":\"m\",\"input\":\"a\",\"tools\":[{\"type\":\"function\"}]}",
     T},
    {&responses_dialect,
     INPUT(
         "{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"https://a\"}]}",
         ",\"text\":{\"format\":{\"type\":\"json_schema\"}}"),
     U | S},
    {&responses_dialect,
     INPUT("{\"type\":\"function_call_output\",\"output\":[{\"type\":\"input_image\"}]}", ""), I},
    {&responses_dialect, INPUT("{\"role\":\"user\",\"output\":[{\"type\":\"input_image\"}]}", ""),
     0},
    {&responses_dialect,
     INPUT("{\"type\":\"reasoning\",\"content\":[{\"type\":\"input_image\"}]}", ""), 0},
    {&google_dialect, PARTS("{\"text\":\"a\"}", ""), 0},
    {&google_dialect, PARTS("{\"inlineData\":{\"mimeType\":\"image/png\"}}", ""), I},
    {&google_dialect, PARTS("{\"inline_data\":{\"mime_type\":\"audio/wav\"}}", ""), A},
    {&google_dialect,
     PARTS("{\"fileData\":{\"mimeType\":\"image/png\",\"fileUri\":\"https://a\"}}", ""), U},
    {&google_dialect, PARTS("{\"fileData\":{\"fileUri\":\"https://a/b.png\"}}", ""), 0},
    {&google_dialect,
     PARTS("{\"text\":\"a\"}", ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}]"), T},
    {&google_dialect, PARTS("{\"text\":\"a\"}", ",\"tools\":[{\"googleSearch\":{}}]"), 0},
    {&google_dialect,
     PARTS("{\"text\":\"a\"}", ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}],"
                               "\"tool_config\":{\"function_calling_config\":{\"mode\":\"None\"}}"),
     0},
    {&google_dialect,
     PARTS("{\"text\":\"a\"}", ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
                               "\"candidateCount\":2}"),
     J | N},
    {&google_dialect,
     PARTS("{\"text\":\"a\"}", ",\"generation_config\":{\"response_mime_type\":"
                               "\"application/json\",\"response_schema\":{}}"),
     S},
};

TEST(needs)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("%s: %s", rows[i].dialect->name, rows[i].body);
        CHECK_EQ_U64(needs_of(rows[i].dialect, LLM_CHAT, rows[i].body), rows[i].needs);
    }
    CHECK_EQ_U64(needs_of(&completions_dialect, LLM_COMPLETIONS,
                          "{\"model\":\"m\",\"prompt\":\"a\",\"n\":3,\"tools\":[1]}"),
                 N);
    CHECK_EQ_U64(needs_of(&openai_dialect, LLM_EMBEDDINGS,
                          "{\"model\":\"m\",\"input\":\"a\",\"tools\":[1]}"),
                 0);
}

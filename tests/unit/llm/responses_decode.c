/* Answers of OpenAI's Responses as neutral events: streams, whole answers, errors, and servers that
 * leave something out. */
#include "../../fuzz/event_order.h"
#include "check.h"
#include "fixture.h"
#include "llm/wire.h"

static const char *const kinds[] = {[PART_TEXT] = "text",
                                    [PART_TOOL_CALL] = "call",
                                    [PART_REASONING] = "reasoning",
                                    [PART_REFUSAL] = "refusal"};
static const char *const finishes[] = {[FINISH_STOP] = "stop",
                                       [FINISH_LENGTH] = "length",
                                       [FINISH_TOOLS] = "tools",
                                       [FINISH_FILTER] = "filter"};

static struct llm_decoder decoder;
static struct event_order order;
static struct buf said;

/* One event as a line. */
static void note(void *ctx, const struct llm_event *e)
{
    struct buf *b = ctx;
    switch (e->kind) {
    case EVENT_START:
        buf_printf(b, "start " SLICE_FMT " " SLICE_FMT "\n", SLICE_ARG(e->id), SLICE_ARG(e->model));
        break;
    case EVENT_PART:
        buf_printf(b, "%u %s%s " SLICE_FMT " " SLICE_FMT "\n", e->part, e->custom ? "custom " : "",
                   kinds[e->part_kind], SLICE_ARG(e->id), SLICE_ARG(e->name));
        break;
    case EVENT_DELTA: buf_printf(b, "%u+" SLICE_FMT "\n", e->part, SLICE_ARG(e->text.inner)); break;
    case EVENT_SIGNATURE:
        buf_printf(b, "%u signed %s" SLICE_FMT "\n", e->part, e->redacted ? "whole " : "",
                   SLICE_ARG(e->signature));
        break;
    case EVENT_CITATION:
        buf_printf(b, "%u cites " SLICE_FMT " %d-%d " SLICE_FMT "\n", e->part,
                   SLICE_ARG(e->citation->url), (int)e->citation->start, (int)e->citation->end,
                   SLICE_ARG(e->citation->title.inner));
        break;
    case EVENT_LOGPROBS:
        buf_printf(b, "%u logprobs " SLICE_FMT "\n", e->part, SLICE_ARG(e->json));
        break;
    case EVENT_PART_END: buf_printf(b, "%u end\n", e->part); break;
    case EVENT_FINISH: buf_printf(b, "finish %s\n", finishes[e->finish]); break;
    case EVENT_END: buf_lit(b, "end\n"); break;
    case EVENT_ERROR:
        buf_printf(b, "error %u " SLICE_FMT " " SLICE_FMT "\n", e->status,
                   SLICE_ARG(e->error->code), SLICE_ARG(e->error->message));
        break;
    case EVENT_PING: break;
    }
}

static void begin(void)
{
    set_up();
    buf_init(&said, 1 << 20);
    event_order_init(&order, note, &said);
    decoder = (struct llm_decoder){.wire = &responses_wire,
                                   .arena = &arena,
                                   .json = parser,
                                   .emit = event_order_take,
                                   .ctx = &order,
                                   .id_seed = SLICE("seed"),
                                   .model = SLICE("asked"),
                                   .usage = LLM_USAGE_NONE};
}

static bool event(const char *data)
{
    return responses_wire.decode_event(&decoder, SLICE_NONE, slice_str(data));
}

static void end(bool ok, const char *want)
{
    CHECK_EQ_SLICE(buf_view(&said), slice_str(want));
    CHECK(event_order_end(&order, ok) == NULL);
    event_order_done(&order);
    buf_done(&said);
    tear_down();
}

#define CREATED                                                                                    \
    "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"gpt\",\"output\":" \
    "[]}}"
#define COMPLETED(more)                                                                            \
    "{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":"                 \
    "\"completed\"" more "}}"
#define AT(output, content) "\"output_index\":" output ",\"content_index\":" content ","

TEST(text_with_everything_on_it)
{
    begin();
    CHECK(event(CREATED));
    CHECK(event("{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":"
                "{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[]}}"));
    CHECK(event("{\"type\":\"response.content_part.added\"," AT(
        "0", "0") "\"part\":"
                  "{\"type\":\"output_text\",\"text\":\"\"}}"));
    CHECK(event("{\"type\":\"response.output_text.delta\"," AT(
        "0", "0") "\"delta\":\"H\\\"\",\"logprobs\":[{\"token\":\"H\"}],\"obfuscation\":\"zz\"}"));
    CHECK(event("{\"type\":\"response.output_text.annotation.added\"," AT(
        "0", "0") "\"annotation\":{\"type\":\"url_citation\",\"url\":\"https:\\/\\/e.x\","
                  "\"title\":\"T\",\"start_index\":1,\"end_index\":2}}"));
    CHECK(event("{\"type\":\"response.output_text.done\"," AT(
        "0", "0") "\"text\":\"H\\\"\",\"logprobs\":[{\"token\":\"H\"}]}"));
    CHECK(event("{\"type\":\"response.content_part.done\"," AT(
        "0",
        "0") "\"part\":{"
             "\"type\":\"output_text\",\"text\":\"H\\\"\",\"annotations\":[{\"url\":\"x\"}]}}"));
    CHECK(event("{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{"
                "\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"H\"}]}}"));
    CHECK(event(COMPLETED(",\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{"
                          "\"cached_tokens\":4,\"cache_write_tokens\":2},\"output_tokens\":5,"
                          "\"output_tokens_details\":{\"reasoning_tokens\":3}}")));
    const struct llm_usage u = decoder.usage;
    CHECK(u.input == 9 && u.output == 5 && u.cached == 4 && u.cache_write == 2 && u.reasoning == 3);
    CHECK(responses_wire.decode_end(&decoder) && decoder.finished);
    end(true, "start resp_1 gpt\n0 text  \n0+H\\\"\n0 logprobs {\"token\":\"H\"}\n"
              "0 cites https://e.x 1-2 T\n0 end\nfinish stop\nend\n");
}

TEST(calls_of_both_kinds_beside_each_other)
{
    begin();
    CHECK(event(CREATED));
    CHECK(event("{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{"
                "\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"a\",\"name\":\"f\"}}"));
    CHECK(event("{\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{"
                "\"type\":\"custom_tool_call\",\"call_id\":\"b\",\"name\":\"g\"}}"));
    CHECK(event("{\"type\":\"response.custom_tool_call_input.delta\",\"output_index\":1,"
                "\"delta\":\"x\"}"));
    CHECK(event("{\"type\":\"response.function_call_arguments.delta\",\"output_index\":0,"
                "\"delta\":\"{}\"}"));
    CHECK(event("{\"type\":\"response.function_call_arguments.done\",\"output_index\":0,"
                "\"arguments\":\"{}\"}"));
    CHECK(event("{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{"
                "\"type\":\"function_call\",\"arguments\":\"{}\"}}"));
    CHECK(event("{\"type\":\"response.output_item.done\",\"output_index\":2,\"item\":{"
                "\"type\":\"function_call\",\"call_id\":\"c\",\"namespace\":\"ns\","
                "\"name\":\"h\",\"arguments\":\"{1}\"}}"));
    CHECK(event(COMPLETED("")));
    end(true, "start resp_1 gpt\n0 call a f\n1 custom call b g\n1+x\n0+{}\n0 end\n"
              "2 call c ns__h\n2+{1}\n2 end\n1 end\nfinish tools\nend\n");
}

TEST(reasoning_in_several_texts_and_its_signature)
{
    begin();
    CHECK(event(CREATED));
    CHECK(event("{\"type\":\"response.reasoning_summary_text.delta\",\"output_index\":0,"
                "\"summary_index\":0,\"delta\":\"a\"}"));
    CHECK(event("{\"type\":\"response.reasoning_summary_text.done\",\"output_index\":0,"
                "\"summary_index\":0,\"text\":\"a\"}"));
    CHECK(event("{\"type\":\"response.reasoning_summary_text.delta\",\"output_index\":0,"
                "\"summary_index\":1,\"delta\":\"b\"}"));
    CHECK(event("{\"type\":\"response.reasoning_text.delta\",\"output_index\":0,"
                "\"content_index\":0,\"delta\":\"the same in its own words\"}"));
    CHECK(event("{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{"
                "\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"e\"}}"));
    CHECK(event("{\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{"
                "\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"f\"}}"));
    CHECK(event(COMPLETED("")));
    end(true, "start resp_1 gpt\n0 reasoning  \n0+a\n0+\\n\\n\n0+b\n0 signed e\n0 end\n"
              "1 reasoning  \n1 signed whole f\n1 end\nfinish stop\nend\n");
}

TEST(what_was_not_streamed_is_taken_from_the_end)
{
    begin();
    CHECK(event(
        COMPLETED(",\"model\":\"gpt\",\"output\":[{\"type\":\"web_search_call\",\"id\":\"ws\"},"
                  "{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"text\":\"r\"}]},"
                  "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\"},"
                  "{\"type\":\"refusal\",\"refusal\":\"n\"}]}]")));
    end(true, "start resp_1 gpt\n0 reasoning  \n0+r\n0 end\n1 text  \n1+a\n1 end\n"
              "2 refusal  \n2+n\n2 end\nfinish filter\nend\n");
}

TEST(endings)
{
    static const struct {
        const char *data, *said;
    } rows[] = {
        {"{\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\","
         "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}}",
         "start resp_1 gpt\nfinish length\nend\n"},
        {"{\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\","
         "\"incomplete_details\":{\"reason\":\"content_filter\"}}}",
         "start resp_1 gpt\nfinish filter\nend\n"},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\","
         "\"message\":\"m\"}}}",
         "start resp_1 gpt\nerror 500 server_error m\n"},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":null}}",
         "start resp_1 gpt\nerror 0  The provider gave no message.\n"},
        {"{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}",
         "start resp_1 gpt\nerror 429 rate_limit_exceeded m\n"},
        {"{\"type\":\"error\",\"error\":{\"type\":\"insufficient_quota\",\"code\":null,"
         "\"message\":\"m\"}}",
         "start resp_1 gpt\nerror 429  m\n"},
        {"{\"error\":{\"code\":\"image_too_large\",\"message\":\"m\"}}",
         "start resp_1 gpt\nerror 400 image_too_large m\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin();
        check_note("%s", rows[i].data);
        CHECK(event(CREATED));
        CHECK(!responses_wire.decode_end(&decoder));
        CHECK(event(rows[i].data));
        CHECK(responses_wire.decode_end(&decoder));
        CHECK(event("{\"type\":\"response.failed\",\"response\":{\"usage\":{"
                    "\"input_tokens\":3}}}"));
        CHECK_EQ_I64(decoder.usage.input, 3); /* counts after an `error` event, too */
        end(true, rows[i].said);
    }
}

TEST(not_what_this_wire_sends)
{
    static const char *const rows[] = {
        "no JSON",
        "[1]",
        "{\"type\":\"response.function_call_arguments.delta\",\"output_index\":3,\"delta\":\"x\"}",
        "{\"type\":\"response.completed\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin();
        check_note("%s", rows[i]);
        CHECK(event(CREATED));
        CHECK(!event(rows[i]));
        end(false, "start resp_1 gpt\n");
    }
    begin();
    CHECK(event("[DONE]") && event("{\"type\":\"response.new_thing\"}") && event("{}"));
    end(false, "");
}

TEST(whole_answers)
{
    begin();
    CHECK(responses_wire.decode_answer(
        &decoder, SLICE("{\"id\":\"resp_1\",\"status\":\"completed\",\"model\":\"gpt\",\"output\":["
                        "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
                        "\"text\":\"a\",\"annotations\":[{\"type\":\"file_citation\","
                        "\"filename\":\"f\"}],\"logprobs\":[{\"token\":\"a\"}]}]}],"
                        "\"usage\":{\"input_tokens\":1,\"output_tokens\":-5}}")));
    CHECK_EQ_I64(decoder.usage.input, 1);
    CHECK_EQ_I64(decoder.usage.output, -1);
    end(true, "start resp_1 gpt\n0 text  \n0+a\n0 cites  -1--1 f\n0 logprobs {\"token\":\"a\"}\n"
              "0 end\nfinish stop\nend\n");
    static const char *const broken[] = {"", "[]", "{}", "{\"output\":{}}",
                                         "{\"status\":\"queued\",\"output\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        begin();
        check_note("%s", broken[i]);
        CHECK(!responses_wire.decode_answer(&decoder, slice_str(broken[i])));
        end(false, "");
    }
    begin();
    CHECK(responses_wire.decode_answer(&decoder, SLICE("{\"error\":{\"message\":\"m\"}}")));
    end(true, "error 0  m\n");
}

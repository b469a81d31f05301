/* Neutral events as a stream of Responses, and whole answers: the order of the events, their
 * numbers, items and how they end. tests/golden/translate has the text of whole streams. */
#include "base/buf.h"
#include "check.h"
#include "fixture.h"
#include "llm/dialect.h"
#include "llm/sse.h"
#include "reader.h"

static struct llm_chat chat;
static struct llm_usage usage;
static struct llm_encoder encoder;
static struct buf out;

static void begin(void)
{
    set_up();
    llm_chat_init(&chat, DIALECT_RESPONSES);
    chat.model = SLICE("asked");
    usage = LLM_USAGE_NONE;
    buf_init(&out, 1 << 24);
    encoder = (struct llm_encoder){.dialect = &responses_dialect,
                                   .arena = &arena,
                                   .out = &out,
                                   .chat = &chat,
                                   .usage = &usage,
                                   .id = SLICE("id-0"),
                                   .created_s = 7};
}

static void end(void)
{
    buf_done(&out);
    tear_down();
}

static void emit(struct llm_event e)
{
    responses_dialect.encode(&encoder, &e);
    CHECK(!out.failed);
}

static void emit_part(enum llm_part_kind kind, unsigned n)
{
    emit((struct llm_event){.kind = EVENT_PART,
                            .part = n,
                            .part_kind = kind,
                            .id = SLICE("call_1"),
                            .name = SLICE("f")});
}

static void emit_text(unsigned n, struct slice text)
{
    emit((struct llm_event){.kind = EVENT_DELTA, .part = n, .text = {text}});
}

static void emit_finish(enum llm_finish finish)
{
    emit((struct llm_event){.kind = EVENT_FINISH, .finish = finish});
    emit((struct llm_event){.kind = EVENT_END});
}

/* The names of all events so far, without "response."; checks that they are JSON, numbered in
 * order, and of the type that their name says. */
static struct slice names(void)
{
    static char list[2048];
    struct slice in = buf_view(&out);
    struct buf scratch;
    struct sse_event ev;
    struct json_doc d;
    size_t scanned = 0, n = 0;
    int64_t number = 0, got = -1;
    buf_init(&scratch, 1 << 20);
    while (sse_next(&in, &scanned, &scratch, &ev)) {
        CHECK(json_parse(parser, ev.data, 0, &d) == JSON_OK);
        uint32_t sequence = json_get(&d, 0, SLICE("sequence_number"));
        CHECK(json_string_is(&d, json_get(&d, 0, SLICE("type")), ev.name));
        CHECK(sequence != 0 && json_i64(&d, sequence, &got));
        CHECK_EQ_I64(got, number++);
        struct slice name = ev.name;
        if (slice_starts(name, SLICE("response.")))
            name = slice_from(name, 9);
        CHECK(n + name.n + 1 < sizeof list);
        memcpy(list + n, name.p, name.n);
        n += name.n;
        list[n++] = ' ';
    }
    CHECK_EQ_U64(in.n, 0);
    buf_done(&scratch);
    return slice_of(list, n);
}

static bool has(const char *text)
{
    return memmem(out.p, out.n, text, strlen(text)) != NULL;
}

#define START                                                                                      \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = EVENT_START, .id = SLICE("resp_9"), .model = SLICE("m")                            \
    }

TEST(a_text)
{
    begin();
    emit(START);
    emit_part(PART_TEXT, 0);
    emit_text(0, SLICE("a"));
    emit_text(0, SLICE("\\n\\\"b"));
    emit((struct llm_event){.kind = EVENT_PING});
    emit((struct llm_event){.kind = EVENT_PART_END});
    usage = (struct llm_usage){9, 5, 4, -1, 3};
    emit_finish(FINISH_STOP);
    CHECK_EQ_LIT(names(), "created in_progress output_item.added content_part.added "
                          "output_text.delta output_text.delta output_text.done content_part.done "
                          "output_item.done completed ");
    CHECK(has("\"delta\":\"\\n\\\"b\",\"logprobs\":[]}"));
    CHECK(has("\"text\":\"a\\n\\\"b\""));
    CHECK(has("\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4,"
              "\"cache_write_tokens\":0},\"output_tokens\":5,\"output_tokens_details\":{"
              "\"reasoning_tokens\":3},\"total_tokens\":14}"));
    end();
}

TEST(texts_in_a_row_are_one_message_and_calls_are_items)
{
    begin();
    emit(START);
    for (unsigned i = 0; i < 2; i++) {
        emit_part(PART_TEXT, i);
        emit_text(i, SLICE("a"));
        emit((struct llm_event){.kind = EVENT_PART_END, .part = i});
    }
    emit_part(PART_TOOL_CALL, 2);
    emit_text(2, SLICE("{}"));
    emit((struct llm_event){.kind = EVENT_PART_END, .part = 2});
    emit_finish(FINISH_TOOLS);
    CHECK_EQ_LIT(names(), "created in_progress output_item.added content_part.added "
                          "output_text.delta output_text.done content_part.done content_part.added "
                          "output_text.delta output_text.done content_part.done output_item.done "
                          "output_item.added function_call_arguments.delta "
                          "function_call_arguments.done output_item.done completed ");
    CHECK(has("\"content_index\":1"));
    CHECK(has("\"call_id\":\"call_1\",\"name\":\"f\"}"));
    end();
}

TEST(reasoning_and_its_signature)
{
    begin();
    emit(START);
    emit_part(PART_REASONING, 0);
    emit_text(0, SLICE("r"));
    emit((struct llm_event){
        .kind = EVENT_SIGNATURE, .signature = SLICE("s1"), .family = FAMILY_OPENAI});
    emit((struct llm_event){.kind = EVENT_PART_END});
    emit_part(PART_REASONING, 1);
    emit((struct llm_event){.kind = EVENT_SIGNATURE,
                            .part = 1,
                            .signature = SLICE("s2"),
                            .redacted = true,
                            .family = FAMILY_ANTHROPIC});
    emit((struct llm_event){.kind = EVENT_PART_END, .part = 1});
    emit_finish(FINISH_STOP);
    CHECK_EQ_LIT(names(), "created in_progress output_item.added reasoning_summary_part.added "
                          "reasoning_summary_text.delta reasoning_summary_text.done "
                          "reasoning_summary_part.done output_item.done output_item.added "
                          "output_item.done completed ");
    CHECK(has("\"encrypted_content\":\"s1\""));
    CHECK(has("\"summary\":[],\"encrypted_content\":\"weir.anthropic.redacted:s2\""));
    end();
}

TEST(blocks_of_other_families_are_left_out)
{
    begin();
    emit(START);
    emit((struct llm_event){.kind = EVENT_PART,
                            .part_kind = PART_NATIVE,
                            .family = FAMILY_ANTHROPIC,
                            .json = SLICE("{\"type\":\"server_tool_use\"}")});
    emit_text(0, SLICE("{}"));
    emit((struct llm_event){.kind = EVENT_PART_END});
    emit_part(PART_TEXT, 1);
    emit_text(1, SLICE("a"));
    emit((struct llm_event){.kind = EVENT_PART_END, .part = 1});
    emit_finish(FINISH_STOP);
    CHECK_EQ_LIT(names(), "created in_progress output_item.added content_part.added "
                          "output_text.delta output_text.done content_part.done output_item.done "
                          "completed ");
    end();
}

TEST(what_was_cut_says_so)
{
    begin();
    emit(START);
    emit_part(PART_TOOL_CALL, 0);
    emit_text(0, SLICE("{\\\"a"));
    emit((struct llm_event){.kind = EVENT_PART_END});
    emit_finish(FINISH_LENGTH);
    CHECK(has("\"status\":\"incomplete\",\"arguments\":\"{\\\"a\""));
    CHECK(has("\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"));
    CHECK(has("event: response.incomplete\n") && !has("event: response.completed\n"));
    end();
}

TEST(a_refusal_told_at_the_end)
{
    begin();
    emit(START);
    emit((struct llm_event){
        .kind = EVENT_FINISH, .finish = FINISH_FILTER, .text = {SLICE("not this")}});
    emit((struct llm_event){.kind = EVENT_END});
    CHECK_EQ_LIT(names(), "created in_progress output_item.added content_part.added refusal.delta "
                          "refusal.done content_part.done output_item.done completed ");
    end();
    begin();
    emit(START);
    emit_finish(FINISH_FILTER);
    CHECK(has("\"incomplete_details\":{\"reason\":\"content_filter\"}"));
    end();
}

TEST(an_error_is_an_error_event_and_a_failed_response)
{
    static const struct llm_error error = {.message = {"no \"luck\"", 9}};
    begin();
    emit((struct llm_event){.kind = EVENT_ERROR, .error = &error, .status = 429});
    CHECK_EQ_LIT(names(), "created in_progress error failed ");
    CHECK(has("\"code\":\"rate_limit_exceeded\",\"message\":\"no \\\"luck\\\"\",\"param\":null}"));
    CHECK(has("\"id\":\"resp_id-0\"") && has("\"model\":\"asked\""));
    emit((struct llm_event){.kind = EVENT_END}); /* nothing comes after it */
    CHECK_EQ_LIT(names(), "created in_progress error failed ");
    buf_reset(&out);
    responses_dialect.put_error_event(&out, 503, &error, SLICE("req-1"));
    CHECK_EQ_LIT(names(), "error failed ");
    CHECK(has("\"code\":\"server_is_overloaded\"") && has("\"id\":\"resp_req-1\""));
    buf_reset(&out);
    responses_dialect.put_error(&out, 404, &error, SLICE("req-1"));
    CHECK_EQ_LIT(buf_view(&out), "{\"error\":{\"message\":\"no \\\"luck\\\"\",\"type\":"
                                 "\"invalid_request_error\",\"param\":null,\"code\":null}}");
    end();
}

TEST(line_breaks_of_the_request_do_not_break_events)
{
    static struct llm_tool tool, other;
    begin();
    tool = (struct llm_tool){.kind = TOOL_FUNCTION,
                             .name = SLICE("ns__f"),
                             .space = SLICE("ns"),
                             .native_json = SLICE("{\r\n\"type\": \"namespace\"\n}"),
                             .strict = -1};
    other = tool;
    tool.next = &other;
    other.name = SLICE("ns__g");
    chat.tools = &tool;
    emit(START);
    emit((struct llm_event){
        .kind = EVENT_PART, .part_kind = PART_TOOL_CALL, .id = SLICE("1"), .name = SLICE("ns__g")});
    emit((struct llm_event){.kind = EVENT_PART_END});
    emit_finish(FINISH_TOOLS);
    (void)names();
    CHECK(has("\"tools\":[{  \"type\": \"namespace\" }]"));
    CHECK(has("\"name\":\"g\",\"namespace\":\"ns\""));
    end();
}

TEST(long_answers_grow_without_copies_up_to_a_ceiling)
{
    enum { STEP = 1 << 16 };
    static char block[STEP];
    const size_t most = (size_t)64 << 20;
    struct arena own;
    begin();
    memset(block, 'x', sizeof block);
    arena_init(&own, NULL, (size_t)256 << 20);
    encoder.arena = &own;
    emit(START);
    emit_part(PART_TEXT, 0);
    for (size_t n = 0; n < most; n += STEP) {
        buf_reset(&out);
        emit_text(0, slice_of(block, STEP));
    }
    CHECK(own.used < most + (most >> 3)); /* what is not used of the last pieces */
    buf_reset(&out);
    responses_dialect.encode(&encoder,
                             &(struct llm_event){.kind = EVENT_DELTA, .text = {SLICE("one more")}});
    CHECK(out.failed);
    arena_reset(&own);
    end();
}

TEST(whole_answers_are_the_last_event)
{
    static struct llm_part text, call;
    static struct llm_choice choice;
    struct llm_answer answer = {.id = SLICE("resp_9"), .model = SLICE("m"), .choices = &choice};
    begin();
    call = (struct llm_part){.kind = PART_TOOL_CALL,
                             .id = SLICE("call_1"),
                             .name = SLICE("f"),
                             .arguments = {SLICE("{}")},
                             .at = 1};
    text = (struct llm_part){.kind = PART_TEXT, .text = {SLICE("a")}, .next = &call};
    choice = (struct llm_choice){.parts = &text, .finish = FINISH_TOOLS};
    responses_dialect.write_answer(&encoder, &answer);
    CHECK(!out.failed);
    struct slice whole = arena_copy(&arena, buf_view(&out));
    buf_reset(&out);
    emit(START);
    emit_part(PART_TEXT, 0);
    emit_text(0, SLICE("a"));
    emit((struct llm_event){.kind = EVENT_PART_END});
    emit_part(PART_TOOL_CALL, 1);
    emit_text(1, SLICE("{}"));
    emit((struct llm_event){.kind = EVENT_PART_END, .part = 1});
    buf_reset(&out);
    emit_finish(FINISH_TOOLS);
    CHECK(memmem(out.p, out.n, whole.p, whole.n) != NULL);
    end();
}

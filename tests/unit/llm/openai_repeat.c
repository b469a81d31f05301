/* Events compared with the one before: the same result as when each is parsed. */
#include <stdio.h>

#include "check.h"
#include "fixture.h"
#include "llm/openai.h"

static struct llm_provider provider;

static bool same_span(const struct llm_span *a, const struct llm_span *b)
{
    return a->key == b->key && a->key_end == b->key_end && a->value == b->value &&
           a->value_end == b->value_end;
}

/* Scans `data` both ways. */
static void check_event(struct llm_repeat *last, struct slice data)
{
    struct llm_scan want, got;
    bool ok = openai_scan_event(parser, &arena, &provider, data, &want);
    check_note("%.*s", SLICE_ARG(data));
    CHECK(openai_scan_next_event(last, parser, &arena, &provider, data, &got) == ok);
    if (!ok)
        return;
    CHECK(got.is_error == want.is_error && got.done == want.done && got.content == want.content);
    CHECK(got.finished == want.finished && got.usage_only == want.usage_only);
    CHECK(got.has_usage == want.has_usage && got.output_units == want.output_units);
    CHECK(same_span(&got.usage_member, &want.usage_member));
    CHECK_EQ_SLICE(got.model, want.model);
    CHECK(got.model.p == want.model.p && got.finish_reason.p == want.finish_reason.p);
    CHECK_EQ_I64(got.usage.input, want.usage.input);
    CHECK_EQ_I64(got.usage.output, want.usage.output);
}

#define HEAD  "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""
#define TAIL  "\"},\"finish_reason\":null}],\"model\":\"m\",\"usage\":null}"
#define OTHER "\"},\"finish_reason\":\"stop\"}],\"model\":\"m\",\"usage\":null}"

/* Each second event is, or is not, the first one again. */
static const struct {
    const char *first, *second;
    bool repeats;
} pairs[] = {
    {HEAD "a" TAIL, HEAD "a" TAIL, true},
    {HEAD "a" TAIL, HEAD " longer text" TAIL, true},
    {HEAD "much longer \\n text" TAIL, HEAD "b" TAIL, true},
    {HEAD "\xC3\xA4" TAIL, HEAD "b" TAIL, true},
    {HEAD "a" TAIL, HEAD "\xC3\xA4 \xE6\x97\xA5\xE6\x9C\xAC" TAIL, true},
    {HEAD "a" TAIL, HEAD "\xC3 \xA4" TAIL, false},
    {HEAD "a" TAIL, HEAD "\xFF" TAIL, false},
    {HEAD "a" TAIL, HEAD "\\n\\\"x\\\\" TAIL, true},
    {HEAD "a" TAIL, HEAD "\\n\xC3\xA4" TAIL, true},
    {HEAD "a" TAIL, HEAD "\\n\xD8\xD8" TAIL, false},
    {HEAD "a" TAIL, HEAD "\\u00e4" TAIL, false},
    {HEAD "a" TAIL, HEAD "\\x" TAIL, false},
    {HEAD "a" TAIL, HEAD "\\" TAIL, false},
    {HEAD "a" TAIL, HEAD "b\n" TAIL, false},
    {HEAD "a" TAIL, HEAD TAIL, false},
    {HEAD TAIL, HEAD "a" TAIL, false},
    {HEAD "a" TAIL, HEAD "b" OTHER, false},
    {HEAD "b" OTHER, HEAD "cc" OTHER, false},
    {HEAD "a" TAIL, HEAD "a" TAIL " ", false},
    {HEAD "a" TAIL, HEAD "a", false},
    {HEAD "a" TAIL, HEAD "a\",\"content\":\"b" TAIL, false},
    {HEAD "a" TAIL, "[DONE]", false},
    {HEAD "a\",\"content\":\"b" TAIL, HEAD "longer\",\"content\":\"b" TAIL, true},
    {HEAD "a\",\"content\":\"b" TAIL, HEAD "a\",\"content\":\"longer" TAIL, false},
    {"{\"obfuscation\":\"xyz\",\"model\":\"m\",\"usage\":null,\"choices\":[{\"text\":\"a\"}]}",
     "{\"obfuscation\":\"x\",\"model\":\"m\",\"usage\":null,\"choices\":[{\"text\":\"abcd\"}]}",
     true},
    {"{\"choices\":[{\"text\":\"a\"}],\"usage\":null,\"model\":\"m\",\"obfuscation\":\"xyz\"}",
     "{\"choices\":[{\"text\":\"abcd\"}],\"usage\":null,\"model\":\"m\",\"obfuscation\":\"x\"}",
     true},
    {"{\"choices\":[{\"text\":\"a\"}],\"obfuscation\":\"xyz\"}",
     "{\"choices\":[{\"text\":\"a\"}],\"obfuscation\":\"\"}", false},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}",
     "{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"c\"}}]}", true},
    {"{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}",
     "{\"choices\":[{\"delta\":{\"content\":\"c\"}},{\"delta\":{\"content\":\"b\"}}]}", false},
    {"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]}}]}",
     "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]}}]}", false},
};

TEST(pairs_of_events)
{
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct llm_repeat last = {.n = 0}, copy;
        struct llm_scan s;
        check_event(&last, slice_str(pairs[i].first));
        copy = last;
        check_event(&last, slice_str(pairs[i].second));
        /* What repeats is not parsed: no parser is needed. */
        if (pairs[i].repeats)
            CHECK(openai_scan_next_event(&copy, NULL, &arena, &provider, slice_str(pairs[i].second),
                                         &s));
    }
    tear_down();
}

TEST(long_events_are_parsed)
{
    char text[2 * LLM_REPEAT_MAX];
    struct llm_repeat last = {.n = 0};
    set_up();
    for (int n = 1; n < LLM_REPEAT_MAX + 100; n++) {
        int len = snprintf(text, sizeof text, HEAD "%0*d" TAIL, n, 7);
        check_event(&last, slice_of(text, (size_t)len));
        CHECK(last.n <= LLM_REPEAT_MAX);
    }
    tear_down();
}

/* Events with a byte changed, taken out or put in anywhere, in a row. */
TEST(any_difference)
{
    static const char base[] = HEAD "some text" TAIL, bytes[] = "\"\\anx{}[],:\n\x80\xC3 \0";
    set_up();
    struct llm_repeat last = {.n = 0};
    for (int round = 0; round < 20000; round++) {
        char text[sizeof base + 1];
        size_t n = sizeof base - 1, at = check_random_below(n);
        char c = bytes[check_random_below(sizeof bytes - 1)];
        uint64_t kind = check_random_below(4);
        memcpy(text, base, n);
        if (kind == 0) {
            text[at] = c;
        } else if (kind == 1) {
            memmove(text + at, text + at + 1, n - at - 1);
            n--;
        } else if (kind == 2) {
            memmove(text + at + 1, text + at, n - at);
            text[at] = c;
            n++;
        }
        check_event(&last, slice_of(text, n));
    }
    tear_down();
}

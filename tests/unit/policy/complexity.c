/* The score of a request: its order on the labelled prompts against that of their lengths, what
 * each fact adds, odd texts, and cost. */
#include "policy/complexity.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "check.h"

#define PROMPTS   400
#define FILE_MAX  ((size_t)1 << 20)
#define AREA_MIN  0.75
#define AREA_OVER 0.05 /* over that of the length */

static const struct complexity_facts alone = {.messages = 1};

static double score(const char *text)
{
    return complexity_score(slice_str(text), &alone);
}

struct prompt {
    bool complex, test;
    struct slice text;
    double score, length;
};

/* The labelled prompts; `memory` holds their texts. */
struct prompts {
    char *memory;
    unsigned n;
    struct prompt all[PROMPTS];
};

/* FNV-1a (Fowler, Noll, Vo): it alone decides in which half a prompt is. */
static uint64_t fnv1a(struct slice s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* Undoes \n in place. */
static struct slice unescape(char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        bool newline = p[i] == '\\' && i + 1 < n && p[i + 1] == 'n';
        p[to++] = newline ? '\n' : p[i];
        i += newline;
    }
    return slice_of(p, to);
}

static void read_row(struct prompts *all, struct slice row)
{
    CHECK(all->n < PROMPTS);
    struct prompt *p = &all->all[all->n];
    struct slice label = slice_cut(&row, '\t'), fold = slice_cut(&row, '\t');
    check_note("prompt %u: %.60s", all->n + 1, row.p);
    CHECK(slice_cut(&row, '\t').n > 0); /* the kind, for readers */
    CHECK(slice_is(label, "0") || slice_is(label, "1"));
    p->complex = slice_is(label, "1");
    p->test = (fnv1a(row) >> 32 & 1) != 0;
    CHECK_EQ_SLICE(fold, slice_str(p->test ? "test" : "train"));
    p->text = unescape(all->memory + (row.p - all->memory), row.n);
    p->score = complexity_score(p->text, &alone);
    p->length = (double)p->text.n;
    all->n++;
}

static void read_prompts(struct prompts *ret)
{
    char path[1024];
    const char *slash = strrchr(__FILE__, '/');
    CHECK(slash != NULL);
    snprintf(path, sizeof path, "%.*s/../../policy/prompts.tsv", (int)(slash - __FILE__), __FILE__);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    ret->memory = mem_must(mem_alloc(FILE_MAX));
    struct slice rest = slice_of(ret->memory, fread(ret->memory, 1, FILE_MAX, f));
    fclose(f);
    ret->n = 0;
    slice_cut(&rest, '\n'); /* the names of the columns */
    while (rest.n > 0)
        read_row(ret, slice_cut(&rest, '\n'));
    CHECK_EQ_U64(ret->n, PROMPTS);
}

/* The area under the ROC curve: how often a complex prompt comes above a simple one. */
static double area(const struct prompts *p, bool test, bool by_length)
{
    double above = 0, pairs = 0;
    for (unsigned i = 0; i < p->n; i++)
        for (unsigned k = 0; k < p->n; k++) {
            const struct prompt *hard = &p->all[i], *easy = &p->all[k];
            if (!hard->complex || easy->complex || hard->test != test || easy->test != test)
                continue;
            double a = by_length ? hard->length : hard->score;
            double b = by_length ? easy->length : easy->score;
            above += a > b ? 1 : a == b ? 0.5 : 0;
            pairs++;
        }
    return above / pairs;
}

TEST(score_orders_prompts_better_than_their_length)
{
    struct prompts *p = mem_must(mem_alloc(sizeof *p));
    read_prompts(p);
    double by_score = area(p, true, false), by_length = area(p, true, true);
    printf("  area under the ROC curve, test half: score %.3f, length %.3f\n", by_score, by_length);
    printf("  training half: score %.3f, length %.3f\n", area(p, false, false),
           area(p, false, true));
    CHECK(by_score >= AREA_MIN);
    CHECK(by_score >= by_length + AREA_OVER);
    mem_free(p->memory);
    mem_free(p);
}

/* What routing by a threshold would do: docs/routing.md has these figures. */
TEST(thresholds_part_the_prompts)
{
    struct prompts *p = mem_must(mem_alloc(sizeof *p));
    read_prompts(p);
    for (unsigned limit = 20; limit <= 70; limit += 10) {
        unsigned simple[2] = {0, 0}, all[2] = {0, 0};
        for (unsigned i = 0; i < p->n; i++) {
            if (!p->all[i].test)
                continue;
            all[p->all[i].complex]++;
            simple[p->all[i].complex] += p->all[i].score <= limit;
        }
        printf("  up to %u: %u of %u simple ones, %u of %u complex ones\n", limit, simple[0],
               all[0], simple[1], all[1]);
        CHECK(all[0] > 50 && all[1] > 50);
        CHECK((double)simple[0] / all[0] > (double)simple[1] / all[1]);
    }
    mem_free(p->memory);
    mem_free(p);
}

TEST(a_greeting_is_simple_and_a_proof_is_not)
{
    CHECK(score("") < 10);
    CHECK(score(" \n\n ") < 10);
    CHECK(score("...") < 10);
    CHECK(score("hi") < 10);
    CHECK(score("你好") < 10);
    CHECK(score("Danke!") < 10);
    CHECK(score("Prove that the algorithm converges and derive a bound.") > 70);
    CHECK(score("设计一个分布式系统，分析并比较两种算法。") > 70);
    CHECK(score("PROVE IT") == score("prove it"));
    CHECK(score("ДОКАЖИТЕ ЭТО") == score("докажите это"));
    CHECK(score("ÉVALUE") == score("évalue"));
}

TEST(pasted_text_is_not_what_is_asked)
{
    char text[6000] = "Translate this.\n\n";
    size_t n = strlen(text);
    while (n + 60 < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "Prove, design and derive it; compare risks. ");
    double before = complexity_score(slice_of(text, n), &alone);
    CHECK(before < 30);
    text[n++] = '\n';
    text[n++] = '\n';
    memmove(text, text + 17, n - 17);
    memcpy(text + n - 17, "Translate this.", 15);
    CHECK_EQ_DOUBLE(complexity_score(slice_of(text, n - 2), &alone), before);
}

TEST(facts_move_the_score_their_way)
{
    struct slice text = SLICE("Book a table for two.");
    double plain = complexity_score(text, &alone);
    const struct {
        struct complexity_facts facts;
        bool more;
    } rows[] = {
        {{.messages = 20}, true},
        {{.messages = 1, .prompt_bytes = 1 << 20}, true},
        {{.messages = 1, .tools = 1}, true},
        {{.messages = 1, .images = 1}, true},
        {{.messages = 1, .schema = true}, false},
        {{.messages = 1, .reasoning = true}, true},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        check_note("row %u", i);
        double got = complexity_score(text, &rows[i].facts);
        CHECK(rows[i].more ? got > plain : got < plain);
    }
    struct complexity_facts none = {0}, most = {UINT32_MAX, UINT32_MAX, 1, false, true, INT64_MAX};
    CHECK_EQ_DOUBLE(complexity_score(text, &none), plain);
    double top = complexity_score(text, &most);
    CHECK(top > 90 && top <= 100);
}

TEST(any_bytes_have_a_score)
{
    for (unsigned round = 0; round < 3000; round++) {
        size_t n = (size_t)check_random_below(round % 100 == 0 ? 40000 : 900);
        char *p = mem_must(mem_alloc(n + 1)); /* its own block, for the sanitizer */
        static const char few[] = "a \n`?^{\xe8\xaf\x81\xc3\x89\xd0\x94";
        for (size_t i = 0; i < n; i++)
            p[i] = round % 2 == 0 ? few[check_random_below(sizeof few - 1)] : (char)check_random();
        double got = complexity_score(slice_of(p, n), &alone);
        CHECK(got >= 0 && got <= 100);
        mem_free(p);
    }
}

TEST(only_the_first_16_kb_are_looked_at)
{
    char *p = mem_must(mem_alloc(20000));
    memset(p, 'a', 20000);
    memcpy(p, "Count.\n\n", 8);
    memcpy(p + 17000, "\n\nProve, prove, prove", 21);
    double cut = complexity_score(slice_of(p, 17021), &alone);
    CHECK_EQ_DOUBLE(cut, complexity_score(slice_of(p, 16384), &alone));
    mem_free(p);
}

/* Nanoseconds, the best of some rounds, printed for docs/routing.md. */
TEST(cost)
{
    static char text[16384];
    static const char *const asks[] = {
        "Hello!",
        "Compare both designs and explain which one you would choose for our team, and why."};
    for (unsigned i = 0; i < 3; i++) {
        size_t n = i < 2 ? strlen(asks[i]) : sizeof text;
        memset(text, 'x', sizeof text);
        for (size_t k = 0; k < sizeof text; k += 6)
            text[k] = ' ';
        memcpy(text, asks[MIN_OF(i, 1u)], strlen(asks[MIN_OF(i, 1u)]));
        memcpy(text + strlen(asks[1]), "\n\n", 2);
        int64_t best = INT64_MAX;
        double sum = 0;
        for (unsigned round = 0; round < 300; round++) {
            int64_t began = clock_mono_ns();
            sum += complexity_score(slice_of(text, n), &alone);
            best = MIN_OF(best, clock_mono_ns() - began);
        }
        printf("  %5zu bytes: %lld ns\n", n, (long long)best);
        CHECK(sum > 0 && best < NS_PER_MS);
    }
}

/* The request that goes on with an answer that was cut. */
#include "llm/continue.h"

#include "anthropic_internal.h"
#include "llm/join.h"

/* A text's tokens where nobody counted them: four bytes each, rather too few than too many, so that
 * the answer is not cut short. */
#define BYTES_PER_TOKEN 4
/* What the repeated words may take at most: CJK has about a token for each character of 3 bytes. */
#define BYTES_PER_ANCHOR_TOKEN 3

static const char before_words[] =
    "The connection broke while your last answer was being sent, so that it stops in the middle. "
    "Go on with that same answer from exactly where it stops. Start your reply by repeating, "
    "character for character, the last words of the answer, which stand between these tags:\n"
    "<last_words>";
static const char behind_words[] =
    "</last_words>\n"
    "and write straight on behind them, as if nothing had happened. Put nothing in front of these "
    "words: no greeting, no remark, no quotation mark, no tag, no code fence. Do not start the "
    "answer over, and say nothing of the break.";

static int64_t tokens_of(const struct llm_delivered *d)
{
    return d->tokens >= 0 ? d->tokens : (int64_t)(d->text.n / BYTES_PER_TOKEN);
}

/* The text ends with the beginning of a stop sequence: behind the seam nobody would see it whole.
 */
static bool may_cut_stop(const struct llm_chat *c, struct slice text)
{
    for (const struct llm_word *s = c->stop; s != NULL; s = s->next) {
        for (size_t n = 1; n < s->word.n && n <= text.n; n++) {
            if (memcmp(text.p + text.n - n, s->word.p, n) == 0)
                return true;
        }
    }
    return false;
}

static bool wants_citations(const struct llm_chat *c)
{
    for (const struct llm_message *m = c->messages; m != NULL; m = m->next) {
        for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
            if (p->citations)
                return true;
        }
    }
    return false;
}

static const struct llm_message *last_message(const struct llm_chat *c)
{
    const struct llm_message *m = c->messages;
    while (m != NULL && m->next != NULL)
        m = m->next;
    return m;
}

/* Why the answer cannot be gone on with by anybody, or NULL. */
static const char *bar_of(const struct llm_chat *c, const struct llm_delivered *d)
{
    const struct llm_message *last = last_message(c);
    const struct {
        bool holds;
        const char *why;
    } rows[] = {
        {d->has_calls || c->choice == CHOICE_REQUIRED || c->choice == CHOICE_NAMED, "tool_calls"},
        {d->reasoning_open, "reasoning"},
        {d->has_other, "other_parts"},
        {llm_join_sent(d->text).n == 0, "nothing_delivered"},
        {c->format != FORMAT_TEXT, "format"},
        {c->n > 1, "choices"},
        {c->logprobs, "logprobs"},
        {wants_citations(c), "citations"},
        {c->completion, "completion"},
        {last == NULL || last->role == ROLE_ASSISTANT, "conversation"},
        {c->unknown != NULL, "unknown_members"},
        {may_cut_stop(c, d->text), "stop"},
        {c->max_tokens >= 0 && c->max_tokens <= tokens_of(d), "tokens_spent"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].holds)
            return rows[i].why;
    }
    return NULL;
}

/* Only of models known as Claude's: others behind the same wire are anybody's. */
static bool claude_prefills(struct slice model)
{
    return memmem(model.p, model.n, "claude-", sizeof "claude-" - 1) != NULL &&
           anthropic_model_traits(model) & TRAIT_PREFILL;
}

enum llm_continue llm_can_continue(const struct llm_chat *chat, const struct llm_delivered *d,
                                   const struct llm_provider *provider, struct slice model,
                                   const char **ret_why)
{
    const char *why = bar_of(chat, d);
    enum llm_continue how = LLM_CONTINUE_INSTRUCTION;
    switch (provider->prefill) {
    case LLM_PREFILL_PLAIN:
    case LLM_PREFILL_FLAG:
    case LLM_PREFILL_NO_THINKING: how = LLM_CONTINUE_PREFILL; break;
    case LLM_PREFILL_PREFIX: how = LLM_CONTINUE_ECHOED; break;
    case LLM_PREFILL_CLAUDE:
        if (claude_prefills(model))
            how = LLM_CONTINUE_PREFILL;
        break;
    case LLM_PREFILL_NONE: break;
    }
    if (why == NULL && how == LLM_CONTINUE_INSTRUCTION && llm_join_anchor(d->text).n == 0)
        why = d->text.n < 2 * JOIN_SURE ? "too_short" : "repetitive";
    if (why == NULL)
        return how;
    *ret_why = why;
    return LLM_CONTINUE_NOT;
}

/* A message of one text; NULL: no memory. */
static struct llm_message *message_of(struct arena *a, enum llm_role role, struct slice text)
{
    struct llm_message *m = arena_new(a, struct llm_message);
    struct llm_part *p = arena_new(a, struct llm_part);
    struct llm_text inner = llm_text_of(a, text);
    if (m == NULL || p == NULL || inner.inner.p == NULL)
        return NULL;
    *p = (struct llm_part){.kind = PART_TEXT, .text = inner};
    *m = (struct llm_message){.role = role, .parts = p};
    return m;
}

static struct llm_message *instruction_of(struct arena *a, struct slice words)
{
    struct slice text =
        arena_printf(a, "%s" SLICE_FMT "%s", before_words, SLICE_ARG(words), behind_words);
    return text.p != NULL ? message_of(a, ROLE_USER, text) : NULL;
}

/* The list of messages without their parts; its last `next` in `*ret_tail`. False: no memory. */
static bool copy_messages(struct arena *a, const struct llm_message *from,
                          struct llm_message ***ret_tail)
{
    for (; from != NULL; from = from->next) {
        struct llm_message *m = arena_new(a, struct llm_message);
        if (m == NULL)
            return false;
        *m = *from;
        m->next = NULL;
        LLM_APPEND(*ret_tail, m);
    }
    return true;
}

bool llm_continue_request(struct arena *a, const struct llm_chat *chat,
                          const struct llm_delivered *d, enum llm_continue how,
                          struct llm_chat *ret)
{
    bool asked = how == LLM_CONTINUE_INSTRUCTION;
    struct slice words = asked ? llm_join_anchor(d->text) : SLICE_NONE;
    struct llm_chat copy = *chat;
    struct llm_message **tail = &copy.messages;
    unsigned at = 0;
    ASSERT(how != LLM_CONTINUE_NOT);
    copy.messages = NULL;
    if (!copy_messages(a, chat->messages, &tail))
        return false;
    for (const struct llm_message *m = copy.messages; m != NULL; m = m->next)
        at = m->at + 1;
    struct llm_message *said =
        message_of(a, ROLE_ASSISTANT, asked ? d->text : llm_join_sent(d->text));
    struct llm_message *ask = asked ? instruction_of(a, words) : NULL;
    if (said == NULL || (asked && ask == NULL))
        return false;
    said->at = said->parts->message_at = at;
    LLM_APPEND(tail, said);
    if (asked) {
        ask->at = ask->parts->message_at = at + 1;
        LLM_APPEND(tail, ask);
    } else {
        copy.continues = true;
        copy.effort = copy.show = SLICE_NONE;
        copy.budget = -1;
    }
    if (copy.max_tokens >= 0)
        copy.max_tokens =
            MAX_OF(copy.max_tokens - tokens_of(d), (int64_t)1) +
            (int64_t)((words.n + BYTES_PER_ANCHOR_TOKEN - 1) / BYTES_PER_ANCHOR_TOKEN);
    *ret = copy;
    return true;
}

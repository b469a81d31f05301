/* Joining a stream that was cut with its continuation from elsewhere, so that the client gets no
 * text twice and misses none. The continuation comes in pieces; a join says what of them goes on to
 * the client, and fails where it cannot be shown to be right. What it takes for shown depends on
 * how the continuation was asked for (llm/continue.h):
 *
 * PREFILL: the server's contract is that its answer goes on behind the text that it was given. That
 *   text went without the white space at its end (Anthropic refuses it there, many chat templates
 *   cut it off), so the answer has to begin with just that white space; it is dropped. An answer
 *   that breaks the contract is told by repeating what is there: the text's beginning, or its end,
 *   for JOIN_SURE bytes or more. Below that, repetition is taken for the text's own ("very very").
 *   An answer in other words cannot be told from a continuation here: the contract stands for it.
 * ECHOED: the same, but the answer may begin with the given text, which is then dropped.
 * INSTRUCTION: the model was asked to begin with the text's last words (llm_join_anchor), which
 *   occur nowhere else in it. The answer has to begin with them, or with a longer piece of the
 *   text's end (JOIN_TAIL bytes at most), or with all of the text: that is dropped, and what stands
 *   behind it goes on. White space before it is skipped. Anything else, such as a preamble, quotes,
 *   other words or an answer without the words, fails.
 *
 * Nothing goes on to the client before this is decided, so that a join fails before it has passed
 * anything or not at all. The result does not depend on how the continuation is cut into pieces.
 * Pure; holds no memory beside the struct. */
#ifndef LLM_JOIN_H
#define LLM_JOIN_H

#include "base/buf.h"
#include "llm/continue.h"

#define JOIN_SURE       ((size_t)24)   /* bytes of repetition that are no chance */
#define JOIN_TAIL       ((size_t)1024) /* bytes of the text's end where repetition is looked for */
#define JOIN_ANCHOR_MAX ((size_t)320)  /* bytes of the last words; more are asked of no model */
#define JOIN_SPACE_MAX  16 /* bytes of white space that are looked behind for repetition */

enum llm_join_result {
    JOIN_HOLD,   /* undecided: nothing goes on yet */
    JOIN_PASS,   /* right so far: what was appended to `out`, if anything, goes on */
    JOIN_FAILED, /* `why` says why; nothing of the continuation may be shown */
};

enum llm_join_step { JOIN_ECHO, JOIN_OWED, JOIN_MARGIN, JOIN_MATCH, JOIN_JOINED, JOIN_BROKEN };

struct llm_join {
    struct slice text; /* delivered; stays in place as long as the join */
    enum llm_continue how;
    enum llm_join_step step;
    size_t lead, sent;      /* the text without white space at its ends is lead..sent */
    size_t matched_owed;    /* of the white space behind `sent` */
    size_t tail, last;      /* the pieces of its end that are looked for begin at tail..last */
    size_t from, matched;   /* MATCH: all so far is the text's from..from+matched */
    bool any;               /* something has come */
    unsigned char space_n;  /* white space before what is matched */
    unsigned char broken_n; /* the beginning of a character whose end has not come */
    char space[JOIN_SPACE_MAX], broken[4];
    const char *why; /* FAILED: "empty", "white_space", "restarts", "repeats" or "no_anchor" */
};

/* `text`: what the client got, plain UTF-8; not copied. `how` is what llm_can_continue gave for it,
 * not NOT, so that there is more in it than white space, and last words for INSTRUCTION. */
void llm_join_init(struct llm_join *j, enum llm_continue how, struct slice text);
/* The continuation's next piece, plain text. With PASS, what goes on is appended to `out`, whole
 * characters only. */
enum llm_join_result llm_join_feed(struct llm_join *j, struct slice piece, struct buf *out);
/* The continuation has come to its proper end (nobody may ask after one that was cut): PASS or
 * FAILED. A continuation without any text fails: nothing shows that it is one. */
enum llm_join_result llm_join_end(struct llm_join *j, struct buf *out);

/* The last words of a text: its end from the beginning of a word on, JOIN_SURE bytes or more, such
 * that they occur once in it. Empty: there is less text than that (an answer of its own might well
 * begin alike: "S" and "Sure, here is ..."), or its end repeats too much. */
struct slice llm_join_anchor(struct slice text);
/* The text without white space at its end: what a server is given to go on with. */
struct slice llm_join_sent(struct slice text);

#endif

/* Answers that go on behind the bound that their request has set: an upstream that does not know
 * the bound, or generates without end. A stream's events with content are counted. Most servers
 * send one for a token, but some send single characters, so that six of them count as one: no
 * answer that keeps to its bound is cut, and one that does not ends soon enough. The answer is cut:
 * the client gets the end of its dialect as a provider says it of an answer that reached its bound,
 * and the upstream's request is cancelled.
 *
 * One wire passed on as it comes has no encoder that knows what was said. For the end a fresh one
 * is told the shape of the answer so far, and what it writes of that is thrown away. The Responses
 * dialect repeats the whole answer in its end, so that there an error ends the stream. */
#ifndef GATEWAY_OVERLONG_H
#define GATEWAY_OVERLONG_H

#include "llm/neutral.h"

struct attempt;
struct exchange;

/* Events with content that an answer may have: INT64_MAX where nobody has set a bound. */
int64_t overlong_bound(const struct exchange *x);
/* Has the stream more than that? */
bool overlong(const struct attempt *a);

/* The choice has a reason to end. */
void overlong_finished(struct attempt *a, unsigned choice);
/* Some choices have, in this event of OpenAI's. */
void overlong_note_finish(struct attempt *a, struct slice data);

/* Appends the stream's end to what goes to the client. `data`: of the latest event. False: it
 * cannot be said, and an error has to end the stream. */
NODISCARD bool overlong_end(struct attempt *a, struct slice data);
/* The last events of an answer that is cut: of each choice that has not finished, and the end. */
void overlong_say_end(const struct attempt *a, llm_emit_fn *emit, void *ctx);

#endif

/* The clients' dialects as a test sees them: the same question in each, and what an answer in each
 * says and how it ends. */
#ifndef LOOPBACK_TONGUES_H
#define LOOPBACK_TONGUES_H

#include "world.h"

enum tongue { CHAT, RESPONSES, MESSAGES, GOOGLE, TONGUES_N };
extern const char *const tongue_names[TONGUES_N];

/* Asks "hi" with room for a long answer. `more` are further members of the body, each with a comma
 * in front, or "". */
struct net_stream *tongue_ask(struct world *w, enum tongue t, const char *model, bool stream,
                              const char *more);

/* The same bytes in all events of a stream that can have text: appends the answer's text, plain. */
void tongue_text(const struct net_stream *s, enum tongue t, struct text *out);
/* The text of a whole answer, escaped as it stands in it. */
struct slice tongue_whole_text(const struct net_stream *s, enum tongue t);
/* Data of the `i`-th event from the end on; SLICE_NONE: there are not so many. */
struct slice tongue_data(const struct net_stream *s, unsigned i);

/* Has the stream come to the proper end of its dialect, once, with everything that was opened
 * closed before it? Fails the test where it is neither that nor without any trace of an end. */
bool tongue_finished(const struct net_stream *s, enum tongue t);
/* The error event that ends it: its message, or SLICE_NONE where there is none. */
struct slice tongue_error(const struct net_stream *s, enum tongue t);
/* Tokens of prompt and answer as the client of a stream was told them; -1: not. */
void tongue_usage(const struct net_stream *s, enum tongue t, int64_t *ret_input,
                  int64_t *ret_output);

bool says(const struct net_stream *s, const char *what);

#endif

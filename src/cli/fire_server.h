/* The fault server of `weir check --fire`: a Unix socket for each target, which answers in the wire
 * of the target's provider, or fails in a way that can be chosen. */
#ifndef CLI_FIRE_SERVER_H
#define CLI_FIRE_SERVER_H

#include "base/arena.h"
#include "llm/provider.h"
#include "net/upstream.h"

/* X(id, name) */
#define FIRE_FAULTS(X)                                                                             \
    X(NONE, "none")                                                                                \
    X(REFUSED, "refused") /* no connection */                                                      \
    X(STATUS_500, "500")                                                                           \
    X(STATUS_429, "429") /* with Retry-After: 1 */                                                 \
    X(SILENCE, "silence")                                                                          \
    X(CUT, "cut") /* behind the head, before any content */                                        \
    X(HTML, "html")                                                                                \
    X(SILENT_ONCE, "silent once")      /* the first request to any of those that do so */          \
    X(CUT_LATER, "cut after 3 events") /* streams only; a continuation goes well */
enum fire_fault {
#define X(id, name) FAULT_##id,
    FIRE_FAULTS(X)
#undef X
        FAULTS_N
};
const char *fire_fault_name(enum fire_fault f);

/* One target. */
struct fire_endpoint {
    struct slice label;             /* "provider/model" */
    const struct llm_provider *row; /* whose wire it speaks */
    struct upstream *upstream;      /* that leads here; the server's */
    _Atomic int fault;              /* enum fire_fault; fire_fault_set changes it */
    _Atomic unsigned asked;         /* requests that came */
    char *path;                     /* of its socket: a link to where it listens, or to nobody */
    struct fire_server *server;
    struct net_listener *listener;
};

struct fire_server;

/* Listens for all `n` endpoints, whose label and row are set, in the folder `dir`; text lives in
 * `a`. NULL: `errors` says why. */
NODISCARD struct fire_server *fire_server_new(struct fire_endpoint *list, size_t n, const char *dir,
                                              struct arena *a, struct buf *errors);
/* Stops, and removes its files. NULL is fine. */
void fire_server_free(struct fire_server *s);

/* How it answers from now on. */
void fire_fault_set(struct fire_endpoint *e, enum fire_fault f);
/* Who is silent once has not been so yet. */
void fire_server_hush(struct fire_server *s);

/* All of the text that a good answer has; a stream that is cut later breaks off inside it. */
struct slice fire_text(void);
/* Is there an answer for that wire? Its name where there is none. */
const char *fire_unknown_wire(const struct llm_provider *row);
/* Appends a good answer in the wire of `row`. `piece_n` > 0: a stream cut behind so many pieces of
 * the text. `request` is the body that asks for it, which may ask to go on with a cut answer. */
void fire_put_answer(struct buf *out, const struct llm_provider *row, bool stream, unsigned piece_n,
                     struct slice request);
struct slice fire_content_type(const struct llm_provider *row, bool stream);

#endif

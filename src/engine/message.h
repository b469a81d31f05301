/* What Weir and an engine's shim say to each other over their socket: one JSON object per line.
 *
 * Weir to shim:
 *   {"type":"start","list":["/usr/bin/llama-server","-m","x.gguf"]}   once, first
 *   {"type":"signal","number":15}                 to the engine's process group
 * Shim to Weir:
 *   {"type":"started","number":4711}              the engine's pid, which is also its group
 *   {"type":"output","text":"loading ..."}        it wrote something; the newest line, now and then
 *   {"type":"exited","number":1,"list":["..."]}   its exit code, and its last lines
 *   {"type":"exited","signal":9,"list":[]}        ended by a signal
 *   {"type":"exited","text":"..."}                it could not be run at all
 * "exited" is the last message: nothing of the group is left, and the shim ends. When Weir's end
 * closes, whatever the cause, the shim kills the group and ends.
 *
 * The engine's environment is the shim's own. Nothing here depends on which process holds Weir's
 * end, so that a later Weir can pass it on to its successor. */
#ifndef ENGINE_MESSAGE_H
#define ENGINE_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#define SHIM_FD        3                   /* the shim's end of the socket */
#define SHIM_LINE_MAX  ((size_t)256 << 10) /* bytes of one message, and of what is kept unread */
#define SHIM_ARENA_MAX ((size_t)1 << 20)   /* memory for one message that was read */

#define SHIM_MESSAGES(X)                                                                           \
    X(START, "start")                                                                              \
    X(SIGNAL, "signal")                                                                            \
    X(STARTED, "started")                                                                          \
    X(OUTPUT, "output")                                                                            \
    X(EXITED, "exited")
enum shim_message_type {
#define X(id, name) SHIM_##id,
    SHIM_MESSAGES(X)
#undef X
        SHIM_MESSAGES_N
};

struct shim_message {
    enum shim_message_type type;
    int64_t number; /* SIGNAL: which; STARTED: pid; EXITED: exit code */
    int64_t signal; /* EXITED: what ended it, or 0 */
    struct slice text;
    const struct slice *list;
    size_t list_n;
};

/* Appends the message as a line. */
void shim_message_put(struct buf *b, const struct shim_message *m);

/* Reads one line (without LF). What `ret` points to lives in `a`, or in `line`. False: not a
 * message, or no memory. */
NODISCARD bool shim_message_read(struct json_parser *p, struct slice line, struct arena *a,
                                 struct shim_message *ret);

/* The first line of `in`, without LF, valid until the buffer changes; `*ret_bytes` is what to
 * consume once it has been dealt with. False: there is none yet. */
NODISCARD bool shim_line(const struct buf *in, struct slice *ret, size_t *ret_bytes);

#endif

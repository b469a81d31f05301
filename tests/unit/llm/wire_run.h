/* A decoder whose events are written down, a line each, and whose order is checked. */
#ifndef LLM_WIRE_RUN_H
#define LLM_WIRE_RUN_H

#include "../../fuzz/event_order.h"
#include "base/buf.h"
#include "llm/wire.h"

struct wire_run {
    struct llm_decoder d;
    struct event_order order;
    struct buf said;
    bool ok;
};

/* Sets the fixture up; wire_run_end tears it down. */
void wire_run_begin(struct wire_run *r, const struct llm_wire *wire);
void wire_run_end(struct wire_run *r);

/* These begin a run. */
void wire_run_stream(struct wire_run *r, const struct llm_wire *wire, const char *sse);
void wire_run_answer(struct wire_run *r, const struct llm_wire *wire, const char *body);

/* input, output, cached; nothing else is known. */
void wire_run_check_usage(const struct wire_run *r, int64_t input, int64_t output, int64_t cached);

/* A request of one message of the user's, "Hi", to be changed; and what becomes of it. */
struct wire_request {
    struct llm_chat chat;
    struct llm_message message[4];
    struct llm_part part[8];
    struct llm_tool tool[3];
    struct llm_word word[3];
    struct llm_provider provider;
    struct llm_writing w;
    struct llm_bad_request bad;
    struct buf out;
    const struct llm_wire *wire;
    const char *model;
    enum llm_feature drop; /* refused by default; this one is dropped */
};

void wire_request_begin(struct wire_request *q, const struct llm_wire *wire, const char *model);
void wire_request_end(struct wire_request *q);
bool wire_request_write(struct wire_request *q);
/* It is written, as valid JSON, and is this. */
void wire_request_check(struct wire_request *q, const char *want);
void wire_request_check_refused(struct wire_request *q, const char *param);
/* One name was left out. */
void wire_request_check_dropped(const struct wire_request *q, const char *name);
/* Message `i`, linked behind the one before it, with this part alone; returns the part. */
struct llm_part *wire_request_say(struct wire_request *q, unsigned i, enum llm_role role,
                                  enum llm_part_kind kind, const char *text);

#endif

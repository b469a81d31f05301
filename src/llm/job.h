/* Providers whose answers are jobs: a request makes one, and its state is asked for until it has
 * ended. */
#ifndef LLM_JOB_H
#define LLM_JOB_H

#include "llm/wire.h"

/* One word of `status`. */
struct job_status {
    const char *word;
    enum llm_poll poll;
    unsigned http;       /* FAILED: what it stands for */
    const char *message; /* FAILED: where the job itself does not say why */
};

struct job_rows {
    const struct job_status *rows;
    size_t n;
    const char *path; /* what stands before the id in the path that shows the job */
};

/* The row of the parsed job's status; NULL: it has none that is known. */
const struct job_status *job_status_of(const struct json_doc *d, const struct job_rows *rows);

/* A wire's `poll`. The path is made from the job's id, never from an address in the answer. */
enum llm_poll job_poll(struct llm_decoder *d, struct slice body, const struct job_rows *rows,
                       struct slice *ret_path);

/* ERROR, with what the job's `error` says. The document is of no use after it. */
void job_emit_error(struct llm_decoder *d, const struct json_doc *doc,
                    const struct job_status *row);

/* decode_event and decode_end of wires that are asked for whole answers only. */
bool job_no_event(struct llm_decoder *d, struct slice name, struct slice data);
bool job_no_end(struct llm_decoder *d);

#endif

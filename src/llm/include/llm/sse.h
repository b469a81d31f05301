/* Server-sent events (WHATWG HTML, section 9.2), split without copying. */
#ifndef LLM_SSE_H
#define LLM_SSE_H

#include "base/buf.h"
#include "base/slice.h"

struct sse_event {
    struct slice raw;  /* all bytes of the event with its blank line, to be forwarded as they are */
    struct slice name; /* of an `event:` line, or SLICE_NONE */
    struct slice data; /* of the `data:` lines; several are joined by LF in the scratch buffer */
    bool has_data;     /* false: only comments, or nothing */
};

/* Takes the next whole event off `*in`. True: `*ret` points into `*in`'s memory (and `scratch` when it
 * has several data lines). False: no whole event is left; the rest stays in `*in`.
 * Line ends may be LF, CRLF or CR; a byte order mark at the start of a stream is part of the first
 * event's raw bytes and not of its data. `*scanned` saves rescanning a long incomplete event: it
 * starts at 0, belongs to the bytes now at the front of `*in`, and is reset when an event is taken. */
bool sse_next(struct slice *in, size_t *scanned, struct buf *scratch, struct sse_event *ret);

/* "data: <json>\n\n" */
void sse_put_data(struct buf *out, struct slice json);

#endif

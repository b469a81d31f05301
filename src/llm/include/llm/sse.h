/* Server-sent events (WHATWG HTML, section 9.2), split without copying. */
#ifndef LLM_SSE_H
#define LLM_SSE_H

#include "base/buf.h"
#include "base/slice.h"

struct sse_event {
    struct slice raw;  /* all bytes of the event with its blank line, to be forwarded as they are */
    struct slice name; /* of an `event:` line, or SLICE_NONE */
    struct slice data; /* of the `data:` lines; several are joined by LF in the scratch buffer */
    bool has_data;     /* false: only comments, or blank lines */
};

/* Takes the next whole event off `*in`. True: `*ret` points into `*in`'s memory (and `scratch` when
 * it has several data lines; if that buffer failed, data is SLICE_NONE). False: no whole event is
 * left; the rest stays in `*in`. The raw bytes of the events and the rest, in order, are the input.
 * Line ends may be LF, CRLF or CR. A CR that ends the input ends an event without waiting for the
 * LF that may follow; such an LF, like other blank lines between events, comes as an event without
 * data. A byte order mark is part of the raw bytes and not of the data. `*scanned` saves looking
 * twice at a long incomplete event: it starts at 0, belongs to the bytes now at the front of `*in`,
 * and is reset when an event is taken. */
bool sse_next(struct slice *in, size_t *scanned, struct buf *scratch, struct sse_event *ret);

/* An event with `json` as its data: "data: <json>\n\n", a line more per LF inside. */
void sse_put_data(struct buf *out, struct slice json);

#endif

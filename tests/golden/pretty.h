/* JSON as people like to read it, and the check that it is clean. */
#ifndef TESTS_GOLDEN_PRETTY_H
#define TESTS_GOLDEN_PRETTY_H

#include "base/buf.h"
#include "base/json.h"

/* Appends the text with an indent of two for each level; what fits in a line stays in one. Values
 * are as they are written. False: it is no JSON, or an object in it has a key twice; `*ret_why`
 * says so. */
NODISCARD bool pretty_json(struct json_parser *p, struct slice text, struct buf *out,
                           const char **ret_why);

#endif

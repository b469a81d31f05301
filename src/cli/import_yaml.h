/* Reading somebody else's YAML: values with their lines, by libyaml's documents. */
#ifndef CLI_IMPORT_YAML_H
#define CLI_IMPORT_YAML_H

#include <yaml.h>

#include "import.h"

/* A value of the document, or none (id 0). */
struct yvalue {
    yaml_document_t *doc;
    int id;
};

/* False: the text is no YAML, which standard error says. yaml_document_delete frees it. */
NODISCARD bool yvalue_load(const struct import *im, struct slice text, yaml_document_t *ret);

static inline bool yvalue_is(struct yvalue v)
{
    return v.id != 0;
}
bool yvalue_is_map(struct yvalue v);
bool yvalue_is_list(struct yvalue v);
size_t yvalue_line(struct yvalue v);
/* The text of a scalar; empty for null, and for what is no scalar. */
struct slice yvalue_text(struct yvalue v);
bool yvalue_true(struct yvalue v);

/* The value of a key of a map, also through `<<`; none where it is missing or null. */
struct yvalue yvalue_get(struct yvalue map, const char *key);

/* Pairs of a map or items of a list, in order: for (unsigned i = 0; yvalue_next(m, &i, &k, &v);).
 * Of a map that is merged by `<<` its pairs come too, unless `map` has the key itself. Of a list
 * the key is none. */
bool yvalue_next(struct yvalue of, unsigned *i, struct yvalue *ret_key, struct yvalue *ret_value);

#endif

/* Parts of reading a LiteLLM configuration. */
#ifndef CLI_IMPORT_LITELLM_H
#define CLI_IMPORT_LITELLM_H

#include "import_yaml.h"

/* What the `litellm_params` of a deployment mean: a target at a provider, which is made where there
 * is none like it. NULL: there is no counterpart, which has been named. */
struct import_target *import_deployment(struct import *im, struct yvalue params);

/* A value as YAML: "os.environ/X" becomes "${X}". */
void import_put_value(struct buf *out, struct slice text);
/* "10" or "0.5" seconds. False: neither, 0, or more than a day. */
NODISCARD bool import_seconds(struct slice text, int64_t *ret_ms);
/* Is it one of the prices that a model may have? */
bool import_is_cost(struct slice key);

#endif

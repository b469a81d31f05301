/* C face of simdjson's first stage. */
#ifndef BASE_JSON_STAGE1_H
#define BASE_JSON_STAGE1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_stage1;

enum json_stage1_result {
    STAGE1_OK,
    STAGE1_EMPTY,
    STAGE1_BAD_UTF8,
    STAGE1_BAD_SYNTAX, /* control character in a string, or a string without end */
    STAGE1_NO_MEMORY,
};

/* State for texts of up to `capacity` bytes, or NULL. */
struct json_stage1 *json_stage1_new(size_t capacity);
void json_stage1_free(struct json_stage1 *s);
size_t json_stage1_capacity(const struct json_stage1 *s);

/* On success `*ret_at` are the offsets of the `*ret_n` structural characters, opening quotes and
 * first characters of other scalars, in order, with at least one entry behind them. */
enum json_stage1_result json_stage1_run(struct json_stage1 *s, const char *text, size_t len,
                                        const uint32_t **ret_at, size_t *ret_n);

bool json_stage1_utf8(const char *text, size_t len);

#ifdef __cplusplus
}
#endif

#endif

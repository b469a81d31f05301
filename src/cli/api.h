/* Calls to a gateway, or to anything that speaks OpenAI's dialect. */
#ifndef CLI_API_H
#define CLI_API_H

#include "base/buf.h"
#include "fetch.h"

struct api {
    struct fetcher *fetcher;
    struct buf base;       /* "http://127.0.0.1:8080/v1" */
    struct buf credential; /* the Authorization line, or empty */
};

/* `url`, else WEIR_URL, else the gateway on this machine; a URL without a path gets /v1. `key`,
 * else WEIR_API_KEY, else OPENAI_API_KEY. Options may be NULL. False: `*ret_why` says what is
 * wrong, and nothing needs api_close. */
NODISCARD bool api_open(struct api *a, const char *url, const char *key, const char *ca_file,
                        const char **ret_why);
void api_close(struct api *a);

/* Base and path as one URL, in `out`. */
void api_url(const struct api *a, struct slice path, struct buf *out);

/* The names that can be asked for, one call each, in the gateway's order. False: `why` (`size`
 * bytes) says why not; it ends in nothing that could steer a terminal. */
NODISCARD bool api_models(struct api *a, void (*each)(void *ctx, struct slice name), void *ctx,
                          char *why, size_t size);

#endif

/* Is a file the model that it claims to be? Reads the head of a GGUF file (version 2 and 3,
 * github.com/ggml-org/ggml, docs/gguf.md), which says where each tensor lies. */
#ifndef CLI_GGUF_H
#define CLI_GGUF_H

#include "base/compiler.h"

struct gguf_info {
    unsigned version;
    uint64_t tensors, keys;
    uint64_t needed_bytes; /* the file has to be at least this long */
};

/* Checks the whole head and that the file of `size` bytes reaches past the start of its last tensor
 * (to its end where the tensor's type is a known one). Of a newer version, or big-endian, only the
 * magic is checked. False: `*ret_why` says what is wrong. */
NODISCARD bool gguf_check(int fd, int64_t size, struct gguf_info *ret, const char **ret_why);

#endif

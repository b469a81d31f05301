/* What `weir pull` is asked for: a URL, from which the file's name and the credential follow. */
#ifndef CLI_PULL_SOURCE_H
#define CLI_PULL_SOURCE_H

#include "base/arena.h"
#include "partfile.h"

struct pull_source {
    struct slice url;
    char name[PARTFILE_NAME_MAX + 1]; /* of the file, ending in .gguf */
    bool hub;                         /* Hugging Face, or HF_ENDPOINT */
};

/* Reads `text`: a URL, or hf:ORG/REPO/PATH (hf:ORG/REPO@REVISION/PATH) for a file on the hub, whose
 * pages' addresses (.../blob/...) stand for the files on them. `name` (or NULL) replaces the file's
 * own. Text lives in `a`. False: `*ret_why` says what is wrong with it. */
NODISCARD bool pull_source_read(const char *text, const char *name, struct arena *a,
                                struct pull_source *ret, const char **ret_why);

#endif

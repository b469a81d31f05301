/* Golden files: reading them, comparing with them, and writing them anew where the environment has
 * UPDATE=1. */
#ifndef TESTS_GOLDEN_FILES_H
#define TESTS_GOLDEN_FILES_H

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "check.h"

#define FILE_MAX ((size_t)1 << 22)

static inline bool golden_updates(void)
{
    return getenv("UPDATE") != NULL;
}

static inline struct buf golden_read(const char *path)
{
    struct buf b;
    FILE *f = fopen(path, "rb");
    check_note("%s", path);
    buf_init(&b, FILE_MAX);
    CHECK(f != NULL && buf_reserve(&b, FILE_MAX));
    b.n = fread(b.p, 1, FILE_MAX, f);
    fclose(f);
    return b;
}

/* `got` is what the file at `path` has, or becomes so. */
static inline void golden_check(const char *path, struct slice got)
{
    if (golden_updates()) {
        FILE *f = fopen(path, "wb");
        check_note("%s", path);
        CHECK(f != NULL);
        CHECK(got.n == 0 || fwrite(got.p, 1, got.n, f) == got.n);
        CHECK(fclose(f) == 0);
        return;
    }
    struct buf want = golden_read(path);
    CHECK_EQ_SLICE(got, buf_view(&want));
    buf_done(&want);
}

/* No file is at `path`, or none is left: for outputs that come in one of two kinds. */
static inline void golden_absent(const char *path)
{
    if (golden_updates())
        unlink(path);
    check_note("%s is there", path);
    CHECK(access(path, F_OK) != 0);
}

/* The paths that match, in order; none is fine. */
static inline void golden_find(const char *pattern, glob_t *ret)
{
    int rc = glob(pattern, 0, NULL, ret);
    CHECK(rc == 0 || rc == GLOB_NOMATCH);
}

/* The name of the file without its folder and the last `suffix`. */
static inline struct slice golden_stem(const char *path, const char *suffix)
{
    const char *name = strrchr(path, '/') + 1;
    return slice_of(name, strlen(name) - strlen(suffix));
}

#endif

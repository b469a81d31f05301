/* The allow-list of variables. */
#include "environment.h"

/* A row that ends in '_' stands for all names that start with it. */
static const char *const passing[] = {
    "PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "LC_", "CUDA_", "HIP_", "GGML_", "OMP_",
};

bool environment_passes(const char *entry)
{
    struct slice rest = slice_str(entry), name = slice_cut(&rest, '=');
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        struct slice row = slice_str(passing[i]);
        if (row.p[row.n - 1] == '_' ? slice_starts(name, row) : slice_eq(name, row))
            return true;
    }
    return false;
}

char **environment_make(struct arena *a, char *const *from, const struct slice *extra, size_t n)
{
    size_t count = 0, used = 0;
    while (from[count] != NULL)
        count++;
    char **list = arena_zalloc(a, (count + n + 1) * sizeof *list);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count + n; i++) {
        if (i < count && !environment_passes(from[i]))
            continue;
        list[used] = arena_str(a, i < count ? slice_str(from[i]) : extra[i - count]);
        if (list[used++] == NULL)
            return NULL;
    }
    return list;
}

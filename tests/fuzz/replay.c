/* Runs a fuzz target over files and folders of files: the whole of each, and every prefix of the
 * small ones. Any compiler can build it, so that what the fuzzer once found stays tested. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "base/mem.h"

#define PREFIXES_UP_TO 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long files, runs;

/* In memory of its exact size, so that the address sanitizer sees a read past its end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_must(mem_alloc(size ? size : 1));
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    mem_free(copy);
    runs++;
}

static bool replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return false;
    }
    uint8_t *data = mem_must(mem_alloc(size + 1));
    size_t n = fread(data, 1, size, f);
    fclose(f);
    if (n == size) {
        files++;
        run(data, size);
        for (size_t prefix = 0; size <= PREFIXES_UP_TO && prefix < size; prefix++)
            run(data, prefix);
    } else {
        fprintf(stderr, "%s: %zu of %zu bytes read\n", path, n, size);
    }
    mem_free(data);
    return n == size;
}

static bool replay(const char *path);

static bool replay_folder(const char *path)
{
    bool ok = true;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return false;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char inner[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        ok = replay(inner) && ok;
    }
    closedir(dir);
    return ok;
}

static bool replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return false;
    }
    return S_ISDIR(st.st_mode) ? replay_folder(path) : replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
    bool ok = true;
    for (int i = 1; i < argc; i++)
        ok = replay(argv[i]) && ok;
    printf("%lu files, %lu runs\n", files, runs);
    return ok && files > 0 ? 0 : 1;
}

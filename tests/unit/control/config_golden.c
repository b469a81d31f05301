/* The loader against <case>.yaml beside this file: what it reports, and the configuration in effect
 * (the dump) where there is one, stand in <case>.txt. UPDATE=1 in the environment writes those. A
 * case may start with comments "# insecure" and "# env: NAME=value". Whatever is secret in a case
 * has "hunter2" in it, which may never come out. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "check.h"
#include "config_fixture.h"

static int is_case(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0;
}

/* Reads "# env: NAME=value" and "# insecure" of the first lines. */
static void read_head(struct slice text)
{
    fixture_reset();
    while (text.n > 0 && text.p[0] == '#') {
        struct slice line = slice_cut(&text, '\n');
        if (slice_is(line, "# insecure"))
            fixture_options.insecure = true;
        if (!slice_starts(line, SLICE("# env: ")))
            continue;
        line = slice_from(line, 7);
        struct slice name = slice_cut(&line, '=');
        fixture_setenv(name, line);
    }
}

static void check_case(const char *file)
{
    char want_file[512];
    struct buf text, got;
    struct buf want;
    check_note("%s", file);
    fixture_read(file, &text);
    read_head(buf_view(&text));
    buf_init(&got, 1 << 20);
    struct config *c = config_parse(buf_view(&text), file, &fixture_options, &got);
    CHECK(c != NULL || got.n > 0);
    if (c != NULL) {
        buf_lit(&got, "---\n");
        config_dump(c, &got);
        CHECK(slice_is(c->path, file));
    }
    CHECK(!got.failed);
    CHECK(memmem(got.p, got.n, "hunter2", 7) == NULL);
    config_free(c);
    snprintf(want_file, sizeof want_file, "%.*s.txt", (int)strlen(file) - 5, file);
    if (getenv("UPDATE") != NULL)
        fixture_write(want_file, buf_view(&got));
    fixture_read(want_file, &want);
    CHECK_EQ_SLICE(buf_view(&got), buf_view(&want));
    buf_done(&want);
    buf_done(&got);
    buf_done(&text);
}

TEST(golden)
{
    struct dirent **list;
    int n = scandir(fixture_dir(), &list, is_case, alphasort);
    CHECK(n > 50);
    for (int i = 0; i < n; i++) {
        check_case(list[i]->d_name);
        free(list[i]);
    }
    free(list);
}

/* A file that is read the same once more when its dump is read. */
TEST(dump_is_read_again)
{
    static const char *const files[] = {"empty.yaml", "minimal.yaml", "variables-fill-gaps.yaml",
                                        "variables.yaml"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf text, errors, first, second;
        check_note("%s", files[i]);
        fixture_read(files[i], &text);
        read_head(buf_view(&text));
        buf_init(&errors, 1 << 16);
        buf_init(&first, 1 << 16);
        buf_init(&second, 1 << 16);
        struct config *c = config_parse(buf_view(&text), "a", &fixture_options, &errors);
        CHECK(c != NULL);
        config_dump(c, &first);
        config_free(c);
        c = config_parse(buf_view(&first), "b", &fixture_options, &errors);
        CHECK_EQ_LIT(buf_view(&errors), "");
        config_dump(c, &second);
        CHECK_EQ_SLICE(buf_view(&second), buf_view(&first));
        config_free(c);
        buf_done(&text);
        buf_done(&errors);
        buf_done(&first);
        buf_done(&second);
    }
}

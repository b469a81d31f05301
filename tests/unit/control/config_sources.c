/* Where a configuration comes from: files, secrets in files, the environment, --env-file; and the
 * bounds that hold whatever comes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "config_fixture.h"
#include "yaml_tree.h"

static char folder[64];

/* A new folder for files; its name in `folder`. */
static void folder_make(void)
{
    snprintf(folder, sizeof folder, "/tmp/weir-config-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static const char *file_make(const char *name, struct slice text, mode_t mode)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    fixture_write(path, text);
    CHECK(chmod(path, mode) == 0);
    return path;
}

static void file_remove(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(unlink(path) == 0);
}

/* Parses `text`; `errors` has to be what is reported. */
static struct config *parse(struct slice text, const char *errors)
{
    struct buf got;
    buf_init(&got, 1 << 20);
    struct config *c = config_parse(text, "t", &fixture_options, &got);
    CHECK_EQ_SLICE(buf_view(&got), slice_str(errors));
    buf_done(&got);
    return c;
}

/* Parses a configuration whose one key is "file:<path>". */
static struct config *parse_key_file(const char *path, const char *errors)
{
    char text[256];
    snprintf(text, sizeof text, "keys: {a: {secret: \"file:%s\"}}\n", path);
    return parse(slice_str(text), errors);
}

TEST(secret_files)
{
    static char large[(64 << 10) + 1];
    char want[256];
    fixture_reset();
    folder_make();
    struct config *c = parse_key_file(
        file_make("key", SLICE("hunter2 x\n\n"), 0600),
        "t:1:20: `secret`: the value has a line break or another control character in it\n");
    CHECK(c == NULL);
    c = parse_key_file(file_make("key", SLICE("hunter2 x\n"), 0600), "");
    CHECK_EQ_LIT(c->keys[0].secret, "hunter2 x");
    CHECK_EQ_STR(c->keys[0].secret.p, "hunter2 x");
    config_free(c);
    c = parse_key_file(file_make("key", SLICE("hunter2\r\n"), 0600), "");
    CHECK_EQ_LIT(c->keys[0].secret, "hunter2");
    config_free(c);
    const char *path = file_make("key", SLICE("hunter2"), 0644);
    snprintf(want, sizeof want,
             "t:1:20: warning: `secret`: everybody on this machine can read the file `%s`\n", path);
    c = parse_key_file(path, want);
    CHECK_EQ_LIT(c->keys[0].secret, "hunter2");
    config_free(c);
    snprintf(want, sizeof want, "t:1:20: `secret`: cannot use the file `%s`: it is empty\n", path);
    CHECK(parse_key_file(file_make("key", SLICE("\n"), 0600), want) == NULL);
    memset(large, 'x', sizeof large);
    snprintf(want, sizeof want,
             "t:1:20: `secret`: cannot use the file `%s`: it is larger than 64 KiB\n", path);
    CHECK(parse_key_file(file_make("key", slice_of(large, sizeof large), 0600), want) == NULL);
    c = parse_key_file(file_make("key", slice_of(large, sizeof large - 1), 0600), "");
    CHECK_EQ_U64(c->keys[0].secret.n, sizeof large - 1);
    config_free(c);
    file_remove("key");
    CHECK(rmdir(folder) == 0);
}

TEST(secret_files_of_other_kinds)
{
    char want[256], path[128];
    fixture_reset();
    folder_make();
    snprintf(want, sizeof want,
             "t:1:20: `secret`: cannot use the file `%s`: it is not a plain file\n", folder);
    CHECK(parse_key_file(folder, want) == NULL);
    snprintf(path, sizeof path, "%s/pipe", folder);
    CHECK(mkfifo(path, 0600) == 0);
    snprintf(want, sizeof want,
             "t:1:20: `secret`: cannot use the file `%s`: it is not a plain file\n", path);
    CHECK(parse_key_file(path, want) == NULL); /* and does not wait for a writer */
    file_remove("pipe");
    snprintf(want, sizeof want,
             "t:1:20: `secret`: cannot use the file `%s`: No such file or directory\n", path);
    CHECK(parse_key_file(path, want) == NULL);
    CHECK(rmdir(folder) == 0);
}

TEST(load)
{
    struct buf errors;
    fixture_reset();
    folder_make();
    buf_init(&errors, 1 << 16);
    const char *path = file_make("weir.yaml", SLICE("workers: 2\n"), 0600);
    struct config *c = config_load(path, &fixture_options, &errors);
    CHECK(c != NULL && c->workers == 2);
    CHECK_EQ_SLICE(c->path, slice_str(path));
    CHECK_EQ_U64(errors.n, 0);
    config_free(c);
    config_free(NULL);
    file_remove("weir.yaml");
    CHECK(config_load(path, &fixture_options, &errors) == NULL);
    CHECK(memmem(errors.p, errors.n, "cannot be read: No such file", 28) != NULL);
    buf_reset(&errors);
    CHECK(config_load(folder, &fixture_options, &errors) == NULL);
    CHECK(memmem(errors.p, errors.n, "Is a directory\n", 15) != NULL);
    buf_done(&errors);
    CHECK(rmdir(folder) == 0);
}

TEST(file_size)
{
    struct buf errors, text;
    char want[160];
    fixture_reset();
    folder_make();
    buf_init(&errors, 1 << 16);
    buf_init(&text, YAML_TREE_MAX_BYTES + 1);
    while (text.n < YAML_TREE_MAX_BYTES)
        buf_lit(&text, "#234567\n");
    const char *path = file_make("weir.yaml", buf_view(&text), 0600);
    struct config *c = config_load(path, &fixture_options, &errors);
    CHECK(c != NULL && errors.n == 0);
    config_free(c);
    buf_char(&text, '#');
    path = file_make("weir.yaml", buf_view(&text), 0600);
    CHECK(config_load(path, &fixture_options, &errors) == NULL);
    snprintf(want, sizeof want, "%s: larger than 4 MiB\n", path);
    CHECK_EQ_SLICE(buf_view(&errors), slice_str(want));
    CHECK(parse(buf_view(&text), "t: larger than 4 MiB\n") == NULL);
    file_remove("weir.yaml");
    CHECK(rmdir(folder) == 0);
    buf_done(&text);
    buf_done(&errors);
}

/* Nests `depth` lists. */
static void nest(struct buf *text, int depth)
{
    buf_reset(text);
    buf_lit(text, "data: ");
    for (int i = 0; i < depth; i++)
        buf_char(text, '[');
    for (int i = 0; i < depth; i++)
        buf_char(text, ']');
}

TEST(depth_and_number)
{
    struct buf text;
    fixture_reset();
    buf_init(&text, 1 << 22);
    nest(&text, YAML_TREE_MAX_DEPTH - 1);
    CHECK(parse(buf_view(&text), "t:1:7: `data`: expected a text, got a list\n") == NULL);
    nest(&text, YAML_TREE_MAX_DEPTH);
    CHECK(parse(buf_view(&text), "t:1:38: nested too deeply\n") == NULL);
    nest(&text, 100000);
    CHECK(parse(buf_view(&text), "t:1:38: nested too deeply\n") == NULL);
    buf_reset(&text);
    buf_lit(&text, "data: [");
    for (int i = 0; i < YAML_TREE_MAX_VALUES - 2; i++)
        buf_lit(&text, "a,\n");
    buf_lit(&text, "]");
    CHECK(parse(buf_view(&text), "t:1:7: `data`: expected a text, got a list\n") == NULL);
    text.n--;
    buf_lit(&text, "a]");
    CHECK(parse(buf_view(&text), "t:99999:1: too many values\n") == NULL);
    buf_done(&text);
}

TEST(many_laughs)
{
    struct buf text, errors;
    fixture_reset();
    buf_init(&text, 1 << 20);
    buf_init(&errors, 1 << 20);
    buf_lit(&text, "providers:\n  a: &a {type: openai, headers: &h {X-0: x");
    for (int i = 1; i < 60; i++)
        buf_printf(&text, ", X-%d: x", i);
    buf_lit(&text, "}}\n");
    for (int i = 0; i < 900; i++)
        buf_printf(&text, "  p%d: *a\n", i);
    struct config *c = config_parse(buf_view(&text), "t", &fixture_options, &errors);
    CHECK(c != NULL && c->providers_n == 901 && c->providers[900].headers.n == 60);
    config_free(c);
    buf_reset(&text);
    buf_lit(&text, "models:\n  a: &a {targets: &t [openai/0");
    for (int i = 1; i < 60; i++)
        buf_printf(&text, ", openai/%d", i);
    buf_lit(&text, "]}\n");
    for (int i = 0; i < 9000; i++)
        buf_printf(&text, "  m%d: *a\n", i);
    buf_lit(&text, "providers: {openai: {type: openai}}\n");
    c = config_parse(buf_view(&text), "t", &fixture_options, &errors);
    CHECK(c == NULL);
    CHECK(memmem(errors.p, errors.n, "too many values behind aliases", 30) != NULL);
    buf_done(&text);
    buf_done(&errors);
}

TEST(many_errors)
{
    struct buf text, errors;
    fixture_reset();
    buf_init(&text, 1 << 20);
    buf_init(&errors, 1 << 20);
    for (int i = 0; i < 1234; i++)
        buf_printf(&text, "k%d: 1\n", i);
    CHECK(config_parse(buf_view(&text), "t", &fixture_options, &errors) == NULL);
    CHECK(slice_starts(buf_view(&errors), SLICE("t:1:1: unknown key `k0` ")));
    CHECK(memmem(errors.p, errors.n, "\nt:1000:1: unknown key `k999` ", 29) != NULL);
    CHECK(memmem(errors.p, errors.n, "\nt: and 234 more\n", 17) != NULL);
    buf_done(&text);
    buf_done(&errors);
}

static void parse_full(void *arg)
{
    struct buf errors;
    struct buf *text = arg;
    buf_init(&errors, 1 << 20);
    struct config *c = config_parse(buf_view(text), "t", &fixture_options, &errors);
    if (c == NULL && !errors.failed)
        CHECK(memmem(errors.p, errors.n, "t: out of memory\n", 17) != NULL);
    config_free(c);
    buf_done(&errors);
}

/* With errors in the file, the search for hints and the printing run out of memory as well. */
static void parse_wrong(void *arg)
{
    struct buf errors;
    struct buf *text = arg;
    buf_init(&errors, 1 << 20);
    CHECK(config_parse(buf_view(text), "t", &fixture_options, &errors) == NULL);
    buf_done(&errors);
}

TEST(without_memory)
{
    static const char *const files[] = {"references.yaml", "shapes.yaml", "unknown-keys.yaml",
                                        "aliases-wrong.yaml"};
    struct buf text;
    check_needs_torture();
    fixture_reset();
    fixture_read("full.yaml", &text);
    CHECK(check_torture(parse_full, &text) > 10);
    buf_done(&text);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        fixture_read(files[i], &text);
        CHECK(check_torture(parse_wrong, &text) > 2);
        buf_done(&text);
    }
}

TEST(from_environment)
{
    struct buf errors;
    buf_init(&errors, 1 << 16);
    fixture_reset();
    CHECK(config_from_env(&fixture_options, &errors) == NULL);
    CHECK_EQ_LIT(buf_view(&errors),
                 "environment: no configuration file, and no key of a provider is set "
                 "(OPENAI_API_KEY, ANTHROPIC_API_KEY, GROQ_API_KEY, AZURE_OPENAI_API_KEY); `weir "
                 "init` writes a file to start from\n");
    buf_reset(&errors);
    fixture_setenv(SLICE("GROQ_API_KEY"), SLICE("hunter2 ${X}"));
    fixture_setenv(SLICE("OPENAI_API_KEY"), SLICE("hunter2"));
    fixture_setenv(SLICE("ANTHROPIC_API_KEY"), SLICE(""));
    struct config *c = config_from_env(&fixture_options, &errors);
    CHECK_EQ_LIT(buf_view(&errors), "");
    CHECK(c->path.p == NULL && c->auth == AUTH_NONE && c->admin_listen.p == NULL);
    CHECK_EQ_U64(c->providers_n, 2);
    CHECK_EQ_LIT(c->providers[0].name, "openai");
    CHECK_EQ_LIT(c->providers[0].url, "https://api.openai.com/v1");
    CHECK_EQ_LIT(c->providers[1].type, "groq");
    CHECK_EQ_LIT(c->providers[1].api_key, "hunter2 ${X}");
    config_free(c);
    fixture_setenv(SLICE("WEIR_LISTEN"), SLICE("0.0.0.0:80"));
    CHECK(config_from_env(&fixture_options, &errors) == NULL);
    CHECK(slice_starts(buf_view(&errors), SLICE("WEIR_LISTEN: no `keys`, but `0.0.0.0:80`")));
    buf_reset(&errors);
    fixture_setenv(SLICE("WEIR_API_KEY"), SLICE("hunter2-key"));
    fixture_setenv(SLICE("WEIR_DATA"), SLICE("/d"));
    fixture_setenv(SLICE("WEIR_ADMIN_TOKEN"), SLICE("hunter2-admin"));
    c = config_from_env(&fixture_options, &errors);
    CHECK_EQ_LIT(buf_view(&errors), "");
    CHECK(c->auth == AUTH_KEYS && c->keys_n == 1 && c->keys[0].pos.line == 0);
    CHECK_EQ_LIT(c->keys[0].name, "env");
    CHECK_EQ_LIT(c->keys[0].secret, "hunter2-key");
    CHECK_EQ_LIT(c->listeners[0].address, "0.0.0.0:80");
    CHECK_EQ_LIT(c->data, "/d");
    CHECK_EQ_LIT(c->admin_listen, "127.0.0.1:8081");
    CHECK_EQ_LIT(c->admin_token, "hunter2-admin");
    config_free(c);
    fixture_setenv(SLICE("GROQ_API_KEY"), SLICE("")); /* the first one counts */
    buf_done(&errors);
}

/* A cloud's key alone does not make a provider: its address has to be known too. */
TEST(clouds_from_environment)
{
    struct buf errors;
    buf_init(&errors, 1 << 16);
    fixture_reset();
    fixture_setenv(SLICE("AZURE_OPENAI_API_KEY"), SLICE("hunter2"));
    fixture_setenv(SLICE("GROQ_API_KEY"), SLICE("hunter2"));
    struct config *c = config_from_env(&fixture_options, &errors);
    CHECK_EQ_LIT(buf_view(&errors), "AZURE_OPENAI_API_KEY: warning: no provider `azure` without "
                                    "AZURE_OPENAI_ENDPOINT beside it\n");
    CHECK_EQ_U64(c->providers_n, 1);
    config_free(c);
    buf_reset(&errors);
    fixture_setenv(SLICE("AZURE_OPENAI_ENDPOINT"), SLICE("https://contoso.openai.azure.com/"));
    c = config_from_env(&fixture_options, &errors);
    CHECK_EQ_LIT(buf_view(&errors), "");
    CHECK_EQ_U64(c->providers_n, 2);
    CHECK_EQ_LIT(c->providers[1].url, "https://contoso.openai.azure.com/openai/v1");
    config_free(c);
    buf_done(&errors);
}

TEST(environment_with_broken_values)
{
    struct buf errors;
    buf_init(&errors, 1 << 16);
    fixture_reset();
    fixture_setenv(SLICE("OPENAI_API_KEY"), SLICE("hunter2\n"));
    fixture_setenv(SLICE("WEIR_LISTEN"), SLICE("here"));
    CHECK(config_from_env(&fixture_options, &errors) == NULL);
    CHECK_EQ_LIT(buf_view(&errors),
                 "OPENAI_API_KEY: `api_key`: the value has a line break or another control "
                 "character in it\n"
                 "WEIR_LISTEN: `address`: `here` is not an address: write 127.0.0.1:8080, "
                 "[::1]:8080 or unix:/path\n");
    buf_done(&errors);
}

TEST(env_file)
{
    struct buf errors;
    char want[512];
    buf_init(&errors, 1 << 16);
    folder_make();
    CHECK(setenv("WEIR_TEST_SET", "before", 1) == 0);
    const char *path = file_make("env",
                                 SLICE("# comment\n\n  WEIR_TEST_A = one two \r\n"
                                       "export WEIR_TEST_B=\"a=b # c\"\nWEIR_TEST_C='x'\n"
                                       "WEIR_TEST_SET=after\nWEIR_TEST_E=\nWEIR_TEST_F=${A}"),
                                 0600);
    CHECK(config_env_file(path, &errors));
    CHECK_EQ_LIT(buf_view(&errors), "");
    CHECK_EQ_STR(getenv("WEIR_TEST_A"), "one two");
    CHECK_EQ_STR(getenv("WEIR_TEST_B"), "a=b # c");
    CHECK_EQ_STR(getenv("WEIR_TEST_C"), "x");
    CHECK_EQ_STR(getenv("WEIR_TEST_SET"), "before");
    CHECK_EQ_STR(getenv("WEIR_TEST_E"), "");
    CHECK_EQ_STR(getenv("WEIR_TEST_F"), "${A}");
    path = file_make("env",
                     SLICE("WEIR_TEST_G=1\nhunter2\n=hunter2\n1A=hunter2\nA B=hunter2\n"
                           "C=\"hunter2\nD='\nE=hunter2\0x\n"),
                     0600);
    CHECK(!config_env_file(path, &errors));
    snprintf(want, sizeof want,
             "%s:2: expected NAME=value\n"
             "%s:3: the name may have letters, digits and underscores only\n"
             "%s:4: the name may have letters, digits and underscores only\n"
             "%s:5: the name may have letters, digits and underscores only\n"
             "%s:6: a quote without its end\n%s:7: a quote without its end\n%s:8: a NUL byte\n",
             path, path, path, path, path, path, path);
    CHECK_EQ_SLICE(buf_view(&errors), slice_str(want));
    CHECK(getenv("WEIR_TEST_G") == NULL); /* all or nothing */
    file_remove("env");
    buf_reset(&errors);
    CHECK(!config_env_file(path, &errors) && errors.n > 0);
    buf_done(&errors);
    CHECK(rmdir(folder) == 0);
}

TEST(find)
{
    char out[256], want[256], before[256], path[128];
    fixture_reset();
    folder_make();
    CHECK(getcwd(before, sizeof before) != NULL && chdir(folder) == 0);
    fixture_setenv(SLICE("HOME"), slice_str(folder));
    bool system_wide = access("/etc/weir/weir.yaml", F_OK) == 0;
    CHECK(config_find(fixture_getenv, out, sizeof out) == system_wide);
    snprintf(path, sizeof path, "%s/.config", folder);
    CHECK(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/.config/weir", folder);
    CHECK(mkdir(path, 0700) == 0);
    snprintf(want, sizeof want, "%s", file_make(".config/weir/weir.yaml", SLICE(""), 0600));
    CHECK(config_find(fixture_getenv, out, sizeof out));
    CHECK_EQ_STR(out, want);
    CHECK(!config_find(fixture_getenv, out, 5));
    fixture_setenv(SLICE("XDG_CONFIG_HOME"), SLICE("/nonexistent"));
    CHECK(config_find(fixture_getenv, out, sizeof out) == system_wide);
    file_make("weir.yaml", SLICE(""), 0600);
    CHECK(config_find(fixture_getenv, out, sizeof out));
    CHECK_EQ_STR(out, "./weir.yaml");
    file_remove("weir.yaml");
    file_remove(".config/weir/weir.yaml");
    CHECK(rmdir(path) == 0);
    snprintf(path, sizeof path, "%s/.config", folder);
    CHECK(rmdir(path) == 0 && chdir(before) == 0 && rmdir(folder) == 0);
}

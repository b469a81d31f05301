/* Command line, environment and socket of an engine. */
#include "settings.h"

#include <stdio.h>

#include "base/machine.h"
#include "base/mem.h"
#include "check.h"
#include "environment.h"
#include "process.h"

static const struct slice args[] = {SLICE("--flash-attn"), SLICE("on")};
static const struct engine_config config = {
    .name = SLICE("tiny"),
    .model = SLICE("m.gguf"),
    .binary = SLICE("/usr/bin/llama-server"),
    .args = args,
    .args_n = 2,
    .slots = 4,
    .threads = 2,
    .context = 8192,
    .cache_ram_mib = 256,
};

/* The words of the command line, separated by spaces. */
static struct slice line_of(const struct settings *s)
{
    static char text[2000];
    size_t n = 0;
    for (size_t i = 0; i < s->argv_n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i > 0 ? " " : "",
                              SLICE_ARG(s->argv[i]));
    return slice_of(text, n);
}

static bool has_entry(char *const *env, const char *entry)
{
    for (; *env != NULL; env++) {
        if (strcmp(*env, entry) == 0)
            return true;
    }
    return false;
}

TEST(command_line)
{
    struct settings *s = mem_must(settings_new(&config, "/run/weir"));
    CHECK_EQ_LIT(
        line_of(s),
        "/usr/bin/llama-server -m m.gguf --alias tiny --host /run/weir/tiny.sock -t 2 -np 4 "
        "-c 8192 --flash-attn on");
    CHECK_EQ_STR(s->socket, "/run/weir/tiny.sock");
    CHECK(has_entry(s->env, "LLAMA_ARG_CACHE_RAM=256"));
    settings_free(s);
}

TEST(defaults_and_llama)
{
    struct engine_config c = config;
    char want[200];
    c.binary = SLICE("/opt/llama");
    c.threads = c.context = 0;
    c.args_n = 0;
    struct settings *s = mem_must(settings_new(&c, "run"));
    snprintf(want, sizeof want,
             "/opt/llama serve -m m.gguf --alias tiny --host run/tiny.sock -t %u -np 4",
             machine_cores());
    CHECK_EQ_SLICE(line_of(s), slice_str(want));
    settings_free(s);
}

TEST(what_needs_another_process)
{
    struct engine_config c[8];
    struct settings *a = mem_must(settings_new(&config, "/run"));
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        c[i] = config;
    c[1].queue = c[1].drain_ns = c[1].start_timeout_ns = 99;
    c[2].model = SLICE("n.gguf");
    c[3].slots = 5;
    c[4].cache_ram_mib = 0;
    c[5].args_n = 1;
    c[6].binary = SLICE("/usr/bin/llama-server2");
    c[7].threads = 3;
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        struct settings *b = mem_must(settings_new(&c[i], "/run"));
        check_note("change %zu", i);
        CHECK(settings_same_process(a, b) == (i < 2));
        CHECK(settings_same_process(b, a) == (i < 2));
        settings_free(b);
    }
    settings_free(a);
}

TEST(socket_paths)
{
    char out[200], dir[200];
    CHECK(settings_socket("/run", SLICE("a"), out, sizeof out));
    CHECK_EQ_STR(out, "/run/a.sock");
    CHECK(!settings_socket("/run", SLICE(""), out, sizeof out));
    CHECK(!settings_socket("/run", SLICE("a/b"), out, sizeof out));
    CHECK(!settings_socket("/run", SLICE("a,b"), out, sizeof out));
    CHECK(!settings_socket("/a,b", SLICE("a"), out, sizeof out));
    CHECK(!settings_socket("/run", SLICE("a"), out, strlen("/run/a.sock")));
    /* Exactly what fits into an address with its NUL, and one more. */
    size_t room = SETTINGS_SOCKET_BYTES - strlen("/a.sock") - 1;
    memset(dir, 'd', sizeof dir);
    dir[room] = '\0';
    CHECK(settings_socket(dir, SLICE("a"), out, sizeof out));
    dir[room] = 'd';
    dir[room + 1] = '\0';
    CHECK(!settings_socket(dir, SLICE("a"), out, sizeof out));
    struct settings *s = mem_must(settings_new(&config, dir));
    CHECK(s->socket == NULL);
    settings_free(s);
}

TEST(variables_that_pass)
{
    static const char *const yes[] = {"PATH=/bin",
                                      "HOME=",
                                      "TMPDIR=/tmp",
                                      "LANG=C",
                                      "LC_ALL=C",
                                      "LC_=x",
                                      "CUDA_X=1",
                                      "HIP_Y=2",
                                      "GGML_Z=3",
                                      "OMP_PLACES=4",
                                      "PATH=a=b",
                                      "LANG",
                                      "LD_LIBRARY_PATH=/lib"};
    static const char *const no[] = {
        "OPENAI_API_KEY=x", "PATHS=x",      "XPATH=x",    "LCX=1",       "", "=PATH",
        "path=x",           "LLAMA_ARG_X=", "HF_TOKEN=y", "LD_PRELOAD=x"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        check_note("%s", yes[i]);
        CHECK(environment_passes(yes[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        check_note("%s", no[i]);
        CHECK(!environment_passes(no[i]));
    }
}

static void make_settings(void *arg)
{
    (void)arg;
    settings_free(settings_new(&config, "/run"));
}

TEST(settings_without_memory)
{
    CHECK(check_torture(make_settings, NULL) > 0);
}

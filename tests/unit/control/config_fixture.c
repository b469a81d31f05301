/* Environment, provider types and files of the configuration's tests. */
#include "config_fixture.h"

#include <stdio.h>

#include "check.h"

static struct {
    char name[64], value[256];
} variables[16];
static size_t variables_n;

static const struct config_provider_type types[] = {
    {.name = "openai", .url = "https://api.openai.com/v1", .key_env = "OPENAI_API_KEY"},
    {.name = "anthropic", .url = "https://api.anthropic.com", .key_env = "ANTHROPIC_API_KEY"},
    {.name = "groq", .url = "https://api.groq.com/openai/v1", .key_env = "GROQ_API_KEY"},
    {.name = "vllm", .needs_url = true},
    {.name = "bare"},
    {.name = "azure", .key_env = "AZURE_OPENAI_API_KEY", .needs_url = true},
    {.name = "vertex", .needs_url = true},
    {.name = "bedrock", .needs_url = true},
    {.name = "sagemaker", .needs_url = true},
};
static const char *const own_paths[] = {"/v1/chat/completions", "/livez"};

struct config_options fixture_options;

void fixture_reset(void)
{
    variables_n = 0;
    fixture_options = (struct config_options){
        .env = fixture_getenv,
        .types = types,
        .types_n = ARRAY_LEN(types),
        .own_paths = own_paths,
        .own_paths_n = ARRAY_LEN(own_paths),
    };
}

void fixture_setenv(struct slice name, struct slice value)
{
    CHECK(variables_n < ARRAY_LEN(variables));
    snprintf(variables[variables_n].name, sizeof variables[0].name, SLICE_FMT, SLICE_ARG(name));
    snprintf(variables[variables_n].value, sizeof variables[0].value, SLICE_FMT, SLICE_ARG(value));
    variables_n++;
}

const char *fixture_getenv(const char *name)
{
    for (size_t i = 0; i < variables_n; i++) {
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    }
    return NULL;
}

const char *fixture_dir(void)
{
    static char dir[512];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - __FILE__) : 1,
             slash != NULL ? __FILE__ : ".");
    return dir;
}

static FILE *open_file(const char *name, const char *mode)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", fixture_dir(), name);
    FILE *f = fopen(name[0] == '/' ? name : path, mode);
    if (f == NULL)
        check_fail(CHECK_AT("open"), "%s", name);
    return f;
}

void fixture_read(const char *name, struct buf *ret)
{
    char part[4096];
    size_t n;
    FILE *f = open_file(name, "rb");
    buf_init(ret, 1 << 22);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_append(ret, part, n);
    fclose(f);
    CHECK(!ret->failed);
}

void fixture_write(const char *name, struct slice text)
{
    FILE *f = open_file(name, "wb");
    CHECK(text.n == 0 || fwrite(text.p, 1, text.n, f) == text.n);
    CHECK(fclose(f) == 0);
}

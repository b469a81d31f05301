/* The tables themselves: the reference documentation is the committed one, the examples in it and
 * those in config/ are configurations that load. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "config_fixture.h"
#include "config_rows.h"

/* Every variable is set, but for Weir's own. */
static const char *any_variable(const char *name)
{
    if (strncmp(name, "WEIR_", 5) == 0)
        return NULL;
    if (strcmp(name, "AWS_REGION") == 0)
        return "eu-central-1";
    bool url = strcmp(name, "HTTPS_PROXY") == 0 || strcmp(name, "AZURE_OPENAI_ENDPOINT") == 0;
    return url ? "http://host.example:3128" : name;
}

static void check_loads(const char *name, struct slice text)
{
    struct buf errors;
    buf_init(&errors, 1 << 16);
    check_note("%s", name);
    struct config *c = config_parse(text, name, &fixture_options, &errors);
    CHECK_EQ_LIT(buf_view(&errors), "");
    CHECK(c != NULL);
    config_free(c);
    buf_done(&errors);
}

/* The examples of the first table, put together, are one configuration. */
TEST(examples_of_the_root)
{
    struct buf text;
    fixture_reset();
    fixture_options.env = any_variable;
    buf_init(&text, 1 << 16);
    for (size_t i = 0; i < config_root.rows_n; i++) {
        const struct config_row *row = &config_root.rows[i];
        if (row->example != NULL)
            buf_printf(&text, "%s: %s\n", row->key, row->example);
    }
    check_loads("examples", buf_view(&text));
    buf_done(&text);
}

/* Puts a row's example where it belongs, in a configuration that is complete otherwise. */
static void check_example(const char *before, const char *after, const struct config_row *row)
{
    struct buf text;
    if (row->example == NULL || strncmp(row->example, "file:", 5) == 0)
        return;
    buf_init(&text, 1 << 16);
    buf_printf(&text, "%s%s: %s%s\n", before, row->key, row->example, after);
    check_loads(row->key, buf_view(&text));
    buf_done(&text);
}

#define CLOUD_KEYS                                                                                 \
    " resource surface api_version entra managed_identity token_scope project location publisher " \
    "credentials region profile access_key secret_key session_token body"

/* What the examples of keys and their like refer to. */
#define POLICY                                                                                     \
    "providers: {openai: {type: openai, governance: {region: eu, location: on-premise, "           \
    "retention_days: 0, trains: false, data_class: internal}}}\n"                                  \
    "engines: {small: {model: x}}\nmodels: {chat: {targets: [openai/x]}}\n"                        \
    "organisations: {acme: {}}\nplans: {free: {limits: {concurrency: 5}}, premium: {}}\n"
#define TEAM "teams: {search: {}}\nuse_cases: {summaries: {}}\n"
#define MODELS                                                                                     \
    "providers: {anthropic: {type: anthropic, governance: {region: eu}},\n"                        \
    "            openai: {type: openai, governance: {region: us-east}}}\n"                         \
    "engines: {smollm2: {model: x}}\n"
#define RICH "limits: {budget: {month: 10000}}, "

static const struct {
    const char *section, *before, *after;
    const char *skip; /* rows that `before` or `after` hold, or that need a partner */
} sections[] = {
    {"listen", "keys: {a: {secret: x}}\nlisten: {", "}", "tls"},
    {"keys", "keys: {a: {", "}}",
     "team organisation plan limits user_limits at_budget models providers regions networks "
     "max_tokens expires disabled use_case user may_set priority data_rules"},
    {"keys", POLICY TEAM "keys: {a: {secret: x, ", "}}", "secret sha256 at_budget"},
    {"keys", POLICY TEAM "keys: {a: {secret: x, " RICH, "}}", "secret sha256 limits"},
    {"plans",
     "providers: {openai: {type: openai, governance: {region: eu}}}\n"
     "engines: {small: {model: x}}\nmodels: {chat: {targets: [engine/small]}}\nplans: {a: {",
     "}}", ""},
    {"organisations", "organisations: {a: {", "}}", "at_budget"},
    {"organisations",
     "providers: {openai: {type: openai}}\nmodels: {chat: {targets: [openai/x]}}\n"
     "organisations: {a: {" RICH,
     "}}", "limits"},
    {"teams", POLICY "teams: {a: {", "}}", "at_budget"},
    {"teams", POLICY "teams: {a: {" RICH, "}}", "limits"},
    {"use_cases", POLICY "use_cases: {a: {", "}}", "at_budget"},
    {"use_cases", POLICY "use_cases: {a: {" RICH, "}}", "limits"},
    {"users", POLICY "users: {", "}", ""},
    {"prices", POLICY "prices: {\"openai/x\": {input: 1, output: 1, ", "}}", "input output"},
    {"prices", POLICY "prices: {\"openai/x\": {output: 1, ", "}}",
     "output cached cache_write request"},
    {"prices", POLICY "prices: {\"openai/x\": {input: 1, ", "}}",
     "input cached cache_write request"},
    {"alerts", "alerts: {", "}", ""},
    {"ledger", "ledger: {", "}", ""},
    {"admin", "admin: {", "}", "token tls"},
    {"log", "log: {", "}", ""},
    {"egress", "egress: {", "}", "client_cert client_key"},
    {"cors", "cors: {", "}", ""},
    {"providers", "providers: {a: {type: vllm, url: \"https://x\", ", "}}",
     "type url client_cert client_key replicas" CLOUD_KEYS},
    {"providers", "providers: {a: {type: vllm, ", "}}",
     "type api_key api_keys headers models drop_unsupported refuse_unsupported timeouts sni "
     "ca_file "
     "client_cert client_key replicas cost_per_hour governance probe_with "
     "proxy" CLOUD_KEYS},
    {"providers", "providers: {a: {type: bare, cost_per_hour: 1, ", "}}",
     "type url api_key api_keys headers models drop_unsupported refuse_unsupported timeouts "
     "sni ca_file "
     "client_cert client_key cost_per_hour governance probe_with proxy" CLOUD_KEYS},
    {"engines", "engines: {a: {", "}}", "binary args timeouts cost_per_hour"},
    {"engines", "engines: {a: {model: x, ", "}}", "model"},
    {"retry", "retry: {", "}", ""},
    {"health", "health: {", "}", ""},
    {"models", MODELS "models: {a: {", "}}",
     "fallback strategy regions session hedge first_token rescue last_resort limits"},
    {"models", MODELS "models: {a: {targets: [openai/x, engine/smollm2], ", "}}",
     "targets regions session"},
    {"models", MODELS "models: {a: {targets: [openai/x, anthropic/x], strategy: region, ", "}}",
     "targets fallback strategy session hedge first_token rescue last_resort limits"},
    {"models", MODELS "models: {a: {targets: [openai/x], strategy: sticky, ", "}}",
     "targets fallback strategy regions hedge first_token rescue last_resort limits"},
    {"passthrough", "providers: {openai: {type: openai}}\npassthrough: [{to: openai, ", "}]", "to"},
    {"passthrough", "providers: {openai: {type: openai}}\npassthrough: [{path: /x, ", "}]", "path"},
};

TEST(examples_of_sections)
{
    fixture_reset();
    fixture_options.env = any_variable;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        const struct config_row *section =
            config_row_find(&config_root, slice_str(sections[i].section));
        for (size_t k = 0; k < section->section->rows_n; k++) {
            const struct config_row *row = &section->section->rows[k];
            if (strstr(sections[i].skip, row->key) == NULL)
                check_example(sections[i].before, sections[i].after, row);
        }
    }
}

/* Each key of a cloud provider, in a provider that can do with it. */
TEST(examples_of_clouds)
{
    static const struct {
        const char *before, *keys;
    } rows[] = {
        {"type: azure, resource: r, api_key: k, ", "surface api_version"},
        {"type: azure, api_key: k, ", "resource"},
        {"type: azure, resource: r, ", "entra managed_identity"},
        {"type: azure, resource: r, managed_identity: system, ", "token_scope"},
        {"type: vertex, location: us, ", "project publisher"},
        {"type: vertex, project: p, ", "location"},
        {"type: bedrock, region: r, secret_key: s, ", "access_key"},
        {"type: bedrock, region: r, access_key: a, ", "secret_key"},
        {"type: sagemaker, region: r, access_key: a, secret_key: s, ", "session_token"},
        {"type: sagemaker, ", "region"},
        {"type: sagemaker, region: r, ", "profile body"},
    };
    const struct config_row *providers = config_row_find(&config_root, SLICE("providers"));
    char before[256];
    fixture_reset();
    fixture_options.env = any_variable;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice keys = slice_str(rows[i].keys);
        snprintf(before, sizeof before, "providers: {a: {%s", rows[i].before);
        while (keys.n > 0) {
            const struct config_row *row =
                config_row_find(providers->section, slice_cut(&keys, ' '));
            CHECK(row != NULL && row->example != NULL);
            check_example(before, "}}", row);
        }
    }
}

static int is_yaml(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0;
}

TEST(files_in_config)
{
    char folder[600], path[900];
    struct dirent **list;
    struct buf text;
    fixture_reset();
    fixture_options.env = any_variable;
    snprintf(folder, sizeof folder, "%s/../../../config", fixture_dir());
    int n = scandir(folder, &list, is_yaml, alphasort);
    CHECK(n > 0);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        fixture_read(path, &text);
        check_loads(list[i]->d_name, buf_view(&text));
        buf_done(&text);
        free(list[i]);
    }
    free(list);
}

/* What walks the rows relies on this. */
static void check_section(const struct config_section *sec, int depth)
{
    CHECK(depth < 8 && sec->rows_n > 0 && sec->rows_n <= 64 && sec->title != NULL);
    CHECK(sec->shorthand == NULL || config_row_find(sec, slice_str(sec->shorthand)) != NULL);
    for (size_t i = 0; i < sec->rows_n; i++) {
        const struct config_row *row = &sec->rows[i];
        bool list = row->type == ROW_NAMED || row->type == ROW_SECTIONS;
        bool number = row->type == ROW_INT || row->type == ROW_SIZE || row->type == ROW_DURATION ||
                      row->type == ROW_MONEY || row->type == ROW_PERCENT;
        check_note("%s.%s", sec->title, row->key);
        CHECK(row->help != NULL && row->help[strlen(row->help) - 1] == '.');
        CHECK((row->type == ROW_WORD) == (row->words != NULL));
        CHECK((list || row->type == ROW_SECTION) == (row->section != NULL));
        CHECK(row->at == ROW_NOWHERE || row->at < sec->size);
        CHECK(!number || row->max > row->min);
        CHECK(!list || (row->n_at > 0 && row->max > 0));
        CHECK(config_row_find(sec, slice_str(row->key)) == row);
        CHECK(strchr(row->help, '|') == NULL && strchr(row->help, '\n') == NULL);
        if (row->section != NULL)
            check_section(row->section, depth + 1);
    }
}

TEST(rows)
{
    check_section(&config_root, 0);
}

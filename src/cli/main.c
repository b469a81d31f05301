/* `weir`: finds the subcommand and hands over. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "engine/supervisor.h"
#include "options.h"
#include "version.h"

static const struct command {
    const char *name, *args, *about;
    command_fn *run;
} commands[] = {
    {"serve", "[--config FILE] [--data DIR]", "take requests until a signal comes", cmd_serve},
    {"init", "[FILE]", "write a configuration to start from", cmd_init},
    {"check", "[--connect] [--fire] [FILE]", "say whether a configuration is right, and would work",
     cmd_check},
    {"chat", "[--model NAME] [PROMPT]", "talk to a model through the running gateway", cmd_chat},
    {"models", "", "what clients of the running gateway can ask for", cmd_models},
    {"prices", "[MODEL...] | update FILE|URL", "what models cost", cmd_prices},
    {"pull", "URL", "fetch a model file for a local engine", cmd_pull},
    {"doctor", "", "what is missing on this machine, and how to mend it", cmd_doctor},
    {"reload", "[--data DIR]", "make the running gateway read its configuration again", cmd_reload},
    {"health", "[--data DIR]", "say whether the running gateway welcomes requests", cmd_health},
    {"key", "create|list|show|...", "keys of clients: make, change, rotate, disable", cmd_key},
    {"usage", "[--by WHAT] [--last-month]", "what was used, and what it cost", cmd_usage},
    {"import", "litellm FILE [--keys DUMP]", "take over a LiteLLM gateway, keys and all",
     cmd_import},
    {"explain", "ID | FILE [--key NAME]", "why a request goes where it goes", cmd_explain},
    {"targets", "[drain|enable|reset TARGET]", "how targets fare; take one out, or back",
     cmd_targets},
    {"ledger", "verify|backup DIR|...", "check, copy, export or upgrade the ledger's files",
     cmd_ledger},
    {"docs", "configuration|errors|metrics", "print a reference document", cmd_docs},
    {"version", "", "print the version", cmd_version},
};

static int usage(FILE *out)
{
    fprintf(out, "Weir %s: one gateway for every language model.\n\nusage: weir COMMAND\n\n",
            WEIR_VERSION);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-8s %-30s %s\n", commands[i].name, commands[i].args, commands[i].about);
    fprintf(out, "\n`weir COMMAND --help` says more. With OPENAI_API_KEY set, `weir serve` needs "
                 "no configuration.\n");
    return out == stdout ? 0 : 2;
}

int cmd_version(int argc, char **argv)
{
    int n = options_read(argc, argv, "version", NULL, 0, 0);
    if (n < 0)
        return options_status(n);
    printf("weir %s\n", WEIR_VERSION);
    return 0;
}

static int unknown(const char *word)
{
    const char *bare = word + strspn(word, "-");
    fprintf(stderr, "weir: there is no command `%s`", word);
    options_suggest(bare, strlen(bare), commands, sizeof *commands, ARRAY_LEN(commands));
    fputs("; see weir --help\n", stderr);
    return 2;
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    const char *word = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    return help ? usage(stdout) : unknown(word);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "engine-shim") == 0)
        return engine_shim_main();
    int status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fputs("weir: the output cannot be written\n", stderr); /* a full disk, a reader that left */
    return status != 0 ? status : 1;
}

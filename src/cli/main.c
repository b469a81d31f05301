/* `weir`: finds the subcommand and hands over. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "engine/supervisor.h"
#include "version.h"

static const struct command {
    const char *name, *args, *about;
    command_fn *run;
} commands[] = {
    {"serve", "[--config FILE] [--data DIR]", "take requests until a signal comes", cmd_serve},
    {"init", "[FILE]", "write a configuration to start from", cmd_init},
    {"check", "[--connect] [FILE]", "say whether a configuration is right", cmd_check},
    {"chat", "[--model NAME] [PROMPT]", "talk to a model through the running gateway", cmd_chat},
    {"models", "", "what clients of the running gateway can ask for", cmd_models},
    {"pull", "URL", "fetch a model file for a local engine", cmd_pull},
    {"doctor", "", "what is missing on this machine, and how to mend it", cmd_doctor},
    {"reload", "[--data DIR]", "make the running gateway read its configuration again", cmd_reload},
    {"docs", "configuration|errors|metrics", "print a reference document", cmd_docs},
    {"version", "", "print the version", cmd_version},
};

static int usage(FILE *out)
{
    fprintf(out, "Weir %s: one gateway for every language model.\n\nusage: weir COMMAND\n\n",
            WEIR_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-8s %-30s %s\n", commands[i].name, commands[i].args, commands[i].about);
    fprintf(out, "\n`weir COMMAND --help` says more. With OPENAI_API_KEY set, `weir serve` needs "
                 "no configuration.\n");
    return out == stdout ? 0 : 2;
}

int cmd_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("weir %s\n", WEIR_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "engine-shim") == 0)
        return engine_shim_main();
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
        return usage(stdout);
    if (argc >= 2 && strcmp(argv[1], "--version") == 0)
        return cmd_version(argc, argv);
    if (argc >= 2)
        fprintf(stderr, "weir: there is no command `%s`\n", argv[1]);
    return usage(stderr);
}

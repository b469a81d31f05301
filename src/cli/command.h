/* The subcommands of `weir`: one row each in main.c. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/* `argv[0]` is the subcommand's own name. The result is the process' exit status: 0 success, 1
 * failure, 2 wrong usage. */
typedef int command_fn(int argc, char **argv);

command_fn cmd_serve, cmd_init, cmd_check, cmd_chat, cmd_pull, cmd_doctor, cmd_models, cmd_docs,
    cmd_reload, cmd_health, cmd_prices, cmd_version, cmd_key, cmd_import, cmd_usage, cmd_ledger,
    cmd_explain, cmd_targets;

#endif

/* Rows of plans, organisations, teams, keys, use cases, users, prices, alerts and the ledger. */
#include "config_policy.h"

#include "base/clock.h"
#include "config_syntax.h"

#define COUNT_MAX ((int64_t)1 << 48)
#define RATE_MAX  (INT64_C(100000) * 1000000000) /* nano-dollars per million */
#define HOUR      (3600 * NS_PER_S)
#define DAY       (24 * HOUR)

/* clang-format off */
#define COUNT(name, kind, most_, text, sample) \
    {ROW(name, ROW_INT, config_scope_limits, most[kind]), .min = 1, .max = (most_), \
     .flags = ROW_OPTIONAL | ROW_NONZERO, .help = (text), .example = (sample)}
#define BUDGET(name, kind, text, sample) \
    {ROW(name, ROW_MONEY, config_scope_limits, most[kind]), .min = 1, .max = CONFIG_MONEY_MAX, \
     .flags = ROW_OPTIONAL | ROW_NONZERO, .help = (text), .example = (sample)}
#define LIMITS(type_, text) \
    {ROW("limits", ROW_SECTION, type_, limits), .section = &config_scope_limits_section, \
     .help = (text), .example = "{requests_per_minute: 600, budget: {month: 500}}"}
#define USER_LIMITS(type_, text) \
    {ROW("user_limits", ROW_SECTION, type_, user_limits), \
     .section = &config_scope_limits_section, .help = (text), \
     .example = "{requests_per_minute: 20}"}
#define AT_BUDGET(type_) \
    {ROW("at_budget", ROW_SECTION, type_, at_budget), .section = &at_budget, \
     .help = "What happens when a budget is used up. Absent: requests are refused until the " \
             "period ends.", .example = "{use: chat, from: 90%}"}
#define RIGHTS(type_) \
    {ROW("models", ROW_TEXTS, type_, rights.models), .max = 1024, .check = syntax_tail_pattern, \
     .help = "Aliases and `provider/model` names that may be asked for; `*` at the end stands " \
             "for any text. Absent: all.", .example = "[chat, \"openai/*\"]"}, \
    {ROW("providers", ROW_TEXTS, type_, rights.providers), .max = 1024, \
     .check = syntax_tail_pattern, \
     .help = "Providers that may serve the requests; `engine` stands for the local engines. " \
             "Absent: all.", .example = "[openai, engine]"}, \
    {ROW("regions", ROW_TEXTS, type_, rights.regions), .max = 1024, \
     .check = syntax_tail_pattern, \
     .help = "Regions whose providers may serve the requests: `governance.region`, else the " \
             "cloud's own; engines are in `local`. A provider without a region is out of reach " \
             "then. Absent: all.", .example = "[eu, local]"}
#define DATA_RULES(type_, text) \
    {ROW("data_rules", ROW_SECTION, type_, data_rules), .section = &data_rules, .help = (text), \
     .example = "{location: on-premise, trains: false}"}
#define MAX_TOKENS(type_, text) \
    {ROW("max_tokens", ROW_INT, type_, max_tokens), .min = 1, .max = COUNT_MAX, \
     .flags = ROW_OPTIONAL | ROW_NONZERO, .help = (text), .example = "2048"}
#define PRIORITY(type_, text) \
    {ROW("priority", ROW_WORD, type_, priority), .words = priority_words, \
     .flags = ROW_OPTIONAL, .help = (text), .example = "low"}
#define RATE(name, field, flags_, text) \
    {ROW(name, ROW_MONEY, config_price, field), .max = RATE_MAX, .flags = (flags_), \
     .help = (text), .example = "2.50"}
#define KEEP(name, field, standard, text) \
    {ROW(name, ROW_DURATION, config_ledger, field), .max = 36500 * DAY, .fallback = (standard), \
     .help = (text)}
/* clang-format on */

static const char *const priority_words[] = {"low", "normal", "high", NULL};
const char *const config_data_classes[] = {"public", "internal", "confidential", "restricted",
                                           NULL};

static const char *const location_words[] = {"cloud", "on-premise", NULL};
static const char *const trains_words[] = {"false", "true", NULL};
static const char *const never_words[] = {"false", NULL};
static const struct config_row data_rule_rows[] = {
    {ROW("location", ROW_WORD, config_data_rules, location), .words = location_words,
     .flags = ROW_OPTIONAL, .help = "On whose machines it has to be.", .example = "on-premise"},
    {ROW("retention_days", ROW_INT, config_data_rules, retention_days), .max = 36500,
     .flags = ROW_OPTIONAL, .help = "For how many days at most it may be kept.", .example = "0"},
    {ROW("trains", ROW_WORD, config_data_rules, trains), .words = never_words,
     .flags = ROW_OPTIONAL, .help = "`false`: no model may be trained with it.",
     .example = "false"},
};
static const struct config_section data_rules = {
    .title = "<scope>.data_rules",
    ROWS(data_rule_rows),
    .size = sizeof(struct config_data_rules),
    .pos_at = offsetof(struct config_data_rules, pos),
    .help = "What the `governance` of a provider has to say before data may go there; where it "
            "says nothing of it, it may not. All that bind a request count: its key's, the "
            "plan's and its use case's.",
};

static const struct config_row budget_rows[] = {
    BUDGET("hour", LIMIT_BUDGET_HOUR, "Dollars in an hour of the clock.", "2"),
    BUDGET("day", LIMIT_BUDGET_DAY, "Dollars in a day.", "20"),
    BUDGET("week", LIMIT_BUDGET_WEEK, "Dollars in a week, which begins on Monday.", "100"),
    BUDGET("month", LIMIT_BUDGET_MONTH, "Dollars in a calendar month.", "$250.00"),
};
static const struct config_section budget = {
    .title = "<scope>.limits.budget",
    ROWS(budget_rows),
    .size = sizeof(struct config_scope_limits),
    .pos_at = offsetof(struct config_scope_limits, budget_pos),
    .help = "Dollars by calendar periods in the `timezone`; at most a billion. What is bound to a "
            "budget cannot reach a target whose price is not known. An hour's budget above the "
            "day's, and so on, can never apply and is an error.",
};

static const struct config_row scope_limit_rows[] = {
    COUNT("requests_per_minute", LIMIT_REQUESTS, COUNT_MAX, "Requests in any 60 seconds.", "600"),
    COUNT("tokens_per_minute", LIMIT_TOKENS, COUNT_MAX,
          "Tokens in any 60 seconds, of prompts and answers together.", "200000"),
    COUNT("input_tokens_per_minute", LIMIT_INPUT, COUNT_MAX, "Tokens of prompts in any 60 seconds.",
          "150000"),
    COUNT("output_tokens_per_minute", LIMIT_OUTPUT, COUNT_MAX,
          "Tokens of answers in any 60 seconds.", "50000"),
    COUNT("concurrency", LIMIT_CONCURRENCY, 10000000, "Requests open at the same time.", "20"),
    {IN_ROOT("budget"), .section = &budget, .help = "What may be spent.",
     .example = "{day: 20, month: 250}"},
};
const struct config_section config_scope_limits_section = {
    .title = "<scope>.limits",
    ROWS(scope_limit_rows),
    .size = sizeof(struct config_scope_limits),
    .pos_at = offsetof(struct config_scope_limits, pos),
    .help = "Limits of a scope: an organisation, a team, a key, an end user, a use case or an "
            "alias. A request has to fit into all of its scopes. What is left out is not limited. "
            "A limit that a wider scope makes meaningless is an error.",
};

static const struct config_row at_budget_rows[] = {
    {ROW("use", ROW_TEXT, config_at_budget, use), .flags = ROW_REQUIRED,
     .help = "Alias or engine that serves the requests instead, one that costs less or nothing.",
     .example = "chat"},
    {ROW("from", ROW_PERCENT, config_at_budget, from_percent), .min = 1, .max = 100,
     .fallback = "100%", .help = "Share of the budget from which on it does.", .example = "90%"},
};
static const struct config_section at_budget = {
    .title = "<scope>.at_budget",
    ROWS(at_budget_rows),
    .size = sizeof(struct config_at_budget),
    .pos_at = offsetof(struct config_at_budget, pos),
    .shorthand = "use",
    .help = "A cheaper alias in place of a refusal. Needs a `budget` in the same scope.",
};

static const struct config_row plan_rows[] = {
    LIMITS(config_plan, "Of each key of the plan that does not have its own; and of each end user "
                        "where `users.plan` names the plan."),
    USER_LIMITS(config_plan, "Of each end user of such a key."),
    RIGHTS(config_plan),
    DATA_RULES(config_plan, "What its keys demand of providers, beside their own."),
    MAX_TOKENS(config_plan, "Most tokens of answer that one request may ask for."),
    PRIORITY(config_plan, "Which requests go first where some have to wait. Without one: "
                          "`normal`."),
};
const struct config_section config_plan_section = {
    .title = "plans.<name>",
    ROWS(plan_rows),
    .size = sizeof(struct config_plan),
    .pos_at = offsetof(struct config_plan, pos),
    .name_at = offsetof(struct config_plan, name),
    .check_name = syntax_name,
    .help = "Templates that keys take over: by each kind of limit a key's own goes before its "
            "plan's. Of the lists, the key's, its team's and its plan's all have to allow a "
            "request.",
};

static const struct config_row organisation_rows[] = {
    LIMITS(config_organisation, "Of all its teams and keys together."),
    AT_BUDGET(config_organisation),
};
const struct config_section config_organisation_section = {
    .title = "organisations.<name>",
    ROWS(organisation_rows),
    .size = sizeof(struct config_organisation),
    .pos_at = offsetof(struct config_organisation, pos),
    .name_at = offsetof(struct config_organisation, name),
    .check_name = syntax_name,
    .help = "Who teams and keys belong to.",
};

static const struct config_row team_rows[] = {
    {ROW("organisation", ROW_TEXT, config_team, organisation), .check = syntax_name,
     .help = "The organisation it belongs to.", .example = "acme"},
    {ROW("plan", ROW_TEXT, config_team, plan), .check = syntax_name,
     .help = "Plan of its keys that have none of their own.", .example = "premium"},
    LIMITS(config_team, "Of all its keys together."),
    AT_BUDGET(config_team),
    RIGHTS(config_team),
};
const struct config_section config_team_section = {
    .title = "teams.<name>",
    ROWS(team_rows),
    .size = sizeof(struct config_team),
    .pos_at = offsetof(struct config_team, pos),
    .name_at = offsetof(struct config_team, name),
    .check_name = syntax_name,
    .help = "Who keys belong to.",
};

static const struct config_row key_rows[] = {
    {ROW("secret", ROW_SECRET, config_key, secret), .help = "What clients send.",
     .example = "\"${TEAM_KEY}\""},
    {ROW("sha256", ROW_SECRET, config_key, sha256), .check = syntax_sha256,
     .help = "Its SHA-256 in hex instead, so that the file holds no secret.",
     .example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    {ROW("team", ROW_TEXT, config_key, team), .check = syntax_name,
     .help = "The team it belongs to.", .example = "search"},
    {ROW("organisation", ROW_TEXT, config_key, organisation), .check = syntax_name,
     .help = "The organisation, of a key without a team or whose team has none.",
     .example = "acme"},
    {ROW("plan", ROW_TEXT, config_key, plan), .check = syntax_name,
     .help = "Its plan. Absent: its team's.", .example = "free"},
    LIMITS(config_key, "Of all its requests. By each kind of limit they go before the plan's."),
    USER_LIMITS(config_key, "Of each of its end users. What is left out is taken from the plan's; "
                            "where both have none at all, from `users`."),
    AT_BUDGET(config_key),
    RIGHTS(config_key),
    DATA_RULES(config_key, "What its requests demand of providers, beside what the plan does."),
    {ROW("networks", ROW_TEXTS, config_key, networks), .max = 1024, .check = syntax_prefix,
     .help = "Addresses that it may be used from. Absent: all.", .example = "[10.0.0.0/8]"},
    MAX_TOKENS(config_key, "Most tokens of answer that one request may ask for. Absent: the "
                           "plan's."),
    {ROW("expires", ROW_TIME, config_key, expires_ns),
     .help = "When it ceases to count. Absent: never.", .example = "2100-01-01"},
    {ROW("disabled", ROW_BOOL, config_key, disabled), .fallback = "false",
     .help = "It does not count for now."},
    {ROW("use_case", ROW_TEXT, config_key, use_case), .check = syntax_name,
     .help = "What its requests are for, where they do not say so and may.",
     .example = "summaries"},
    {ROW("user", ROW_TEXT, config_key, user),
     .help = "All its requests are of this end user, whatever they say.", .example = "batch-jobs"},
    {ROW("may_set", ROW_TEXTS, config_key, may_set), .max = 3, .flags = ROW_ONE, .fallback = "user",
     .check = syntax_may_set,
     .help = "What clients may say of their requests: `user` (the dialect's own field, or "
             "`x-weir-user`), `use_case` (`x-weir-use-case`, or the request's metadata), "
             "`strategy` (`x-weir-priority`: `cost`, `quality` or `balanced`). `[]`: nothing.",
     .example = "[user, use_case, strategy]"},
    PRIORITY(config_key, "Which requests go first where some have to wait. Absent: the plan's."),
    {ROW("weight", ROW_INT, config_key, weight), .min = 1, .max = 1000, .fallback = "1",
     .help = "Its share against other keys of its priority, where requests of both wait."},
};
const struct config_section config_key_section = {
    .title = "keys.<name>",
    ROWS(key_rows),
    .size = sizeof(struct config_key),
    .pos_at = offsetof(struct config_key, pos),
    .name_at = offsetof(struct config_key, name),
    .check_name = syntax_name,
    .help = "Keys of clients by name; the name shows up in logs and metrics. Each has either "
            "`secret` or `sha256`. Where the file has no `keys`, the variable `WEIR_API_KEY` makes "
            "one with the name `env`. `weir key` and the admin API issue further ones, which are "
            "kept in the data folder and may have the same settings but for the secret.",
};

static const struct config_row use_case_rows[] = {
    {ROW("owner", ROW_TEXT, config_use_case, owner), .help = "Who answers for it.",
     .example = "jane@example.com"},
    {ROW("data_class", ROW_WORD, config_use_case, data_class), .words = config_data_classes,
     .flags = ROW_OPTIONAL,
     .help = "What kind of data its requests hold. Above `public` they go only where the "
             "provider's `governance.data_class` allows it.",
     .example = "internal"},
    LIMITS(config_use_case, "Of all its requests, whichever key they have."),
    AT_BUDGET(config_use_case),
    DATA_RULES(config_use_case, "What its requests demand of providers."),
    {ROW("last_resort", ROW_TEXT, config_use_case, last_resort), .check = syntax_last_resort,
     .flags = ROW_LINES, .help = "Instead of that of the alias.",
     .example = "\"Please try again in a minute.\""},
};
const struct config_section config_use_case_section = {
    .title = "use_cases.<name>",
    ROWS(use_case_rows),
    .size = sizeof(struct config_use_case),
    .pos_at = offsetof(struct config_use_case, pos),
    .name_at = offsetof(struct config_use_case, name),
    .check_name = syntax_name,
    .help = "What requests are for. A key names one, or may let its clients do so.",
};

static const struct config_row users_rows[] = {
    {ROW("plan", ROW_TEXT, config_users, plan), .check = syntax_name,
     .help = "Plan whose `limits` each end user of a key without `user_limits` gets.",
     .example = "free"},
    {ROW("cells", ROW_INT, config_users, cells), .min = 1, .max = 10000000, .fallback = "10000",
     .help = "How many users are counted apart at the same time; further ones share one count. "
             "A change needs a restart."},
};
const struct config_section config_users_section = {
    .title = "users",
    ROWS(users_rows),
    .size = sizeof(struct config_users),
    .pos_at = offsetof(struct config_users, pos),
    .help = "End users, whom requests name.",
};

static const struct config_row price_rows[] = {
    RATE("input", input, ROW_REQUIRED, "A million tokens of prompt."),
    RATE("output", output, ROW_REQUIRED, "A million tokens of answer."),
    RATE("cached", cached, ROW_OPTIONAL,
         "A million tokens of prompt that the provider had in its cache. Absent: as `input`."),
    RATE("cache_write", cache_write, ROW_OPTIONAL,
         "A million tokens of prompt that it puts there. Absent: as `input`."),
    RATE("request", request, ROW_OPTIONAL, "A million requests, beside their tokens."),
};
const struct config_section config_price_section = {
    .title = "prices.<provider/model>",
    ROWS(price_rows),
    .size = sizeof(struct config_price),
    .pos_at = offsetof(struct config_price, pos),
    .name_at = offsetof(struct config_price, pattern),
    .check_name = syntax_price_pattern,
    .help = "Dollars per million, in place of the built-in table: by `provider/model` with the "
            "provider's name in this file and the model's name there; `*` at the end stands for "
            "any text. The first that fits counts. A price that is not known is not 0: the usage "
            "says so, and what is bound to a budget cannot reach the target.",
};

static const struct config_row alerts_rows[] = {
    {ROW("budgets", ROW_TEXTS, config_alerts, budgets), .max = 8, .check = syntax_alert_percent,
     .fallback = "[50, 80, 100]",
     .help = "Shares of a budget, in percent, at which an alert is sent, once in its period.",
     .example = "[80, 100]"},
    {ROW("webhook", ROW_SECRET, config_alerts, webhook), .check = syntax_webhook,
     .help = "URL that gets alerts as JSON. Absent: they are logged only.",
     .example = "https://hooks.example/T00/B00"},
};
const struct config_section config_alerts_section = {
    .title = "alerts",
    ROWS(alerts_rows),
    .size = sizeof(struct config_alerts),
    .pos_at = offsetof(struct config_alerts, pos),
    .help = "Who is told that a budget runs out.",
};

static const struct config_row keep_rows[] = {
    KEEP("rows", keep_rows_ns, "30d", "Of each attempt."),
    KEEP("minutes", keep_minutes_ns, "7d", "Sums by minute."),
    KEEP("hours", keep_hours_ns, "90d", "Sums by hour."),
    KEEP("days", keep_days_ns, "0", "Sums by day."),
};
static const struct config_section keep = {
    .title = "ledger.keep",
    ROWS(keep_rows),
    .size = sizeof(struct config_ledger),
    .pos_at = ROW_NOWHERE,
    .help = "For how long the ledger is kept; `0` means for ever.",
};
static const char *const sync_words[] = {"interval", "commit", NULL};
static const char *const full_words[] = {"refuse", "count", NULL};
static const struct config_row ledger_rows[] = {
    {ROW("sync", ROW_WORD, config_ledger, sync), .words = sync_words, .fallback = "interval",
     .help = "What a loss of power may take: up to a second (`interval`), or nothing that was "
             "written (`commit`). A killed process loses nothing either way."},
    {ROW("spool", ROW_INT, config_ledger, spool), .min = 1024, .max = 1 << 24, .fallback = "16384",
     .help = "Rows of each worker that wait while the disk is slow or full; a power of two. A "
             "change needs a restart."},
    {ROW("when_full", ROW_WORD, config_ledger, when_full), .words = full_words,
     .fallback = "refuse",
     .help = "What happens when they are used up: new requests are refused with 503 (`refuse`), "
             "or go on, and the rows that are lost are counted (`count`)."},
    {IN_ROOT("keep"), .section = &keep, .help = "For how long.",
     .example = "{rows: 7d, minutes: 2d}"},
};
const struct config_section config_ledger_section = {
    .title = "ledger",
    ROWS(ledger_rows),
    .size = sizeof(struct config_ledger),
    .pos_at = offsetof(struct config_ledger, pos),
    .help = "What every attempt used and cost, in the data folder.",
};

static const struct config_row governance_rows[] = {
    {ROW("region", ROW_TEXT, config_governance, region), .check = syntax_name,
     .help = "Where requests are worked on, by a name of your own; what keys' and teams' `regions` "
             "are about. Absent: the cloud's own region.",
     .example = "eu"},
    {ROW("location", ROW_WORD, config_governance, location), .words = location_words,
     .flags = ROW_OPTIONAL, .help = "On whose machines.", .example = "on-premise"},
    {ROW("retention_days", ROW_INT, config_governance, retention_days), .max = 36500,
     .flags = ROW_OPTIONAL, .help = "How long it keeps requests and answers; `0`: not at all.",
     .example = "30"},
    {ROW("trains", ROW_WORD, config_governance, trains), .words = trains_words,
     .flags = ROW_OPTIONAL, .help = "Whether models are trained with them.", .example = "false"},
    {ROW("data_class", ROW_WORD, config_governance, data_class), .words = config_data_classes,
     .flags = ROW_OPTIONAL, .help = "The highest class of data that may go there.",
     .example = "confidential"},
    {ROW("reviewed", ROW_TIME, config_governance, reviewed_ns),
     .help = "When somebody last looked into all this.", .example = "2026-10-01"},
};
const struct config_section config_governance_section = {
    .title = "providers.<name>.governance",
    ROWS(governance_rows),
    .size = sizeof(struct config_governance),
    .pos_at = ROW_NOWHERE,
    .help = "What a provider does with data, as far as you know: a provider that says nothing "
            "meets no rule. Engines run here: they are `on-premise`, keep nothing, train nothing, "
            "and may have any data.",
};

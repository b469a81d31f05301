/* Rows of retries, health and aliases. */
#include "config_route.h"

#include "base/clock.h"
#include "config_policy.h"
#include "config_syntax.h"

#define HOUR          (3600 * NS_PER_S)
#define DAY           (24 * HOUR)
#define WEIGHT_MAX    1000000
#define CONTEXT_MAX   INT64_C(1000000000)
#define ATTEMPTS_MOST 4 /* that the gateway can make */

static const struct config_row retry_rows[] = {
    {ROW("attempts", ROW_INT, config_retry, attempts), .min = 1, .max = ATTEMPTS_MOST,
     .fallback = "4", .help = "Attempts of one request in all, the first one among them."},
    {ROW("same_target", ROW_INT, config_retry, same_target), .max = ATTEMPTS_MOST - 1,
     .fallback = "2",
     .help = "How often the targets are gone through once more, after a pause, when none is left "
             "that was not tried. `0`: each is tried once."},
    {ROW("backoff", ROW_DURATION, config_retry, backoff_ns), .max = HOUR, .fallback = "25ms",
     .help = "Longest pause before the first of these; the pause is random below it, and each "
             "further one may be twice as long. A `Retry-After` of the target counts instead."},
    {ROW("max_backoff", ROW_DURATION, config_retry, max_backoff_ns), .max = HOUR,
     .fallback = "250ms", .help = "Longest pause before any of them."},
    {ROW("budget", ROW_PERCENT, config_retry, percent), .max = 100, .fallback = "20%",
     .help = "Retries that an alias may have, as a share of its requests in the latest 10 s."},
    {ROW("per_second", ROW_INT, config_retry, per_second), .max = 100000, .fallback = "3",
     .help = "Retries a second that it may have however few its requests are."},
};
const struct config_section config_retry_section = {
    .title = "retry",
    ROWS(retry_rows),
    .size = sizeof(struct config_retry),
    .pos_at = ROW_NOWHERE,
    .help = "What is tried again: a request of which nothing has been sent to the client yet, "
            "with the next target, within a budget, so that a failing provider is not asked for "
            "more than its share.",
};

/* clang-format off */
#define ROW_OF_COUNT    ROW_INT
#define ROW_OF_PERCENT  ROW_PERCENT
#define ROW_OF_DURATION ROW_DURATION
#define MOST_OF_COUNT    1000000
#define MOST_OF_PERCENT  100
#define MOST_OF_DURATION DAY
#define LEAST_OF_COUNT    1
#define LEAST_OF_PERCENT  1
#define LEAST_OF_DURATION NS_PER_MS
/* The others may be 0, which means never or not at all. */
#define IS_NEEDED(id) (HEALTH_##id == HEALTH_MIN_REQUESTS || HEALTH_##id == HEALTH_WINDOW)
#define HEALTH_ROW(id, name, default_, unit_, what) \
    {ROW(name, ROW_OF_##unit_, config_health, settings.v[HEALTH_##id]), \
     .min = IS_NEEDED(id) ? LEAST_OF_##unit_ : 0, .max = MOST_OF_##unit_, .flags = ROW_STANDARD, \
     .standard = (default_), .help = what "."},
/* clang-format on */

static const struct config_row health_rows[] = {
    HEALTH_SETTINGS(HEALTH_ROW){
        ROW("probe", ROW_DURATION, config_health, probe_ns), .max = DAY, .fallback = "10s",
        .help = "Time between probes of a target; never a paid call, unless its provider says "
                "`probe_with: completion`. `0`: there are none."},
};
const struct config_section config_health_section = {
    .title = "health",
    ROWS(health_rows),
    .size = sizeof(struct config_health),
    .pos_at = ROW_NOWHERE,
    .help = "When a target counts as sick, and for how long. Failures are those of the connection, "
            "5xx, timeouts and cut answers. A 429 is none: the target rests. Errors of the "
            "client's making count for nothing. All workers share what they know. `failures`, "
            "`error_share` or `slow_factor` of 0: never for that.",
};

static const char *const supports_words[] = {"false", "true", NULL};
static const struct config_row supports_rows[] = {
    {ROW("tools", ROW_WORD, config_supports, tools), .words = supports_words, .flags = ROW_OPTIONAL,
     .help = "Calling functions.", .example = "false"},
    {ROW("images", ROW_WORD, config_supports, images), .words = supports_words,
     .flags = ROW_OPTIONAL, .help = "Images in the prompt.", .example = "true"},
    {ROW("schema", ROW_WORD, config_supports, schema), .words = supports_words,
     .flags = ROW_OPTIONAL, .help = "Answers by a JSON schema.", .example = "true"},
};
static const struct config_section supports = {
    .title = "models.<alias>.targets[].supports",
    ROWS(supports_rows),
    .size = sizeof(struct config_supports),
    .pos_at = offsetof(struct config_supports, pos),
    .help =
        "What the model can do. Requests with what it cannot (`false`) do not go there. Absent: "
        "what the table of prices knows, and with that they only stay away as long as another "
        "target may take them.",
};

static const struct config_row target_rows[] = {
    {ROW("use", ROW_TEXT, config_target, use), .flags = ROW_REQUIRED,
     .help = "`<provider>/<model>`, `engine/<name>`, or another alias, whose targets stand in its "
             "place; in `fallback` its fallbacks come behind them.",
     .example = "openai/gpt-4o-mini"},
    {ROW("weight", ROW_INT, config_target, weight), .max = WEIGHT_MAX, .flags = ROW_OPTIONAL,
     .help = "Its share beside the others', for `weighted`, `round_robin` and `least_loaded`; "
             "that of an alias is divided among its targets by theirs. Absent: 1, or of an alias "
             "the weights that its targets have there.",
     .example = "3"},
    {ROW("quality", ROW_INT, config_target, quality), .max = 1000, .flags = ROW_OPTIONAL,
     .help = "How good its answers are, on a scale of your own: for `quality`. Absent: 0.",
     .example = "80"},
    {ROW("max_complexity", ROW_INT, config_target, max_complexity), .max = 100,
     .flags = ROW_OPTIONAL,
     .help = "The hardest requests that it gets, from 0 (a greeting) to 100: for `complexity`. "
             "Absent: 100.",
     .example = "40"},
    {ROW("context", ROW_INT, config_target, context), .min = 1, .max = CONTEXT_MAX,
     .flags = ROW_OPTIONAL,
     .help = "Tokens that a prompt and its answer may have together. Requests that look longer "
             "do not go there. Absent: what the table of prices knows, and with that only prompts "
             "that look a quarter longer stay away, as long as another target may take them.",
     .example = "128000"},
    {ROW("supports", ROW_SECTION, config_target, supports), .section = &supports,
     .help = "What its model can do and what not.", .example = "{tools: false, images: true}"},
};
static const struct config_section target = {
    .title = "models.<alias>.targets[]",
    ROWS(target_rows),
    .size = sizeof(struct config_target),
    .pos_at = offsetof(struct config_target, pos),
    .shorthand = "use",
    .help = "A text such as `openai/gpt-4o-mini`, or a map with these keys.",
};

static const struct config_row hedge_rows[] = {
    {ROW("after", ROW_TEXT, config_hedge, after), .flags = ROW_REQUIRED,
     .check = syntax_hedge_after,
     .help = "How long the first attempt may be without any content before the second one "
             "begins: a duration, or `p95`, the time by which the target has usually begun 95 of "
             "100 answers.",
     .example = "p95"},
    {ROW("budget", ROW_PERCENT, config_hedge, percent), .min = 1, .max = 100, .fallback = "5%",
     .help = "Share of the alias' requests that may be asked twice."},
};
static const struct config_section hedge = {
    .title = "models.<alias>.hedge",
    ROWS(hedge_rows),
    .size = sizeof(struct config_hedge),
    .pos_at = offsetof(struct config_hedge, pos),
    .shorthand = "after",
    .help = "A second attempt elsewhere while the first one is slow; the one that has content "
            "first answers, the other one is dropped. Both may cost.",
};

/* clang-format off */
#define STRATEGY_WORD(id, name, what) name,
#define STRATEGY_HELP(id, name, what) " `" name "`: " what "."
/* clang-format on */
static const char *const strategy_words[] = {ROUTE_STRATEGIES(STRATEGY_WORD) NULL};
static const char *const first_token_words[] = {"fixed", "adaptive", NULL};
static const char *const rescue_words[] = {"off", "continue", NULL};

static const struct config_row model_rows[] = {
    {ROW("targets", ROW_SECTIONS, config_model, targets),
     .n_at = offsetof(struct config_model, targets_n), .section = &target,
     .max = ROUTE_CANDIDATES_MAX, .flags = ROW_REQUIRED,
     .help = "What stands behind the alias; the `strategy` says which one is tried first. With "
             "the fallbacks at most 64, aliases replaced by theirs.",
     .example = "[openai/gpt-4o-mini, engine/smollm2]"},
    {ROW("fallback", ROW_SECTIONS, config_model, fallback),
     .n_at = offsetof(struct config_model, fallback_n), .section = &target,
     .max = ROUTE_CANDIDATES_MAX,
     .help = "What is tried when all of them failed before any content was sent; in this order, "
             "whatever the strategy.",
     .example = "[anthropic/claude-sonnet-5]"},
    {ROW("strategy", ROW_WORD, config_model, strategy), .words = strategy_words,
     .fallback = "ordered",
     .help = "Which target a request goes to, of those that can do it, may have it and are "
             "well." ROUTE_STRATEGIES(STRATEGY_HELP)},
    {ROW("regions", ROW_TEXTS, config_model, regions), .max = 64, .check = syntax_tail_pattern,
     .help = "For `region`: which come first. A provider's is `governance.region`, else the "
             "cloud's own; engines are in `local`; `*` at the end stands for any text.",
     .example = "[eu, \"us-*\"]"},
    {ROW("session", ROW_TEXT, config_model, session), .check = syntax_header_name,
     .help = "For `sticky`: the header that names a session. Absent, or where a request has no "
             "such header: the end user.",
     .example = "x-session-id"},
    {ROW("hedge", ROW_SECTION, config_model, hedge), .section = &hedge,
     .help = "Absent: no second attempts beside the first.", .example = "{after: p95}"},
    {ROW("first_token", ROW_WORD, config_model, first_token), .words = first_token_words,
     .fallback = "fixed",
     .help = "`adaptive`: the limit of the first token follows what is usual at the target, "
             "within `timeouts.first_token`."},
    {ROW("rescue", ROW_WORD, config_model, rescue), .words = rescue_words, .fallback = "off",
     .help = "What becomes of a stream that is cut or stalls: an error event (`off`), or another "
             "target goes on with it (`continue`) where the two parts can be joined without a "
             "repeated or a lost word."},
    {ROW("last_resort", ROW_TEXT, config_model, last_resort), .check = syntax_last_resort,
     .flags = ROW_LINES,
     .help = "Answer that is given when everything else failed, marked by a header. Absent: the "
             "error.",
     .example = "\"The assistant is unavailable at the moment.\""},
    {ROW("limits", ROW_SECTION, config_model, limits), .section = &config_scope_limits_section,
     .help = "Of all requests for the alias.", .example = "{concurrency: 100}"},
};
const struct config_section config_model_section = {
    .title = "models.<alias>",
    ROWS(model_rows),
    .size = sizeof(struct config_model),
    .pos_at = offsetof(struct config_model, pos),
    .name_at = offsetof(struct config_model, name),
    .check_name = syntax_alias,
    .help = "Aliases: the names that clients should ask for.",
};

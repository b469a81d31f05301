/* Who may use what, and what it costs: the rows of plans, organisations, teams, keys, use cases,
 * users, prices, alerts and the ledger (config_policy.c), and what several parts ask about them. */
#ifndef CONTROL_CONFIG_POLICY_H
#define CONTROL_CONFIG_POLICY_H

#include "config_rows.h"
#include "gateway/identity.h"

extern const struct config_section config_scope_limits_section; /* limits of a scope */
extern const struct config_section config_plan_section, config_organisation_section,
    config_team_section, config_key_section, config_use_case_section, config_users_section,
    config_price_section, config_alerts_section, config_ledger_section, config_governance_section;

#define CONFIG_PROVIDER_KEYS_MAX 16
#define CONFIG_MONEY_MAX         (INT64_C(1000000000) * 1000000000) /* nano-dollars */

/* "public", "internal", ...; ends with NULL. */
extern const char *const config_data_classes[];

/* NULL: there is none of that name, or the name is absent. */
const struct config_plan *config_find_plan(const struct config *c, struct slice name);
const struct config_organisation *config_find_organisation(const struct config *c,
                                                           struct slice name);
const struct config_team *config_find_team(const struct config *c, struct slice name);
const struct config_use_case *config_find_use_case(const struct config *c, struct slice name);
bool config_has_alias(const struct config *c, struct slice name); /* or an engine */

/* A key with what it refers to; NULL: nothing. */
struct config_standing {
    const struct config_key *key;
    const struct config_team *team;
    const struct config_organisation *organisation; /* its team's, else its own */
    const struct config_plan *plan;                 /* its own, else its team's */
    const struct config_use_case *use_case;
};
struct config_standing config_standing(const struct config *c, const struct config_key *key);

/* The figure of `own`, else of `plan`'s (NULL: none); LIMIT_NONE. `*ret_from` is where it stands.
 */
int64_t config_limit(const struct config_scope_limits *own, const struct config_scope_limits *plan,
                     enum limit_kind kind, const int64_t **ret_from);
/* The words of the configuration: "requests_per_minute", "budget.day". */
const char *config_limit_key(enum limit_kind kind);

/* Does `wide` fit all that `narrow` fits? Patterns with an optional '*' at the end. */
bool config_pattern_covers(struct slice wide, struct slice narrow);
/* What fits both: one of the two, or nothing (.p NULL). */
struct slice config_pattern_meet(struct slice a, struct slice b);

/* The three lists of struct config_rights, by number. */
#define CONFIG_RIGHTS_N 3
extern const char *const config_rights_keys[CONFIG_RIGHTS_N];
const struct config_list *config_rights_list(const struct config_rights *rights, unsigned which);

/* What the key, its team and its plan together allow: patterns in `a`, in the order of the
 * narrowest list; `engine` among providers has become the engines' names. 0 patterns: everything,
 * or with `*ret_nothing` that the lists have nothing in common. False: no memory. */
NODISCARD bool config_rights_meet(const struct config *c, const struct config_standing *s,
                                  unsigned which, struct arena *a, struct slice **ret,
                                  size_t *ret_n, bool *ret_nothing);

/* Where a provider's requests are worked on: governance.region, else the cloud's own region;
 * absent: not known. Engines are in "local". */
struct slice config_provider_place(const struct config_provider *p);
#define CONFIG_ENGINE_PLACE SLICE("local")
/* The same of a target that is no alias. */
struct slice config_target_place(const struct config *c, struct slice use);
/* What a provider does with data / what local engines do. */
struct gw_governance config_governance(const struct config_provider *p);
extern const struct gw_governance config_engine_governance;
/* The same of a target that is no alias. */
struct gw_governance config_target_governance(const struct config *c, struct slice use);
/* What is demanded by `own` and by `plan` (NULL: nothing) together. */
struct gw_data_rules config_data_rules(const struct config_data_rules *own,
                                       const struct config_data_rules *plan);
/* Does the hardware of that type belong to whoever runs it? */
bool config_is_self_hosted(struct slice provider_type);

#endif

/* Checks that several parts of a configuration share. */
#ifndef CONTROL_CONFIG_CHECK_H
#define CONTROL_CONFIG_CHECK_H

#include "config_policy.h"
#include "config_read.h"

struct check_text {
    struct slice text;
    struct config_pos pos;
};

/* Room for `n` texts; NULL: no memory, reported. */
struct check_text *check_texts_new(struct config_reader *r, size_t n);

/* Reports each text that stands there before: "`key`: <what> in line 3". Sorts `texts`. */
void check_unique(struct config_reader *r, struct check_text *texts, size_t n, const char *key,
                  const char *what);
void check_unique_list(struct config_reader *r, const struct config_list *list, const char *key);

/* A certificate and its key come together. */
void check_client_cert(struct config_reader *r, const struct slice *cert, const struct slice *key);

/* Does a pattern of "provider/model" fit a provider or an engine? / what may have been meant. */
bool check_pattern_applies(const struct config *c, struct slice pattern);
const char *check_near_pattern(struct config_reader *r, struct slice pattern);

/* No limit that was named is longer than `total_ns`, the one in effect. */
void check_timeouts(struct config_reader *r, const struct config_timeouts *t, int64_t total_ns);

/* config_data_check.c: rules about data that contradict each other, or that no target of an alias
 * meets. */
void check_plan_data(struct config_reader *r, const struct config_plan *p);
void check_key_data(struct config_reader *r, const struct config_standing *s);
void check_use_case_data(struct config_reader *r, const struct config_use_case *u);

/* config_policy_check.c: one key, with all that it refers to. */
void check_key_policy(struct config_reader *r, struct config_key *k);

#endif

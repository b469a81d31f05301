/* What the tests of the configuration share: an environment of their own, provider types, files. */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include "control/config.h"

/* Provider types of the tests, the environment below, no --insecure. */
extern struct config_options fixture_options;

/* Empties the environment and sets the options back. */
void fixture_reset(void);
void fixture_setenv(struct slice name, struct slice value);
const char *fixture_getenv(const char *name);

/* The folder of these tests. */
const char *fixture_dir(void);
/* Reads / writes a file; a relative name is in fixture_dir. The caller frees with buf_done. */
void fixture_read(const char *name, struct buf *ret);
void fixture_write(const char *name, struct slice text);

#endif

/* What `weir doctor` looks at. */
#ifndef CLI_DOCTOR_CHECKS_H
#define CLI_DOCTOR_CHECKS_H

#include "base/buf.h"
#include "datadir.h"
#include "loaded.h"
#include "platform.h"

enum check_status { CHECK_OK, CHECK_WARN, CHECK_MISSING };

struct check {
    char name[80];
    enum check_status status;
    char detail[400];
    char fix[300]; /* the one command that mends it, "": nothing to mend, or nothing that could */
};

#define CHECKS_MAX 128

struct doctor {
    struct machine machine;
    const char *config_path; /* --config, or NULL */
    struct loaded loaded;
    const struct config *config; /* that of `loaded`, or NULL: none that can be used */
    const char *data_option;     /* --data, or NULL */
    bool connect;                /* --connect */
    char data[DATADIR_MAX];      /* "": none is known */
    int64_t model_bytes;         /* of the largest model that would be run */
    struct check checks[CHECKS_MAX];
    unsigned checks_n;
};

/* Carries out all checks. */
void doctor_run(struct doctor *d);

#endif

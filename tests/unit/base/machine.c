/* base/machine.h on the machine at hand. */
#include "base/machine.h"

#include <unistd.h>

#include "check.h"

TEST(cores)
{
    CHECK(machine_cores() >= 1);
    CHECK(machine_cores() <= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
}

TEST(files)
{
    char out[16];
    CHECK(machine_read_file("no such file", out, sizeof out).p == NULL);
    struct slice zeros = machine_read_file("/dev/zero", out, sizeof out);
    CHECK_EQ_U64(zeros.n, sizeof out);
}

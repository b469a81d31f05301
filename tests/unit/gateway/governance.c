/* What a provider says of data against what is demanded. */
#include "check.h"
#include "gateway/identity.h"

static const struct gw_governance silent = {LOCATION_ANY, -1, -1, -1};
static const struct gw_governance house = {LOCATION_ON_PREMISE, 0, 0, 3};
static const struct gw_governance cloud = {LOCATION_CLOUD, 30, 1, 1};

static bool fits(const struct gw_governance *g, enum gw_location location, int64_t days,
                 bool no_training, int level)
{
    const struct gw_data_rules rules = {location, days, no_training};
    return gw_governance_fits(g, &rules, level);
}

TEST(no_rule)
{
    CHECK(fits(&silent, LOCATION_ANY, -1, false, -1));
    CHECK(fits(&silent, LOCATION_ANY, -1, false, 0)); /* public data may go anywhere */
    CHECK(fits(&cloud, LOCATION_ANY, -1, false, -1) && fits(&house, LOCATION_ANY, -1, false, -1));
}

TEST(silence_meets_nothing)
{
    CHECK(!fits(&silent, LOCATION_CLOUD, -1, false, -1));
    CHECK(!fits(&silent, LOCATION_ON_PREMISE, -1, false, -1));
    CHECK(!fits(&silent, LOCATION_ANY, 36500, false, -1));
    CHECK(!fits(&silent, LOCATION_ANY, -1, true, -1));
    CHECK(!fits(&silent, LOCATION_ANY, -1, false, 1));
}

TEST(each_rule)
{
    CHECK(fits(&house, LOCATION_ON_PREMISE, -1, false, -1));
    CHECK(!fits(&house, LOCATION_CLOUD, -1, false, -1) &&
          !fits(&cloud, LOCATION_ON_PREMISE, -1, false, -1));
    CHECK(fits(&cloud, LOCATION_ANY, 30, false, -1) && !fits(&cloud, LOCATION_ANY, 29, false, -1));
    CHECK(fits(&house, LOCATION_ANY, 0, false, -1));
    CHECK(fits(&house, LOCATION_ANY, -1, true, -1) && !fits(&cloud, LOCATION_ANY, -1, true, -1));
    CHECK(fits(&cloud, LOCATION_ANY, -1, false, 1) && !fits(&cloud, LOCATION_ANY, -1, false, 2));
    CHECK(fits(&house, LOCATION_ON_PREMISE, 0, true, 3));
}

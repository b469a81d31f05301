/* Ids of exchanges, to text and back. */
#include "base/hash.h"
#include "check.h"
#include "store/ledger.h"

TEST(there_and_back)
{
    for (int i = 0; i < 10000; i++) {
        uint8_t id[16], again[16];
        char text[LEDGER_ID_TEXT];
        ledger_id_make(id, (int64_t)(random_u64() >> 19), random_u64());
        ledger_id_text(id, text);
        CHECK(ledger_id_read(slice_str(text), again));
        CHECK(memcmp(id, again, sizeof id) == 0);
    }
}

TEST(what_is_none)
{
    static const char *const wrong[] = {"",
                                        "wr-",
                                        "wr-1m7zkt2nssjqe0862n43", /* too short, too long */
                                        "wr-1m7zkt2nssjqe0862n43q0",
                                        "xx-1m7zkt2nssjqe0862n43q",
                                        "wr-1m7zkt2nssjqe0862n43u", /* no digit; a capital */
                                        "wr-1m7zkt2nssjqe0862n43Q",
                                        "wr-1m7zkt2n sjqe0862n43q"};
    uint8_t id[16] = {7};
    CHECK(ledger_id_read(SLICE("wr-1m7zkt2nssjqe0862n43q"), id));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK(!ledger_id_read(slice_str(wrong[i]), id));
    CHECK(!ledger_id_read(slice_of("wr-1m7zkt2nssjqe0862n4\0q", 24), id));
    CHECK(!ledger_id_read(SLICE_NONE, id));
}

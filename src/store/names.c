/* Words of the ledger. */
#include "store/ledger.h"

const char *ledger_reason_name(enum ledger_reason r)
{
    static const char *const names[LEDGER_REASONS_N] = {
#define X(id, name) [LEDGER_##id] = (name),
        LEDGER_REASONS(X)
#undef X
    };
    return (unsigned)r < LEDGER_REASONS_N ? names[r] : "";
}

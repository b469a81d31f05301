/* The table of failures. */
#include "gateway/error.h"

#define YES true
#define NO  false

static const struct gw_error_row rows[GW_ERRORS_N] = {[GW_OK] = {200, "", "", "", false},
#define X(id, status, type, code, again, message) [GW_##id] = {status, type, code, message, again},
                                                      GW_ERRORS(X)
#undef X
};

const struct gw_error_row *gw_error_row(enum gw_error e)
{
    return &rows[e];
}

enum metric_outcome gw_error_outcome(enum gw_error e)
{
    switch (e) {
    case GW_OK: return OUTCOME_OK;
    case GW_CLIENT_GONE: return OUTCOME_CLIENT_GONE;
    case GW_HEDGED: return OUTCOME_HEDGED;
    case GW_UPSTREAM_DNS:
    case GW_UPSTREAM_CONNECT:
    case GW_UPSTREAM_PROXY:
    case GW_UPSTREAM_TLS: return OUTCOME_CONNECT;
    case GW_CONNECT_TIMEOUT:
    case GW_TLS_TIMEOUT:
    case GW_WRITE_TIMEOUT:
    case GW_HEAD_TIMEOUT:
    case GW_FIRST_TOKEN_TIMEOUT:
    case GW_BETWEEN_TOKENS_TIMEOUT:
    case GW_TOTAL_TIMEOUT: return OUTCOME_TIMEOUT;
    case GW_UPSTREAM_RESET:
    case GW_UPSTREAM_CUT: return OUTCOME_CUT;
    case GW_UPSTREAM_BAD_ANSWER:
    case GW_UPSTREAM_TOO_LARGE: return OUTCOME_BAD_ANSWER;
    case GW_UPSTREAM_RATE_LIMITED: return OUTCOME_RATE_LIMITED;
    case GW_UPSTREAM_ERROR: return OUTCOME_SERVER_ERROR;
    default: return OUTCOME_REFUSED;
    }
}

void gw_error_reference(struct buf *out)
{
    buf_lit(out, "| code | status | type | meaning |\n|---|--:|---|---|\n");
    for (unsigned e = GW_OK + 1; e < GW_ERRORS_N; e++)
        buf_printf(out, "| `%s` | %u | `%s` | %s |\n", rows[e].code, rows[e].status, rows[e].type,
                   rows[e].message);
}

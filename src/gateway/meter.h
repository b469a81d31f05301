/* Cost and tokens by model and use case, for metrics. Any thread. */
#ifndef GATEWAY_METER_H
#define GATEWAY_METER_H

#include "base/buf.h"
#include "store/ledger.h"

struct meter;
/* NULL: no memory. */
NODISCARD struct meter *meter_new(void);
void meter_free(struct meter *m);
/* `model`: a metric id; `use_case`: a ledger number, 0: none. */
void meter_add(struct meter *m, uint32_t model, uint32_t use_case, int64_t cost_nano,
               int64_t tokens);
/* An attempt used tokens whose price is not known. */
void meter_unpriced(struct meter *m);
/* The samples; `l` knows the names of use cases (NULL: none). */
void meter_metrics(struct buf *out, struct meter *m, struct ledger *l);

#endif

/* The loops of the process, so that one can ask the others. */
#ifndef NET_LOOPS_H
#define NET_LOOPS_H

#include "net/loop.h"
#include "net/upstream.h"

void loops_add(struct net_loop *loop);
void loops_remove(struct net_loop *loop);

/* Asks every other loop to give up an idle connection to `u`. */
void loops_ask_idle(struct net_loop *asking, struct upstream *u);

#endif

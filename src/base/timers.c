/* 4-ary heap of deadlines. */
#include "base/timers.h"

#include "base/mem.h"

void timers_init(struct timers *ts)
{
    *ts = (struct timers){0};
}

void timers_done(struct timers *ts)
{
    mem_free(ts->heap);
    timers_init(ts);
}

void timer_init(struct timer *t, timer_fn *fire)
{
    *t = (struct timer){.fire = fire};
}

static void place(struct timers *ts, uint32_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct timers *ts, uint32_t i, struct timer *t)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (ts->heap[parent]->due_ns <= t->due_ns)
            break;
        place(ts, i, ts->heap[parent]);
        i = parent;
    }
    place(ts, i, t);
}

static void sift_down(struct timers *ts, uint32_t i, struct timer *t)
{
    for (;;) {
        uint32_t first = 4 * i + 1, best = first;
        if (first >= ts->count)
            break;
        for (uint32_t c = first + 1; c < ts->count && c < first + 4; c++) {
            if (ts->heap[c]->due_ns < ts->heap[best]->due_ns)
                best = c;
        }
        if (ts->heap[best]->due_ns >= t->due_ns)
            break;
        place(ts, i, ts->heap[best]);
        i = best;
    }
    place(ts, i, t);
}

bool timer_set(struct timers *ts, struct timer *t, int64_t deadline_ns)
{
    if (timer_armed(t)) {
        t->deadline_ns = deadline_ns;
        if (deadline_ns < t->due_ns) {
            t->due_ns = deadline_ns;
            sift_up(ts, t->slot - 1, t);
        }
        return true;
    }
    if (ts->count == ts->size) {
        uint32_t size = ts->size ? ts->size * 2 : 64;
        struct timer **heap = mem_realloc(ts->heap, size * sizeof(struct timer *));
        if (heap == NULL)
            return false;
        ts->heap = heap;
        ts->size = size;
    }
    t->deadline_ns = t->due_ns = deadline_ns;
    sift_up(ts, ts->count++, t);
    return true;
}

void timer_stop(struct timers *ts, struct timer *t)
{
    if (!timer_armed(t))
        return;
    uint32_t i = t->slot - 1;
    struct timer *last = ts->heap[--ts->count];
    t->slot = 0;
    if (last == t)
        return;
    if (i > 0 && last->due_ns < ts->heap[(i - 1) / 4]->due_ns)
        sift_up(ts, i, last);
    else
        sift_down(ts, i, last);
}

void timers_run(struct timers *ts, int64_t now_ns)
{
    while (ts->count > 0 && ts->heap[0]->due_ns <= now_ns) {
        struct timer *t = ts->heap[0];
        if (t->deadline_ns > now_ns) {
            t->due_ns = t->deadline_ns;
            sift_down(ts, 0, t);
            continue;
        }
        timer_stop(ts, t);
        t->fire(t);
    }
}

int64_t timers_next(const struct timers *ts)
{
    return ts->count > 0 ? ts->heap[0]->due_ns : INT64_MAX;
}

/* Closing the books of paid hours. */
#include "hours.h"

#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/supervisor.h"
#include "gateway/snapshot.h"
#include "hours_book.h"
#include "hours_file.h"
#include "observe/log.h"
#include "policy/calendar.h"
#include "policy/limits.h"
#include "store/follow.h"

#define HOURS_MAGIC  0x484f5552u
#define STEP_NS      NS_PER_S
#define SAVE_NS      (5 * NS_PER_S)
#define GRACE_NS     (10 * NS_PER_S)    /* until rows of the hour's last exchanges are merged */
#define AGAIN_NS     (60 * NS_PER_S)    /* rows that came later are waited for */
#define LOST_NS      (600 * NS_PER_S)   /* corrections that have not come back by then never will */
#define KEEP_NS      (10800 * NS_PER_S) /* no exchange is longer */
#define READ_RECORDS 25000              /* at once: some milliseconds */
#define CORRECTIONS  4096               /* at once: a small part of the spool */
#define FLUSH_NS     (5 * NS_PER_S)
#define END_ROUNDS   (2 + HOURS_GROUPS_MAX / CORRECTIONS)
#define FILE_BYTES   ((size_t)4 << 20)

/* A provider or an engine that is or was paid by the hour. */
struct unit {
    struct unit *next;
    bool engine;
    char *name;
    uint32_t provider, target;     /* as rows name it; target 0: all of them */
    bool present, before, counted; /* in the configuration: now, at the step before, ever here */
    struct hardware *hardware;     /* NULL: only known from the file */
    int64_t hour_nano, ran_ns;
    int64_t ran_seen_ns, busy_seen_ns; /* counted so far */
    int64_t since_ns;
    struct hours_book *books; /* the newest first */
};

struct hours {
    uint32_t magic;
    struct ledger *ledger;
    struct limit_registry *limits;
    char *folder;
    struct unit *units;
    struct follower *follower; /* NULL: none is needed yet */
    bool behind;               /* there are merged rows that it has not told of */
    bool failing;              /* it has been said */
    int64_t mono_ns, wall_ns;  /* of the latest step; 0: none */
    int64_t saved_ns;
    struct buf text;
};

static struct unit *find_unit(const struct hours *h, bool engine, struct slice name)
{
    struct unit *u = h->units;
    while (u != NULL && (u->engine != engine || !slice_is(name, u->name)))
        u = u->next;
    return u;
}

static struct unit *get_unit(struct hours *h, bool engine, struct slice name)
{
    struct unit *u = find_unit(h, engine, name);
    if (u != NULL)
        return u;
    u = mem_calloc(1, sizeof *u);
    char *copy = mem_strndup(name.p, name.n);
    if (u == NULL || copy == NULL) {
        mem_free(u);
        mem_free(copy);
        return NULL;
    }
    u->engine = engine;
    u->name = copy;
    u->provider = ledger_name(h->ledger, NAME_PROVIDER, engine ? SLICE("engine") : name);
    u->target = engine ? ledger_name(h->ledger, NAME_TARGET, name) : 0;
    u->next = h->units;
    h->units = u;
    return u;
}

static void name_nobody(const struct unit *u, struct hours_book *b)
{
    b->nobody.name[NAME_PROVIDER] = u->provider;
    b->nobody.name[NAME_TARGET] = u->target;
}

static void free_unit(struct unit *u)
{
    while (u->books != NULL) {
        struct hours_book *next = u->books->next;
        hours_book_free(u->books);
        u->books = next;
    }
    mem_free(u->name);
    mem_free(u);
}

static void load(struct hours *h)
{
    struct buf text;
    buf_init(&text, FILE_BYTES);
    if (hours_file_read(h->folder, &text)) {
        struct slice rest = buf_view(&text), name;
        bool engine;
        struct hours_book *b;
        while ((b = hours_file_get(&rest, &engine, &name)) != NULL) {
            struct unit *u = get_unit(h, engine, name);
            if (u == NULL) {
                hours_book_free(b);
                continue;
            }
            name_nobody(u, b);
            b->next = u->books; /* the file has the oldest first */
            u->books = b;
        }
    }
    buf_done(&text);
}

struct hours *hours_open(struct ledger *l, const char *folder, struct limit_registry *limits)
{
    struct hours *h = mem_calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->magic = HOURS_MAGIC;
    h->ledger = l;
    h->limits = limits;
    h->folder = mem_strndup(folder, strlen(folder));
    buf_init(&h->text, FILE_BYTES);
    if (h->folder == NULL) {
        mem_free(h);
        return NULL;
    }
    load(h);
    return h;
}

static void save_books(struct buf *out, const struct unit *u, const struct hours_book *b)
{
    if (b == NULL)
        return;
    save_books(out, u, b->next);
    hours_file_put(out, b, u->engine, slice_str(u->name));
}

static void say_failure(struct hours *h, const char *what, const char *why)
{
    if (!h->failing)
        log_event(LOG_ERROR, "hours.failed", "own hardware's hours: %s: %s", what, why);
    h->failing = true;
}

static void save(struct hours *h)
{
    buf_reset(&h->text);
    for (const struct unit *u = h->units; u != NULL; u = u->next)
        save_books(&h->text, u, u->books);
    h->saved_ns = h->mono_ns;
    if (h->text.failed)
        say_failure(h, "the file", "out of memory");
    else if (!hours_file_write(h->folder, buf_view(&h->text)))
        say_failure(h, "the file cannot be written", strerror(errno));
    else
        h->failing = false;
}

static struct hours_book *find_book(const struct unit *u, int64_t wall_ns)
{
    struct hours_book *b = u->books;
    while (b != NULL && (wall_ns < b->start_ns || wall_ns >= b->end_ns))
        b = b->next;
    return b;
}

/* The hour's book, made when it is the first look at that hour. NULL: no memory. */
static struct hours_book *get_book(struct hours *h, struct unit *u, int64_t wall_ns)
{
    struct hours_book *b = find_book(u, wall_ns);
    if (b != NULL)
        return b;
    b = hours_book_new(calendar_start(CALENDAR_HOUR, wall_ns),
                       calendar_next(CALENDAR_HOUR, wall_ns));
    if (b == NULL) {
        say_failure(h, u->name, "out of memory");
        return NULL;
    }
    name_nobody(u, b);
    b->since_ns = MAX_OF(b->start_ns, u->since_ns);
    if (u->books != NULL)
        b->before = hours_book_rates(u->books);
    b->next = u->books;
    u->books = b;
    return b;
}

/* Times of the interval since the latest step, divided among the hours that it touches. */
static void measure_into(struct hours *h, struct unit *u, int64_t run_ns, int64_t busy_ns,
                         int64_t wall_ns)
{
    int64_t from_ns = h->wall_ns;
    while (from_ns < wall_ns) {
        int64_t next_ns = calendar_next(CALENDAR_HOUR, from_ns);
        if (next_ns > wall_ns)
            break;
        int64_t part_ns = next_ns - from_ns, whole_ns = wall_ns - from_ns;
        int64_t run = (int64_t)((__int128)run_ns * part_ns / whole_ns);
        int64_t busy = (int64_t)((__int128)busy_ns * part_ns / whole_ns);
        struct hours_book *b = get_book(h, u, from_ns);
        if (b != NULL)
            hours_book_measure(b, run, busy, u->hour_nano);
        run_ns -= run;
        busy_ns -= busy;
        from_ns = next_ns;
    }
    struct hours_book *b = get_book(h, u, wall_ns);
    if (b != NULL)
        hours_book_measure(b, run_ns, busy_ns, u->hour_nano);
}

/* Hardware that left the configuration with requests at it is paid as long as they take. */
static void measure(struct hours *h, struct unit *u, int64_t mono_ns, int64_t wall_ns)
{
    if (u->hardware == NULL)
        return;
    int64_t passed_ns = MAX_OF(mono_ns - h->mono_ns, INT64_C(0));
    int64_t busy_all_ns = hardware_busy_ns(u->hardware, mono_ns);
    bool stays = u->present && u->before;
    if (!u->counted) {
        u->counted = true;
        u->busy_seen_ns = busy_all_ns;
        u->since_ns = wall_ns;
        (void)get_book(h, u, wall_ns);
    } else {
        /* A worker's clock may be ahead of this one: what is too much counts at the next step. */
        int64_t busy_ns = MIN_OF(MAX_OF(busy_all_ns - u->busy_seen_ns, INT64_C(0)), passed_ns);
        int64_t ran_ns = MIN_OF(MAX_OF(u->ran_ns - u->ran_seen_ns, INT64_C(0)), passed_ns);
        int64_t run_ns = !stays ? 0 : u->engine ? ran_ns : passed_ns;
        u->busy_seen_ns += busy_ns;
        measure_into(h, u, MAX_OF(run_ns, busy_ns), busy_ns, wall_ns);
    }
    u->ran_seen_ns = u->ran_ns;
    u->before = u->present;
    u->present = false;
}

static void add_row(struct unit *u, const struct ledger_row *row)
{
    int64_t from_ns = row->start_ns, to_ns = from_ns + row->duration_us * NS_PER_US;
    struct hours_book *first = find_book(u, from_ns);
    bool correction = row->reason == LEDGER_TRUE_UP || row->reason == LEDGER_IDLE;
    if (first != NULL && from_ns < first->since_ns)
        return; /* of a time that nobody knows any more, its corrections too */
    if (first != NULL)
        hours_book_add(first, row);
    for (struct hours_book *b = u->books; b != NULL && !correction; b = b->next) {
        int64_t begin_ns = MAX_OF(from_ns, b->start_ns), end_ns = MIN_OF(to_ns, b->end_ns);
        if (begin_ns < end_ns || (b == first && from_ns == to_ns))
            hours_book_work(b, row, begin_ns, end_ns);
    }
}

static void on_row(void *ctx, const struct ledger_row *row)
{
    const struct hours *h = ctx;
    bool own = (row->flags & LEDGER_SELF_HOSTED) != 0 || row->reason == LEDGER_CRASHED;
    for (struct unit *u = h->units; u != NULL && own; u = u->next) {
        if (row->name[NAME_PROVIDER] == u->provider &&
            (u->target == 0 || row->name[NAME_TARGET] == u->target))
            add_row(u, row);
    }
}

/* Rows from the start of the oldest hour on, since this process has no memory of them. */
static bool begin_to_follow(struct hours *h)
{
    struct buf why;
    int64_t from_ns = INT64_MAX;
    for (const struct unit *u = h->units; u != NULL; u = u->next) {
        for (const struct hours_book *b = u->books; b != NULL; b = b->next)
            from_ns = MIN_OF(from_ns, b->start_ns);
    }
    if (from_ns == INT64_MAX)
        return false;
    buf_init(&why, 1024);
    h->follower = follower_open(h->folder, from_ns, &why);
    buf_char(&why, '\0');
    if (h->follower == NULL)
        say_failure(h, "the ledger", why.failed ? "out of memory" : why.p);
    buf_done(&why);
    return h->follower != NULL;
}

static void follow(struct hours *h)
{
    bool all = false;
    if (h->follower == NULL && !begin_to_follow(h)) {
        h->behind = false;
        return;
    }
    if (!follower_read(h->follower, READ_RECORDS, on_row, h, &all))
        say_failure(h, "the ledger", errno != 0 ? strerror(errno) : "its database cannot be read");
    h->behind = !all;
}

/* The corrections of one hour on their way. */
struct correcting {
    struct hours *h;
    const struct unit *unit;
    struct hours_book *book;
    int64_t at_ns;
    unsigned rows;
};

static void append(struct correcting *c, enum ledger_reason reason,
                   const uint32_t name[NAME_KINDS_N], int64_t nano)
{
    struct ledger_row row = {.reason = (uint8_t)reason,
                             .flags = LEDGER_SELF_HOSTED,
                             .start_ns = c->at_ns,
                             .first_us = UINT32_MAX,
                             .cost_nano = nano};
    memcpy(row.name, name, sizeof row.name);
    ledger_append(c->h->ledger, &row);
    c->book->awaited++;
    c->rows++;
}

static void correct_budgets(struct correcting *c, const struct hours_group *g, int64_t nano)
{
    static const struct {
        enum scope_kind scope;
        enum ledger_name_kind name;
    } kinds[] = {{SCOPE_ORGANISATION, NAME_ORGANISATION},
                 {SCOPE_TEAM, NAME_TEAM},
                 {SCOPE_KEY, NAME_KEY},
                 {SCOPE_USE_CASE, NAME_USE_CASE},
                 {SCOPE_MODEL, NAME_MODEL}};
    struct limit_registry *limits = c->h->limits;
    int64_t spend[LIMIT_BUDGETS_N];
    for (unsigned p = 0; p < LIMIT_BUDGETS_N; p++)
        spend[p] = c->at_ns >= limit_period_start(limits, p) ? nano : 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct slice name = ledger_name_text(c->h->ledger, kinds[i].name, g->name[kinds[i].name]);
        struct limit_scope *s = name.n > 0 ? limit_scope_get(limits, kinds[i].scope, name) : NULL;
        if (s != NULL)
            limit_add_spend(limits, s, spend);
    }
}

static bool correct(void *ctx, const struct hours_group *g, int64_t nano)
{
    struct correcting *c = ctx;
    if (c->rows >= CORRECTIONS) {
        c->book->unfinished = true;
        return false;
    }
    append(c, LEDGER_TRUE_UP, g->name, nano);
    correct_budgets(c, g, nano);
    return true;
}

static void say_hour(const struct unit *u, const struct hours_book *b)
{
    char hour[CLOCK_RFC3339_SIZE];
    struct buf text;
    clock_format_rfc3339(b->start_ns, hour);
    buf_init(&text, 256);
    buf_lit(&text, "$");
    buf_money(&text, hours_book_paid(b));
    buf_lit(&text, ", of it $");
    buf_money(&text, hours_book_idle(b));
    log_event(LOG_INFO, "hours.closed", "%s%s: the hour of %s cost %.*s idle",
              u->engine ? "engine/" : "", u->name, hour, SLICE_ARG(buf_view(&text)));
    buf_done(&text);
}

/* Makes the ledger say of the hour what it should. */
static void close_hour(struct hours *h, const struct unit *u, struct hours_book *b)
{
    struct correcting c = {
        .h = h, .unit = u, .book = b, .at_ns = MIN_OF(b->end_ns - 1, h->wall_ns)};
    int64_t idle = hours_book_idle(b) - b->idle_booked_nano;
    b->unfinished = b->changed = false;
    if (idle != 0)
        append(&c, LEDGER_IDLE, b->nobody.name, idle);
    if (!hours_book_divide(b, correct, &c) && !b->unfinished) {
        say_failure(h, u->name, "out of memory");
        b->changed = true;
    }
    if (c.rows > 0 && !b->divided)
        say_hour(u, b);
    b->divided = true;
    b->divided_ns = h->mono_ns;
}

static bool is_due(const struct hours *h, struct hours_book *b)
{
    int64_t since_ns = h->mono_ns - b->divided_ns;
    if (h->wall_ns < b->end_ns + GRACE_NS)
        return false;
    if (b->awaited > 0 && since_ns > LOST_NS)
        b->awaited = 0;
    if (b->awaited > 0)
        return false;
    return !b->divided || b->unfinished || (b->changed && since_ns >= AGAIN_NS);
}

static void close_hours(struct hours *h, struct unit *u)
{
    for (struct hours_book **at = &u->books; *at != NULL;) {
        struct hours_book *b = *at;
        if (is_due(h, b))
            close_hour(h, u, b);
        bool over =
            b->divided && b->awaited == 0 && !b->unfinished && h->wall_ns > b->end_ns + KEEP_NS;
        if (over) {
            *at = b->next;
            hours_book_free(b);
        } else {
            at = &b->next;
        }
    }
}

void hours_put(struct hours *h, const struct hours_source *s)
{
    CHECK_MAGIC(h, HOURS_MAGIC);
    struct unit *u = get_unit(h, s->engine, s->name);
    if (u == NULL) {
        say_failure(h, "a new one", "out of memory");
        return;
    }
    u->present = true;
    u->hardware = s->hardware;
    u->hour_nano = s->hour_nano;
    u->ran_ns = s->ran_ns;
}

void hours_step(struct hours *h, int64_t mono_ns, int64_t wall_ns)
{
    CHECK_MAGIC(h, HOURS_MAGIC);
    for (struct unit *u = h->units; u != NULL; u = u->next)
        measure(h, u, mono_ns, wall_ns);
    h->mono_ns = mono_ns;
    h->wall_ns = wall_ns;
    if (h->units == NULL)
        return;
    follow(h);
    for (struct unit *u = h->units; u != NULL && !h->behind && h->follower != NULL; u = u->next)
        close_hours(h, u);
    if (mono_ns - h->saved_ns >= SAVE_NS)
        save(h);
}

static void put_all(struct hours *h, const struct gw_snapshot *s,
                    const struct supervisor *supervisor)
{
    for (size_t i = 0; s != NULL && i < s->providers_n; i++) {
        const struct gw_provider *p = &s->provider_list[i];
        if (p->hardware == NULL)
            continue;
        hours_put(h, &(struct hours_source){.engine = p->engine,
                                            .name = p->name,
                                            .hour_nano = p->hour_nano,
                                            .hardware = p->hardware,
                                            .ran_ns = p->engine && supervisor != NULL
                                                          ? supervisor_ran_ns(supervisor, p->name)
                                                          : 0});
    }
}

void hours_tick(struct hours *h, const struct gw_snapshot *s, const struct supervisor *supervisor,
                int64_t mono_ns, int64_t wall_ns)
{
    CHECK_MAGIC(h, HOURS_MAGIC);
    if (mono_ns - h->mono_ns >= STEP_NS || h->behind)
        hours_install(h, s, supervisor, mono_ns, wall_ns);
}

void hours_install(struct hours *h, const struct gw_snapshot *s,
                   const struct supervisor *supervisor, int64_t mono_ns, int64_t wall_ns)
{
    CHECK_MAGIC(h, HOURS_MAGIC);
    put_all(h, s, supervisor);
    hours_step(h, mono_ns, wall_ns);
}

/* One more look at all that is written by now, and the corrections that follow. Returns how many
 * hours may need another one; -1: it failed. */
static int64_t end_round(struct hours *h)
{
    int64_t again = 0;
    if (!ledger_flush(h->ledger, FLUSH_NS))
        return -1;
    do
        follow(h);
    while (h->behind && !h->failing);
    if (h->follower == NULL || h->behind)
        return -1;
    for (struct unit *u = h->units; u != NULL; u = u->next) {
        for (struct hours_book *b = u->books; b != NULL; b = b->next) {
            if (b->awaited == 0 && (b->changed || b->unfinished || !b->divided ||
                                    hours_book_idle(b) != b->idle_booked_nano))
                close_hour(h, u, b);
            again += b->awaited > 0;
        }
    }
    return again;
}

void hours_end(struct hours *h, int64_t mono_ns, int64_t wall_ns)
{
    CHECK_MAGIC(h, HOURS_MAGIC);
    int64_t again = 0;
    hours_step(h, mono_ns, wall_ns);
    h->failing = false;
    for (unsigned i = 0; i < END_ROUNDS && h->units != NULL; i++) {
        again = end_round(h);
        if (again <= 0)
            break;
    }
    if (again != 0)
        log_event(LOG_WARN, "hours.left", "hours of own hardware are closed at the next start");
    if (h->units != NULL)
        save(h);
    while (h->units != NULL) {
        struct unit *next = h->units->next;
        free_unit(h->units);
        h->units = next;
    }
    follower_close(h->follower);
    buf_done(&h->text);
    mem_free(h->folder);
    h->magic = 0;
    mem_free(h);
}

void hours_close(struct hours *h, const struct gw_snapshot *s, const struct supervisor *supervisor,
                 int64_t mono_ns, int64_t wall_ns)
{
    put_all(h, s, supervisor);
    hours_end(h, mono_ns, wall_ns);
}

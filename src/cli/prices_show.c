/* Prices as a table for people, or as JSON. */
#include <stdio.h>

#include "llm/provider.h"
#include "prices.h"
#include "terminal.h"

#define OUT_MAX    ((size_t)64 << 20)
#define NAME_SHOWN 200

struct show {
    const struct price_book *book;
    struct buf out;
    struct json_writer w;
    bool json;
    unsigned found;
};

void prices_put_dollars(struct buf *out, int64_t rate)
{
    char text[PRICE_PRINTED_MAX];
    if (rate == PRICE_UNKNOWN) {
        buf_char(out, '-');
        return;
    }
    buf_char(out, '$');
    buf_append(out, text, price_print(rate, 2, text));
}

/* ---------------------------------------------------------------- table */

static void put_cell(struct buf *out, int64_t rate)
{
    struct buf text;
    buf_init(&text, 64);
    prices_put_dollars(&text, rate);
    buf_printf(out, " %10.*s", SLICE_ARG(buf_view(&text)));
    buf_done(&text);
}

static void put_rates(struct buf *out, const struct price_tier *t)
{
    for (unsigned i = 0; i < PRICE_REQUEST; i++)
        put_cell(out, t->rate[i]);
    if (t->rate[PRICE_REQUEST] > 0) {
        buf_lit(out, "  + ");
        prices_put_dollars(out, t->rate[PRICE_REQUEST]);
        buf_lit(out, " per million requests");
    }
    buf_char(out, '\n');
}

/* Rows after the first of a model: other rates, and when they hold. */
static void put_more(struct buf *out, const struct price_tier *tiers, unsigned n, const char *when)
{
    for (unsigned i = 0; i < n; i++) {
        char text[80] = "";
        if (tiers[i].from_tokens > 0)
            snprintf(text, sizeof text, ", prompts above %lld",
                     (long long)tiers[i].from_tokens - 1);
        const char *shown = when[0] == '\0' && text[0] != '\0' ? text + 2 : text;
        buf_printf(out, "    %s%-*s", when, 54 - (int)strlen(when), shown);
        put_rates(out, &tiers[i]);
    }
}

static void put_table_row(struct show *s, struct slice provider, struct slice model,
                          const struct price *p)
{
    struct buf name;
    buf_init(&name, 1024);
    terminal_text_line(&name, provider, NAME_SHOWN);
    buf_char(&name, ' ');
    while (name.n < 14)
        buf_char(&name, ' ');
    terminal_text_line(&name, model, NAME_SHOWN);
    buf_printf(&s->out, "%-58.*s", SLICE_ARG(buf_view(&name)));
    buf_done(&name);
    if (p == NULL) {
        buf_lit(&s->out, "    unknown\n");
        return;
    }
    put_rates(&s->out, &p->tier[0]);
    put_more(&s->out, p->tier + 1, p->tiers_n - 1, "");
    for (unsigned i = 0; i < p->windows_n; i++) {
        const struct price_window *w = &p->window[i];
        char when[40];
        snprintf(when, sizeof when, "%02u:%02u to %02u:%02u UTC", w->from_s / 3600,
                 w->from_s / 60 % 60, w->to_s / 3600, w->to_s / 60 % 60);
        put_more(&s->out, w->tier, w->tiers_n, when);
    }
}

/* ---------------------------------------------------------------- JSON */

static void put_json_time(struct json_writer *w, uint32_t s)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%02u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    jw_string(w, slice_of(text, (size_t)n));
}

static void put_json_row(struct show *s, struct slice provider, struct slice model,
                         const struct price *p)
{
    struct json_writer *w = &s->w;
    jw_open(w, '{');
    jw_field_string(w, "provider", provider);
    jw_field_string(w, "model", model);
    jw_field_bool(w, "known", p != NULL);
    if (p != NULL) {
        price_put_rates(w, p->tier, p->tiers_n);
        for (unsigned i = 0; i < p->windows_n; i++) {
            if (i == 0) {
                jw_key(w, "windows");
                jw_open(w, '[');
            }
            jw_open(w, '{');
            jw_key(w, "from");
            put_json_time(w, p->window[i].from_s);
            jw_key(w, "to");
            put_json_time(w, p->window[i].to_s);
            price_put_rates(w, p->window[i].tier, p->window[i].tiers_n);
            jw_close(w, '}');
        }
        if (p->windows_n > 0)
            jw_close(w, ']');
    }
    jw_close(w, '}');
}

/* ---------------------------------------------------------------- which models */

static void put_row(struct show *s, struct slice provider, struct slice model,
                    const struct price *p)
{
    s->found++;
    if (s->json)
        put_json_row(s, provider, model, p);
    else
        put_table_row(s, provider, model, p);
}

static void on_row(void *ctx, const struct price_row *row)
{
    if (!row->hidden)
        put_row(ctx, row->provider, row->model, row->price);
}

/* A model as it is asked for: at each type of provider that has a price for it. False: none. */
static bool put_model(struct show *s, struct slice wanted)
{
    size_t n;
    unsigned before = s->found;
    const struct llm_provider *types = llm_providers(&n);
    for (size_t i = 0; i < n; i++) {
        struct slice type = slice_str(types[i].type), rest = wanted;
        if (slice_starts(wanted, type) && wanted.n > type.n && wanted.p[type.n] == '/')
            rest = slice_from(wanted, type.n + 1);
        const struct price *p = price_find(s->book, type, rest);
        if (p == NULL && rest.n < wanted.n) {
            rest = wanted;
            p = price_find(s->book, type, rest);
        }
        if (p != NULL)
            put_row(s, type, rest, p);
    }
    if (s->found > before)
        return true;
    put_row(s, SLICE("-"), wanted, NULL);
    return false;
}

int prices_show(const struct price_book *b, char **models, int n, bool json)
{
    struct show s = {.book = b, .json = json};
    int status = 0;
    buf_init(&s.out, OUT_MAX);
    s.w = json_writer(&s.out);
    if (json) {
        jw_open(&s.w, '{');
        jw_field_string(&s.w, "date", price_book_date(b));
        jw_key(&s.w, "models");
        jw_open(&s.w, '[');
    } else {
        buf_printf(&s.out, "%-58s %10s %10s %10s %10s\n", "PROVIDER      MODEL", "INPUT", "OUTPUT",
                   "CACHED", "WRITE");
    }
    if (n == 0)
        price_book_each(b, on_row, &s);
    for (int i = 0; i < n; i++)
        if (!put_model(&s, slice_str(models[i])))
            status = 1;
    if (json) {
        jw_close(&s.w, ']');
        jw_close(&s.w, '}');
        buf_char(&s.out, '\n');
    } else {
        buf_printf(&s.out, "dollars per million tokens, as of " SLICE_FMT "\n",
                   SLICE_ARG(price_book_date(b)));
    }
    if (s.out.failed) {
        prices_say("out of memory");
        status = 1;
    } else {
        fwrite(s.out.p, 1, s.out.n, stdout);
    }
    buf_done(&s.out);
    return status;
}

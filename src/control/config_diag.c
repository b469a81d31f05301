/* Gathering, sorting and printing of mistakes. */
#include "config_diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTES_MAX  1000 /* what a person may still want to read */
#define QUOTE_MAX  64
#define NOTE_BYTES 1024

struct config_note {
    struct config_note *next;
    struct config_pos pos;
    size_t seq;
    bool warning;
    struct slice text;
};

void diag_init(struct config_diag *d, struct arena *arena, const char *name)
{
    *d = (struct config_diag){.arena = arena, .name = name};
}

static void PRINTF_LIKE(4, 0) note_add(struct config_diag *d, struct config_pos pos, bool warning,
                                       const char *fmt, va_list ap)
{
    char text[NOTE_BYTES];
    d->errors_n += !warning;
    if (d->notes_n++ >= NOTES_MAX)
        return;
    int n = vsnprintf(text, sizeof text, fmt, ap);
    struct config_note *note = arena_new(d->arena, struct config_note);
    if (n < 0 || note == NULL) {
        diag_no_memory(d);
        return;
    }
    note->text = arena_copy(d->arena, slice_of(text, MIN_OF((size_t)n, sizeof text - 1)));
    if (note->text.p == NULL) {
        diag_no_memory(d);
        return;
    }
    note->pos = pos;
    note->seq = d->notes_n;
    note->warning = warning;
    note->next = d->notes;
    d->notes = note;
}

void diag_error(struct config_diag *d, struct config_pos pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note_add(d, pos, false, fmt, ap);
    va_end(ap);
}

void diag_warn(struct config_diag *d, struct config_pos pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note_add(d, pos, true, fmt, ap);
    va_end(ap);
}

void diag_no_memory(struct config_diag *d)
{
    d->no_memory = true;
}

struct config_pos diag_variable(struct config_diag *d, const char *name)
{
    for (uint32_t i = 0; i < d->variables_n; i++) {
        if (strcmp(d->variables[i], name) == 0)
            return (struct config_pos){0, i + 1};
    }
    if (d->variables_n < ARRAY_LEN(d->variables))
        d->variables[d->variables_n++] = name;
    return (struct config_pos){0, d->variables_n};
}

bool diag_failed(const struct config_diag *d)
{
    return d->errors_n > 0 || d->no_memory;
}

static int note_order(const void *left, const void *right)
{
    const struct config_note *a = *(struct config_note *const *)left;
    const struct config_note *b = *(struct config_note *const *)right;
    if (a->pos.line != b->pos.line)
        return a->pos.line < b->pos.line ? -1 : 1;
    if (a->pos.column != b->pos.column)
        return a->pos.column < b->pos.column ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void note_print(const struct config_diag *d, const struct config_note *note, struct buf *out)
{
    if (note->pos.line > 0)
        buf_printf(out, "%s:%u:%u: ", d->name, note->pos.line, note->pos.column);
    else if (note->pos.column > 0)
        buf_printf(out, "%s: ", d->variables[note->pos.column - 1]);
    else
        buf_printf(out, "%s: ", d->name);
    if (note->warning)
        buf_lit(out, "warning: ");
    buf_slice(out, note->text);
    buf_char(out, '\n');
}

/* Something read twice through an alias is said once. */
static bool note_repeated(struct config_note *const *sorted, size_t i)
{
    for (size_t k = i; k-- > 0;) {
        if (sorted[k]->pos.line != sorted[i]->pos.line ||
            sorted[k]->pos.column != sorted[i]->pos.column)
            return false;
        if (slice_eq(sorted[k]->text, sorted[i]->text))
            return true;
    }
    return false;
}

void diag_print(struct config_diag *d, struct buf *out)
{
    size_t n = 0;
    for (struct config_note *note = d->notes; note != NULL; note = note->next)
        n++;
    struct config_note **sorted = n > 0 ? arena_alloc(d->arena, n * sizeof *sorted) : NULL;
    if (sorted == NULL && n > 0)
        diag_no_memory(d);
    if (sorted != NULL) {
        struct config_note *note = d->notes;
        for (size_t i = 0; i < n; i++, note = note->next)
            sorted[i] = note;
        qsort(sorted, n, sizeof(struct config_note *), note_order);
        for (size_t i = 0; i < n; i++) {
            if (!note_repeated(sorted, i))
                note_print(d, sorted[i], out);
        }
    }
    if (d->notes_n > NOTES_MAX)
        buf_printf(out, "%s: and %zu more\n", d->name, d->notes_n - NOTES_MAX);
    if (d->no_memory)
        buf_printf(out, "%s: out of memory\n", d->name);
}

const char *diag_quote(struct config_diag *d, struct slice text)
{
    size_t n = MIN_OF(text.n, (size_t)QUOTE_MAX);
    while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xC0) == 0x80)
        n--; /* not inside a character */
    char *out = arena_alloc(d->arena, n + sizeof "``...");
    if (out == NULL) {
        diag_no_memory(d);
        return "`?`";
    }
    char *at = out;
    *at++ = '`';
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool c1 = c == 0xC2 && i + 1 < n && (unsigned char)text.p[i + 1] < 0xA0;
        *at++ = c < 0x20 || c == 0x7F || c1 ? '?' : (char)c;
        i += c1;
    }
    memcpy(at, n < text.n ? "...`" : "`", n < text.n ? 5 : 2);
    return out;
}

struct diag_hint diag_hint(struct slice wanted)
{
    return (struct diag_hint){.wanted = wanted,
                              .distance = (unsigned)MIN_OF(wanted.n / 3, (size_t)2) + 2};
}

void diag_hint_offer(struct diag_hint *h, struct slice name)
{
    size_t apart = name.n > h->wanted.n ? name.n - h->wanted.n : h->wanted.n - name.n;
    if (apart >= h->distance || name.n == 0)
        return;
    unsigned distance = slice_distance(h->wanted, name, h->distance);
    if (distance < h->distance && distance < name.n) {
        h->best = name;
        h->distance = distance;
    }
}

const char *diag_hint_text(struct config_diag *d, const struct diag_hint *h)
{
    if (h->best.p == NULL)
        return "";
    struct slice s = arena_printf(d->arena, " (did you mean %s?)", diag_quote(d, h->best));
    if (s.p == NULL)
        diag_no_memory(d);
    return s.p != NULL ? s.p : "";
}

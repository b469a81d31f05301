/* What the wires share: refusing what a target lacks, and the events that decoders emit. */
#include "llm/wire.h"

#include <stdarg.h>
#include <stdio.h>

bool llm_refuse(struct llm_writing *w, const char *param, const char *fmt, ...)
{
    va_list ap;
    snprintf(w->bad->param, sizeof w->bad->param, "%s", param);
    w->bad->code = "unsupported_parameter";
    va_start(ap, fmt);
    vsnprintf(w->bad->message, sizeof w->bad->message, fmt, ap);
    va_end(ap);
    return false;
}

/* Each name once. Without memory the request is refused rather than the name forgotten. */
static bool drop(struct llm_writing *w, const char *name)
{
    struct llm_word **tail = &w->dropped;
    for (; *tail != NULL; tail = &(*tail)->next) {
        if (slice_is((*tail)->word, name))
            return true;
    }
    struct llm_word *word = arena_new(w->arena, struct llm_word);
    struct slice copy = arena_copy(w->arena, slice_str(name));
    if (word == NULL || copy.p == NULL) {
        w->bad->no_memory = true;
        return llm_refuse(w, "", "The gateway is out of memory.");
    }
    word->word = copy;
    *tail = word;
    return true;
}

bool llm_lacks(struct llm_writing *w, enum llm_feature f, const char *path)
{
    const char *name = path != NULL ? path : llm_feature_name(f, w->chat->dialect);
    if (w->lack[f] == LACK_DROP)
        return drop(w, name);
    return llm_refuse(w, name, "'%s' is not supported by %s/" SLICE_FMT ".", name,
                      w->provider->type, SLICE_ARG(w->model));
}

bool llm_lacks_part(struct llm_writing *w, enum llm_feature f, const struct llm_part *p)
{
    static const char *const lists[DIALECTS_N][2] = {
        [DIALECT_OPENAI] = {"messages", "content"},
        [DIALECT_RESPONSES] = {"input", "content"},
        [DIALECT_ANTHROPIC] = {"messages", "content"},
        [DIALECT_GOOGLE] = {"contents", "parts"},
    };
    const char *const *list = lists[w->chat->dialect];
    char path[64];
    if (w->lack[f] == LACK_DROP)
        return llm_lacks(w, f, NULL);
    snprintf(path, sizeof path, "%s[%u].%s[%u]", list[0], p->message_at, list[1], p->at);
    return llm_refuse(w, path, "'%s' (%s) is not supported by %s/" SLICE_FMT ".", path,
                      llm_feature_name(f, w->chat->dialect), w->provider->type,
                      SLICE_ARG(w->model));
}

struct slice llm_path_segment(struct arena *a, struct slice name)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_alloc(a, 3 * name.n + 1);
    size_t n = 0;
    for (size_t i = 0; p != NULL && i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == '@';
        if (plain) {
            p[n++] = (char)c;
            continue;
        }
        p[n++] = '%';
        p[n++] = hex[c >> 4];
        p[n++] = hex[c & 15];
    }
    return p != NULL ? slice_of(p, n) : SLICE_NONE;
}

struct slice llm_wire_path(const struct llm_wire *wire, struct arena *a,
                           const struct llm_provider *provider, enum llm_op op, struct slice model,
                           bool stream)
{
    if (!(provider->quirks & QUIRK_SAGEMAKER))
        return wire->path(a, provider, op, model, stream);
    model = llm_path_segment(a, model);
    if (model.p == NULL)
        return SLICE_NONE;
    return arena_printf(a, "/endpoints/" SLICE_FMT "/invocations%s", SLICE_ARG(model),
                        stream ? "-response-stream" : "");
}

enum llm_feature llm_need_feature(unsigned i)
{
    static const unsigned char features[LLM_NEEDS_N] = {
        FEATURE_TOOLS,       FEATURE_IMAGE, FEATURE_JSON_SCHEMA, FEATURE_IMAGE_URL, FEATURE_AUDIO,
        FEATURE_JSON_OBJECT, FEATURE_N};
    return (enum llm_feature)features[i];
}

unsigned llm_wire_lacks(const struct llm_wire *wire, unsigned needs,
                        const unsigned char lack[FEATURES_N])
{
    unsigned lacks = wire->never & needs;
    for (unsigned i = 0; i < LLM_NEEDS_N && lacks != 0; i++) {
        if (lack[llm_need_feature(i)] != LACK_REFUSE)
            lacks &= ~(1u << i);
    }
    return lacks;
}

static void emit(struct llm_decoder *d, const struct llm_event *e)
{
    if (!d->ended)
        d->emit(d->ctx, e);
}

void llm_emit_start(struct llm_decoder *d, struct slice id, struct slice model)
{
    if (d->started)
        return;
    d->started = true;
    struct llm_event e = {.kind = EVENT_START, .id = id, .model = model.n > 0 ? model : d->model};
    emit(d, &e);
}

void llm_emit_part(struct llm_decoder *d, unsigned choice, unsigned part, enum llm_part_kind kind,
                   struct slice id, struct slice name)
{
    struct llm_event e = {.kind = EVENT_PART,
                          .choice = choice,
                          .part = part,
                          .part_kind = kind,
                          .id = id,
                          .name = name};
    emit(d, &e);
}

void llm_emit_delta(struct llm_decoder *d, unsigned choice, unsigned part, struct llm_text text)
{
    struct llm_event e = {.kind = EVENT_DELTA, .choice = choice, .part = part, .text = text};
    d->units++;
    emit(d, &e);
}

void llm_emit_signature(struct llm_decoder *d, unsigned choice, unsigned part,
                        struct slice signature, bool redacted)
{
    struct llm_event e = {.kind = EVENT_SIGNATURE,
                          .choice = choice,
                          .part = part,
                          .signature = signature,
                          .redacted = redacted,
                          .family = d->wire->family};
    emit(d, &e);
}

void llm_emit_part_end(struct llm_decoder *d, unsigned choice, unsigned part)
{
    struct llm_event e = {.kind = EVENT_PART_END, .choice = choice, .part = part};
    emit(d, &e);
}

void llm_emit_finish(struct llm_decoder *d, unsigned choice, enum llm_finish finish,
                     struct slice stop_sequence, struct llm_text refusal)
{
    struct llm_event e = {.kind = EVENT_FINISH,
                          .choice = choice,
                          .finish = finish,
                          .stop_sequence = stop_sequence,
                          .text = refusal};
    emit(d, &e);
}

void llm_emit_end(struct llm_decoder *d)
{
    struct llm_event e = {.kind = EVENT_END};
    emit(d, &e);
    d->ended = true;
}

void llm_emit_error(struct llm_decoder *d, unsigned status, const struct llm_error *error)
{
    struct llm_event e = {.kind = EVENT_ERROR, .status = status, .error = error};
    emit(d, &e);
    d->ended = true;
}

struct slice llm_made_call_id(struct llm_decoder *d, unsigned n)
{
    return arena_printf(d->arena, "call_" SLICE_FMT "_%u", SLICE_ARG(d->id_seed), n);
}

/* What tells Claude models apart, and Anthropic's types of errors. Sources: platform.claude.com,
 * "What's new in Claude 4.7" and "4.8", "Migration guide", "Mid-conversation system messages",
 * "Effort"; error types: anthropic 2.12.0 (PyPI), types/shared/error_type.py, and
 * platform.claude.com/docs/en/api/errors. */
#include "anthropic_internal.h"

#define ELDER  (TRAIT_SAMPLING | TRAIT_PREFILL)
#define NEWEST (TRAIT_ADAPTIVE | TRAIT_MAX | TRAIT_XHIGH | TRAIT_MID_SYSTEM)

/* The first row that what follows "claude-" starts with counts. Names that are in no row are taken
 * for newer models, and those without "claude-" for other models behind the same wire, which as a
 * rule follow the elder form. */
static const struct {
    struct slice prefix;
    unsigned traits;
} models[] = {
    {LITERAL("3-7-"), ELDER | TRAIT_BUDGET},
    {LITERAL("3-"), ELDER},
    {LITERAL("2"), ELDER},
    {LITERAL("instant"), ELDER},
    {LITERAL("opus-4-8"), NEWEST},
    {LITERAL("opus-4-7"), TRAIT_ADAPTIVE | TRAIT_MAX | TRAIT_XHIGH},
    {LITERAL("opus-4-6"), TRAIT_ADAPTIVE | TRAIT_MAX | TRAIT_SAMPLING | TRAIT_ONE_OF},
    {LITERAL("sonnet-4-6"), TRAIT_ADAPTIVE | TRAIT_MAX | TRAIT_SAMPLING | TRAIT_ONE_OF},
    {LITERAL("opus-4-5"), ELDER | TRAIT_BUDGET | TRAIT_EFFORT | TRAIT_ONE_OF},
    {LITERAL("sonnet-4-5"), ELDER | TRAIT_BUDGET | TRAIT_ONE_OF},
    {LITERAL("haiku-4-5"), ELDER | TRAIT_BUDGET | TRAIT_ONE_OF},
    {LITERAL("opus-4-1"), ELDER | TRAIT_BUDGET | TRAIT_ONE_OF},
    {LITERAL("opus-4"), ELDER | TRAIT_BUDGET},
    {LITERAL("sonnet-4"), ELDER | TRAIT_BUDGET},
    {LITERAL("mythos-preview"), TRAIT_ADAPTIVE | TRAIT_MAX},
};

/* Version numbers are also written with a dot. */
static bool starts_with(struct slice name, struct slice prefix)
{
    if (name.n < prefix.n)
        return false;
    for (size_t i = 0; i < prefix.n; i++) {
        if ((name.p[i] == '.' ? '-' : name.p[i]) != prefix.p[i])
            return false;
    }
    return true;
}

unsigned anthropic_model_traits(struct slice model)
{
    static const struct slice mark = LITERAL("claude-");
    while (model.n >= mark.n && !slice_starts(model, mark))
        model = slice_from(model, 1);
    if (model.n < mark.n)
        return ELDER | TRAIT_BUDGET;
    model = slice_from(model, mark.n);
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        if (starts_with(model, models[i].prefix))
            return models[i].traits;
    }
    return NEWEST;
}

/* The last row of a type gives its status. */
static const struct {
    unsigned status;
    struct slice type;
} errors[] = {
    {400, LITERAL("invalid_request_error")},
    {401, LITERAL("authentication_error")},
    {402, LITERAL("billing_error")},
    {403, LITERAL("permission_error")},
    {404, LITERAL("not_found_error")},
    {408, LITERAL("timeout_error")},
    {409, LITERAL("conflict_error")},
    {413, LITERAL("request_too_large")},
    {424, LITERAL("api_error")}, /* Bedrock's word for a model that failed */
    {429, LITERAL("rate_limit_error")},
    {500, LITERAL("api_error")},
    {503, LITERAL("overloaded_error")},
    {504, LITERAL("timeout_error")},
    {529, LITERAL("overloaded_error")},
};

unsigned anthropic_error_status(struct slice type)
{
    unsigned status = 0;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (slice_eq(errors[i].type, type))
            status = errors[i].status;
    }
    return status;
}

struct slice anthropic_error_type(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].status == status)
            return errors[i].type;
    }
    return status >= 500 ? SLICE("api_error") : SLICE("invalid_request_error");
}

/* The one C++ file: simdjson's first stage behind a C face. Its second stage and On-Demand are not
 * used: the former loses where values stand, the latter does not validate what it skips. */
#include "json_stage1.h"

#include <simdjson.h>

struct json_stage1 {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> impl;
};

extern "C" struct json_stage1 *json_stage1_new(size_t capacity)
{
    auto *s = new (std::nothrow) json_stage1;
    if (s == nullptr)
        return nullptr;
    auto error = simdjson::get_active_implementation()->create_dom_parser_implementation(
        capacity, 1, s->impl);
    if (error != simdjson::SUCCESS) {
        delete s;
        return nullptr;
    }
    return s;
}

extern "C" void json_stage1_free(struct json_stage1 *s)
{
    delete s;
}

extern "C" size_t json_stage1_capacity(const struct json_stage1 *s)
{
    return s->impl->capacity();
}

extern "C" enum json_stage1_result json_stage1_run(struct json_stage1 *s, const char *text,
                                                   size_t len, const uint32_t **ret_at,
                                                   size_t *ret_n)
{
    auto error = s->impl->stage1(reinterpret_cast<const uint8_t *>(text), len,
                                 simdjson::stage1_mode::regular);
    *ret_at = s->impl->structural_indexes.get();
    *ret_n = s->impl->n_structural_indexes;
    switch (error) {
    case simdjson::SUCCESS: return STAGE1_OK;
    case simdjson::EMPTY: return STAGE1_EMPTY;
    case simdjson::UTF8_ERROR: return STAGE1_BAD_UTF8;
    case simdjson::CAPACITY: return STAGE1_NO_MEMORY;
    default: return STAGE1_BAD_SYNTAX;
    }
}

extern "C" bool json_stage1_utf8(const char *text, size_t len)
{
    return simdjson::validate_utf8(text, len);
}

/* What a request needs beside texts: seen in passing by the light readings. Only what is certain is
 * said, for targets are ruled out by it; what is written in an odd way is left to the full reading.
 */
#include "request_common.h"

/* The member, or 0 where it is absent, null, or `object` is none. */
static uint32_t get(const struct json_doc *d, uint32_t object, struct slice key)
{
    if (object == 0 || json_type_at(d, object) != JSON_OBJECT)
        return 0;
    uint32_t node = json_get(d, object, key);
    return node != 0 && json_type_at(d, node) != JSON_NULL ? node : 0;
}

static bool says(const struct json_doc *d, uint32_t node, struct slice word)
{
    return node != 0 && json_type_at(d, node) == JSON_STRING && json_string_is(d, node, word);
}

static bool begins(const struct json_doc *d, uint32_t node, struct slice start)
{
    return node != 0 && json_type_at(d, node) == JSON_STRING &&
           slice_starts(json_inner(d, node), start);
}

/* Are there tools, but none that may be called? */
static bool is_none(const struct json_doc *d, uint32_t choice)
{
    uint32_t allowed = get(d, choice, SLICE("allowed_tools"));
    return says(d, choice, SLICE("none")) ||
           says(d, get(d, choice, SLICE("type")), SLICE("none")) ||
           says(d, get(d, choice, SLICE("mode")), SLICE("none")) ||
           says(d, get(d, allowed, SLICE("mode")), SLICE("none"));
}

void request_needs_tools(struct request_reader *rd, uint32_t tools, uint32_t choice)
{
    const struct json_doc *d = rd->d;
    if (tools == 0 || json_type_at(d, tools) != JSON_ARRAY ||
        json_first(d, tools) == json_end(d, tools) || is_none(d, choice))
        return;
    rd->r->needs |= LLM_NEEDS_TOOLS;
}

void request_needs_format(struct request_reader *rd, uint32_t format)
{
    uint32_t type = get(rd->d, format, SLICE("type"));
    if (says(rd->d, type, SLICE("json_schema")))
        rd->r->needs |= LLM_NEEDS_SCHEMA;
    else if (says(rd->d, type, SLICE("json_object")))
        rd->r->needs |= LLM_NEEDS_JSON;
}

void request_needs_media(struct request_reader *rd, uint32_t media_type, uint32_t url)
{
    if (begins(rd->d, media_type, SLICE("image/")))
        rd->r->needs |= LLM_NEEDS_IMAGES;
    else if (begins(rd->d, media_type, SLICE("audio/")))
        rd->r->needs |= LLM_NEEDS_AUDIO;
    if (begins(rd->d, media_type, SLICE("image/")) && begins(rd->d, url, SLICE("http")))
        rd->r->needs |= LLM_NEEDS_IMAGE_URLS;
}

/* {"image_url": {"url": ...}}, {"image_url": ...} or {"source": {"url": ...}}. */
static void look_at_image(struct request_reader *rd, uint32_t part)
{
    const struct json_doc *d = rd->d;
    uint32_t url = get(d, part, SLICE("image_url")), source = get(d, part, SLICE("source"));
    if (url != 0 && json_type_at(d, url) == JSON_OBJECT)
        url = get(d, url, SLICE("url"));
    else if (url == 0)
        url = get(d, source, SLICE("url"));
    rd->r->needs |= LLM_NEEDS_IMAGES;
    if (begins(d, url, SLICE("http")))
        rd->r->needs |= LLM_NEEDS_IMAGE_URLS;
}

static void look_at_media(struct request_reader *rd, uint32_t part, uint32_t type)
{
    const struct json_doc *d = rd->d;
    if (says(d, type, SLICE("image_url")) || says(d, type, SLICE("image")) ||
        says(d, type, SLICE("input_image")))
        look_at_image(rd, part);
    else if (says(d, type, SLICE("input_audio")))
        rd->r->needs |= LLM_NEEDS_AUDIO;
}

/* A part, or the content of a tool's result. */
static void look_at_part(struct request_reader *rd, uint32_t part)
{
    const struct json_doc *d = rd->d;
    uint32_t type = get(d, part, SLICE("type"));
    look_at_media(rd, part, type);
    if (!says(d, type, SLICE("tool_result")))
        return;
    uint32_t list = get(d, part, SLICE("content"));
    if (list == 0 || json_type_at(d, list) != JSON_ARRAY)
        return;
    for (uint32_t i = json_first(d, list); i < json_end(d, list); i = json_after(d, i))
        look_at_media(rd, i, get(d, i, SLICE("type")));
}

void request_needs_parts(struct request_reader *rd, uint32_t content)
{
    const struct json_doc *d = rd->d;
    if (json_type_at(d, content) != JSON_ARRAY)
        return;
    for (uint32_t i = json_first(d, content); i < json_end(d, content); i = json_after(d, i))
        look_at_part(rd, i);
}

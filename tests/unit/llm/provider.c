/* The table of providers. */
#include "check.h"
#include "llm/provider.h"

TEST(rows_are_complete_and_apart)
{
    size_t n;
    const struct llm_provider *rows = llm_providers(&n);
    CHECK(n >= 19);
    for (size_t i = 0; i < n; i++) {
        const struct llm_provider *p = &rows[i];
        check_note("row %zu, %s", i, p->type);
        CHECK(p->type != NULL && p->type[0] != '\0');
        CHECK(p->about != NULL && p->about[0] != '\0');
        CHECK(p->models_path == NULL || p->models_path[0] == '/');
        CHECK(llm_provider_find(slice_str(p->type)) == p);
    }
}

TEST(base_urls_are_https_or_local_and_end_without_slash)
{
    size_t n;
    const struct llm_provider *rows = llm_providers(&n);
    for (size_t i = 0; i < n; i++) {
        struct slice url = slice_str(rows[i].base_url);
        check_note("%s", rows[i].type);
        if (url.p == NULL)
            continue;
        CHECK(slice_starts(url, SLICE("https://")) ||
              slice_starts(url, SLICE("http://127.0.0.1:")));
        CHECK(url.p[url.n - 1] != '/');
        /* Only what runs on the same machine may do without a key. */
        CHECK_EQ_I64(rows[i].auth == LLM_AUTH_NONE_OK, slice_starts(url, SLICE("http:")));
    }
}

TEST(types_that_need_an_url_have_none)
{
    CHECK(llm_provider_find(SLICE("runpod"))->base_url == NULL);
    CHECK(llm_provider_find(SLICE("modal"))->base_url == NULL);
    CHECK(llm_provider_find(SLICE("openai-compatible"))->base_url == NULL);
}

TEST(unknown_types_are_not_found)
{
    CHECK(llm_provider_find(SLICE("")) == NULL);
    CHECK(llm_provider_find(SLICE_NONE) == NULL);
    CHECK(llm_provider_find(SLICE("OpenAI")) == NULL);
    CHECK(llm_provider_find(SLICE("openai ")) == NULL);
    CHECK(llm_provider_find(SLICE("opena")) == NULL);
}

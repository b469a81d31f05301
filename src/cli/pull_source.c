/* What `weir pull` is asked for. */
#include "pull_source.h"

#include <stdlib.h>

#include "fetch.h"

#define HUB "https://huggingface.co"

static struct slice endpoint(void)
{
    const char *v = getenv("HF_ENDPOINT");
    struct slice s = slice_str(v != NULL && v[0] != '\0' ? v : HUB);
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

/* Is `url` below `base`? */
static bool below(struct slice url, struct slice base)
{
    return url.n > base.n && slice_eq_nocase(slice_of(url.p, base.n), base) && url.p[base.n] == '/';
}

/* "org/repo[@revision]/path" as the hub's URL of the file itself. */
static struct slice hub_url(struct slice s, struct arena *a, const char **ret_why)
{
    struct slice org = slice_cut(&s, '/'), repo = slice_cut(&s, '/');
    struct slice revision = repo;
    repo = slice_cut(&revision, '@');
    *ret_why = "write hf:ORG/REPO/FILE.gguf";
    if (org.n == 0 || repo.n == 0 || s.n == 0)
        return SLICE_NONE;
    if (revision.n == 0)
        revision = SLICE("main");
    *ret_why = "out of memory";
    return arena_printf(
        a, SLICE_FMT "/" SLICE_FMT "/" SLICE_FMT "/resolve/" SLICE_FMT "/" SLICE_FMT,
        SLICE_ARG(endpoint()), SLICE_ARG(org), SLICE_ARG(repo), SLICE_ARG(revision), SLICE_ARG(s));
}

/* The address of a file's page on the hub leads to a web page: that of the file is meant. */
static struct slice file_of_page(struct slice url, struct slice base, struct arena *a)
{
    struct slice rest = slice_from(url, base.n + 1);
    struct slice org = slice_cut(&rest, '/'), repo = slice_cut(&rest, '/');
    if (!slice_starts(rest, SLICE("blob/")))
        return url;
    rest = slice_from(rest, strlen("blob/"));
    return arena_printf(a, SLICE_FMT "/" SLICE_FMT "/" SLICE_FMT "/resolve/" SLICE_FMT,
                        SLICE_ARG(base), SLICE_ARG(org), SLICE_ARG(repo), SLICE_ARG(rest));
}

/* A plain file name: no path, nothing hidden, nothing that a terminal or a shell would mind. */
static bool name_ok(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c <= ' ' || c >= 0x7F || strchr("/\\\"'`$&|;<>*?", c) != NULL)
            return false;
    }
    return s.n > 0 && s.p[0] != '.' && s.p[0] != '-';
}

static bool set_name(struct pull_source *ret, struct slice s)
{
    struct slice end = SLICE(".gguf");
    bool ended = s.n > end.n && slice_eq_nocase(slice_from(s, s.n - end.n), end);
    if (!name_ok(s) || s.n + end.n > PARTFILE_NAME_MAX)
        return false;
    memcpy(ret->name, s.p, s.n);
    memcpy(ret->name + s.n, end.p, ended ? 0 : end.n);
    ret->name[s.n + (ended ? 0 : end.n)] = '\0';
    return true;
}

/* The last segment of the URL's path. */
static bool name_of_target(struct pull_source *ret, struct slice target, struct arena *a)
{
    struct slice path = slice_cut(&target, '?');
    while (slice_find(path, '/') >= 0)
        slice_cut(&path, '/');
    char *plain = arena_alloc(a, path.n + 1);
    ptrdiff_t n = plain != NULL ? http_percent_decode(path, plain) : -1;
    return n > 0 && set_name(ret, slice_of(plain, (size_t)n));
}

bool pull_source_read(const char *text, const char *name, struct arena *a, struct pull_source *ret,
                      const char **ret_why)
{
    struct slice s = slice_str(text), base = endpoint(), target;
    struct net_url parsed;
    *ret = (struct pull_source){0};
    if (slice_starts(s, SLICE("hf:")))
        s = hub_url(slice_from(s, strlen("hf:")), a, ret_why);
    if (s.p == NULL)
        return false;
    if (!below(s, base))
        base = SLICE(HUB);
    ret->hub = below(s, base);
    ret->url = ret->hub ? file_of_page(s, base, a) : s;
    *ret_why = "out of memory";
    if (ret->url.p == NULL || !fetch_url(ret->url, a, &parsed, &target, ret_why))
        return false;
    *ret_why = name != NULL ? "--name has to be a plain file name"
                            : "it gives no usable file name: choose one with --name";
    return name != NULL ? set_name(ret, slice_str(name)) : name_of_target(ret, target, a);
}

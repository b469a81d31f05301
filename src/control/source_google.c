/* Google's tokens: from the key of a service account, from the refresh token of a user, or from the
 * metadata server of the machine (wire: cloud.google.com/docs/authentication). */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "credential_source.h"
#include "token_google.h"

#define GRANT_JWT     "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define METADATA_HOST "metadata.google.internal"
#define METADATA_PATH "/computeMetadata/v1/instance/service-accounts/default/token"

/* Gives the form in `form` to the round. */
static enum source_result post_form(const struct source *s, struct source_round *r,
                                    struct buf *form)
{
    r->method = HTTP_POST;
    r->target = s->path.n > 0 ? s->path : SLICE("/");
    r->fields = SLICE("Content-Type: application/x-www-form-urlencoded\r\n");
    r->body = form->failed ? SLICE_NONE : arena_copy(&r->arena, buf_view(form));
    r->has_body = true;
    return r->body.p != NULL ? SOURCE_CALL : source_fail(r, "out of memory");
}

static enum source_result ask_with_key(const struct source *s, struct source_round *r)
{
    struct google_key key;
    struct buf form;
    const char *why;
    if (!google_key_read(s->secret, &r->arena, &key, &why))
        return source_fail(r, "the key %s", why);
    buf_init(&form, SOURCE_ANSWER_MAX);
    if (key.user) {
        source_put_pair(&form, "grant_type", SLICE("refresh_token"));
        source_put_pair(&form, "client_id", key.client_id);
        source_put_pair(&form, "client_secret", key.client_secret);
        source_put_pair(&form, "refresh_token", key.refresh_token);
    } else {
        source_put_pair(&form, "grant_type", SLICE(GRANT_JWT));
        source_put_pair(&form, "assertion",
                        google_assertion(&key, r->wall_ns / NS_PER_S, &r->arena));
    }
    enum source_result result = post_form(s, r, &form);
    if (form.p != NULL)
        mem_wipe(form.p, form.n);
    buf_done(&form);
    return result;
}

static enum source_result next_with_key(const struct source *s, struct source_round *r)
{
    return r->step == 0 ? ask_with_key(s, r) : source_read_token(r);
}

static enum source_result next_from_metadata(const struct source *s, struct source_round *r)
{
    (void)s;
    if (r->step > 0)
        return source_read_token(r);
    r->method = HTTP_GET;
    r->target = SLICE(METADATA_PATH);
    r->fields = SLICE("Metadata-Flavor: Google\r\n");
    return SOURCE_CALL;
}

static const struct source_ops key_ops = {CREDENTIAL_TOKEN, next_with_key};
static const struct source_ops metadata_ops = {CREDENTIAL_TOKEN, next_from_metadata};

static bool made(struct source_build *b, const struct source *s)
{
    bool ok = s->identity.p != NULL && s->label.p != NULL && s->url.p != NULL;
    return ok || source_error(b, "out of memory");
}

static bool make_metadata(struct source_build *b, struct source *ret)
{
    const char *host = source_env(b, "GCE_METADATA_HOST");
    host = host != NULL ? host : METADATA_HOST;
    *ret = (struct source){.ops = &metadata_ops,
                           .direct = true,
                           .identity = arena_printf(b->keep, "google/metadata/%s", host),
                           .label = SLICE("Google metadata server"),
                           .url = arena_printf(b->keep, "http://%s", host)};
    return made(b, ret);
}

static bool make_key(struct source_build *b, struct slice json, struct source *ret)
{
    struct google_key key;
    const char *why;
    if (!google_key_read(json, b->scratch, &key, &why))
        return source_error(b, "the value %s", why);
    struct slice digest = source_digest(json, b->scratch);
    struct slice who = key.user ? key.client_id : key.email;
    *ret = (struct source){
        .ops = &key_ops,
        .secret = json,
        .url = arena_copy(b->keep, key.token_uri),
        .identity = arena_printf(b->keep, "google/%s/" SLICE_FMT "/" SLICE_FMT,
                                 key.user ? "user" : "account", SLICE_ARG(who), SLICE_ARG(digest)),
        .label = arena_printf(b->keep, "Google %s " SLICE_FMT,
                              key.user ? "user of" : "service account", SLICE_ARG(who))};
    return made(b, ret);
}

/* A file that has to be there; its errors are told by its path. */
static bool make_from_file(struct source_build *b, const char *path, struct source *ret)
{
    struct slice json = source_read_file(path, b->scratch);
    if (json.p == NULL)
        return source_error(b, "%s: %s", path, strerror(errno));
    if (make_key(b, json, ret))
        return true;
    char why[SOURCE_WHY_MAX];
    memcpy(why, b->why, sizeof why);
    return source_error(b, "%s: %.150s", path, why);
}

/* Google's order: the variable, what gcloud has stored, the machine. */
bool source_make_google(struct source_build *b, struct source *ret)
{
    struct slice given = b->provider->cloud.credentials;
    char stored[1024] = "";
    if (slice_is(given, "metadata"))
        return make_metadata(b, ret);
    if (given.n > 0)
        return make_key(b, given, ret);
    const char *named = source_env(b, "GOOGLE_APPLICATION_CREDENTIALS");
    if (named != NULL)
        return make_from_file(b, named, ret);
    const char *folder = source_env(b, "CLOUDSDK_CONFIG"), *home = source_env(b, "HOME");
    if (folder != NULL)
        snprintf(stored, sizeof stored, "%s/application_default_credentials.json", folder);
    else if (home != NULL)
        snprintf(stored, sizeof stored, "%s/.config/gcloud/application_default_credentials.json",
                 home);
    if (stored[0] != '\0' && access(stored, F_OK) == 0)
        return make_from_file(b, stored, ret);
    return make_metadata(b, ret);
}

/* Keys of AWS, in the order of its SDKs: the configuration, the environment, the shared credentials
 * file, a web identity exchanged at STS, the container's endpoint, the metadata service of the
 * instance, version 2 (wire: AWS SDKs and Tools Reference Guide, "Standardized credential
 * providers"). */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "credential_source.h"

#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST  "http://169.254.169.254"
#define INSTANCE_PATH  "/latest/meta-data/iam/security-credentials/"

/* Adds "name: value"; a value that no header can carry is an error. */
static bool put_header(struct buf *out, const char *name, struct slice value)
{
    size_t before = out->n;
    http_put_field(out, slice_str(name), value);
    return out->n > before;
}

/* ---- keys that are there: of the configuration and of the environment, one per line */

static enum source_result next_fixed(const struct source *s, struct source_round *r)
{
    struct slice rest = s->secret;
    r->keys.access = slice_cut(&rest, '\n');
    r->keys.secret = slice_cut(&rest, '\n');
    r->keys.session = rest;
    r->life_ns = CREDENTIAL_FOREVER;
    return SOURCE_DONE;
}
static const struct source_ops fixed_ops = {CREDENTIAL_AWS, next_fixed};

static bool make_fixed(struct source_build *b, const struct gw_aws_keys *keys, const char *where,
                       struct source *ret)
{
    struct slice text =
        arena_printf(b->scratch, SLICE_FMT "\n" SLICE_FMT "\n" SLICE_FMT, SLICE_ARG(keys->access),
                     SLICE_ARG(keys->secret), SLICE_ARG(keys->session));
    struct slice digest = source_digest(text, b->scratch);
    *ret =
        (struct source){.ops = &fixed_ops,
                        .secret = text,
                        .identity = arena_printf(b->keep, "aws/keys/" SLICE_FMT, SLICE_ARG(digest)),
                        .label = arena_printf(b->keep, "AWS keys of %s", where)};
    return true;
}

static bool make_from_env(struct source_build *b, struct source *ret)
{
    struct gw_aws_keys keys = {.access = slice_str(source_env(b, "AWS_ACCESS_KEY_ID")),
                               .secret = slice_str(source_env(b, "AWS_SECRET_ACCESS_KEY")),
                               .session = slice_str(source_env(b, "AWS_SESSION_TOKEN"))};
    return make_fixed(b, &keys, "the environment", ret);
}

/* ---- the shared credentials file */

enum { FILE_PATH, FILE_PROFILE };

/* Finds the keys of [profile] in the text of a credentials file. What names another way to get
 * keys is not followed, and is said. */
static enum source_result read_profile(struct slice text, struct slice profile,
                                       struct source_round *r)
{
    static const char *const others[] = {"role_arn", "credential_process", "sso_session",
                                         "sso_start_url", "source_profile"};
    bool inside = false, found = false;
    const char *other = NULL;
    while (text.n > 0) {
        struct slice line = slice_cut(&text, '\n');
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        line = slice_trim(line);
        if (line.n > 1 && line.p[0] == '[' && line.p[line.n - 1] == ']') {
            inside = slice_eq(slice_trim(slice_of(line.p + 1, line.n - 2)), profile);
            found = found || inside;
        }
        if (!inside || line.n == 0 || strchr("#;[", line.p[0]) != NULL)
            continue;
        struct slice value = line, key = slice_trim(slice_cut(&value, '='));
        value = slice_trim(value);
        if (slice_eq_nocase(key, SLICE("aws_access_key_id")))
            r->keys.access = value;
        else if (slice_eq_nocase(key, SLICE("aws_secret_access_key")))
            r->keys.secret = value;
        else if (slice_eq_nocase(key, SLICE("aws_session_token")))
            r->keys.session = value;
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            other = slice_eq_nocase(key, slice_str(others[i])) ? others[i] : other;
    }
    r->life_ns = CREDENTIAL_FOREVER;
    if (r->keys.access.n > 0 && r->keys.secret.n > 0)
        return SOURCE_DONE;
    if (!found)
        return source_fail(r, "there is no profile " SLICE_FMT, SLICE_ARG(profile));
    return source_fail(r, "the profile " SLICE_FMT " has no keys of its own%s%s",
                       SLICE_ARG(profile), other != NULL ? "; not followed: " : "",
                       other != NULL ? other : "");
}

static enum source_result next_file(const struct source *s, struct source_round *r)
{
    struct slice text = source_read_file(s->text[FILE_PATH].p, &r->arena);
    if (text.p == NULL)
        return source_fail(r, SLICE_FMT ": %s", SLICE_ARG(s->text[FILE_PATH]), strerror(errno));
    return read_profile(text, s->text[FILE_PROFILE], r);
}
static const struct source_ops file_ops = {CREDENTIAL_AWS, next_file};

/* The path of the file and the name of the profile, as the variables have them. */
static void find_file(struct source_build *b, char *path, size_t size, struct slice *profile)
{
    const char *named = source_env(b, "AWS_SHARED_CREDENTIALS_FILE");
    const char *home = source_env(b, "HOME"), *name = source_env(b, "AWS_PROFILE");
    *profile = b->provider->cloud.profile;
    if (profile->n == 0)
        *profile = name != NULL ? slice_str(name) : SLICE("default");
    if (named != NULL)
        snprintf(path, size, "%s", named);
    else
        snprintf(path, size, "%s/.aws/credentials", home != NULL ? home : "");
}

static bool make_file(struct source_build *b, const char *path, struct slice profile,
                      struct source *ret)
{
    *ret = (struct source){
        .ops = &file_ops,
        .watch = arena_copy(b->keep, slice_str(path)),
        .identity = arena_printf(b->keep, "aws/file/%s/" SLICE_FMT, path, SLICE_ARG(profile)),
        .label = arena_printf(b->keep, "AWS profile " SLICE_FMT " of %s", SLICE_ARG(profile), path),
        .text[FILE_PATH] = arena_copy(b->keep, slice_str(path)),
        .text[FILE_PROFILE] = arena_copy(b->keep, profile)};
    return ret->watch.p != NULL && ret->text[FILE_PATH].p != NULL &&
           ret->text[FILE_PROFILE].p != NULL;
}

/* Does the file have keys for the profile? Otherwise the search goes on. */
static bool file_has_keys(struct source_build *b, const char *path, struct slice profile)
{
    struct source_round r = {0};
    struct slice text = source_read_file(path, b->scratch);
    return text.p != NULL && read_profile(text, profile, &r) == SOURCE_DONE;
}

/* ---- JSON of the container's endpoint and of the instance */

static enum source_result read_json(struct source_round *r)
{
    struct json_doc d;
    if (r->status != 200)
        return source_refuse(r);
    if (!source_parse(r, &d))
        return source_fail(r, "the answer is no JSON object");
    struct slice code = source_member(&d, "Code", &r->arena);
    r->keys.access = source_member(&d, "AccessKeyId", &r->arena);
    r->keys.secret = source_member(&d, "SecretAccessKey", &r->arena);
    r->keys.session = source_member(&d, "Token", &r->arena);
    if (code.n > 0 && !slice_is(code, "Success"))
        return source_fail(r, "the answer says " SLICE_FMT, SLICE_ARG(code));
    if (r->keys.access.n == 0 || r->keys.secret.n == 0)
        return source_fail(r, "the answer has no keys");
    if (!source_parse_expiry(r, source_member(&d, "Expiration", &r->arena), &r->life_ns))
        return source_fail(r, "the answer does not say when the keys expire");
    return r->life_ns > 0 ? SOURCE_DONE
                          : source_fail(r, "the keys in the answer have expired already");
}

enum { CONTAINER_QUERY, CONTAINER_TOKEN_FILE };

/* The authorization that goes along: from a file, which is read anew each time, or fixed. */
static enum source_result ask_container(const struct source *s, struct source_round *r)
{
    struct slice file = s->text[CONTAINER_TOKEN_FILE], token = s->secret;
    struct buf fields;
    bool ok = true;
    if (file.n > 0) {
        token = source_read_file(file.p, &r->arena);
        if (token.p == NULL)
            return source_fail(r, SLICE_FMT ": %s", SLICE_ARG(file), strerror(errno));
        while (token.n > 0 && strchr("\r\n", token.p[token.n - 1]) != NULL)
            token.n--;
    }
    buf_init(&fields, SOURCE_ANSWER_MAX + 64);
    if (token.n > 0)
        ok = put_header(&fields, "Authorization", token);
    r->method = HTTP_GET;
    r->fields = arena_copy(&r->arena, buf_view(&fields));
    r->target = arena_printf(&r->arena, SLICE_FMT SLICE_FMT,
                             SLICE_ARG(s->path.n > 0 ? s->path : SLICE("/")),
                             SLICE_ARG(s->text[CONTAINER_QUERY]));
    if (fields.p != NULL)
        mem_wipe(fields.p, fields.n);
    buf_done(&fields);
    if (!ok)
        return source_fail(r, "the authorization token has characters that no header can carry");
    return r->fields.p != NULL && r->target.p != NULL ? SOURCE_CALL
                                                      : source_fail(r, "out of memory");
}

static enum source_result next_container(const struct source *s, struct source_round *r)
{
    return r->step == 0 ? ask_container(s, r) : read_json(r);
}
static const struct source_ops container_ops = {CREDENTIAL_AWS, next_container};

static bool make_container(struct source_build *b, const char *relative, const char *full,
                           struct source *ret)
{
    const char *file = source_env(b, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = source_env(b, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct slice url = relative != NULL ? arena_printf(b->keep, CONTAINER_HOST "%s", relative)
                                        : arena_copy(b->keep, slice_str(full));
    if (url.p == NULL)
        return false;
    ptrdiff_t mark = slice_find(url, '?');
    *ret = (struct source){
        .ops = &container_ops,
        .direct = true,
        .url = mark >= 0 ? slice_of(url.p, (size_t)mark) : url,
        .secret = file == NULL ? slice_str(token) : SLICE_NONE,
        .identity = arena_printf(b->keep, "aws/container/" SLICE_FMT, SLICE_ARG(url)),
        .label = SLICE("AWS keys of the container"),
        .text[CONTAINER_QUERY] = mark >= 0 ? slice_from(url, (size_t)mark) : SLICE(""),
        .text[CONTAINER_TOKEN_FILE] =
            file != NULL ? arena_copy(b->keep, slice_str(file)) : SLICE("")};
    return ret->text[CONTAINER_TOKEN_FILE].p != NULL;
}

/* A session first, then the role's name, then its keys. */
static enum source_result next_instance(const struct source *s, struct source_round *r)
{
    if (r->step == 3)
        return read_json(r);
    if (r->step > 0 && r->status != 200)
        return source_refuse(r);
    if (r->step == 0) {
        r->method = HTTP_PUT;
        r->target = SLICE("/latest/api/token");
        r->fields = SLICE("X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
        r->has_body = true;
        return SOURCE_CALL;
    }
    r->method = HTTP_GET;
    r->has_body = false;
    if (r->step == 1) {
        struct buf fields;
        buf_init(&fields, 8192);
        bool ok = put_header(&fields, "X-aws-ec2-metadata-token", slice_trim(r->answer));
        r->kept = arena_copy(&r->arena, buf_view(&fields));
        r->fields = r->kept;
        r->target = SLICE(INSTANCE_PATH);
        buf_done(&fields);
        return ok && r->kept.p != NULL ? SOURCE_CALL : source_fail(r, "the session is no token");
    }
    struct slice rest = r->answer, role = slice_trim(slice_cut(&rest, '\n'));
    for (size_t i = 0; i < role.n; i++) {
        if ((uint8_t)role.p[i] <= ' ' || (uint8_t)role.p[i] >= 0x7F)
            return source_fail(r, "the instance's role has no proper name");
    }
    r->fields = r->kept;
    r->target = arena_printf(&r->arena, INSTANCE_PATH SLICE_FMT, SLICE_ARG(role));
    (void)s;
    return role.n > 0 && r->target.p != NULL ? SOURCE_CALL
                                             : source_fail(r, "the instance has no role");
}
static const struct source_ops instance_ops = {CREDENTIAL_AWS, next_instance};

static bool make_instance(struct source_build *b, struct source *ret)
{
    const char *host = source_env(b, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *disabled = source_env(b, "AWS_EC2_METADATA_DISABLED");
    host = host != NULL ? host : INSTANCE_HOST;
    if (disabled != NULL && slice_eq_nocase(slice_str(disabled), SLICE("true")))
        return source_error(b, "no keys of AWS are to be found, and the instance's metadata is "
                               "disabled by AWS_EC2_METADATA_DISABLED");
    *ret = (struct source){.ops = &instance_ops,
                           .direct = true,
                           .url = arena_copy(b->keep, slice_str(host)),
                           .identity = arena_printf(b->keep, "aws/instance/%s", host),
                           .label = SLICE("AWS keys of the instance")};
    return ret->url.p != NULL;
}

/* ---- a web identity, exchanged at STS */

enum { WEB_ROLE, WEB_FILE, WEB_SESSION };

static enum source_result ask_sts(const struct source *s, struct source_round *r)
{
    struct slice file = s->text[WEB_FILE];
    struct slice token = slice_trim(source_read_file(file.p, &r->arena));
    struct buf form;
    if (token.p == NULL)
        return source_fail(r, SLICE_FMT ": %s", SLICE_ARG(file), strerror(errno));
    while (token.n > 0 && strchr("\r\n", token.p[token.n - 1]) != NULL)
        token.n--;
    buf_init(&form, 2 * SOURCE_ANSWER_MAX);
    source_put_pair(&form, "Action", SLICE("AssumeRoleWithWebIdentity"));
    source_put_pair(&form, "Version", SLICE("2011-06-15"));
    source_put_pair(&form, "RoleArn", s->text[WEB_ROLE]);
    source_put_pair(&form, "RoleSessionName", s->text[WEB_SESSION]);
    source_put_pair(&form, "WebIdentityToken", token);
    r->method = HTTP_POST;
    r->target = s->path.n > 0 ? s->path : SLICE("/");
    r->fields = SLICE("Content-Type: application/x-www-form-urlencoded\r\n");
    r->body = form.failed ? SLICE_NONE : arena_copy(&r->arena, buf_view(&form));
    r->has_body = true;
    if (form.p != NULL)
        mem_wipe(form.p, form.n);
    buf_done(&form);
    return r->body.p != NULL ? SOURCE_CALL : source_fail(r, "out of memory");
}

/* What stands between <name> and </name>; STS' values need no entities. */
static struct slice element(struct slice xml, const char *name)
{
    char tag[64];
    int n = snprintf(tag, sizeof tag, "<%s>", name);
    const char *start = xml.n > 0 ? memmem(xml.p, xml.n, tag, (size_t)n) : NULL;
    if (start == NULL)
        return SLICE_NONE;
    struct slice rest = slice_from(xml, (size_t)(start - xml.p) + (size_t)n);
    ptrdiff_t end = slice_find(rest, '<');
    struct slice text = slice_trim(slice_of(rest.p, end >= 0 ? (size_t)end : 0));
    return slice_find(text, '&') < 0 ? text : SLICE_NONE;
}

static enum source_result read_sts(struct source_round *r)
{
    if (r->status != 200) {
        struct slice code = element(r->answer, "Code");
        return source_fail(r, "HTTP %u%s%.*s", r->status, code.n > 0 ? ": " : "",
                           (int)MIN_OF(code.n, (size_t)64), code.n > 0 ? code.p : "");
    }
    r->keys.access = element(r->answer, "AccessKeyId");
    r->keys.secret = element(r->answer, "SecretAccessKey");
    r->keys.session = element(r->answer, "SessionToken");
    if (r->keys.access.n == 0 || r->keys.secret.n == 0 || r->keys.session.n == 0)
        return source_fail(r, "the answer has no keys");
    if (!source_parse_expiry(r, element(r->answer, "Expiration"), &r->life_ns))
        return source_fail(r, "the answer does not say when the keys expire");
    return r->life_ns > 0 ? SOURCE_DONE
                          : source_fail(r, "the keys in the answer have expired already");
}

static enum source_result next_web(const struct source *s, struct source_round *r)
{
    return r->step == 0 ? ask_sts(s, r) : read_sts(r);
}
static const struct source_ops web_ops = {CREDENTIAL_AWS, next_web};

static bool make_web(struct source_build *b, const char *file, const char *role, struct source *ret)
{
    struct slice region = b->provider->cloud.region;
    const char *url = source_env(b, "AWS_ENDPOINT_URL_STS");
    const char *session = source_env(b, "AWS_ROLE_SESSION_NAME");
    const char *china = slice_starts(region, SLICE("cn-")) ? ".cn" : "";
    *ret = (struct source){
        .ops = &web_ops,
        .url = url != NULL ? arena_copy(b->keep, slice_str(url))
                           : arena_printf(b->keep, "https://sts." SLICE_FMT ".amazonaws.com%s",
                                          SLICE_ARG(region), china),
        .label = arena_printf(b->keep, "AWS role %s", role),
        .text[WEB_ROLE] = arena_copy(b->keep, slice_str(role)),
        .text[WEB_FILE] = arena_copy(b->keep, slice_str(file)),
        .text[WEB_SESSION] = arena_copy(b->keep, slice_str(session != NULL ? session : "weir"))};
    ret->identity =
        arena_printf(b->keep, "aws/web/" SLICE_FMT "/%s/%s", SLICE_ARG(ret->url), role, file);
    return ret->url.p != NULL && ret->text[WEB_ROLE].p != NULL && ret->text[WEB_FILE].p != NULL &&
           ret->text[WEB_SESSION].p != NULL;
}

/* Where keys are looked for when the configuration names none. */
static bool search(struct source_build *b, struct source *ret)
{
    char path[1024];
    struct slice profile;
    const char *token_file = source_env(b, "AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *role = source_env(b, "AWS_ROLE_ARN");
    const char *relative = source_env(b, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = source_env(b, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (source_env(b, "AWS_ACCESS_KEY_ID") != NULL &&
        source_env(b, "AWS_SECRET_ACCESS_KEY") != NULL)
        return make_from_env(b, ret);
    find_file(b, path, sizeof path, &profile);
    if (file_has_keys(b, path, profile))
        return make_file(b, path, profile, ret);
    if (token_file != NULL && role != NULL)
        return make_web(b, token_file, role, ret);
    if (relative != NULL || full != NULL)
        return make_container(b, relative, full, ret);
    return make_instance(b, ret);
}

bool source_make_aws(struct source_build *b, struct source *ret)
{
    const struct config_cloud *c = &b->provider->cloud;
    char path[1024];
    struct slice profile;
    bool ok;
    if (c->access_key.n > 0) {
        struct gw_aws_keys keys = {c->access_key, c->secret_key, c->session_token};
        ok = make_fixed(b, &keys, "the configuration", ret);
    } else if (c->profile.n > 0) {
        find_file(b, path, sizeof path, &profile);
        ok = make_file(b, path, profile, ret);
    } else {
        ok = search(b, ret);
    }
    if (ok && (ret->identity.p == NULL || ret->label.p == NULL))
        ok = false;
    if (!ok && b->why[0] == '\0')
        source_error(b, "out of memory");
    return ok;
}

/* Google's credentials: see token_google.h. Facts: RFC 7515 and 7523, and Google's "Using OAuth 2.0
 * for Server to Server Applications". */
#include "token_google.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "net/upstream.h"

#define KEY_MAX   ((size_t)64 << 10)
#define SKEW_S    10 /* a clock that is ahead of Google's would sign for the future */
#define LIFE_S    3600
#define SCOPE     "https://www.googleapis.com/auth/cloud-platform"
#define TOKEN_URI "https://oauth2.googleapis.com/token"

static struct slice member(const struct json_doc *d, const char *name, struct arena *a)
{
    uint32_t node = json_get(d, 0, slice_str(name));
    return node != 0 && json_type_at(d, node) == JSON_STRING ? json_string(d, node, a) : SLICE_NONE;
}

/* The RSA key of a PEM text, or NULL. */
static EVP_PKEY *load_key(struct slice pem)
{
    BIO *bio = pem.n > 0 && pem.n < KEY_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
    BIO_free(bio);
    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static const char *check_account(const struct google_key *k)
{
    EVP_PKEY *key;
    if (k->email.n == 0)
        return "has no `client_email`";
    if (k->private_key.n == 0)
        return "has no `private_key`";
    key = load_key(k->private_key);
    EVP_PKEY_free(key);
    return key != NULL ? NULL : "has a `private_key` that is no RSA key in PEM";
}

static const char *check_user(const struct google_key *k)
{
    return k->client_id.n == 0       ? "has no `client_id`"
           : k->client_secret.n == 0 ? "has no `client_secret`"
           : k->refresh_token.n == 0 ? "has no `refresh_token`"
                                     : NULL;
}

static const char *read_document(const struct json_doc *d, struct arena *a, struct google_key *k)
{
    struct net_url url;
    const char *why;
    if (json_type_at(d, 0) != JSON_OBJECT)
        return "is no JSON object";
    struct slice type = member(d, "type", a);
    k->user = slice_is(type, "authorized_user");
    k->email = member(d, "client_email", a);
    k->private_key = member(d, "private_key", a);
    k->private_key_id = member(d, "private_key_id", a);
    k->client_id = member(d, "client_id", a);
    k->client_secret = member(d, "client_secret", a);
    k->refresh_token = member(d, "refresh_token", a);
    k->token_uri = member(d, "token_uri", a);
    k->project = member(d, "project_id", a);
    if (k->token_uri.n == 0)
        k->token_uri = SLICE(TOKEN_URI);
    if (!net_url_parse(k->token_uri, &url, &why))
        return "has a `token_uri` that is no URL";
    if (k->user)
        return check_user(k);
    return slice_is(type, "service_account")
               ? check_account(k)
               : "is neither of `type` service_account nor authorized_user";
}

bool google_key_read(struct slice json, struct arena *a, struct google_key *ret,
                     const char **ret_why)
{
    struct google_key k = {0};
    struct json_doc d;
    struct json_parser *parser = json_parser_new();
    *ret_why = "cannot be read: out of memory";
    if (parser != NULL && json_parse(parser, json, 0, &d) != JSON_OK)
        *ret_why = "is neither `metadata` nor JSON (a file is `file:/path`)";
    else if (parser != NULL)
        *ret_why = read_document(&d, a, &k);
    json_parser_free(parser);
    if (*ret_why != NULL)
        return false;
    *ret = k;
    return true;
}

/* Appends base64url without padding (RFC 4648 section 5). */
static void put_base64url(struct buf *out, const void *data, size_t n)
{
    if (!buf_reserve(out, (n + 2) / 3 * 4 + 1)) {
        out->failed = true;
        return;
    }
    char *p = out->p + out->n;
    int length = EVP_EncodeBlock((uint8_t *)p, data, (int)n);
    while (length > 0 && p[length - 1] == '=')
        length--;
    for (int i = 0; i < length; i++)
        p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
    out->n += (size_t)length;
}

static void put_part(struct buf *out, const struct buf *json)
{
    out->failed |= json->failed;
    put_base64url(out, json->p, json->n);
}

static void put_header(struct buf *out, const struct google_key *key)
{
    struct buf json;
    buf_init(&json, 4096);
    struct json_writer w = json_writer(&json);
    jw_open(&w, '{');
    jw_field_string(&w, "alg", SLICE("RS256"));
    jw_field_string(&w, "typ", SLICE("JWT"));
    if (key->private_key_id.n > 0)
        jw_field_string(&w, "kid", key->private_key_id);
    jw_close(&w, '}');
    put_part(out, &json);
    buf_done(&json);
}

static void put_claims(struct buf *out, const struct google_key *key, int64_t wall_s)
{
    struct buf json;
    buf_init(&json, 8192);
    struct json_writer w = json_writer(&json);
    jw_open(&w, '{');
    jw_field_string(&w, "iss", key->email);
    jw_field_string(&w, "scope", SLICE(SCOPE));
    jw_field_string(&w, "aud", key->token_uri);
    jw_field_i64(&w, "iat", wall_s - SKEW_S);
    jw_field_i64(&w, "exp", wall_s - SKEW_S + LIFE_S);
    jw_close(&w, '}');
    put_part(out, &json);
    buf_done(&json);
}

/* RSASSA-PKCS1-v1_5 with SHA-256 over what `out` holds, appended behind a dot. */
static bool put_signature(struct buf *out, struct slice pem)
{
    uint8_t signature[1024]; /* keys up to 8192 bits */
    size_t n = sizeof signature;
    EVP_PKEY *key = load_key(pem);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key != NULL && ctx != NULL &&
              EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const uint8_t *)out->p, out->n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok)
        return false;
    buf_char(out, '.');
    put_base64url(out, signature, n);
    return !out->failed;
}

struct slice google_assertion(const struct google_key *key, int64_t wall_s, struct arena *a)
{
    struct slice jwt = SLICE_NONE;
    struct buf out;
    buf_init(&out, 32768);
    put_header(&out, key);
    buf_char(&out, '.');
    put_claims(&out, key, wall_s);
    if (!out.failed && put_signature(&out, key->private_key))
        jwt = arena_copy(a, buf_view(&out));
    if (out.p != NULL)
        mem_wipe(out.p, out.n);
    buf_done(&out);
    return jwt;
}

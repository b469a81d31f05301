/* Credentials and their registry. */
#include "gateway/credential.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/secret.h"

#define CREDENTIAL_MAGIC 0x43726564u
#define LINE_START       "Authorization: Bearer "

/* What a credential is for a time. Who holds a reference may read it without any lock. */
struct value {
    _Atomic unsigned refs;
    int64_t expires_ns;
    struct secret_box *box; /* all of the text */
    struct slice line;      /* of a token */
    struct gw_aws_keys keys;
};

struct gw_credential {
    uint32_t magic;
    enum gw_credential_kind kind;
    _Atomic unsigned refs;
    struct list node; /* in the registry */
    struct slice identity;
    _Atomic bool refused;
    pthread_mutex_t lock;                 /* of what follows; held for a few instructions */
    struct value *value;                  /* NULL: none yet */
    char failed[CREDENTIAL_TEXT_MAX / 2]; /* why the last try failed; "": it did not */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list registry = {&registry, &registry};

static struct gw_credential *find(struct slice identity, enum gw_credential_kind kind)
{
    list_foreach (it, &registry) {
        struct gw_credential *c = container_of(it, struct gw_credential, node);
        if (c->kind == kind && slice_eq(identity, c->identity))
            return c;
    }
    return NULL;
}

static struct gw_credential *make(struct slice identity, enum gw_credential_kind kind)
{
    struct gw_credential *c = mem_calloc(1, sizeof *c);
    char *copy = mem_strndup(identity.p, identity.n);
    if (c == NULL || copy == NULL) {
        mem_free(c);
        mem_free(copy);
        return NULL;
    }
    c->magic = CREDENTIAL_MAGIC;
    c->kind = kind;
    c->identity = slice_of(copy, identity.n);
    pthread_mutex_init(&c->lock, NULL);
    list_push_back(&registry, &c->node);
    return c;
}

struct gw_credential *gw_credential_get(struct slice identity, enum gw_credential_kind kind)
{
    pthread_mutex_lock(&registry_lock);
    struct gw_credential *c = find(identity, kind);
    if (c == NULL)
        c = make(identity, kind);
    if (c != NULL)
        c->refs++;
    pthread_mutex_unlock(&registry_lock);
    return c;
}

struct gw_credential *gw_credential_ref(struct gw_credential *c)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    c->refs++;
    return c;
}

static void value_unref(struct value *v)
{
    if (v == NULL || --v->refs > 0)
        return;
    secret_box_free(v->box);
    mem_free(v);
}

void gw_credential_unref(struct gw_credential *c)
{
    if (c == NULL)
        return;
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    pthread_mutex_lock(&registry_lock); /* gw_credential_get must not find it while it goes */
    bool last = --c->refs == 0;
    if (last)
        list_remove(&c->node);
    pthread_mutex_unlock(&registry_lock);
    if (!last)
        return;
    value_unref(c->value);
    pthread_mutex_destroy(&c->lock);
    mem_free((char *)(uintptr_t)c->identity.p);
    c->magic = 0;
    mem_free(c);
}

enum gw_credential_kind gw_credential_kind(const struct gw_credential *c)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    return c->kind;
}

struct slice gw_credential_identity(const struct gw_credential *c)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    return c->identity;
}

static struct value *value_new(size_t bytes, int64_t expires_ns)
{
    struct value *v = mem_calloc(1, sizeof *v);
    struct secret_box *box = secret_box_new(bytes);
    if (v == NULL || box == NULL) {
        mem_free(v);
        secret_box_free(box);
        return NULL;
    }
    v->refs = 1;
    v->expires_ns = expires_ns;
    v->box = box;
    return v;
}

static void install(struct gw_credential *c, struct value *v)
{
    pthread_mutex_lock(&c->lock);
    struct value *old = c->value;
    c->value = v;
    c->failed[0] = '\0';
    pthread_mutex_unlock(&c->lock);
    value_unref(old); /* requests that are reading it hold references of their own */
}

/* Can it stand in a header's value as it is? */
static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] <= ' ' || (uint8_t)s.p[i] >= 0x7F)
            return false;
    }
    return true;
}

bool gw_credential_set_token(struct gw_credential *c, struct slice token, int64_t expires_ns)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    ASSERT(c->kind == CREDENTIAL_TOKEN);
    const struct slice parts[] = {SLICE(LINE_START), token, SLICE("\r\n")};
    size_t bytes = sizeof LINE_START - 1 + token.n + 2;
    struct value *v = token.n > 0 && is_plain(token) ? value_new(bytes, expires_ns) : NULL;
    if (v == NULL)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) { /* they come to stand behind one another */
        struct slice copy = secret_copy(v->box, parts[i]);
        if (i == 0)
            v->line.p = copy.p;
        v->line.n += copy.n;
    }
    ASSERT(v->line.n == bytes);
    install(c, v);
    return true;
}

bool gw_credential_set_aws(struct gw_credential *c, const struct gw_aws_keys *keys,
                           int64_t expires_ns)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    ASSERT(c->kind == CREDENTIAL_AWS);
    bool good = keys->access.n > 0 && keys->secret.n > 0 && is_plain(keys->access) &&
                is_plain(keys->secret) && is_plain(keys->session);
    size_t bytes = keys->access.n + keys->secret.n + keys->session.n;
    struct value *v = good ? value_new(bytes, expires_ns) : NULL;
    if (v == NULL)
        return false;
    v->keys.access = secret_copy(v->box, keys->access);
    v->keys.secret = secret_copy(v->box, keys->secret);
    v->keys.session = secret_copy(v->box, keys->session);
    install(c, v);
    return true;
}

void gw_credential_set_failed(struct gw_credential *c, const char *why)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    pthread_mutex_lock(&c->lock);
    snprintf(c->failed, sizeof c->failed, "%s", why);
    pthread_mutex_unlock(&c->lock);
}

static enum gw_credential_state state_of(const struct gw_credential *c, int64_t now_ns)
{
    if (c->value != NULL)
        return now_ns < c->value->expires_ns ? CREDENTIAL_FRESH : CREDENTIAL_EXPIRED;
    return c->failed[0] != '\0' ? CREDENTIAL_FAILED : CREDENTIAL_NONE;
}

/* With FRESH: a reference to the value. It is copied from outside of the lock, since copying may
 * have to allocate. */
static enum gw_credential_state take_value(struct gw_credential *c, int64_t now_ns,
                                           struct value **ret)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    pthread_mutex_lock(&c->lock);
    enum gw_credential_state state = state_of(c, now_ns);
    if (state == CREDENTIAL_FRESH) {
        *ret = c->value;
        c->value->refs++;
    }
    pthread_mutex_unlock(&c->lock);
    return state;
}

enum gw_credential_state gw_credential_token(struct gw_credential *c, int64_t now_ns,
                                             struct arena *a, struct slice *ret_line)
{
    struct value *v = NULL;
    enum gw_credential_state state = take_value(c, now_ns, &v);
    ASSERT(c->kind == CREDENTIAL_TOKEN);
    if (state == CREDENTIAL_FRESH) {
        *ret_line = arena_copy(a, v->line);
        value_unref(v);
    }
    return state;
}

enum gw_credential_state gw_credential_aws(struct gw_credential *c, int64_t now_ns, struct arena *a,
                                           struct gw_aws_keys *ret)
{
    struct value *v = NULL;
    enum gw_credential_state state = take_value(c, now_ns, &v);
    ASSERT(c->kind == CREDENTIAL_AWS);
    if (state == CREDENTIAL_FRESH) {
        *ret = (struct gw_aws_keys){arena_copy(a, v->keys.access), arena_copy(a, v->keys.secret),
                                    arena_copy(a, v->keys.session)};
        if (ret->secret.p == NULL || ret->session.p == NULL)
            ret->access = SLICE_NONE;
        value_unref(v);
    }
    return state;
}

enum gw_credential_state gw_credential_explain(struct gw_credential *c, int64_t now_ns,
                                               char out[CREDENTIAL_TEXT_MAX])
{
    bool keys = c->kind == CREDENTIAL_AWS;
    const char *what = keys ? "keys" : "token", *has = keys ? "have" : "has";
    char failed[sizeof c->failed];
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    pthread_mutex_lock(&c->lock);
    enum gw_credential_state state = state_of(c, now_ns);
    memcpy(failed, c->failed, sizeof failed);
    pthread_mutex_unlock(&c->lock);
    const char *sep = failed[0] != '\0' ? "; last attempt: " : "";
    switch (state) {
    case CREDENTIAL_NONE:
        snprintf(out, CREDENTIAL_TEXT_MAX, "no %s %s been fetched yet", what, has);
        break;
    case CREDENTIAL_FRESH:
        snprintf(out, CREDENTIAL_TEXT_MAX, "the %s can be used%s%s", what, sep, failed);
        break;
    case CREDENTIAL_EXPIRED:
        snprintf(out, CREDENTIAL_TEXT_MAX, "the %s %s expired%s%s", what, has, sep, failed);
        break;
    case CREDENTIAL_FAILED:
        snprintf(out, CREDENTIAL_TEXT_MAX, "no %s could be fetched: %s", what, failed);
        break;
    }
    return state;
}

void gw_credential_refused(struct gw_credential *c)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    c->refused = true;
}

bool gw_credential_take_refused(struct gw_credential *c)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    return atomic_exchange(&c->refused, false);
}

int64_t gw_credential_expires(struct gw_credential *c)
{
    CHECK_MAGIC(c, CREDENTIAL_MAGIC);
    pthread_mutex_lock(&c->lock);
    int64_t expires_ns = c->value != NULL ? c->value->expires_ns : 0;
    pthread_mutex_unlock(&c->lock);
    return expires_ns;
}

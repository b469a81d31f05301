/* Certificates for the tests: see kit.h. P-256, made with libcrypto when the first is asked for. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kit.h"

#define DAY_S (24L * 3600)
#define LATER (9 * DAY_S + DAY_S / 2)

static const struct cert {
    const char *name, *issuer, *names; /* names: subjectAltName, NULL for an authority */
    long from_s, to_s;
} certs[] = {
    {"ca", "ca", NULL, -DAY_S, LATER},
    {"other-ca", "other-ca", NULL, -DAY_S, LATER},
    {"good", "ca", "DNS:localhost,DNS:a.test,DNS:*.w.test,IP:127.0.0.1", -DAY_S, LATER},
    {"fresh", "ca", "DNS:localhost,DNS:a.test,DNS:*.w.test,IP:127.0.0.1", -DAY_S, LATER},
    {"wrong", "ca", "DNS:b.test", -DAY_S, LATER},
    {"expired", "ca", "DNS:localhost,IP:127.0.0.1", -9 * DAY_S, -2 * DAY_S},
    {"client", "ca", "DNS:client.test", -DAY_S, LATER},
    {"other", "other-ca", "DNS:localhost,IP:127.0.0.1", -DAY_S, LATER},
};

static char folder[64];
static char cert_paths[ARRAY_LEN(certs)][128], key_paths[ARRAY_LEN(certs)][128];
static EVP_PKEY *keys[ARRAY_LEN(certs)];
static X509 *made[ARRAY_LEN(certs)];

static size_t index_of(const char *name)
{
    size_t i = 0;
    while (i < ARRAY_LEN(certs) && strcmp(certs[i].name, name) != 0)
        i++;
    ASSERT(i < ARRAY_LEN(certs));
    return i;
}

static void extend(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    ASSERT(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *make(size_t i)
{
    const struct cert *c = &certs[i];
    size_t issuer = index_of(c->issuer);
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), (long)i + 1);
    X509_gmtime_adj(X509_getm_notBefore(x), c->from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), c->to_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)c->name, -1, -1, 0);
    X509_set_issuer_name(x, issuer == i ? name : X509_get_subject_name(made[issuer]));
    X509_set_pubkey(x, keys[i]);
    if (c->names == NULL)
        extend(x, NID_basic_constraints, "critical,CA:TRUE");
    else
        extend(x, NID_subject_alt_name, c->names);
    ASSERT(X509_sign(x, keys[issuer], EVP_sha256()) > 0);
    return x;
}

static void write_files(size_t i)
{
    snprintf(cert_paths[i], sizeof cert_paths[i], "%s/%s.pem", folder, certs[i].name);
    snprintf(key_paths[i], sizeof key_paths[i], "%s/%s.key", folder, certs[i].name);
    FILE *cert = fopen(cert_paths[i], "w"), *key = fopen(key_paths[i], "w");
    ASSERT(cert != NULL && key != NULL);
    ASSERT(PEM_write_X509(cert, made[i]) == 1);
    ASSERT(PEM_write_PrivateKey(key, keys[i], NULL, NULL, 0, NULL, NULL) == 1);
    fclose(cert);
    fclose(key);
}

static void remove_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
        unlink(cert_paths[i]);
        unlink(key_paths[i]);
    }
    rmdir(folder);
}

static void make_all(void)
{
    if (folder[0] != '\0')
        return;
    snprintf(folder, sizeof folder, "/tmp/weir-unit-certs-XXXXXX");
    ASSERT(mkdtemp(folder) != NULL);
    for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
        keys[i] = EVP_EC_gen("P-256");
        ASSERT(keys[i] != NULL);
        made[i] = make(i);
        write_files(i);
    }
    for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
        X509_free(made[i]);
        EVP_PKEY_free(keys[i]);
    }
    atexit(remove_all);
}

const char *cert_file(const char *name)
{
    make_all();
    return cert_paths[index_of(name)];
}

const char *key_file(const char *name)
{
    make_all();
    return key_paths[index_of(name)];
}

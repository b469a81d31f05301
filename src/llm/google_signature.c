/* Signatures of other families in Google's dialect. thoughtSignature is `bytes` there: the SDKs
 * decode it as base64 and write it again in the URL-safe alphabet (google-genai 3.4.0, _common.py,
 * val_json_bytes and urlsafe_b64encode), so a mark has to survive that. */
#include "google_internal.h"

/* "weir." in base64, as far as no byte behind it matters. */
#define MARKED   SLICE("d2Vpci")
#define REDACTED '!' /* in front of a signature; none begins so */

static struct slice encode(struct arena *a, struct slice s)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *p = arena_alloc(a, (s.n + 2) / 3 * 4);
    size_t n = 0;
    for (size_t i = 0; p != NULL && i < s.n; i += 3) {
        unsigned char in[3] = {0, 0, 0};
        size_t left = MIN_OF(s.n - i, (size_t)3);
        memcpy(in, s.p + i, left);
        p[n++] = set[in[0] >> 2];
        p[n++] = set[(in[0] & 3) << 4 | in[1] >> 4];
        p[n++] = left > 1 ? set[(in[1] & 15) << 2 | in[2] >> 6] : '=';
        p[n++] = left > 2 ? set[in[2] & 63] : '=';
    }
    return slice_of(p, p != NULL ? n : 0);
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Both alphabets, with padding or without; .p NULL: it is no base64, or there is no memory. */
static struct slice decode(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    unsigned bits = 0, held = 0;
    size_t n = 0;
    while (s.n > 0 && s.p[s.n - 1] == '=')
        s.n--;
    for (size_t i = 0; p != NULL && i < s.n; i++) {
        int d = digit(s.p[i]);
        if (d < 0)
            return SLICE_NONE;
        held = (held << 6 | (unsigned)d) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            p[n++] = (char)(held >> bits);
        }
    }
    return slice_of(p, n);
}

struct slice google_signature_mark(struct arena *a, struct slice signature,
                                   enum llm_family minted_by, bool redacted)
{
    if (minted_by == FAMILY_GOOGLE)
        return signature;
    if (redacted)
        signature = arena_printf(a, "%c" SLICE_FMT, REDACTED, SLICE_ARG(signature));
    if (signature.p == NULL)
        return SLICE_NONE;
    signature = llm_signature_mark(a, signature, minted_by, FAMILY_GOOGLE);
    return signature.p != NULL ? encode(a, signature) : SLICE_NONE;
}

struct slice google_signature_read(struct arena *a, struct slice said, enum llm_family *ret_family,
                                   bool *ret_redacted)
{
    *ret_family = FAMILY_GOOGLE;
    *ret_redacted = false;
    if (!slice_starts(said, MARKED))
        return said;
    struct slice plain = decode(a, said);
    if (plain.p == NULL || !slice_starts(plain, SLICE("weir.")))
        return said;
    struct slice s = llm_signature_read(plain, FAMILY_GOOGLE, ret_family);
    *ret_redacted = s.n > 0 && s.p[0] == REDACTED;
    return *ret_redacted ? slice_from(s, 1) : s;
}

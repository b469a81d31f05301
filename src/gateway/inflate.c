/* zlib and zstd behind one face. */
#include "inflate.h"

#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"

#define RATIO_MAX           200               /* unpacked bytes for one packed */
#define RATIO_FREE          ((size_t)1 << 20) /* so much is unpacked whatever the ratio */
#define STEP_BYTES          ((size_t)65536)
#define ZSTD_WINDOW_LOG_MAX 23 /* 8 MiB, as RFC 8878 recommends to support */

struct inflate {
    z_stream gz;
    ZSTD_DStream *zstd; /* NULL: gzip */
    size_t packed;
    bool complete;
};

enum gw_error inflate_new(struct slice coding, struct inflate **ret)
{
    bool gzip = slice_eq_nocase(coding, SLICE("gzip")) || slice_eq_nocase(coding, SLICE("x-gzip"));
    bool zstd = slice_eq_nocase(coding, SLICE("zstd"));
    if (!gzip && !zstd)
        return GW_BODY_ENCODING;
    struct inflate *z = mem_calloc(1, sizeof *z);
    if (z == NULL)
        return GW_NO_MEMORY;
    if (zstd) {
        z->zstd = ZSTD_createDStream();
        if (z->zstd != NULL)
            ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    }
    if ((zstd && z->zstd == NULL) || (gzip && inflateInit2(&z->gz, 15 + 16) != Z_OK)) {
        mem_free(z);
        return GW_NO_MEMORY;
    }
    *ret = z;
    return GW_OK;
}

void inflate_free(struct inflate *z)
{
    if (z == NULL)
        return;
    if (z->zstd != NULL)
        ZSTD_freeDStream(z->zstd);
    else
        inflateEnd(&z->gz);
    mem_free(z);
}

bool inflate_complete(const struct inflate *z)
{
    return z->complete;
}

/* One round: as much as fits behind out->n. False: the data is broken. */
static bool round_gzip(struct inflate *z, struct slice *in, struct block *out)
{
    z->gz.next_in = (Bytef *)(uintptr_t)in->p;
    z->gz.avail_in = (uInt)in->n;
    z->gz.next_out = (Bytef *)(out->p + out->n);
    z->gz.avail_out = (uInt)MIN_OF(out->size - out->n, (size_t)UINT32_MAX / 2);
    uInt before = z->gz.avail_out;
    int r = inflate(&z->gz, Z_NO_FLUSH);
    *in = slice_from(*in, in->n - z->gz.avail_in);
    out->n += before - z->gz.avail_out;
    z->complete = r == Z_STREAM_END;
    return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR;
}

static bool round_zstd(struct inflate *z, struct slice *in, struct block *out)
{
    ZSTD_inBuffer from = {.src = in->p, .size = in->n};
    ZSTD_outBuffer to = {.dst = out->p + out->n, .size = out->size - out->n};
    size_t r = ZSTD_decompressStream(z->zstd, &to, &from);
    *in = slice_from(*in, from.pos);
    out->n += to.pos;
    z->complete = r == 0;
    return !ZSTD_isError(r);
}

enum gw_error inflate_feed(struct inflate *z, struct slice data, struct block_pool *pool,
                           struct block *out, size_t limit)
{
    z->packed += data.n;
    for (bool more = true; more;) {
        if (z->complete && data.n > 0)
            return GW_BODY_UNPACK; /* something stands behind the end */
        if (!block_reserve(pool, out, STEP_BYTES))
            return GW_BODY_MEMORY;
        size_t before = out->n, left = data.n;
        if (!(z->zstd != NULL ? round_zstd(z, &data, out) : round_gzip(z, &data, out)))
            return GW_BODY_UNPACK;
        if (out->n > limit)
            return GW_BODY_TOO_LARGE;
        if (out->n > RATIO_FREE && out->n / RATIO_MAX > z->packed)
            return GW_BODY_TOO_LARGE;
        more = !z->complete && (data.n > 0 || out->n == out->size) &&
               (out->n != before || data.n != left);
        if (z->complete && data.n > 0)
            more = true;
    }
    return GW_OK;
}

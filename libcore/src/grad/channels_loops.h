/* channels_loops.h - the loops behind channels.h; the including file defines TABLE. */
#include <math.h>

#include "grad/channels.h"
#include "vector/parts.h"

/* One register of channels after the other. */
#define EACH_REGISTER for (int k = 0; k < PARTS; k++)

/* Four pixels at a time, so that the partials stay in registers. */
#define EACH_STREAM _Pragma("GCC unroll 4") for (int p = 0; p < CPR_STREAMS; p++)
#define FOUR(body)                                   \
    for (; i + CPR_STREAMS <= n; i += CPR_STREAMS) { \
        EACH_STREAM { body; }                        \
    }                                                \
    EACH_STREAM if (i + p < n) { body; }

static void sum(const float *x, int64_t step, int64_t n, int64_t lanes, cpr_lanes sum)
{
    if (lanes < CPR_CHANNELS) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t l = 0; l < lanes; l++)
                sum[i % CPR_STREAMS][l] += x[i * step + l];
        return;
    }
    EACH_REGISTER {
        vf s[CPR_STREAMS];
        EACH_STREAM s[p] = PART(sum[p], k);
        int64_t i = 0;
        FOUR(s[p] += CONST_PART(x + (i + p) * step, k))
        EACH_STREAM PART(sum[p], k) = s[p];
    }
}

static void deviation(const float *x, int64_t step, int64_t n, int64_t lanes, const float *mean, cpr_lanes sum)
{
    if (lanes < CPR_CHANNELS) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t l = 0; l < lanes; l++) {
                const float d = x[i * step + l] - mean[l];
                sum[i % CPR_STREAMS][l] += d * d;
            }
        return;
    }
    EACH_REGISTER {
        const vf m = CONST_PART(mean, k);
        vf s[CPR_STREAMS];
        EACH_STREAM s[p] = PART(sum[p], k);
        int64_t i = 0;
        FOUR(const vf d = CONST_PART(x + (i + p) * step, k) - m; s[p] += d * d)
        EACH_STREAM PART(sum[p], k) = s[p];
    }
}

static void products(const float *x, int64_t x_step, const float *g, int64_t g_step, int64_t n, int64_t lanes,
                     const float *mean, cpr_lanes sum, cpr_lanes along)
{
    if (lanes < CPR_CHANNELS) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t l = 0; l < lanes; l++) {
                const float gi = g[i * g_step + l];
                sum[i % CPR_STREAMS][l] += gi;
                along[i % CPR_STREAMS][l] += gi * (x[i * x_step + l] - mean[l]);
            }
        return;
    }
    EACH_REGISTER {
        const vf m = CONST_PART(mean, k);
        vf s[CPR_STREAMS], a[CPR_STREAMS];
        EACH_STREAM {
            s[p] = PART(sum[p], k);
            a[p] = PART(along[p], k);
        }
        int64_t i = 0;
        FOUR(const vf gi = CONST_PART(g + (i + p) * g_step, k); s[p] += gi;
             a[p] += gi * (CONST_PART(x + (i + p) * x_step, k) - m))
        EACH_STREAM {
            PART(sum[p], k) = s[p];
            PART(along[p], k) = a[p];
        }
    }
}

static void apply(const float *x, int64_t x_step, const float *g, int64_t g_step, float *out, int64_t out_step,
                  int64_t n, int64_t channels, const float *mean, const float *a, const float *b, const float *c)
{
    for (int64_t i = 0; i < n; i++) {
        const float *xi = x + i * x_step, *gi = g + i * g_step;
        float *to = out + i * out_step;
        _Pragma("GCC ivdep") for (int64_t l = 0; l < channels; l++)
            to[l] = fmaf(gi[l], a[l], fmaf(xi[l] - mean[l], b[l], c[l]));
    }
}

static void affine(const float *x, int64_t x_step, const float *added, int64_t added_step, float *out, int64_t out_step,
                   int64_t n, int64_t channels, const float *mean, const float *b, const float *c, float low)
{
    for (int64_t i = 0; i < n; i++) {
        const float *xi = x + i * x_step, *more = added ? added + i * added_step : NULL;
        float *to = out + i * out_step;
        if (more)
            _Pragma("GCC ivdep") for (int64_t l = 0; l < channels; l++)
            {
                const float y = fmaf(xi[l] - mean[l], b[l], c[l]) + more[l];
                to[l] = y < low ? low : y;
            }
        else
            _Pragma("GCC ivdep") for (int64_t l = 0; l < channels; l++)
            {
                const float y = fmaf(xi[l] - mean[l], b[l], c[l]);
                to[l] = y < low ? low : y;
            }
    }
}

const cpr_channel_ops TABLE = {sum, deviation, products, apply, affine};

/* recurrent_loops.h - the loops behind recurrent.h; the including file defines TABLE. */
#include <math.h>

#include "recurrent/recurrent.h"
#include "vector/brain.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

static void halve(int64_t n, const float *x, uint16_t *y)
{
    LOOP y[i] = brain_of_float(x[i]);
}

static void add_product(int64_t n, const float *a, const float *b, float *y)
{
    LOOP y[i] = fmaf(a[i], b[i], y[i]);
}

static void product_of(int64_t n, const float *a, const float *b, float *y)
{
    LOOP y[i] = a[i] * b[i];
}

static void complement(int64_t n, const float *a, float *y)
{
    LOOP y[i] = 1.0f - a[i];
}

static void clip(int64_t n, float *y, float bound)
{
    LOOP
    {
        const float low = y[i] < -bound ? -bound : y[i];
        y[i] = low > bound ? bound : low;
    }
}

static void cell(int64_t n, const float *in, const float *f, const float *g, float *c)
{
    LOOP c[i] = fmaf(in[i], g[i], f[i] * c[i]);
}

static void mix(int64_t n, const float *z, const float *fresh, float *h)
{
    LOOP h[i] = fmaf(z[i], h[i], (1.0f - z[i]) * fresh[i]);
}

static void difference(int64_t n, const float *a, const float *b, float *y)
{
    LOOP y[i] = a[i] - b[i];
}

static void sum(int64_t n, const float *a, float *y)
{
    LOOP y[i] += a[i];
}

static void relu_slope(int64_t n, const float *y, const float *g, float *out)
{
    LOOP out[i] = y[i] > 0.0f ? g[i] : 0.0f;
}

static void sigmoid_slope(int64_t n, const float *y, const float *g, float *out)
{
    LOOP out[i] = g[i] * y[i] * (1.0f - y[i]);
}

static void tanh_slope(int64_t n, const float *y, const float *g, float *out)
{
    LOOP out[i] = g[i] * fmaf(-y[i], y[i], 1.0f);
}

const cpr_recurrent_ops TABLE = {halve, add_product, product_of, complement, clip,
                                 cell,  mix,         difference, sum,        {relu_slope, sigmoid_slope, tanh_slope}};

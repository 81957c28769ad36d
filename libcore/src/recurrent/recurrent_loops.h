/* recurrent_loops.h - the loops behind recurrent.h; the including file defines TABLE. */
#include <math.h>

#include "recurrent/recurrent.h"

#if defined(__AVX512F__)
#include <immintrin.h>
typedef __m512 lanes;
enum { W = 16 };
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define ALL(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#elif defined(__AVX2__)
#include <immintrin.h>
typedef __m256 lanes;
enum { W = 8 };
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define ALL(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#else
typedef float lanes;
enum { W = 1 };
#define LOAD(p) (*(p))
#define STORE(p, v) (*(p) = (v))
#define ALL(x) (x)
#define FMA(a, b, c) fmaf(a, b, c)
#endif

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* R rows of V vectors: R V accumulators stay in registers over all of k. */
#define TILE(R, V)                                                                               \
    static void tile_##R##x##V(const float *x, int64_t x_step, int64_t k, const float *w, int64_t w_step, \
                               float *y, int64_t y_step)                                         \
    {                                                                                            \
        lanes acc[R][V];                                                                         \
        _Pragma("GCC unroll 4") for (int r = 0; r < R; r++)                                      \
            _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) acc[r][v] = LOAD(y + r * y_step + v * W); \
        for (int64_t i = 0; i < k; i++, w += w_step) {                                           \
            lanes b[V];                                                                          \
            _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) b[v] = LOAD(w + v * W);          \
            _Pragma("GCC unroll 4") for (int r = 0; r < R; r++)                                  \
            {                                                                                    \
                const lanes a = ALL(x[r * x_step + i]);                                          \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) acc[r][v] = FMA(a, b[v], acc[r][v]); \
            }                                                                                    \
        }                                                                                        \
        _Pragma("GCC unroll 4") for (int r = 0; r < R; r++)                                      \
            _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) STORE(y + r * y_step + v * W, acc[r][v]); \
    }

#if defined(__AVX512F__)
enum { WIDE = 4 };
#define tile_wide tile_4x4
TILE(4, 4) /* 16 accumulators of 32 registers */
#else
enum { WIDE = 2 };
#define tile_wide tile_4x2
TILE(4, 2) /* 8 of 16 */
#endif
TILE(4, 1)

/* One row: the rows of w are streamed four at a time past y, which stays in the first cache. */
static void stream_row(const float *x, int64_t k, const float *w, int64_t w_step, float *y, int64_t columns)
{
    int64_t i = 0;
    for (; i + 4 <= k; i += 4, w += 4 * w_step) {
        const lanes a = ALL(x[i]), b = ALL(x[i + 1]), c = ALL(x[i + 2]), d = ALL(x[i + 3]);
        int64_t j = 0;
        for (; j + W <= columns; j += W) {
            const lanes sum = FMA(b, LOAD(w + w_step + j), FMA(a, LOAD(w + j), LOAD(y + j)));
            STORE(y + j, FMA(d, LOAD(w + 3 * w_step + j), FMA(c, LOAD(w + 2 * w_step + j), sum)));
        }
        for (; j < columns; j++)
            for (int64_t q = 0; q < 4; q++)
                y[j] = fmaf(x[i + q], w[q * w_step + j], y[j]);
    }
    for (; i < k; i++, w += w_step)
        for (int64_t j = 0; j < columns; j++)
            y[j] = fmaf(x[i], w[j], y[j]);
}

/* A slice of k whose columns of w fit the first cache for all rows. */
enum { SLICE = 64 };

static void product_slice(const float *x, int64_t x_step, int64_t k, const float *w, int64_t w_step, float *y,
                          int64_t y_step, int64_t rows, int64_t columns)
{
    int64_t j = 0;
    for (; j + WIDE * W <= columns; j += WIDE * W)
        for (int64_t r = 0; r < rows; r += 4)
            tile_wide(x + r * x_step, x_step, k, w + j, w_step, y + r * y_step + j, y_step);
    for (; j + W <= columns; j += W)
        for (int64_t r = 0; r < rows; r += 4)
            tile_4x1(x + r * x_step, x_step, k, w + j, w_step, y + r * y_step + j, y_step);
    for (; j < columns; j++)
        for (int64_t r = 0; r < rows; r++) {
            float sum = y[r * y_step + j];
            for (int64_t i = 0; i < k; i++)
                sum = fmaf(x[r * x_step + i], w[i * w_step + j], sum);
            y[r * y_step + j] = sum;
        }
}

static void product(const float *x, int64_t x_step, int64_t k, const float *w, int64_t w_step, float *y, int64_t y_step,
                    int64_t rows, int64_t columns)
{
    const int64_t fours = rows / 4 * 4;
    for (int64_t i = 0; i < k && fours > 0; i += SLICE)
        product_slice(x + i, x_step, k - i < SLICE ? k - i : SLICE, w + i * w_step, w_step, y, y_step, fours, columns);
    for (int64_t r = fours; r < rows; r++)
        stream_row(x + r * x_step, k, w, w_step, y + r * y_step, columns);
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

const cpr_recurrent_ops TABLE = {product, add_product, product_of, complement, clip, cell, mix};

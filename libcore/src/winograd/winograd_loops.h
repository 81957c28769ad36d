/* winograd_loops.h - the transforms behind winograd.h; the including file defines TABLE.
 *
 * A transform in two dimensions is one along each column, then one along each row.
 */
#include <math.h>
#include <string.h>

#include "winograd/winograd.h"

#define INLINE static inline __attribute__((always_inline))
#define LANES _Pragma("GCC ivdep") for (int i = 0; i < CPR_STRIP; i++)
#define LINES(i, n) _Pragma("GCC unroll 1") for (int i = 0; i < (n); i++)
#define EACH(i, n) _Pragma("GCC unroll 6") for (int i = 0; i < (n); i++)

enum { MOST = CPR_MOST_TILE + 2 };

/* G: one row per point p, [1, p, p^2] / product over the other points q of (p - q), and infinity's. */
#define ROW(p, others) {1 / (others), (p) / (others), (p) * (p) / (others)}
#define A (double)CPR_WINOGRAD_NEAR
#define B (double)CPR_WINOGRAD_FAR
static const double g_2[][3] = {ROW(0.0, -1.0), ROW(1.0, 2.0), ROW(-1.0, 2.0), {0, 0, 1}};
static const double g_4[][3] = {
    ROW(0.0, A * A * B * B),
    ROW(A, 2 * A * A * (A * A - B * B)),
    ROW(-A, 2 * A * A * (A * A - B * B)),
    ROW(B, 2 * B * B * (B * B - A * A)),
    ROW(-B, 2 * B * B * (B * B - A * A)),
    {0, 0, 1},
};
#undef A
#undef B

INLINE void kernel(const int n, const double (*g)[3], const float *taps, int64_t count, float *out, int64_t plane)
{
    for (int64_t c = 0; c < count; c++, taps += 9 * CPR_STRIP, out += CPR_STRIP)
        LINES(a, n)
        {
            double half[3][CPR_STRIP] __attribute__((aligned(64)));
            EACH(x, 3)
            LANES half[x][i] = g[a][0] * taps[x * CPR_STRIP + i] + g[a][1] * taps[(3 + x) * CPR_STRIP + i] +
                               g[a][2] * taps[(6 + x) * CPR_STRIP + i];
            LINES(b, n)
            {
                float *to = out + (a * n + b) * plane;
                LANES to[i] = (float)(g[b][0] * half[0][i] + g[b][1] * half[1][i] + g[b][2] * half[2][i]);
            }
        }
}

/* One column or row: from n pointers to strips, to as many. */
typedef void line(const float *const *d, float *const *v);

INLINE void input_line_2(const float *const *d, float *const *v)
{
    const float *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3];
    float *v0 = v[0], *v1 = v[1], *v2 = v[2], *v3 = v[3];
    LANES
    {
        v0[i] = d2[i] - d0[i];
        v1[i] = d1[i] + d2[i];
        v2[i] = d2[i] - d1[i];
        v3[i] = d3[i] - d1[i];
    }
}

INLINE void output_line_2(const float *const *d, float *const *v)
{
    const float *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3];
    float *v0 = v[0], *v1 = v[1];
    LANES
    {
        v0[i] = d0[i] + (d1[i] + d2[i]);
        v1[i] = (d1[i] - d2[i]) + d3[i];
    }
}

#define A CPR_WINOGRAD_NEAR
#define B CPR_WINOGRAD_FAR

INLINE void input_line_4(const float *const *d, float *const *v)
{
    const float *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3], *d4 = d[4], *d5 = d[5];
    float *v0 = v[0], *v1 = v[1], *v2 = v[2], *v3 = v[3], *v4 = v[4], *v5 = v[5];
    LANES
    {
        const float even_a = fmaf(-B * B, d2[i], d4[i]), odd_a = fmaf(-B * B, d1[i], d3[i]);
        const float even_b = fmaf(-A * A, d2[i], d4[i]), odd_b = fmaf(-A * A, d1[i], d3[i]);
        v0[i] = fmaf(A * A * B * B, d0[i], fmaf(-(A * A + B * B), d2[i], d4[i]));
        v1[i] = fmaf(A, odd_a, even_a);
        v2[i] = fmaf(-A, odd_a, even_a);
        v3[i] = fmaf(B, odd_b, even_b);
        v4[i] = fmaf(-B, odd_b, even_b);
        v5[i] = fmaf(A * A * B * B, d1[i], fmaf(-(A * A + B * B), d3[i], d5[i]));
    }
}

INLINE void output_line_4(const float *const *d, float *const *v)
{
    const float *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3], *d4 = d[4], *d5 = d[5];
    float *v0 = v[0], *v1 = v[1], *v2 = v[2], *v3 = v[3];
    LANES
    {
        const float even_a = d1[i] + d2[i], odd_a = d1[i] - d2[i];
        const float even_b = d3[i] + d4[i], odd_b = d3[i] - d4[i];
        v0[i] = d0[i] + (even_a + even_b);
        v1[i] = fmaf(A, odd_a, B * odd_b);
        v2[i] = fmaf(A * A, even_a, B * B * even_b);
        v3[i] = fmaf(A * A * A, odd_a, fmaf(B * B * B, odd_b, d5[i]));
    }
}

INLINE void input_strip(const int m, line *along, float *const *pixels, int64_t c, float *v, int64_t plane)
{
    const int n = m + 2;
    float half[MOST * MOST][CPR_STRIP] __attribute__((aligned(64)));
    LINES(x, n)
    {
        const float *from[MOST];
        float *to[MOST];
        EACH(y, n)
        {
            from[y] = pixels[y * n + x] + c;
            to[y] = half[y * n + x];
        }
        along(from, to);
    }
    LINES(y, n)
    {
        const float *from[MOST];
        float *to[MOST];
        EACH(x, n)
        {
            from[x] = half[y * n + x];
            to[x] = v + (y * n + x) * plane + c;
        }
        along(from, to);
    }
}

/* The channels behind the last whole strip, with zeros. */
INLINE void input_rest(const int m, line *along, float *const *pixels, int64_t c, int64_t rest, float *v,
                       int64_t plane)
{
    const int n = m + 2;
    float strip[MOST * MOST][CPR_STRIP] = {{0}};
    float *from[MOST * MOST];
    for (int p = 0; p < n * n; p++) {
        memcpy(strip[p], pixels[p] + c, (size_t)rest * sizeof(float));
        from[p] = strip[p];
    }
    input_strip(m, along, from, 0, v + c, plane);
}

INLINE void input(const int m, line *along, float *const *pixels, int64_t channels, float *v, int64_t plane)
{
    int64_t c = 0;
    for (; c + CPR_STRIP <= channels; c += CPR_STRIP)
        input_strip(m, along, pixels, c, v, plane);
    if (c < channels)
        input_rest(m, along, pixels, c, channels - c, v, plane);
}

INLINE void store(const float *sum, const float *bias, const float *residual, float low, float high, float *out)
{
    LANES
    {
        float y = sum[i];
        if (bias)
            y += bias[i];
        if (residual)
            y += residual[i];
        y = low > y ? low : y; /* NaN passes */
        out[i] = high < y ? high : y;
    }
}

INLINE void output_strip(const int m, line *along, const float *s, int64_t plane, const float *bias,
                         float *const *residual, float *const *out, int64_t c, float low, float high)
{
    const int n = m + 2;
    float half[MOST * MOST][CPR_STRIP] __attribute__((aligned(64)));
    LINES(x, n)
    {
        const float *from[MOST];
        float *to[MOST];
        EACH(y, n)
        from[y] = s + (y * n + x) * plane;
        EACH(y, m)
        to[y] = half[y * n + x];
        along(from, to);
    }
    LINES(y, m)
    {
        const float *from[MOST];
        float sums[CPR_MOST_TILE][CPR_STRIP] __attribute__((aligned(64))), *to[CPR_MOST_TILE];
        EACH(x, n)
        from[x] = half[y * n + x];
        EACH(x, m)
        to[x] = sums[x];
        along(from, to);
        EACH(x, m)
        {
            const int p = y * m + x;
            if (residual)
                store(sums[x], bias, residual[p] + c, low, high, out[p] + c);
            else
                store(sums[x], bias, NULL, low, high, out[p] + c);
        }
    }
}

/* The channels behind the last whole strip: through strips of their own. */
INLINE void output_rest(const int m, line *along, const float *s, int64_t plane, const float *bias,
                        const cpr_winograd_result *r, int64_t c)
{
    const size_t bytes = (size_t)(r->channels - c) * sizeof(float);
    float strip[CPR_MOST_TILE * CPR_MOST_TILE][CPR_STRIP], added[CPR_MOST_TILE * CPR_MOST_TILE][CPR_STRIP] = {{0}};
    float *from[CPR_MOST_TILE * CPR_MOST_TILE], *to[CPR_MOST_TILE * CPR_MOST_TILE];
    for (int p = 0; p < m * m; p++) {
        if (r->residual)
            memcpy(added[p], r->residual[p] + c, bytes);
        from[p] = added[p];
        to[p] = strip[p];
    }
    output_strip(m, along, s, plane, bias, r->residual ? from : NULL, to, 0, r->low, r->high);
    for (int p = 0; p < m * m; p++)
        memcpy(r->out[p] + c, strip[p], bytes);
}

INLINE void output(const int m, line *along, const float *s, int64_t plane, const cpr_winograd_result *r)
{
    for (int64_t c = 0; c < r->channels; c += CPR_STRIP) {
        const float *bias = r->bias ? r->bias + c : NULL;
        if (c + CPR_STRIP > r->channels)
            output_rest(m, along, s + c, plane, bias, r, c);
        else
            output_strip(m, along, s + c, plane, bias, r->residual, r->out, c, r->low, r->high);
    }
}

static void kernel_2(const float *taps, int64_t count, float *out, int64_t plane)
{
    kernel(4, g_2, taps, count, out, plane);
}

static void kernel_4(const float *taps, int64_t count, float *out, int64_t plane)
{
    kernel(6, g_4, taps, count, out, plane);
}

static void input_2(float *const *pixels, int64_t channels, float *v, int64_t plane)
{
    input(2, input_line_2, pixels, channels, v, plane);
}

static void input_4(float *const *pixels, int64_t channels, float *v, int64_t plane)
{
    input(4, input_line_4, pixels, channels, v, plane);
}

static void output_2(const float *s, int64_t plane, const cpr_winograd_result *to)
{
    output(2, output_line_2, s, plane, to);
}

static void output_4(const float *s, int64_t plane, const cpr_winograd_result *to)
{
    output(4, output_line_4, s, plane, to);
}

const cpr_winograd_ops TABLE = {{2, kernel_2, input_2, output_2}, {4, kernel_4, input_4, output_4}};

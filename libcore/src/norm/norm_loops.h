/* norm_loops.h - the loops behind norm.h; the including file defines TABLE. */
#include <string.h>

#include "norm/norm.h"
#include "reduce/fold_loops.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#define BLOCK 256 /* of squares that stay in the first cache */

/* The largest element.  NaN ones are passed over: they make the sum NaN, and so the whole row. */
static float largest(const float *x, int64_t n)
{
    _Alignas(64) float p[2 * CPR_PARTIALS];
    if (n >= 2 * CPR_PARTIALS) {
        vf most[2 * PARTS];
        _Pragma("GCC unroll 8") for (int k = 0; k < 2 * PARTS; k++) most[k] = (vf){0} - INFINITY;
        /* The last vectors may overlap those before them. */
        for (int64_t i = 0; i < n; i += 2 * CPR_PARTIALS) {
            const float *from = x + (i + 2 * CPR_PARTIALS <= n ? i : n - 2 * CPR_PARTIALS);
            _Pragma("GCC unroll 8") for (int k = 0; k < 2 * PARTS; k++)
            {
                const vf one = CONST_PART(from, k);
                most[k] = PICK(one > most[k], one, most[k]);
            }
        }
        _Pragma("GCC unroll 8") for (int k = 0; k < 2 * PARTS; k++) PART(p, k) = most[k];
    } else {
        for (int64_t i = 0; i < 2 * CPR_PARTIALS; i++)
            p[i] = i < n && x[i] > -INFINITY ? x[i] : -INFINITY;
    }
#define HALVE_MAX(half) \
    for (int64_t j = 0; j < half; j++) p[j] = p[j + half] > p[j] ? p[j + half] : p[j];
    HALVE_MAX(16) HALVE_MAX(8) HALVE_MAX(4) HALVE_MAX(2) HALVE_MAX(1)
    return p[0];
}

/* e = e^(x - max), sixteen of them: the last few of a row one by one would take as long. */
CPR_FN void sixteen(const float *x, float max, float *e)
{
    for (int64_t j = 0; j < CPR_PARTIALS; j++)
        e[j] = exp_negative_f32(x[j] - max);
}

/* y = e^(x - max), if y is given, which may be x; returns the sum. */
static float exponentials(const float *x, float *y, int64_t n, float max)
{
    _Alignas(64) float p[CPR_PARTIALS], e[2 * CPR_PARTIALS] = {0}, last[CPR_PARTIALS] = {0};
    /* The last sixteen, or all of fewer; what comes before the last few is made twice. */
    const int64_t left = n % CPR_PARTIALS, again = n < CPR_PARTIALS ? 0 : CPR_PARTIALS - left;
    if (n < CPR_PARTIALS)
        memcpy(last, x, (size_t)n * sizeof *x);
    else
        memcpy(last, x + n - CPR_PARTIALS, sizeof last);
    vf sums[PARTS];
    EACH_PART(k) sums[k] = (vf){0};
    for (int64_t i = 0; i + CPR_PARTIALS <= n; i += CPR_PARTIALS) {
        sixteen(x + i, max, e);
        EACH_PART(k) sums[k] += PART(e, k);
        if (y)
            memcpy(y + i, e, sizeof last);
    }
    if (left) {
        sixteen(last, max, e);
        if (y && n < CPR_PARTIALS)
            memcpy(y, e, (size_t)n * sizeof *y);
        else if (y)
            memcpy(y + n - CPR_PARTIALS, e, sizeof last);
        for (int64_t j = again + left; j < CPR_PARTIALS; j++)
            e[j] = 0.0f;
        EACH_PART(k) sums[k] += CONST_PART(e + again, k);
    }
    EACH_PART(k) PART(p, k) = sums[k];
    return sum_of_partials(p);
}

enum { ALIGNED = 512 }; /* elements of a row that is kept where stores cross no cache line */

/* Several rows at once: each step waits for the one before, but not for another row's. */
static void softmax(const float *const *x, float *const *y, int64_t rows, int64_t n)
{
    _Alignas(64) float buffer[CPR_SOFTMAX_ROWS][ALIGNED];
    float factor[CPR_SOFTMAX_ROWS];
    for (int64_t r = 0; r < rows; r++)
        factor[r] = largest(x[r], n);
    for (int64_t r = 0; r < rows; r++)
        factor[r] = 1.0f / exponentials(x[r], n <= ALIGNED ? buffer[r] : y[r], n, factor[r]);
    for (int64_t r = 0; r < rows; r++) {
        const float f = factor[r], *from = n <= ALIGNED ? buffer[r] : y[r];
        float *to = y[r];
        LOOP to[i] = from[i] * f;
    }
}

static void softmax_rows(float *x, int64_t step, int64_t rows, int64_t n)
{
    float *at[CPR_SOFTMAX_ROWS];
    for (int64_t first = 0; first < rows; first += CPR_SOFTMAX_ROWS) {
        const int64_t count = rows - first < CPR_SOFTMAX_ROWS ? rows - first : CPR_SOFTMAX_ROWS;
        for (int64_t r = 0; r < count; r++)
            at[r] = x + (first + r) * step;
        softmax((const float *const *)at, at, count, n);
    }
}

static void log_softmax(const float *x, float *y, int64_t n)
{
    const float max = largest(x, n), logarithm = (float)log_f64(exponentials(x, NULL, n, max));
    LOOP y[i] = x[i] - max - logarithm;
}

static void lanes_deviation(float *lanes, const float *x, int64_t n, const float *mean)
{
    LOOP
    {
        const float d = x[i] - mean[i];
        lanes[i] += d * d;
    }
}

static void layer(const float *x, float *y, int64_t n, const float *scale, const float *bias, float epsilon,
                  float *mean_out, float *inv_out)
{
    _Alignas(64) float sums[CPR_PARTIALS] = {0}, squares[CPR_PARTIALS] = {0};
    row_sum(sums, x, n, 0);
    const float mean = sum_of_partials(sums) / (float)n;
    row_deviation(squares, x, n, 0, mean);
    const float inv = 1.0f / sqrtf(sum_of_partials(squares) / (float)n + epsilon);
    if (scale && bias)
        LOOP y[i] = fmaf((x[i] - mean) * inv, scale[i], bias[i]);
    else if (scale)
        LOOP y[i] = (x[i] - mean) * inv * scale[i];
    else if (bias)
        LOOP y[i] = (x[i] - mean) * inv + bias[i];
    else
        LOOP y[i] = (x[i] - mean) * inv;
    *mean_out = mean;
    *inv_out = inv;
}

static void rms(const float *x, float *y, int64_t n, const float *scale, float epsilon)
{
    _Alignas(64) float squares[CPR_PARTIALS] = {0};
    row_sum_square(squares, x, n, 0);
    const float inv = 1.0f / sqrtf(sum_of_partials(squares) / (float)n + epsilon);
    if (scale)
        LOOP y[i] = x[i] * inv * scale[i];
    else
        LOOP y[i] = x[i] * inv;
}

static void lp(const float *x, float *y, int64_t n, int64_t p)
{
    _Alignas(64) float sums[CPR_PARTIALS] = {0};
    if (p == 1)
        row_l1(sums, x, n, 0);
    else
        row_sum_square(sums, x, n, 0);
    const float sum = sum_of_partials(sums), norm = p == 1 ? sum : sqrtf(sum);
    if (norm == 0.0f)
        LOOP y[i] = 0.0f;
    else
        LOOP y[i] = x[i] / norm;
}

static void apply(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)context;
    const float *x = (const float *)data[0], *mean = (const float *)data[1];
    const float *factor = (const float *)data[2], *shift = (const float *)data[3];
    float *y = (float *)data[4];
    if (scalars) {
        const float m = *mean, f = *factor, s = *shift;
        LOOP y[i] = fmaf(x[i] - m, f, s);
    } else
        LOOP y[i] = fmaf(x[i] - mean[i], factor[i], shift[i]);
}

/* parameters: alpha / size, beta, bias */
static void lrn(const float *x, float *y, int64_t n, float *squares, int64_t size, const float *parameters)
{
    const float alpha = parameters[0], beta = parameters[1], bias = parameters[2];
    const int64_t before = (size - 1) / 2;
    float *middle = squares + size;
    LOOP middle[i] = x[i] * x[i];
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t part = n - start < BLOCK ? n - start : BLOCK;
        float sum[BLOCK];
        for (int64_t i = 0; i < part; i++)
            sum[i] = 0.0f;
        for (int64_t t = 0; t < size; t++) {
            const float *from = middle + start - before + t;
            for (int64_t i = 0; i < part; i++)
                sum[i] += from[i];
        }
        _Pragma("GCC ivdep") for (int64_t i = 0; i < part; i++)
            y[start + i] = x[start + i] / pow_f32(fmaf(alpha, sum[i], bias), beta);
    }
}

const cpr_norm_ops TABLE = {softmax, softmax_rows, log_softmax, layer, rms, lp, row_deviation, lanes_deviation, apply, lrn};

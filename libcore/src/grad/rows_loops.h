/* rows_loops.h - the loops behind rows.h; the including file defines TABLE.
 *
 * Sums over a row are sixteen partials, as everywhere (reduce.h).
 */
#include "grad/rows.h"
#include "reduce/fold_loops.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t k = 0; k < n; k++)

/* Sums of g scale and of g scale (x - mean) inv. */
static void products(const float *x, const float *g, int64_t n, const float *scale, float mean, float inv,
                     float *sum, float *along)
{
    _Alignas(64) float p[CPR_PARTIALS] = {0}, q[CPR_PARTIALS] = {0};
    vf a[PARTS] = {0}, b[PARTS] = {0};
    int64_t i = 0;
    for (; i + CPR_PARTIALS <= n; i += CPR_PARTIALS)
        EACH_PART(k)
        {
            const vf s = CONST_PART(g + i, k) * CONST_PART(scale + i, k);
            a[k] += s;
            b[k] += s * ((CONST_PART(x + i, k) - mean) * inv);
        }
    EACH_PART(k)
    {
        PART(p, k) = a[k];
        PART(q, k) = b[k];
    }
    for (int64_t j = 0; i < n; i++, j++) {
        const float s = g[i] * scale[i];
        p[j] += s;
        q[j] += s * ((x[i] - mean) * inv);
    }
    *sum = sum_of_partials(p);
    *along = sum_of_partials(q);
}

static void layer(const float *x, const float *g, float *dx, int64_t n, const float *scale, float epsilon,
                  float *dscale, float *dbias)
{
    _Alignas(64) float sums[CPR_PARTIALS] = {0}, squares[CPR_PARTIALS] = {0};
    row_sum(sums, x, n, 0);
    const float mean = sum_of_partials(sums) / (float)n;
    row_deviation(squares, x, n, 0, mean);
    const float inv = 1.0f / sqrtf(sum_of_partials(squares) / (float)n + epsilon);
    float sum, along;
    products(x, g, n, scale, mean, inv, &sum, &along);
    sum /= (float)n;
    along /= (float)n;
    LOOP
    {
        const float normal = (x[k] - mean) * inv, gk = g[k];
        dscale[k] = fmaf(gk, normal, dscale[k]);
        dbias[k] += gk;
        dx[k] = inv * (gk * scale[k] - fmaf(normal, along, sum));
    }
}

static void softmax(const float *y, const float *g, float *out, int64_t n, float factor)
{
    _Alignas(64) float p[CPR_PARTIALS] = {0};
    vf a[PARTS] = {0};
    int64_t i = 0;
    for (; i + CPR_PARTIALS <= n; i += CPR_PARTIALS)
        EACH_PART(k) a[k] += CONST_PART(y + i, k) * CONST_PART(g + i, k);
    EACH_PART(k) PART(p, k) = a[k];
    for (int64_t j = 0; i < n; i++, j++)
        p[j] += y[i] * g[i];
    const float sum = sum_of_partials(p);
    LOOP out[k] = factor * (y[k] * (g[k] - sum));
}

const cpr_grad_rows_ops TABLE = {layer, softmax};

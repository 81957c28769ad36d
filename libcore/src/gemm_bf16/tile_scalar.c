/* tile_scalar.c - the bfloat16 tile in plain C: the reference of every other one. */
#include <math.h>

#include "gemm_bf16/gemm_bf16.h"
#include "product/tiles.h"
#include "vector/brain.h"

static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

static float wide(uint16_t half)
{
    return flushed(float_of_brain(half));
}

static float sum_of(const cpr_block *p, int m, int i, int64_t j, float sum)
{
    const int64_t pairs = (p->kc + 1) / 2;
    for (int64_t t = 0; t < p->taps; t++) {
        const uint16_t *a = p->rows[t * m + i];
        const uint16_t *b = (const uint16_t *)p->b + (t * pairs * CPR_PANEL + j) * 2;
        for (int64_t k = 0; k < 2 * pairs; k += 2, b += 2 * CPR_PANEL) {
            sum = flushed(fmaf(k + 1 < p->kc ? wide(a[k + 1]) : 0.0f, wide(b[1]), flushed(sum)));
            sum = flushed(fmaf(wide(a[k]), wide(b[0]), sum));
        }
    }
    return flushed(sum);
}

static void tile(const int m, const int panels, const cpr_block *p)
{
    (void)panels; /* one */
    for (int i = 0; i < m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            const int64_t at = i * p->ldc + j, r = i * p->ldr + j;
            float c = p->start ? ((const float *)p->start)[j] : 0.0f;
            c = sum_of(p, m, i, j, p->resume ? ((const float *)p->c)[at] : c);
            if (p->more) {
                ((float *)p->c)[at] = c;
                continue;
            }
            if (p->zeros)
                c += 0.0f;
            if (p->residual && p->store == CPR_F32)
                c = flushed(c + flushed(((const float *)p->residual)[r]));
            else if (p->residual)
                c = flushed(c + wide(((const uint16_t *)p->residual)[r]));
            c = p->low > c ? p->low : c; /* NaN passes */
            c = p->high < c ? p->high : c;
            if (p->store == CPR_F32)
                ((float *)p->c)[at] = c;
            else
                ((uint16_t *)p->c)[at] = brain_of_float(flushed(c));
        }
}

FOUR(1)

const cpr_tiles cpr_bf16_tiles_scalar = {
    .max_rows = {0, 4},
    .tile = {[1] = {NULL, NAMES4(1)}},
};

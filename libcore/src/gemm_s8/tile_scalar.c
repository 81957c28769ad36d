/* tile_scalar.c - the int8 tile in plain C: the reference of every other one. */
#include <math.h>

#include "gemm_s8/gemm_s8.h"
#include "product/tiles.h"

/* Store one sum as the block says. */
static void store(const cpr_block *p, int64_t i, int64_t j, int32_t sum)
{
    const int64_t at = i * p->ldc + j;
    if (!p->scale) {
        ((int32_t *)p->c)[at] = sum;
        return;
    }
    float value = (float)sum * p->scale[j];
    if (p->store == CPR_F32 && p->residual)
        value += ((const float *)p->residual)[i * p->ldr + j];
    if (p->store == CPR_U8 && p->residual) {
        const int32_t r = ((const uint8_t *)p->residual)[i * p->ldr + j] - p->residual_zero;
        value = p->inner_low > value ? p->inner_low : value;
        value = rintf(p->inner_high < value ? p->inner_high : value);
        value = value * p->inner_scale + (float)r * p->residual_scale;
    }
    value = p->low > value ? p->low : value;
    value = p->high < value ? p->high : value;
    if (p->store == CPR_F32)
        ((float *)p->c)[at] = value;
    else
        ((uint8_t *)p->c)[at] = (uint8_t)((int32_t)rintf(value) + p->zero_point);
}

static void tile(const int m, const int panels, const cpr_block *p)
{
    (void)panels; /* one */
    const int64_t quads = (p->kc + 3) / 4;
    for (int i = 0; i < m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            int32_t sum = p->start ? ((const int32_t *)p->start)[j] : 0;
            for (int64_t t = 0; t < p->taps; t++) {
                const uint8_t *a = p->rows[t * m + i];
                const int8_t *b = (const int8_t *)p->b + (t * quads * CPR_PANEL + j) * 4;
                for (int64_t k = 0; k < p->kc; k++)
                    sum += a[k] * b[k / 4 * CPR_PANEL * 4 + k % 4];
            }
            store(p, i, j, sum);
        }
}

FOUR(1)

const cpr_tiles cpr_s8_tiles_scalar = {
    .max_rows = {0, 4},
    .tile = {[1] = {NULL, NAMES4(1)}},
};

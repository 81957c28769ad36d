/* tile_scalar.c - the float32 tile in plain C: the reference of every other one. */
#include <math.h>

#include "gemm_f32/gemm_f32.h"
#include "product/tiles.h"

static void tile(const int m, const int panels, const cpr_block *p)
{
    (void)panels; /* one */
    for (int i = 0; i < m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            float c = p->start ? ((const float *)p->start)[j] : 0.0f;
            if (p->resume)
                c = ((const float *)p->c)[i * p->ldc + j];
            for (int64_t t = 0; t < p->taps; t++) {
                const float *a = p->rows[t * m + i];
                const float *b = (const float *)p->b + t * p->kc * CPR_PANEL + j;
                for (int64_t k = 0; k < p->kc; k++)
                    c = fmaf(a[k], b[k * CPR_PANEL], c);
            }
            if (p->more) {
                ((float *)p->c)[i * p->ldc + j] = c;
                continue;
            }
            if (p->zeros)
                c += 0.0f;
            if (p->residual)
                c += ((const float *)p->residual)[i * p->ldr + j];
            c = p->low > c ? p->low : c; /* NaN passes */
            c = p->high < c ? p->high : c;
            ((float *)p->c)[i * p->ldc + j] = c;
        }
}

FOUR(1)

const cpr_tiles cpr_f32_tiles_scalar = {
    .max_rows = {0, 4},
    .tile = {[1] = {NULL, NAMES4(1)}},
};

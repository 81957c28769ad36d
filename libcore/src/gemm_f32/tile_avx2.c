/* tile_avx2.c - float32 tiles of up to 6 rows x 4 panels (each two ymm registers) for AVX2 + FMA.
 *
 * Registers: 6 x 2 accumulators + 2 of B + 1 broadcast of A = 15 of 16.
 */
#include <immintrin.h>

#include "gemm_f32/gemm_f32.h"
#include "product/tiles.h"
#include "vector/ymm.h"

#define EACH_ROW _Pragma("GCC unroll 6") for (int i = 0; i < MR; i++)
#define EACH_HALF _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)

/* One panel, `column` columns from the first one on. */
static inline __attribute__((always_inline)) void one_panel(const int MR, const cpr_block *p, const float *b, int64_t column)
{
    __m256 acc[6][2];
    const int64_t taps = p->taps, kc = p->kc, n = p->n - column;
    float *c = (float *)p->c + column;
    EACH_HALF {
        const __m256 start = p->start ? _mm256_loadu_ps((const float *)p->start + column + 8 * j) : _mm256_setzero_ps();
        EACH_ROW acc[i][j] = start;
    }
    if (p->resume)
        EACH_HALF EACH_ROW acc[i][j] = _mm256_maskload_ps(c + i * p->ldc + 8 * j, cpr_lanes(n - 8 * j));

    const float *residual = p->residual && !p->more ? (const float *)p->residual + column : NULL;
    if (residual) /* it comes from far away: fetched while the sums are made */
        EACH_ROW _mm_prefetch((const char *)(residual + i * p->ldr), _MM_HINT_T0);

    for (int64_t t = 0; t < taps; t++) {
        const float *a[6];
        EACH_ROW a[i] = p->rows[t * MR + i];
        for (int64_t k = 0; k < kc; k++, b += CPR_PANEL) {
            __m256 bk[2];
            EACH_HALF bk[j] = _mm256_loadu_ps(b + 8 * j);
            EACH_ROW {
                const __m256 ak = _mm256_set1_ps(a[i][k]);
                EACH_HALF acc[i][j] = _mm256_fmadd_ps(ak, bk[j], acc[i][j]);
            }
        }
    }

    if (p->zeros && !p->more)
        EACH_HALF EACH_ROW acc[i][j] = _mm256_add_ps(acc[i][j], _mm256_setzero_ps());
    /* All of the residual before the first store: no load waits for a store that it might alias. */
    if (residual)
        EACH_HALF EACH_ROW acc[i][j] =
            _mm256_add_ps(acc[i][j], _mm256_maskload_ps(residual + i * p->ldr + 8 * j, cpr_lanes(n - 8 * j)));
    if (!p->more) {
        const __m256 low = _mm256_set1_ps(p->low), high = _mm256_set1_ps(p->high);
        EACH_HALF EACH_ROW acc[i][j] = _mm256_min_ps(high, _mm256_max_ps(low, acc[i][j])); /* NaN passes: second operand */
    }
    if (n >= CPR_PANEL)
        EACH_ROW EACH_HALF _mm256_storeu_ps(c + i * p->ldc + 8 * j, acc[i][j]);
    else
        EACH_ROW EACH_HALF cpr_store_lanes(c + i * p->ldc + 8 * j, n - 8 * j, acc[i][j]);
}

/* Panels take turns, where they are small (cpr_product_kind.most): rows of A stay in L1, and those of C are written as far as the tile goes. */
static inline __attribute__((always_inline)) void tile(const int MR, int64_t panels, const cpr_block *p)
{
    for (int64_t j = 0; j < panels; j++)
        one_panel(MR, p, (const float *)((const char *)p->b + j * p->panel), CPR_PANEL * j);
}

SIX(1)
SIX(2)
SIX(4)

const cpr_tiles cpr_f32_tiles_avx2 = {
    .max_rows = {0, 6, 6, 0, 6},
    .tile = {[1] = {NULL, NAMES6(1)}, [2] = {NULL, NAMES6(2)}, [4] = {NULL, NAMES6(4)}},
};

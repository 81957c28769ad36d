/* tile_avx2.c - float32 tiles of up to 6 rows x 1 panel (two ymm registers) for AVX2 + FMA.
 *
 * Registers: 6 x 2 accumulators + 2 of B + 1 broadcast of A = 15 of 16.
 */
#include <immintrin.h>

#include "gemm_f32/gemm_f32.h"
#include "vector/ymm.h"

#define EACH_ROW _Pragma("GCC unroll 6") for (int i = 0; i < MR; i++)
#define EACH_HALF _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)

static inline __attribute__((always_inline)) void tile(const int MR, const cpr_block *p)
{
    __m256 acc[6][2];
    const int64_t taps = p->taps, kc = p->kc;
    EACH_HALF {
        const __m256 start = p->start ? _mm256_loadu_ps((const float *)p->start + 8 * j) : _mm256_setzero_ps();
        EACH_ROW acc[i][j] = start;
    }
    if (p->resume)
        EACH_HALF EACH_ROW acc[i][j] = _mm256_maskload_ps((const float *)p->c + i * p->ldc + 8 * j, cpr_lanes(p->n - 8 * j));

    const bool added = p->residual && !p->more;
    if (added) /* it comes from far away: fetched while the sums are made */
        EACH_ROW _mm_prefetch((const char *)((const float *)p->residual + i * p->ldr), _MM_HINT_T0);

    const float *b = p->b;
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
    if (added)
        EACH_HALF EACH_ROW acc[i][j] = _mm256_add_ps(
            acc[i][j], _mm256_maskload_ps((const float *)p->residual + i * p->ldr + 8 * j, cpr_lanes(p->n - 8 * j)));
    if (!p->more) {
        const __m256 low = _mm256_set1_ps(p->low), high = _mm256_set1_ps(p->high);
        EACH_HALF EACH_ROW acc[i][j] = _mm256_min_ps(high, _mm256_max_ps(low, acc[i][j])); /* NaN passes: second operand */
    }
    EACH_HALF EACH_ROW cpr_store_lanes((float *)p->c + i * p->ldc + 8 * j, p->n - 8 * j, acc[i][j]);
}

#define TILE(rows) \
    static void tile_##rows##x1(const cpr_block *p) { tile(rows, p); }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)

const cpr_tiles cpr_f32_tiles_avx2 = {
    .max_rows = {0, 6},
    .tile = {[1] = {NULL, tile_1x1, tile_2x1, tile_3x1, tile_4x1, tile_5x1, tile_6x1}},
};

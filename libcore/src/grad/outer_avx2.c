/* outer_avx2.c - tiles of up to 6 rows x 16 columns (AVX2).
 *
 * Registers: 6 x 2 accumulators + 2 of g + 1 broadcast of x = 15 of 16.
 */
#include <immintrin.h>

#include "grad/outer_loops.h"
#include "vector/ymm.h"

#define EACH_ROW _Pragma("GCC unroll 6") for (int i = 0; i < MR; i++)

static inline __attribute__((always_inline)) void block(const int MR, const cpr_outer *p, int64_t row, int64_t column)
{
    const int64_t left = p->columns - column;
    const __m256i low = cpr_lanes(left), high = cpr_lanes(left - 8);
    float *out = p->out + row * p->ld + column;
    __m256 acc[6][2];
    EACH_ROW
    {
        acc[i][0] = _mm256_maskload_ps(out + i * p->ld, low);
        acc[i][1] = _mm256_maskload_ps(out + i * p->ld + 8, high);
    }
    for (int64_t s = 0; s < p->stretches; s++) {
        const float *x = p->stretch[s].x + row, *g = p->stretch[s].g + column;
        for (int64_t n = p->stretch[s].n; n > 0; n--, x += p->x_step, g += p->g_step) {
            const __m256 a = _mm256_maskload_ps(g, low), b = _mm256_maskload_ps(g + 8, high);
            EACH_ROW
            {
                const __m256 xi = _mm256_broadcast_ss(x + i);
                acc[i][0] = _mm256_fmadd_ps(xi, a, acc[i][0]);
                acc[i][1] = _mm256_fmadd_ps(xi, b, acc[i][1]);
            }
        }
    }
    EACH_ROW
    {
        cpr_store_lanes(out + i * p->ld, left, acc[i][0]);
        cpr_store_lanes(out + i * p->ld + 8, left - 8, acc[i][1]);
    }
}

static void tile(const cpr_outer *p)
{
    for (int64_t j = 0; j < p->columns; j += 16)
        for (int64_t i = 0; i < p->rows; i += 6)
            switch (p->rows - i) {
            case 1: block(1, p, i, j); break;
            case 2: block(2, p, i, j); break;
            case 3: block(3, p, i, j); break;
            case 4: block(4, p, i, j); break;
            case 5: block(5, p, i, j); break;
            default: block(6, p, i, j); break;
            }
}

const cpr_outer_ops cpr_outer_avx2 = {tile, diagonal, 12};

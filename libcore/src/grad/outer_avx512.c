/* outer_avx512.c - tiles of up to 16 rows x 16 columns, 14 rows x 32 columns (AVX-512). */
#include <immintrin.h>

#include "grad/outer_loops.h"

#define EACH_ROW _Pragma("GCC unroll 16") for (int i = 0; i < MR; i++)
#define EACH_PANEL _Pragma("GCC unroll 2") for (int j = 0; j < NP; j++)

static inline __attribute__((always_inline)) void block(const int MR, const int NP, const cpr_outer *p, int64_t row)
{
    __mmask16 mask[2];
    EACH_PANEL mask[j] = p->columns - 16 * j >= 16 ? 0xffff : (__mmask16)((1u << (p->columns - 16 * j)) - 1);
    float *out = p->out + row * p->ld;
    __m512 acc[16][2];
    EACH_ROW EACH_PANEL acc[i][j] = _mm512_maskz_loadu_ps(mask[j], out + i * p->ld + 16 * j);
    for (int64_t s = 0; s < p->stretches; s++) {
        const float *x = p->stretch[s].x + row, *g = p->stretch[s].g;
        for (int64_t n = p->stretch[s].n; n > 0; n--, x += p->x_step, g += p->g_step) {
            __m512 gj[2];
            EACH_PANEL gj[j] = _mm512_maskz_loadu_ps(mask[j], g + 16 * j);
            EACH_ROW
            {
                const __m512 xi = _mm512_set1_ps(x[i]);
                EACH_PANEL acc[i][j] = _mm512_fmadd_ps(xi, gj[j], acc[i][j]);
            }
        }
    }
    EACH_ROW EACH_PANEL _mm512_mask_storeu_ps(out + i * p->ld + 16 * j, mask[j], acc[i][j]);
}

#define CASE(rows, panels) case rows: block(rows, panels, p, i); break;

static void tile(const cpr_outer *p)
{
    if (p->columns <= 16) {
        for (int64_t i = 0; i < p->rows; i += 16)
            switch (p->rows - i) {
                CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1) CASE(7, 1) CASE(8, 1)
                CASE(9, 1) CASE(10, 1) CASE(11, 1) CASE(12, 1) CASE(13, 1) CASE(14, 1) CASE(15, 1)
            default: block(16, 1, p, i); break;
            }
        return;
    }
    for (int64_t i = 0; i < p->rows; i += 8)
        switch (p->rows - i) {
            CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(5, 2) CASE(6, 2) CASE(7, 2)
        default: block(8, 2, p, i); break;
        }
}

const cpr_outer_ops cpr_outer_avx512 = {tile, diagonal, 16};

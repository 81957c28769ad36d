/* store_zmm.h - what becomes of float32 sums in registers of 16 columns (AVX-512).
 *
 * The file that includes it defines rounded(x), 16 floats as bfloat16, and joined(x, y), those of x
 * before those of y.
 */
#include "gemm_bf16/gemm_bf16.h"
#include "product/zmm.h"

#define EACH_PAIR _Pragma("GCC unroll 2") for (int j = 0; j + 1 < NP; j += 2)

/* Add the residual, bfloat16. */
static inline __attribute__((always_inline)) void add_halves(const int MR, const int NP, const cpr_block *p, __m512 acc[14][4])
{
    const bool whole = p->n >= 16 * NP;
    const uint16_t *from = p->residual;
    const int64_t ldr = cpr_here(p->ldr);
    EACH_ROW {
        EACH_PANEL {
            const uint16_t *r = from + 16 * j;
            const __m256i halves = whole ? _mm256_loadu_si256((const __m256i *)r)
                                         : _mm256_maskz_loadu_epi16(mask_of(p->n - 16 * j), r);
            const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
            acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_castsi512_ps(wide));
        }
        from += ldr;
    }
}

/* One store for two panels. */
static inline __attribute__((always_inline)) void store_halves(const int MR, const int NP, const cpr_block *p,
                                                               __m512 acc[14][4])
{
    const bool whole = p->n >= 16 * NP;
    uint16_t *c = p->c;
    const int64_t ldc = cpr_here(p->ldc);
    EACH_ROW {
        EACH_PAIR {
            const int64_t left = p->n - 16 * j;
            const __m512i both = joined(acc[i][j], acc[i][j + 1]);
            if (whole || left >= 32)
                _mm512_storeu_si512(c + 16 * j, both);
            else
                _mm512_mask_storeu_epi16(c + 16 * j, left > 0 ? (__mmask32)((1u << left) - 1) : 0, both);
        }
        if (NP == 1 && whole)
            _mm256_storeu_si256((__m256i *)c, rounded(acc[i][0]));
        else if (NP == 1)
            _mm256_mask_storeu_epi16(c, mask_of(p->n), rounded(acc[i][0]));
        c += ldc;
    }
}

/* All sums of a tile of MR rows and NP panels. */
static inline __attribute__((always_inline)) void store_tile(const int MR, const int NP, const cpr_block *p,
                                                             __m512 acc[14][4])
{
    if (p->zeros && !p->more)
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_setzero_ps());
    if (p->residual && !p->more) {
        if (p->store == CPR_F32)
            add_floats(MR, NP, p, acc);
        else
            add_halves(MR, NP, p, acc);
    }
    if (!p->more)
        clip_floats(MR, NP, p, acc);
    if (p->more || p->store == CPR_F32)
        store_rows(MR, NP, p, acc);
    else
        store_halves(MR, NP, p, acc);
}

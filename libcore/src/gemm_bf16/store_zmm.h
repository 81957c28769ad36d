/* store_zmm.h - what becomes of float32 sums in registers of 16 columns (AVX-512).
 *
 * The file that includes it defines rounded(x), 16 floats as bfloat16, and joined(x, y), those of x
 * before those of y.
 */
#include <immintrin.h>

#include "gemm_bf16/gemm_bf16.h"

#define EACH_ROW _Pragma("GCC unroll 14") for (int i = 0; i < MR; i++)
#define EACH_PANEL _Pragma("GCC unroll 4") for (int j = 0; j < NP; j++)
#define EACH_PAIR _Pragma("GCC unroll 2") for (int j = 0; j + 1 < NP; j += 2)

/* The columns that exist of a panel, `left` of the block's being left from its first on. */
static inline __attribute__((always_inline)) __mmask16 mask_of(int64_t left)
{
    return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
}

static inline __attribute__((always_inline)) const char *residual_at(const cpr_block *p, int i, int j)
{
    return (const char *)p->residual + (i * p->ldr + 16 * j) * (p->store == CPR_F32 ? 4 : 2);
}

static inline __attribute__((always_inline)) __m512 plus_residual(const cpr_block *p, int i, int j, __m512 c)
{
    const __mmask16 columns = mask_of(p->n - 16 * j);
    const char *from = residual_at(p, i, j);
    if (p->store == CPR_F32)
        return _mm512_add_ps(c, _mm512_maskz_loadu_ps(columns, from));
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, from));
    return _mm512_add_ps(c, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
}

/* Of bfloat16, where all columns of the panel exist. */
static inline __attribute__((always_inline)) __m512 plus_whole(const cpr_block *p, int i, int j, __m512 c)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)residual_at(p, i, j)));
    return _mm512_add_ps(c, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
}

static inline __attribute__((always_inline)) __m512 clipped(const cpr_block *p, __m512 c)
{
    return _mm512_min_ps(_mm512_set1_ps(p->high), _mm512_max_ps(_mm512_set1_ps(p->low), c)); /* NaN passes */
}

static inline __attribute__((always_inline)) void store_floats(const cpr_block *p, int i, int j, __m512 c)
{
    float *to = (float *)p->c + i * p->ldc + 16 * j;
    _mm512_mask_storeu_ps(to, mask_of(p->n - 16 * j), p->more ? c : clipped(p, c));
}

static inline __attribute__((always_inline)) void store_half(const cpr_block *p, int i, int j, __m512 c)
{
    uint16_t *to = (uint16_t *)p->c + i * p->ldc + 16 * j;
    _mm256_mask_storeu_epi16(to, mask_of(p->n - 16 * j), rounded(clipped(p, c)));
}

/* Two panels: one store for both. */
static inline __attribute__((always_inline)) void store_halves(const cpr_block *p, int i, int j, __m512 c, __m512 d)
{
    uint16_t *to = (uint16_t *)p->c + i * p->ldc + 16 * j;
    const int64_t left = p->n - 16 * j;
    const __m512i both = joined(clipped(p, c), clipped(p, d));
    if (left >= 32)
        _mm512_storeu_si512(to, both);
    else
        _mm512_mask_storeu_epi16(to, (__mmask32)((1u << left) - 1), both);
}

/* All sums of a tile of MR rows and NP panels. */
static inline __attribute__((always_inline)) void store_tile(const int MR, const int NP, const cpr_block *p,
                                                             __m512 acc[14][4])
{
    const bool added = p->residual && !p->more;
    if (p->zeros && !p->more)
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_setzero_ps());
    /* All of the residual before the first store: no load waits for a store that it might alias. */
    if (added && p->store == CPR_BF16 && p->n == 16 * NP)
        EACH_PANEL EACH_ROW acc[i][j] = plus_whole(p, i, j, acc[i][j]);
    else if (added)
        EACH_PANEL EACH_ROW acc[i][j] = plus_residual(p, i, j, acc[i][j]);
    if (p->more || p->store == CPR_F32)
        EACH_PANEL EACH_ROW store_floats(p, i, j, acc[i][j]);
    else if (NP == 1)
        EACH_ROW store_half(p, i, 0, acc[i][0]);
    else
        EACH_PAIR EACH_ROW store_halves(p, i, j, acc[i][j], acc[i][j + 1]);
}

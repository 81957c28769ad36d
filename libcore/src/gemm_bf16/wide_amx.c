/* wide_amx.c - bfloat16 products by AMX: TDPBF16PS adds 16 x 16 x 32 products.
 *
 * Not the sums of VDPBF16PS: of each 32 of k the even and the odd ones are added up apart, then both
 * to the sum so far.
 */
#include <immintrin.h>

static inline __attribute__((always_inline)) __m256i rounded(__m512 x)
{
    return (__m256i)_mm512_cvtneps_pbh(x);
}

static inline __attribute__((always_inline)) __m512i joined(__m512 x, __m512 y)
{
    return (__m512i)_mm512_cvtne2ps_pbh(y, x);
}

#include "gemm_bf16/store_zmm.h"

/* sums += a times b. */
#define DOT(sums, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #sums : :)

/* MR rows of NP panels. */
static inline __attribute__((always_inline)) void finish_rows(const int MR, const int NP, const cpr_block *p,
                                                              const int32_t (*c)[32])
{
    __m512 acc[14][4];
    EACH_ROW EACH_PANEL acc[i][j] = _mm512_loadu_ps(c[i] + 16 * j);
    store_tile(MR, NP, p, acc);
}

#include "product/wide_loops.h"

void cpr_bf16_wide_amx(const cpr_product_kind *kind, const cpr_block *p, int64_t m, int64_t block_rows, int64_t n)
{
    product(kind, p, m, block_rows, n);
}

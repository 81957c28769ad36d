/* wide_amx.c - int8 products by AMX: TDPBUSD adds 16 x 16 x 64 products, exactly. */
#include "gemm_s8/store_zmm.h"

/* sums += a (unsigned) times b (signed). */
#define DOT(sums, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #sums : :)

/* MR rows of NP panels. */
static inline __attribute__((always_inline)) void finish_rows(const int MR, const int NP, const cpr_block *p,
                                                              const int32_t (*c)[32])
{
    __m512i acc[14][4];
    EACH_ROW EACH_PANEL acc[i][j] = _mm512_loadu_si512(c[i] + 16 * j);
    store_tile(MR, NP, p, acc);
}

#include "product/wide_loops.h"

void cpr_s8_wide_amx(const cpr_product_kind *kind, const cpr_block *p, int64_t m, int64_t block_rows, int64_t n)
{
    product(kind, p, m, block_rows, n);
}

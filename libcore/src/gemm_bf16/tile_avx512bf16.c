/* tile_avx512bf16.c - bfloat16 tiles of up to 14 rows x 2 panels, 6 rows x 4 panels (VDPBF16PS).
 *
 * Inline assembly, as in the int8 tiles.  Registers: 14 x 2 accumulators + 2 of B + 1 broadcast
 * of A = 31 of 32.
 */
#include <immintrin.h>

#define DOT(acc, a, b) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))

static inline __attribute__((always_inline)) __m256i rounded(__m512 x)
{
    return (__m256i)_mm512_cvtneps_pbh(x);
}

static inline __attribute__((always_inline)) __m512i joined(__m512 x, __m512 y)
{
    return (__m512i)_mm512_cvtne2ps_pbh(y, x);
}

#include "gemm_bf16/tile_loops.h"

FOURTEEN(1)
FOURTEEN(2)
SIX(4)

const cpr_tiles cpr_bf16_tiles_avx512bf16 = {
    .max_rows = {0, 14, 14, 0, 6},
    .tile = {[1] = {NULL, NAMES14(1)}, [2] = {NULL, NAMES14(2)}, [4] = {NULL, NAMES6(4)}},
};

/* tile_avx512.c - bfloat16 tiles of up to 8 rows x 1 panel for AVX-512 without VDPBF16PS.
 *
 * Conversions, not registers, are what it spends its time on; gcc spills in taller ones.
 */
#include <immintrin.h>

static inline __attribute__((always_inline)) __m512 odd(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000)));
}

static inline __attribute__((always_inline)) __m512 even(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

static inline __attribute__((always_inline)) __m256i rounded(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x), upper = _mm512_srli_epi32(bits, 16);
    const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), _mm512_and_si512(upper, _mm512_set1_epi32(1)));
    const __m512i near = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    const __m512i nan = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), near, nan));
}

static inline __attribute__((always_inline)) __m512i joined(__m512 x, __m512 y)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(rounded(x)), rounded(y), 1);
}

#define DOT(acc, a, b)                                \
    do {                                              \
        acc = _mm512_fmadd_ps(odd(a), odd(b), acc);   \
        acc = _mm512_fmadd_ps(even(a), even(b), acc); \
    } while (0)

#include "gemm_bf16/tile_loops.h"

EIGHT(1)

const cpr_tiles cpr_bf16_tiles_avx512 = {
    .max_rows = {0, 8},
    .tile = {[1] = {NULL, NAMES8(1)}},
};

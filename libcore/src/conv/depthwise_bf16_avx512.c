/* depthwise_bf16_avx512.c - depthwise convolution of bfloat16, 4 pixels x 32 channels (AVX-512). */
#include <immintrin.h>

#include "conv/depthwise_bf16.h"

#define LINES cpr_depthwise_bf16_avx512

/* Rounded to the nearest bfloat16, in the upper halves. */
static inline __m512i rounded(__m512 x)
{
    const __mmask16 tiny = _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(0x1p-126f), _CMP_LT_OQ);
    const __m512i given = _mm512_castps_si512(x);
    const __m512i bits = _mm512_mask_and_epi32(given, tiny, given, _mm512_set1_epi32((int)0x80000000));
    const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i near = _mm512_add_epi32(bits, _mm512_add_epi32(_mm512_set1_epi32(0x7fff), last));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(near, nan, given, _mm512_set1_epi32(0x400000));
}

static inline __m512i joined(__m512 a, __m512 b)
{
    const __m512i upper = _mm512_and_si512(rounded(b), _mm512_set1_epi32((int)0xffff0000));
    return _mm512_or_si512(_mm512_srli_epi32(rounded(a), 16), upper);
}

#include "conv/depthwise_bf16_zmm.h"

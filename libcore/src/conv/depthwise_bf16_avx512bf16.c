/* depthwise_bf16_avx512bf16.c - depthwise_bf16_avx512.c with VCVTNE2PS2BF16 for the rounding. */
#include <immintrin.h>

#include "conv/depthwise_bf16.h"

#define LINES cpr_depthwise_bf16_avx512bf16

static inline __m512i joined(__m512 a, __m512 b)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                           5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

#include "conv/depthwise_bf16_zmm.h"

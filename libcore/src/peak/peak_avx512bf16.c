/* peak_avx512bf16.c - vdpbf16ps: 32 bfloat16 products added to 16 floats. */
#include <immintrin.h>

#include "peak/peak.h"

int64_t cpr_peak_bf16_avx512bf16(int64_t rounds)
{
    __m512 sums[CPR_PEAK_CHAINS];
    const __m512i x = _mm512_set1_epi16(0x3f80);
    for (int i = 0; i < CPR_PEAK_CHAINS; i++)
        sums[i] = _mm512_setzero_ps();
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++)
            __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(sums[i]) : "v"(x));
    }
    return 64;
}

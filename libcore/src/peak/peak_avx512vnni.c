/* peak_avx512vnni.c - vpdpbusd: 64 byte products added to 16 sums. */
#include <immintrin.h>

#include "peak/peak.h"

int64_t cpr_peak_s8_avx512vnni(int64_t rounds)
{
    __m512i sums[CPR_PEAK_CHAINS];
    const __m512i x = _mm512_set1_epi8(1);
    for (int i = 0; i < CPR_PEAK_CHAINS; i++)
        sums[i] = _mm512_setzero_si512();
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++)
            __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(sums[i]) : "v"(x));
    }
    return 128;
}

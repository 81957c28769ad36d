/* peak_avx512.c - fused multiply-add on 16 floats; s16 products of widened bytes, as our tiles. */
#include <immintrin.h>

#include "peak/peak.h"

int64_t cpr_peak_f32_avx512(int64_t rounds)
{
    __m512 sums[CPR_PEAK_CHAINS];
    const __m512 x = _mm512_set1_ps(1.0f);
    for (int i = 0; i < CPR_PEAK_CHAINS; i++)
        sums[i] = _mm512_setzero_ps();
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++)
            __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(sums[i]) : "v"(x));
    }
    return 32;
}

int64_t cpr_peak_s8_avx512(int64_t rounds)
{
    __m512i sums[CPR_PEAK_CHAINS];
    const __m512i x = _mm512_set1_epi16(1);
    for (int i = 0; i < CPR_PEAK_CHAINS; i++)
        sums[i] = _mm512_setzero_si512();
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++) {
            __m512i pair;
            __asm__ volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(sums[i]), "=&v"(pair) : "v"(x));
        }
    }
    return 64;
}

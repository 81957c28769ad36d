/* peak_avx2.c - fused multiply-add on 8 floats; s16 products of widened bytes, as our tiles. */
#include <immintrin.h>

#include "peak/peak.h"

int64_t cpr_peak_f32_avx2(int64_t rounds)
{
    __m256 sums[CPR_PEAK_CHAINS];
    const __m256 x = _mm256_set1_ps(1.0f);
    for (int i = 0; i < CPR_PEAK_CHAINS; i++)
        sums[i] = _mm256_setzero_ps();
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++)
            __asm__ volatile("vfmadd231ps %1, %1, %0" : "+x"(sums[i]) : "x"(x));
    }
    return 16;
}

int64_t cpr_peak_s8_avx2(int64_t rounds)
{
    __m256i sums[CPR_PEAK_CHAINS];
    const __m256i x = _mm256_set1_epi16(1);
    for (int i = 0; i < CPR_PEAK_CHAINS; i++)
        sums[i] = _mm256_setzero_si256();
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++) {
            __m256i pair;
            __asm__ volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sums[i]), "=&x"(pair) : "x"(x));
        }
    }
    return 32;
}

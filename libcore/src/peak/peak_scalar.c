/* peak_scalar.c - one multiplication and one addition at a time. */
#include "peak/peak.h"

int64_t cpr_peak_f32_scalar(int64_t rounds)
{
    float sums[CPR_PEAK_CHAINS] = {0};
    volatile float one = 1.0f;
    const float x = one;
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++)
            sums[i] = sums[i] * x + x;
        __asm__ volatile("" : : "r"(sums) : "memory");
    }
    return 2;
}

int64_t cpr_peak_s8_scalar(int64_t rounds)
{
    int32_t sums[CPR_PEAK_CHAINS] = {0};
    volatile int32_t one = 1;
    const int32_t x = one;
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CPR_PEAK_CHAINS; i++)
            sums[i] += x * (sums[i] & 127);
        __asm__ volatile("" : : "r"(sums) : "memory");
    }
    return 2;
}

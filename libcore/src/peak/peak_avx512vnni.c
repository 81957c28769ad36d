/* peak_avx512vnni.c - vpdpbusd: 64 byte products added to 16 sums. */
#include "peak/peak.h"

#define START "vmovd %1, %%xmm15\n\tvpbroadcastd %%xmm15, %%zmm15\n\t"
#define ONE(i) "vpdpbusd %%zmm15, %%zmm15, %%zmm" #i "\n\t"
int64_t cpr_peak_s8_avx512vnni(int64_t rounds)
{
    const int32_t factor = 0x01010101;
    CPR_PEAK_LOOP(START, ONE, rounds);
    return 128;
}
#undef START
#undef ONE

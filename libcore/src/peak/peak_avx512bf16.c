/* peak_avx512bf16.c - vdpbf16ps: 32 bfloat16 products added to 16 floats. */
#include "peak/peak.h"

#define START "vmovd %1, %%xmm15\n\tvpbroadcastd %%xmm15, %%zmm15\n\t"
#define ONE(i) "vdpbf16ps %%zmm15, %%zmm15, %%zmm" #i "\n\t"
int64_t cpr_peak_bf16_avx512bf16(int64_t rounds)
{
    const int32_t factor = 0x3f803f80 /* 1 and 1 */;
    CPR_PEAK_LOOP(START, ONE, rounds);
    return 64;
}
#undef START
#undef ONE

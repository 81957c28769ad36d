/* peak_avx512.c - fused multiply-add on 16 floats; s16 products of widened bytes, as our tiles. */
#include "peak/peak.h"

#define START "vmovd %1, %%xmm15\n\tvbroadcastss %%xmm15, %%zmm15\n\t"
#define ONE(i) "vfmadd231ps %%zmm15, %%zmm15, %%zmm" #i "\n\t"
int64_t cpr_peak_f32_avx512(int64_t rounds)
{
    const int32_t factor = 0x3f800000 /* 1.0f */;
    CPR_PEAK_LOOP(START, ONE, rounds);
    return 32;
}
#undef START
#undef ONE

#define START "vmovd %1, %%xmm15\n\tvpbroadcastd %%xmm15, %%zmm15\n\t"
#define ONE(i) "vpmaddwd %%zmm15, %%zmm15, %%zmm12\n\tvpaddd %%zmm12, %%zmm" #i ", %%zmm" #i "\n\t"
int64_t cpr_peak_s8_avx512(int64_t rounds)
{
    const int32_t factor = 0x00010001;
    CPR_PEAK_LOOP(START, ONE, rounds);
    return 64;
}
#undef START
#undef ONE

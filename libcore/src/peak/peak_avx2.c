/* peak_avx2.c - fused multiply-add on 8 floats; s16 products of widened bytes, as our tiles. */
#include "peak/peak.h"

#define START "vmovd %1, %%xmm15\n\tvbroadcastss %%xmm15, %%ymm15\n\t"
#define ONE(i) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #i "\n\t"
int64_t cpr_peak_f32_avx2(int64_t rounds)
{
    const int32_t factor = 0x3f800000 /* 1.0f */;
    CPR_PEAK_LOOP(START, ONE, rounds);
    return 16;
}
#undef START
#undef ONE

#define START "vmovd %1, %%xmm15\n\tvpbroadcastd %%xmm15, %%ymm15\n\t"
#define ONE(i) "vpmaddwd %%ymm15, %%ymm15, %%ymm12\n\tvpaddd %%ymm12, %%ymm" #i ", %%ymm" #i "\n\t"
int64_t cpr_peak_s8_avx2(int64_t rounds)
{
    const int32_t factor = 0x00010001;
    CPR_PEAK_LOOP(START, ONE, rounds);
    return 32;
}
#undef START
#undef ONE

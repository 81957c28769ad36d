/* peak_amx.c - products in tile registers: 16 x 16 sums of 64 bytes of k. */
#include "peak/peak.h"

#define SIX(DOT)                                                                                              \
    DOT " %%tmm7, %%tmm6, %%tmm0\n\t" DOT " %%tmm7, %%tmm6, %%tmm1\n\t" DOT " %%tmm7, %%tmm6, %%tmm2\n\t" \
    DOT " %%tmm7, %%tmm6, %%tmm3\n\t" DOT " %%tmm7, %%tmm6, %%tmm4\n\t" DOT " %%tmm7, %%tmm6, %%tmm5\n\t"

/* CPR_PEAK_CHAINS instructions a round. */
#define LOOP(DOT, rounds)                                                                                    \
    do {                                                                                                     \
        uint8_t shapes[64] __attribute__((aligned(64))) = {1};                                               \
        for (int i = 0; i < 8; i++) {                                                                        \
            shapes[16 + 2 * i] = 64;                                                                         \
            shapes[48 + i] = 16;                                                                             \
        }                                                                                                    \
        __asm__ volatile("ldtilecfg %0" : : "m"(shapes));                                                    \
        for (int64_t r = 0; r < (rounds); r++)                                                               \
            __asm__ volatile(SIX(DOT) SIX(DOT) : :);                                                     \
        __asm__ volatile("tilerelease" : :);                                                                 \
    } while (0)

int64_t cpr_peak_s8_amx(int64_t rounds)
{
    LOOP("tdpbusd", rounds);
    return 2 * 16 * 16 * 64;
}

int64_t cpr_peak_bf16_amx(int64_t rounds)
{
    LOOP("tdpbf16ps", rounds);
    return 2 * 16 * 16 * 32;
}

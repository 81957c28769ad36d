/* peak.h - loops that do nothing but multiply and add, as fast as each instruction set can. */
#ifndef CPR_PEAK_H
#define CPR_PEAK_H

#include "base/base.h"

/* Run `rounds` times CPR_PEAK_CHAINS independent instructions; return the operations of one
 * instruction (a multiplication and an addition are two). */
typedef int64_t cpr_peak_loop(int64_t rounds);

enum { CPR_PEAK_CHAINS = 12 }; /* more than latency (4) times instructions per cycle (2) */

/* The whole loop as assembly, so that no compiler puts a sum anywhere but in its register.
 * Register 15 holds the factor, 0 to 11 the sums. */
#define CPR_PEAK_12(ONE) ONE(0) ONE(1) ONE(2) ONE(3) ONE(4) ONE(5) ONE(6) ONE(7) ONE(8) ONE(9) ONE(10) ONE(11)
#define CPR_PEAK_LOOP(START, ONE, rounds)                                                              \
    __asm__ volatile(START CPR_PEAK_12(CPR_PEAK_ZERO) "test %0, %0\n\tjle 2f\n1:\n\t" CPR_PEAK_12(ONE) \
                     "dec %0\n\tjnz 1b\n2:\n\tvzeroupper"                                             \
                     : "+r"(rounds)                                                                    \
                     : "r"(factor)                                                                     \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",   \
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm15")
#define CPR_PEAK_ZERO(i) "vxorps %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"

cpr_peak_loop cpr_peak_f32_scalar, cpr_peak_f32_avx2, cpr_peak_f32_avx512;
cpr_peak_loop cpr_peak_s8_scalar, cpr_peak_s8_avx2, cpr_peak_s8_avx512, cpr_peak_s8_avx512vnni;
cpr_peak_loop cpr_peak_bf16_avx512bf16;
cpr_peak_loop cpr_peak_s8_amx, cpr_peak_bf16_amx;

#endif

/* peak.h - loops that do nothing but multiply and add, as fast as each instruction set can. */
#ifndef CPR_PEAK_H
#define CPR_PEAK_H

#include "base/base.h"

/* Run `rounds` times CPR_PEAK_CHAINS independent instructions; return the operations of one
 * instruction (a multiplication and an addition are two). */
typedef int64_t cpr_peak_loop(int64_t rounds);

enum { CPR_PEAK_CHAINS = 12 }; /* more than latency (4) times instructions per cycle (2) */

cpr_peak_loop cpr_peak_f32_scalar, cpr_peak_f32_avx2, cpr_peak_f32_avx512;
cpr_peak_loop cpr_peak_s8_scalar, cpr_peak_s8_avx2, cpr_peak_s8_avx512, cpr_peak_s8_avx512vnni;
cpr_peak_loop cpr_peak_bf16_avx512bf16;

#endif

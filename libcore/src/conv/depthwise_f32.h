/* depthwise_f32.h - one channel in, one channel out: a sum over taps, vectorised over channels. */
#ifndef CPR_DEPTHWISE_F32_H
#define CPR_DEPTHWISE_F32_H

#include "conv/depthwise_line.h"

enum { CPR_DEPTHWISE_PIXELS = 4 };

/* For up to CPR_DEPTHWISE_PIXELS pixels i and all channels c:
 * out[i * ldc + c] = min(high, max(low, bias[c] + sum over t of rows[t * n + i][c] * w[t][c])),
 * taps in order, each product added by one fused multiply-add. */
typedef void cpr_depthwise_f32(int64_t n, int64_t channels, int64_t taps, const float *const *rows, const float *w,
                               const float *bias, float low, float high, float *out, int64_t ldc);

/* The same for n lines of a 3 x 3 window. */
typedef void cpr_depthwise_f32_3x3(int64_t channels, const cpr_depthwise_line *lines, int64_t n, const float *w,
                                   const float *bias, float low, float high);
cpr_depthwise_f32 cpr_depthwise_f32_scalar, cpr_depthwise_f32_avx2, cpr_depthwise_f32_avx512;
cpr_depthwise_f32_3x3 cpr_depthwise_f32_3x3_avx2, cpr_depthwise_f32_3x3_avx512;

#endif

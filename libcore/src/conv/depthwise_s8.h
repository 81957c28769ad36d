/* depthwise_s8.h - depthwise convolution of bytes, exact in int32, requantized.
 *
 * Weights (of an int8's range) come widened to int16 in pairs of taps: w[pair][channel][2], an odd
 * last tap paired with 0.  For up to CPR_DEPTHWISE_PIXELS pixels i and all channels c:
 *
 *     sum = start[c] + sum over t of rows[t * n + i][c] * w[t][c]
 *     out[i * ldc + c] = rint(clip(float(sum) * scale[c], low, high)) + zero_point
 */
#ifndef CPR_DEPTHWISE_S8_H
#define CPR_DEPTHWISE_S8_H

#include "conv/depthwise_line.h"

enum { CPR_DEPTHWISE_S8_PIXELS = 4 };

typedef struct {
    int64_t channels, taps;
    const int16_t *w;
    const int32_t *start;
    const float *scale;
    float low, high;
    int32_t zero_point;
    bool is_signed; /* what is stored: s8, else u8 */
} cpr_depthwise_s8_layer;

typedef void cpr_depthwise_s8(const cpr_depthwise_s8_layer *layer, int64_t n, const uint8_t *const *rows, uint8_t *out,
                              int64_t ldc);

/* The same for n lines of a 3 x 3 window. */
typedef void cpr_depthwise_s8_3x3(const cpr_depthwise_s8_layer *layer, const cpr_depthwise_line *lines, int64_t n);

cpr_depthwise_s8 cpr_depthwise_s8_scalar, cpr_depthwise_s8_avx2, cpr_depthwise_s8_avx512, cpr_depthwise_s8_avx512vnni;
cpr_depthwise_s8_3x3 cpr_depthwise_s8_3x3_avx2, cpr_depthwise_s8_3x3_avx512vnni;

#endif

/* depthwise_bf16.h - depthwise convolution of bfloat16 images, arithmetic in float32.
 *
 * Channels come in blocks of 32: a register of 32 bfloat16 is the even channels once it is shifted
 * up, and the odd ones once their neighbours are masked off, so nothing is unpacked.  Weights and
 * bias are stored that way: [blocks][taps][2][16] and [blocks][2][16], zeros past the last channel.
 *
 *     sum = bias + rows of the window in order, columns in order: sum = fma(x, w, sum)
 *     out = clip(sum), rounded to bfloat16 (half to even, subnormal sums to zeros of their sign)
 *
 * Taps outside the image are left out.
 */
#ifndef CPR_DEPTHWISE_BF16_H
#define CPR_DEPTHWISE_BF16_H

#include "product/window.h"

enum { CPR_DEPTHWISE_BLOCK = 32 };

/* What all lines of a convolution share. */
typedef struct {
    int64_t channels, kernel_h, kernel_w, stride, dilation; /* the last two along a line */
    const float *weights, *bias;                            /* bias may be NULL */
    float low, high;
} cpr_depthwise_bf16;

/* One output line. */
typedef struct {
    const char **row;    /* kernel_h: pixel 0 of an input line; NULL: outside */
    int64_t width, step; /* input pixels; bytes from one to the next */
    int64_t first;       /* input column where output pixel 0 begins */
    char *out;
    int64_t out_step, n; /* bytes between output pixels; how many */
} cpr_bf16_line;

typedef void cpr_depthwise_bf16_lines(const cpr_depthwise_bf16 *d, const cpr_bf16_line *lines, int64_t n);

cpr_depthwise_bf16_lines cpr_depthwise_bf16_scalar, cpr_depthwise_bf16_avx2, cpr_depthwise_bf16_avx512,
    cpr_depthwise_bf16_avx512bf16;

#endif

/* combine.h - the sum or product of two quantized tensors, quantized again.
 *
 *     add:  v = (a - a_zero) * a_scale + (b - b_zero) * b_scale
 *     mul:  v = ((a - a_zero) * (b - b_zero)) * a_scale
 *     out = rint(clip(v, low, high)) + zero_point
 *
 * Scales are the operands' divided by the result's.  No contraction: the same bytes everywhere.
 */
#ifndef CPR_COMBINE_H
#define CPR_COMBINE_H

#include "vector/walk.h"

typedef struct {
    float a_zero, b_zero, a_scale, b_scale, low, high;
    int32_t zero_point;
} cpr_combine;

typedef struct {
    cpr_core *add, *mul; /* operands a, b, out; context: cpr_combine */
} cpr_combine_ops;

extern const cpr_combine_ops cpr_combine_scalar, cpr_combine_avx2, cpr_combine_avx512;

#endif

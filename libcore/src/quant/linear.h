/* linear.h - between real numbers and codes:  q = clip(rint(x / scale) + zero_point). */
#ifndef CPR_LINEAR_H
#define CPR_LINEAR_H

#include "vector/walk.h"

typedef struct {
    /* operands x, scale, zero_point, out; by type: u8 s8 u16 s16 */
    cpr_core *quantize[4];
    /* operands acc, multiplier, zero_point, out; u8 s8 */
    cpr_core *requantize[2];
    /* operands q, scale, zero_point, out; u8 s8 u16 s16 s32 */
    cpr_core *dequantize[5];
} cpr_linear_ops;

extern const cpr_linear_ops cpr_linear_scalar, cpr_linear_avx2, cpr_linear_avx512;

#endif

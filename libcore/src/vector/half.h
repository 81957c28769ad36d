/* half.h - functions of bfloat16, computed in float32 and rounded. */
#ifndef CPR_HALF_H
#define CPR_HALF_H

#include "vector/binary.h"
#include "vector/unary.h"

/* y[i] = f(x[i]) for dense x and y, which may be the same memory. */
typedef void cpr_half_fn(int64_t n, const uint16_t *x, uint16_t *y, float alpha, float beta);

typedef struct {
    cpr_half_fn *unary[CPR_UNARY_COUNT];  /* NULL: by way of float32 */
    cpr_core *binary[CPR_BINARY_COUNT];   /* NULL: there is none; a scalar on either side */
} cpr_half_ops;

extern const cpr_half_ops cpr_half_scalar, cpr_half_avx2, cpr_half_avx512;

#endif

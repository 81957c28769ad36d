/* unary.h - functions of one float32, shared with the recurrent kernels. */
#ifndef CPR_UNARY_H
#define CPR_UNARY_H

#include "vector/walk.h"

/* In the order of the codes that libcore/README.md gives. */
#define CPR_UNARY_F32(X)                                                                     \
    X(relu) X(leaky_relu) X(elu) X(selu) X(celu) X(sigmoid) X(hard_sigmoid) X(hard_swish)    \
    X(swish) X(gelu) X(gelu_tanh) X(mish) X(softplus) X(softsign) X(tanh) X(erf) X(exp)      \
    X(log) X(sqrt) X(reciprocal) X(abs) X(neg) X(sign) X(floor) X(ceil) X(round) X(sin)      \
    X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(asinh) X(acosh) X(atanh) X(clip) \
    X(thresholded_relu) X(shrink) X(affine) X(scaled_tanh)

#define CPR_UNARY_ENUM(name) CPR_UNARY_##name,
enum { CPR_UNARY_F32(CPR_UNARY_ENUM) CPR_UNARY_COUNT };

/* y[i] = f(x[i]) for dense x and y, which may be the same memory. */
typedef void cpr_unary_fn(int64_t n, const float *x, float *y, float alpha, float beta);

typedef struct {
    cpr_unary_fn *f[CPR_UNARY_COUNT];
} cpr_unary_ops;

extern const cpr_unary_ops cpr_unary_scalar, cpr_unary_avx2, cpr_unary_avx512;

/* The functions for the instruction set in use. */
const cpr_unary_ops *cpr_unary(void);

/* Whether a function takes about as long as the elements take to arrive. */
bool cpr_unary_is_cheap(int32_t code);

/* sin (shift 0), cos (shift 1) or tan (shift 2) of |x| >= 2^40, where two doubles of pi/2 end. */
float cpr_sine_large(float x, int32_t shift);

#endif

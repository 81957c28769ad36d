/* unary.h - the derivative of a function of one element, times the gradient of its result. */
#ifndef CPR_UNARY_GRAD_H
#define CPR_UNARY_GRAD_H

#include "vector/walk.h"

/* y: of the result; x: of the operand. */
enum {
    CPR_GRAD_RELU,      /* y */
    CPR_GRAD_SIGMOID,   /* y */
    CPR_GRAD_TANH,      /* y */
    CPR_GRAD_GELU,      /* x */
    CPR_GRAD_GELU_TANH, /* x */
    CPR_GRAD_SWISH,     /* x */
    CPR_GRAD_FUNCTIONS
};

/* operands x or y, g, out; context: float alpha. */
typedef struct {
    cpr_core *core[CPR_GRAD_FUNCTIONS];
} cpr_unary_grad_ops;

extern const cpr_unary_grad_ops cpr_unary_grad_scalar, cpr_unary_grad_avx2, cpr_unary_grad_avx512;

#endif

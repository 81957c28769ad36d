/* rows.h - derivatives of what normalises one dense row. */
#ifndef CPR_GRAD_ROWS_H
#define CPR_GRAD_ROWS_H

#include "base/base.h"

typedef struct {
    /* dx of y = (x - mean) / sqrt(variance + epsilon) scale + bias, given g of y; g (x - mean) / ...
     * is added to dscale and g to dbias.  dx may be g or x. */
    void (*layer)(const float *x, const float *g, float *dx, int64_t n, const float *scale, float epsilon,
                  float *dscale, float *dbias);
    /* out = factor y (g - sum of g y); out may be y or g. */
    void (*softmax)(const float *y, const float *g, float *out, int64_t n, float factor);
} cpr_grad_rows_ops;

extern const cpr_grad_rows_ops cpr_grad_rows_scalar, cpr_grad_rows_avx2, cpr_grad_rows_avx512;

#endif

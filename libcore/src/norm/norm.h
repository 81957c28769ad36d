/* norm.h - normalising one dense row. */
#ifndef CPR_NORM_H
#define CPR_NORM_H

#include "reduce/reduce.h"
#include "vector/walk.h"

enum { CPR_SOFTMAX_ROWS = 8 };

typedef struct {
    /* y = e^(x - max x) / sum for up to CPR_SOFTMAX_ROWS rows, or x - max x - ln sum; y may be x. */
    void (*softmax)(const float *const *x, float *const *y, int64_t rows, int64_t n);
    /* softmax of rows of x, `step` elements apart, in place */
    void (*softmax_rows)(float *x, int64_t step, int64_t rows, int64_t n);
    void (*log_softmax)(const float *x, float *y, int64_t n);
    /* y = (x - mean) inv_std scale + bias; scale and bias may be NULL; y may be x. */
    void (*layer)(const float *x, float *y, int64_t n, const float *scale, const float *bias, float epsilon,
                  float *mean, float *inv_std);
    /* y = x / sqrt(mean of x^2 + epsilon) scale */
    void (*rms)(const float *x, float *y, int64_t n, const float *scale, float epsilon);
    /* y = x / norm, 0 for a norm of 0; p = 1 or 2 */
    void (*lp)(const float *x, float *y, int64_t n, int64_t p);
    /* Fold (x - mean)^2: as cpr_reduce_ops.row and .lanes. */
    void (*row_deviation)(float *partials, const float *x, int64_t n, int64_t phase, float mean);
    void (*lanes_deviation)(float *lanes, const float *x, int64_t n, const float *mean);
    /* operands x, mean, factor, shift, out: (x - mean) factor + shift */
    cpr_core *apply;
    /* One position of lrn over n channels; squares has `size` zeros around its n elements. */
    void (*lrn)(const float *x, float *y, int64_t n, float *squares, int64_t size, const float *parameters);
} cpr_norm_ops;

extern const cpr_norm_ops cpr_norm_scalar, cpr_norm_avx2, cpr_norm_avx512;

#endif

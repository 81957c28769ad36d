/* resize.h - weighted sums of neighbours. */
#ifndef CPR_RESIZE_H
#define CPR_RESIZE_H

#include "program/kernel.h"

/* y[i] = sum over t of weights[t] * x[t][i], in t order, weights of 0 left out.
 * x[t] begins tap_step bytes after x[t - 1]; its elements and y's are x_step and y_step apart. */
typedef void cpr_weigh(const char *x, int64_t tap_step, int64_t x_step, const float *weights, int64_t taps, char *y,
                       int64_t y_step, int64_t n);

extern cpr_weigh cpr_weigh_scalar, cpr_weigh_avx2, cpr_weigh_avx512;

#endif

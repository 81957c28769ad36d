/* pool.h - which element of a window was the largest, for dense channels. */
#ifndef CPR_GRAD_POOL_H
#define CPR_GRAD_POOL_H

#include "base/base.h"

enum { CPR_POOL_LANES = 64 };

/* The part of a window that lies inside the image; steps in elements. */
typedef struct {
    int64_t rows, columns;
    int64_t x_down, x_right, dx_down, dx_right;
} cpr_pool_part;

typedef struct {
    /* Add g to dx where x is largest, the first of those that are equal; lanes <= CPR_POOL_LANES. */
    void (*largest)(const float *x, const float *g, float *dx, const cpr_pool_part *part, int64_t lanes);
} cpr_grad_pool_ops;

extern const cpr_grad_pool_ops cpr_grad_pool_scalar, cpr_grad_pool_avx2, cpr_grad_pool_avx512;

#endif

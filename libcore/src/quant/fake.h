/* fake.h - values moved to the grid of their codes, and the gradients of that. */
#ifndef CPR_FAKE_H
#define CPR_FAKE_H

#include "vector/walk.h"

typedef struct {
    float low, high; /* smallest and largest code, minus the zero point */
} cpr_fake;

typedef struct {
    cpr_core *value;      /* x, scale -> out */
    cpr_core *grad_x;     /* x, scale, g -> out */
    cpr_core *grad_scale; /* the same */
} cpr_fake_ops;

extern const cpr_fake_ops cpr_fake_scalar, cpr_fake_avx2, cpr_fake_avx512;

#endif

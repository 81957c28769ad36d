/* step.h - one step of an optimizer over the elements of one parameter. */
#ifndef CPR_STEP_H
#define CPR_STEP_H

#include "vector/walk.h"

/* sgd: g += decay p; v = momentum v + g; p -= rate v, or rate (g + momentum v) with nesterov. */
typedef struct {
    double rate, momentum, decay;
    bool nesterov;
} cpr_sgd;

/* adam: p = keep p; g += decay p; m = one m + (1 - one) g; v = two v + (1 - two) g g;
 * p -= rate (m / (sqrt(v) root + epsilon)) mean. */
typedef struct {
    double rate, keep, decay, one, two, epsilon, root, mean;
} cpr_adam;

/* Elements begin .. end; outputs may be the inputs.  data: p, g, v, p, v (v may be NULL). */
typedef void cpr_sgd_fn(const cpr_sgd *how, int64_t begin, int64_t end, void *const *data);

/* data: p, g, m, v, p, m, v. */
typedef void cpr_adam_fn(const cpr_adam *how, int64_t begin, int64_t end, void *const *data);

typedef struct {
    cpr_sgd_fn *sgd_f32, *sgd_f64;
    cpr_adam_fn *adam_f32, *adam_f64;
} cpr_step_ops;

extern const cpr_step_ops cpr_step_scalar, cpr_step_avx2, cpr_step_avx512;

#endif

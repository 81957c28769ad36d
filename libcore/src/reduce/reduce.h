/* reduce.h - folding elements with sixteen partial results.
 *
 * Element i of what is folded (row-major) goes into partial i mod 16; at the end partial j takes
 * in j + 8, then j + 4, j + 2, j + 1.  So a result depends on neither strides nor threads.
 */
#ifndef CPR_REDUCE_H
#define CPR_REDUCE_H

#include "program/kernel.h"

enum { CPR_PARTIALS = 16, CPR_LANES = 64 };

/* In the order of the codes that libcore/README.md gives. */
enum {
    CPR_REDUCE_SUM, CPR_REDUCE_MEAN, CPR_REDUCE_MAX, CPR_REDUCE_MIN, CPR_REDUCE_PROD,
    CPR_REDUCE_SUM_SQUARE, CPR_REDUCE_L1, CPR_REDUCE_L2, CPR_REDUCE_LOG_SUM,
    CPR_REDUCE_LOG_SUM_EXP, CPR_REDUCE_COUNT
};

/* Ways to fold. */
enum { CPR_FOLD_SUM, CPR_FOLD_SUM_SQUARE, CPR_FOLD_L1, CPR_FOLD_PROD, CPR_FOLD_MAX, CPR_FOLD_MIN, CPR_FOLDS };

typedef struct {
    /* Fold n dense elements into sixteen partials; the first one has index `phase` (mod 16). */
    void (*row[CPR_FOLDS])(float *partials, const float *x, int64_t n, int64_t phase);
    /* Fold element l into lane l, for n <= CPR_LANES lanes. */
    void (*lanes[CPR_FOLDS])(float *lanes, const float *x, int64_t n);
    /* The sum of bfloat16, lane by lane. */
    void (*lanes_half)(float *lanes, const uint16_t *x, int64_t n);
    /* y[i] = e^(x[i] - shift[0 or i]); y may be x. */
    void (*exp_minus)(float *y, const float *x, int64_t n, const float *shift, int64_t shift_step);
    /* x[i] = ln x[i] + shift[i] */
    void (*log_plus)(float *x, int64_t n, const float *shift);
} cpr_reduce_ops;

extern const cpr_reduce_ops cpr_reduce_scalar, cpr_reduce_avx2, cpr_reduce_avx512;

/* What a partial starts from. */
float cpr_fold_start(int32_t fold);

/* The sixteen partials as one; they are used up. */
float cpr_fold_tree(int32_t fold, float *partials);

#endif

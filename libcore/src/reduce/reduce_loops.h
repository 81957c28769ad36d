/* reduce_loops.h - the loops behind reduce.h; the including file defines TABLE. */
#include "reduce/fold_loops.h"
#include "vector/brain.h"

static void lanes_half(float *lanes, const uint16_t *x, int64_t n)
{
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) lanes[i] += float_of_brain(x[i]);
}

static void exp_minus(float *y, const float *x, int64_t n, const float *shift, int64_t shift_step)
{
    if (shift_step == 0) {
        const float all = *shift;
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) y[i] = exp_f32(x[i] - all);
    } else {
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) y[i] = exp_f32(x[i] - shift[i]);
    }
}

static void log_plus(float *x, int64_t n, const float *shift)
{
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) x[i] = (float)(log_f64(x[i]) + shift[i]);
}

const cpr_reduce_ops TABLE = {
    .row = {row_sum, row_sum_square, row_l1, row_prod, row_max, row_min},
    .lanes = {lanes_sum, lanes_sum_square, lanes_l1, lanes_prod, lanes_max, lanes_min},
    .lanes_half = lanes_half,
    .exp_minus = exp_minus,
    .log_plus = log_plus,
};

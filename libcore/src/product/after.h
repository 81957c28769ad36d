/* after.h - what is done to a product's results while they are still in the cache.
 *
 * Floats go through a function of unary.h, bytes through a table: the same bytes as by a record of
 * its own (unary_f32, lut_u8).
 */
#ifndef CPR_AFTER_H
#define CPR_AFTER_H

#include "program/kernel.h"
#include "quant/lut.h"
#include "vector/unary.h"

/* Nothing at all if both are NULL. */
typedef struct {
    cpr_unary_fn *f;
    float alpha, beta;
    cpr_lut *look_up;
    const uint8_t *table;
} cpr_after;

/* What a kernel with `n_args` args and `n_operands` operands of its own may have behind them: function,
 * alpha, beta, where its result is float32; or a table of 256 bytes, where it is of bytes. */
enum { CPR_AFTER_ARGS = 3 };
cpr_status cpr_after_check(const char *name, const cpr_op *op, int32_t n_args, int32_t n_operands, const cpr_tensor *out);
cpr_after cpr_after_of(const cpr_op *op, int32_t n_args, int32_t n_operands);
static inline bool cpr_after_is_any(const cpr_after *after) { return after->f || after->look_up; }

/* Rows of n results of `bytes` each, `step` results apart. */
void cpr_after_rows(const cpr_after *after, int64_t rows, int64_t n, int64_t step, int64_t bytes, void *y);

#endif

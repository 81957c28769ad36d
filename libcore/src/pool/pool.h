/* pool.h - maximum and sum of one window, for dense channels or for rows.
 *
 * A window's sum adds the rows of each column first, then the columns, whatever the layout.
 */
#ifndef CPR_POOL_H
#define CPR_POOL_H

#include "program/kernel.h"

/* y[c] over n dense channels of a window of rows x columns elements, steps in bytes.
 * divisor: what a sum is divided by. */
typedef void cpr_pool_lanes(const char *x, int64_t rows, int64_t row_step, int64_t columns, int64_t column_step,
                            char *y, int64_t n, float divisor);

/* column[w] over the rows of n dense elements each. */
typedef void cpr_pool_rows(const char *x, int64_t rows, int64_t row_step, char *column, int64_t n);

/* bfloat16: dense channels only. */
enum { CPR_POOL_MAX_F32, CPR_POOL_MAX_S8, CPR_POOL_MAX_U8, CPR_POOL_AVERAGE, CPR_POOL_MAX_BF16, CPR_POOL_KINDS };

typedef struct {
    cpr_pool_lanes *lanes[CPR_POOL_KINDS];
    cpr_pool_rows *rows[CPR_POOL_KINDS];
} cpr_pool_ops;

extern const cpr_pool_ops cpr_pool_scalar, cpr_pool_avx2, cpr_pool_avx512;

#endif

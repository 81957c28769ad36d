/* copy.h - tiles of a transposition. */
#ifndef CPR_COPY_H
#define CPR_COPY_H

#include "vector/walk.h"

/* y[c][r] = x[r][c] for r < rows, c < columns:
 *
 *     x   rows of `columns` elements, x_step bytes apart
 *     y   rows of `rows` elements, y_step bytes apart
 */
typedef void cpr_transpose(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t rows, int64_t columns);

typedef struct {
    cpr_transpose *bytes[4]; /* by the logarithm of the element's bytes */
} cpr_copy_ops;

extern const cpr_copy_ops cpr_copy_scalar, cpr_copy_avx2;

/* The table for the instruction set in use. */
const cpr_copy_ops *cpr_copy_now(void);

/* The core that moves a row; context: int64, the bytes of an element. */
cpr_core cpr_copy_row;

/* The operator: tensor and data are in, out. */
void cpr_copy(cpr_pool *pool, const cpr_tensor *const *tensor, void *const *data);

#endif

/* outer.h - sums of outer products over pixels, the heart of a convolution's weight gradient.
 *
 *     out[i][j] (+)= sum over stretches, pixels (in order) of x[pixel][i] * g[pixel][j]
 *
 * Every product is added by one fused multiply-add to one accumulator, so tiles of any size and
 * instruction set give the same bytes.
 */
#ifndef CPR_OUTER_H
#define CPR_OUTER_H

#include "base/base.h"

enum { CPR_OUTER_ROWS = 16, CPR_OUTER_COLUMNS = 32 };

/* n pixels, x_step and g_step elements apart. */
typedef struct {
    const float *x, *g;
    int64_t n;
} cpr_stretch;

typedef struct {
    const cpr_stretch *stretch;
    int64_t stretches;
    int64_t x_step, g_step;
    int64_t rows, columns; /* of out: at most CPR_OUTER_ROWS, CPR_OUTER_COLUMNS */
    float *out;
    int64_t ld;
} cpr_outer;

typedef struct {
    /* out += sums */
    void (*tile)(const cpr_outer *p);
    /* The diagonal alone: out[c] += sum of x[c] * g[c], for any number of columns. */
    void (*diagonal)(const cpr_outer *p);
    int64_t rows; /* that a tile does best */
} cpr_outer_ops;

extern const cpr_outer_ops cpr_outer_scalar, cpr_outer_avx2, cpr_outer_avx512;

#endif

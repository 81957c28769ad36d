/* histogram.h - extremes and bins of float32 values. */
#ifndef CPR_HISTOGRAM_H
#define CPR_HISTOGRAM_H

#include "vector/walk.h"

/* bin[i] = floor(x[i] * inverse) - first, cut to 0 .. bins - 1; bins where x[i] is 0, bins + 1
 * where it is NaN. */
typedef void cpr_bin_row(int64_t n, const float *x, double inverse, double first, int32_t bins, int32_t *bin);

/* The smallest and the largest of n >= 1 values; both NaN if any is. */
typedef void cpr_extremes_row(int64_t n, const float *x, float *low, float *high);

typedef struct {
    cpr_bin_row *bin_fine; /* for an inverse from 1 to 2^126: in float32, with the same result */
    cpr_bin_row *bin;
    cpr_extremes_row *extremes;
} cpr_histogram_ops;

extern const cpr_histogram_ops cpr_histogram_scalar, cpr_histogram_avx2, cpr_histogram_avx512;

#endif

/* mean.h - sums of bytes over the pixels of an image. */
#ifndef CPR_MEAN_H
#define CPR_MEAN_H

#include "vector/walk.h"

/* sums[c] += row[c] for n bytes. */
typedef void cpr_add_bytes(int64_t n, const uint8_t *row, int32_t *sums);

typedef struct {
    cpr_add_bytes *add;
} cpr_mean_ops;

extern const cpr_mean_ops cpr_mean_scalar, cpr_mean_avx2, cpr_mean_avx512;

#endif

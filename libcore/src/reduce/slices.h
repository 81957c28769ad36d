/* slices.h - operators that work along one axis: all positions of the other dims. */
#ifndef CPR_SLICES_H
#define CPR_SLICES_H

#include "program/kernel.h"

enum { CPR_SLICES_MAX = 4 };

typedef struct {
    int32_t n, rank;
    int64_t count; /* slices */
    int64_t dim[CPR_MAX_RANK];
    int64_t step[CPR_SLICES_MAX][CPR_MAX_RANK]; /* bytes */
} cpr_slices;

/* The dims of tensor[0] but `axis`, with the steps of n tensors of the same rank. */
cpr_slices cpr_slices_of(int32_t axis, int32_t n, const cpr_tensor *const *tensor);

/* Byte offsets of slice `index` in each tensor. */
void cpr_slices_at(const cpr_slices *s, int64_t index, int64_t *offset);

/* Bytes between elements along the axis; 0 where there is one element at most. */
int64_t cpr_axis_step(const cpr_tensor *t, int32_t axis);

/* Whether the dims are the same but for the axis, which must exist. */
bool cpr_same_but_axis(const cpr_tensor *a, const cpr_tensor *b, int64_t axis);

#endif

/* slices.c - see slices.h. */
#include "reduce/slices.h"

cpr_slices cpr_slices_of(int32_t axis, int32_t n, const cpr_tensor *const *tensor)
{
    cpr_slices s = {.n = n, .count = 1};
    for (int32_t k = 0; k < tensor[0]->rank; k++) {
        if (k == axis)
            continue;
        s.count *= tensor[0]->dim[k];
        if (tensor[0]->dim[k] <= 1)
            continue;
        s.dim[s.rank] = tensor[0]->dim[k];
        for (int32_t i = 0; i < n; i++)
            s.step[i][s.rank] = tensor[i]->stride[k] * cpr_dtype_bytes(tensor[i]->dtype);
        s.rank++;
    }
    return s;
}

void cpr_slices_at(const cpr_slices *s, int64_t index, int64_t *offset)
{
    for (int32_t i = 0; i < s->n; i++)
        offset[i] = 0;
    for (int32_t k = s->rank - 1; k >= 0; k--) {
        const int64_t at = index % s->dim[k];
        index /= s->dim[k];
        for (int32_t i = 0; i < s->n; i++)
            offset[i] += at * s->step[i][k];
    }
}

int64_t cpr_axis_step(const cpr_tensor *t, int32_t axis)
{
    return t->dim[axis] > 1 ? t->stride[axis] * cpr_dtype_bytes(t->dtype) : 0;
}

bool cpr_same_but_axis(const cpr_tensor *a, const cpr_tensor *b, int64_t axis)
{
    if (a->rank != b->rank || axis < 0 || axis >= a->rank)
        return false;
    for (int32_t k = 0; k < a->rank; k++)
        if (k != axis && a->dim[k] != b->dim[k])
            return false;
    return true;
}

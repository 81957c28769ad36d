/* index.c - see index.h. */
#include "gather/index.h"

#include <string.h>

#include "vector/binary.h"
#include "vector/copy.h"

bool cpr_is_index(const cpr_tensor *t)
{
    return t->dtype == CPR_S32 || t->dtype == CPR_S64;
}

int64_t cpr_index_at(const cpr_tensor *t, const void *data, int64_t offset)
{
    return t->dtype == CPR_S32 ? ((const int32_t *)data)[offset] : ((const int64_t *)data)[offset];
}

int64_t cpr_flat_offset(const cpr_tensor *t, int32_t rank, int64_t flat)
{
    int64_t offset = 0;
    for (int32_t k = rank - 1; k >= 0; k--) {
        if (t->dim[k] <= 1)
            continue;
        offset += flat % t->dim[k] * t->stride[k];
        flat /= t->dim[k];
    }
    return offset;
}

cpr_status cpr_check_indices(const char *name, const cpr_tensor *t, const void *data, int64_t bound)
{
    const int64_t n = cpr_elements(t);
    const bool dense = cpr_is_contiguous(t);
    for (int64_t i = 0; i < n; i++) {
        const int64_t index = cpr_index_at(t, data, dense ? i : cpr_flat_offset(t, t->rank, i));
        if (index < -bound || index >= bound)
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: index %lld is out of range for a dimension of %lld", name,
                            (long long)index, (long long)bound);
    }
    return CPR_OK;
}

/* The dims of t from `first` on, as a tensor. */
static cpr_tensor tail(const cpr_tensor *t, int32_t first)
{
    cpr_tensor part = {.dtype = t->dtype, .rank = t->rank - first};
    for (int32_t k = first; k < t->rank; k++) {
        part.dim[k - first] = t->dim[k];
        part.stride[k - first] = t->stride[k];
    }
    return part;
}

void cpr_slab_copy(cpr_slab *slab, const cpr_tensor *in, int32_t in_first, const cpr_tensor *out, int32_t out_first)
{
    const cpr_tensor a = tail(in, in_first), b = tail(out, out_first);
    const cpr_tensor *tensors[] = {&a, &b};
    void *data[2] = {NULL, NULL};
    *slab = (cpr_slab){.n = 2, .dims = cpr_merge(2, tensors, data), .size = cpr_dtype_bytes(in->dtype)};
    slab->what = (cpr_elementwise){cpr_copy_row, NULL, 0, CPR_GRAIN_CHEAP};
}

void cpr_slab_combine(cpr_slab *slab, const cpr_tensor *updates, int32_t first, const cpr_tensor *out,
                      int32_t out_first, int64_t reduction)
{
    const cpr_tensor a = tail(updates, first), b = tail(out, out_first);
    const cpr_tensor *tensors[] = {&b, &a, &b};
    void *data[3] = {NULL, NULL, NULL};
    *slab = (cpr_slab){.n = 3, .dims = cpr_merge(3, tensors, data), .size = cpr_dtype_bytes(out->dtype)};
    slab->what = (cpr_elementwise){cpr_reduction_core(out->dtype, reduction), NULL, 0, CPR_GRAIN_CHEAP};
}

void cpr_slab_run(const cpr_slab *slab, const void *in, void *out)
{
    if (slab->what.core == cpr_copy_row && slab->dims.rank == 1 && slab->dims.step[0][0] == slab->size && slab->dims.step[1][0] == slab->size) {
        memcpy(out, in, (size_t)(slab->dims.total * slab->size));
        return;
    }
    cpr_slab own = *slab;
    if (!own.what.context)
        own.what.context = &own.size;
    own.dims.data[0] = slab->n == 2 ? (char *)in : out;
    own.dims.data[1] = slab->n == 2 ? out : (char *)in;
    own.dims.data[2] = out;
    cpr_walk_dims(NULL, &own.dims, &own.what);
}

cpr_core *cpr_reduction_core(int32_t dtype, int64_t reduction)
{
    static const int32_t functions[] = {-1, CPR_ADD, CPR_MUL, CPR_MAX, CPR_MIN};
    const bool known = dtype == CPR_F32 || dtype == CPR_S32 || dtype == CPR_S64 || dtype == CPR_U8 || dtype == CPR_S8;
    return known && reduction >= 1 && reduction <= 4 ? cpr_binary_loops(dtype)[functions[reduction]] : NULL;
}

bool cpr_can_scatter(int32_t dtype, int64_t reduction)
{
    return reduction == 0 || cpr_reduction_core(dtype, reduction);
}

void cpr_begin_scatter(const cpr_op *op, const cpr_tensor *data, const void *from, const cpr_tensor *out, void *to)
{
    bool same = from == to;
    for (int32_t k = 0; k < out->rank; k++)
        same &= out->dim[k] <= 1 || data->stride[k] == out->stride[k];
    const cpr_tensor *tensors[] = {data, out};
    void *pointers[] = {(void *)from, to};
    if (!same)
        cpr_copy(op->pool, tensors, pointers);
}

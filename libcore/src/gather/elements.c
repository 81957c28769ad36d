/* elements.c - along one axis, element by element: gather_elements, scatter_elements, one_hot, trilu. */
#include <string.h>

#include "gather/index.h"
#include "reduce/slices.h"

enum { WORK = 4096 /* elements worth a thread */ };

typedef struct {
    const cpr_op *op;
    cpr_slices slices;
    cpr_core *combine; /* scatter: NULL moves */
    int32_t axis;
    int64_t n, bound, size;
    int64_t step[3]; /* along the axis, bytes: indices, the indexed tensor, the other one */
} lines;

static int64_t index_of(const lines *l, const char *indices, int64_t i)
{
    const char *at = indices + i * l->step[0];
    const int64_t index = l->op->tensor[1]->dtype == CPR_S32 ? *(const int32_t *)at : *(const int64_t *)at;
    return index < 0 ? index + l->bound : index;
}

/* Each position that is not the axis lies inside the indexed tensor. */
static bool fits_inside(const cpr_tensor *indices, const cpr_tensor *data, int64_t axis)
{
    if (indices->rank != data->rank || axis < 0 || axis >= data->rank)
        return false;
    for (int32_t k = 0; k < data->rank; k++)
        if (k != axis && indices->dim[k] > data->dim[k])
            return false;
    return true;
}

static lines lines_of(const cpr_op *op, const cpr_tensor *indexed, const cpr_tensor *other, int32_t axis)
{
    const cpr_tensor *indices = op->tensor[1];
    const cpr_tensor *tensors[] = {indices, indexed, other};
    return (lines){.op = op, .slices = cpr_slices_of(axis, 3, tensors), .axis = axis, .n = indices->dim[axis],
                   .bound = indexed->dim[axis], .size = cpr_dtype_bytes(indexed->dtype),
                   .step = {cpr_axis_step(indices, axis), cpr_axis_step(indexed, axis), cpr_axis_step(other, axis)}};
}

/* ---- gather_elements: operands data, indices, out; args: axis ---------------------------- */

static cpr_status check_gather_elements(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("gather_elements", op->n_tensors == 3 && op->n_args == 1);
    CPR_REQUIRE("gather_elements", op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *data = op->tensor[0], *indices = op->tensor[1], *out = op->tensor[2];
    CPR_REQUIRE("gather_elements", cpr_is_index(indices) && fits_inside(indices, data, op->args[0]));
    CPR_REQUIRE("gather_elements", cpr_same_dims(indices, out) && cpr_is_output(out));
    CPR_REQUIRE("gather_elements", cpr_dtype_bytes(data->dtype) == cpr_dtype_bytes(out->dtype));
    return CPR_OK;
}

static void gather_lines(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const lines *l = context;
    for (int64_t s = begin; s < end; s++) {
        int64_t at[CPR_SLICES_MAX];
        cpr_slices_at(&l->slices, s, at);
        const char *indices = (const char *)l->op->data[1] + at[0], *from = (const char *)l->op->data[0] + at[1];
        char *to = (char *)l->op->data[2] + at[2];
        for (int64_t i = 0; i < l->n; i++)
            memcpy(to + i * l->step[2], from + index_of(l, indices, i) * l->step[1], (size_t)l->size);
    }
}

static cpr_status run_gather_elements(const cpr_op *op)
{
    const int32_t axis = (int32_t)op->args[0];
    const cpr_status status = cpr_check_indices("gather_elements", op->tensor[1], op->data[1], op->tensor[0]->dim[axis]);
    if (status || cpr_elements(op->tensor[1]) == 0)
        return status;
    lines l = lines_of(op, op->tensor[0], op->tensor[2], axis);
    cpr_parallel(op->pool, l.slices.count, WORK / l.n + 1, gather_lines, &l);
    return CPR_OK;
}

const cpr_kernel cpr_k_gather_elements = {"gather_elements", check_gather_elements, run_gather_elements};

/* ---- scatter_elements: operands data, indices, updates, out; args: axis, reduction -------- */

static cpr_status check_scatter_elements(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("scatter_elements", op->n_tensors == 4 && op->n_args == 2);
    CPR_REQUIRE("scatter_elements", op->tensor[0] && op->tensor[1] && op->tensor[2] && op->tensor[3]);
    const cpr_tensor *data = op->tensor[0], *indices = op->tensor[1], *updates = op->tensor[2], *out = op->tensor[3];
    CPR_REQUIRE("scatter_elements", cpr_is_index(indices) && fits_inside(indices, data, op->args[0]));
    CPR_REQUIRE("scatter_elements", cpr_same_dims(indices, updates) && cpr_same_dims(data, out) && cpr_is_output(out));
    CPR_REQUIRE("scatter_elements", data->dtype == out->dtype && updates->dtype == out->dtype);
    CPR_REQUIRE("scatter_elements", cpr_can_scatter(out->dtype, op->args[1]));
    return CPR_OK;
}

static void scatter_lines(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const lines *l = context;
    for (int64_t s = begin; s < end; s++) {
        int64_t at[CPR_SLICES_MAX];
        cpr_slices_at(&l->slices, s, at);
        const char *indices = (const char *)l->op->data[1] + at[0];
        char *to = (char *)l->op->data[3] + at[1], *from = (char *)l->op->data[2] + at[2];
        for (int64_t i = 0; i < l->n; i++) {
            char *y = to + index_of(l, indices, i) * l->step[1], *x = from + i * l->step[2];
            if (l->combine)
                l->combine(NULL, 1, (char *[]){y, x, y}, 0);
            else
                memcpy(y, x, (size_t)l->size);
        }
    }
}

static cpr_status run_scatter_elements(const cpr_op *op)
{
    const int32_t axis = (int32_t)op->args[0];
    const cpr_tensor *out = op->tensor[3];
    const cpr_status status = cpr_check_indices("scatter_elements", op->tensor[1], op->data[1], out->dim[axis]);
    if (status)
        return status;
    cpr_begin_scatter(op, op->tensor[0], op->data[0], out, op->data[3]);
    if (cpr_elements(op->tensor[1]) == 0)
        return CPR_OK;
    lines l = lines_of(op, out, op->tensor[2], axis);
    l.combine = cpr_reduction_core(out->dtype, op->args[1]);
    cpr_parallel(op->pool, l.slices.count, WORK / l.n + 1, scatter_lines, &l);
    return CPR_OK;
}

const cpr_kernel cpr_k_scatter_elements = {"scatter_elements", check_scatter_elements, run_scatter_elements};

/* ---- one_hot: operands indices, values [2], out; args: axis of out -------------------------- */

static cpr_status check_one_hot(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("one_hot", op->n_tensors == 3 && op->n_args == 1 && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *indices = op->tensor[0], *values = op->tensor[1], *out = op->tensor[2];
    const int64_t axis = op->args[0];
    CPR_REQUIRE("one_hot", cpr_is_index(indices) && values->rank == 1 && values->dim[0] == 2 && cpr_is_output(out));
    CPR_REQUIRE("one_hot", cpr_dtype_bytes(values->dtype) == cpr_dtype_bytes(out->dtype));
    CPR_REQUIRE("one_hot", out->rank == indices->rank + 1 && axis >= 0 && axis < out->rank);
    for (int32_t k = 0; k < indices->rank; k++)
        CPR_REQUIRE("one_hot", indices->dim[k] == out->dim[k < axis ? k : k + 1]);
    return CPR_OK;
}

static cpr_status run_one_hot(const cpr_op *op)
{
    const cpr_tensor *indices = op->tensor[0], *out = op->tensor[2];
    const int32_t axis = (int32_t)op->args[0];
    const int64_t size = cpr_dtype_bytes(out->dtype), depth = out->dim[axis], n = cpr_elements(indices);
    const int64_t step = cpr_axis_step(out, axis);
    const char *off = op->data[1], *on = off + op->tensor[1]->stride[0] * size;
    const cpr_tensor *tensors[] = {out};
    const cpr_slices slices = cpr_slices_of(axis, 1, tensors);
    for (int64_t i = 0; i < n; i++) {
        int64_t at;
        cpr_slices_at(&slices, i, &at);
        int64_t index = cpr_index_at(indices, op->data[0], cpr_flat_offset(indices, indices->rank, i));
        index = index < 0 && index >= -depth ? index + depth : index;
        for (int64_t d = 0; d < depth; d++)
            memcpy((char *)op->data[2] + at + d * step, d == index ? on : off, (size_t)size);
    }
    return CPR_OK;
}

const cpr_kernel cpr_k_one_hot = {"one_hot", check_one_hot, run_one_hot};

/* ---- trilu: operands in, out; args: upper, k ------------------------------------------------ */

static cpr_status check_trilu(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("trilu", op, 2);
    if (status)
        return status;
    CPR_REQUIRE("trilu", op->n_tensors == 2 && op->n_args == 2 && op->tensor[0]->rank >= 2);
    CPR_REQUIRE("trilu", cpr_dtype_bytes(op->tensor[0]->dtype) == cpr_dtype_bytes(op->tensor[1]->dtype));
    return CPR_OK;
}

static void trilu_lines(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const lines *l = context;
    const int64_t rows = l->op->tensor[0]->dim[l->axis - 1], k = l->op->args[1];
    const bool upper = l->op->args[0] != 0;
    for (int64_t s = begin; s < end; s++) {
        int64_t at[CPR_SLICES_MAX];
        cpr_slices_at(&l->slices, s, at);
        const char *from = (const char *)l->op->data[0] + at[0];
        char *to = (char *)l->op->data[1] + at[1];
        for (int64_t j = 0; j < l->n; j++) {
            const int64_t above = j - s % rows; /* |above| and k cannot overflow when compared */
            if (upper ? above >= k : above <= k)
                memmove(to + j * l->step[1], from + j * l->step[0], (size_t)l->size);
            else
                memset(to + j * l->step[1], 0, (size_t)l->size);
        }
    }
}

static cpr_status run_trilu(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0];
    const int32_t axis = in->rank - 1;
    if (cpr_elements(in) == 0)
        return CPR_OK;
    lines l = {.op = op, .slices = cpr_slices_of(axis, 2, op->tensor), .axis = axis, .n = in->dim[axis],
               .size = cpr_dtype_bytes(in->dtype),
               .step = {cpr_axis_step(in, axis), cpr_axis_step(op->tensor[1], axis)}};
    cpr_parallel(op->pool, l.slices.count, WORK / l.n + 1, trilu_lines, &l);
    return CPR_OK;
}

const cpr_kernel cpr_k_trilu = {"trilu", check_trilu, run_trilu};

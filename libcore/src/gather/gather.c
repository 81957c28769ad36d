/* gather.c - gather and gather_nd: blocks of elements chosen by index. */
#include <string.h>

#include "gather/index.h"
#include "quant/linear.h"

enum { WORK = 16384 /* elements worth a thread */ };

typedef struct {
    const cpr_op *op;
    const cpr_tensor *data, *indices, *out;
    cpr_slab slab;
    int32_t axis;         /* gather: of data; gather_nd: batch dims */
    int64_t tuple, count; /* gather_nd: indices per block; index positions */
    int64_t size, out_size; /* bytes of an element */
} blocks;

static int64_t step(const cpr_tensor *t, int32_t k)
{
    return t->dim[k] > 1 ? t->stride[k] : 0;
}

static int64_t wrapped(int64_t index, int64_t bound)
{
    return index < 0 ? index + bound : index;
}

/* ---- gather: operands data, indices, out; args: axis, or axis, scale (float), zero_point where
 * data of u8 or s8 become f32, or the other way round ---------------------------------------- */

static void convert_row(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)scalars; /* none is accepted */
    cpr_convert(context, n, data[0], data[1]);
}

static cpr_status check_gather(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("gather", op->n_tensors == 3 && (op->n_args == 1 || op->n_args == 3) && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *data = op->tensor[0], *indices = op->tensor[1], *out = op->tensor[2];
    const int64_t axis = op->args[0];
    CPR_REQUIRE("gather", axis >= 0 && axis < data->rank && cpr_is_index(indices) && cpr_is_output(out));
    if (op->n_args == 3)
        CPR_REQUIRE("gather", ((cpr_is_code(data->dtype) && out->dtype == CPR_F32) ||
                               (data->dtype == CPR_F32 && cpr_is_code(out->dtype))) && op->args[2] >= -128 && op->args[2] <= 255);
    else
        CPR_REQUIRE("gather", cpr_dtype_bytes(data->dtype) == cpr_dtype_bytes(out->dtype));
    CPR_REQUIRE("gather", out->rank == data->rank - 1 + indices->rank);
    for (int32_t k = 0; k < out->rank; k++) {
        const int64_t dim = k < axis ? data->dim[k]
                            : k < axis + indices->rank ? indices->dim[k - axis] : data->dim[k - indices->rank + 1];
        if (out->dim[k] != dim)
            return cpr_fail(CPR_ERR_ARGUMENT, "gather: dimension %d of the output must be %lld", k, (long long)dim);
    }
    return CPR_OK;
}

static void gather_blocks(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const blocks *b = context;
    const int64_t bound = b->data->dim[b->axis], along = step(b->data, b->axis);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t place = unit % b->count, outer = unit / b->count;
        const int64_t index = cpr_index_at(b->indices, b->op->data[1], cpr_flat_offset(b->indices, b->indices->rank, place));
        const int64_t from = cpr_flat_offset(b->data, b->axis, outer) + wrapped(index, bound) * along;
        const int64_t to = cpr_flat_offset(b->out, b->axis + b->indices->rank, unit);
        cpr_slab_run(&b->slab, (const char *)b->op->data[0] + from * b->size, (char *)b->op->data[2] + to * b->out_size);
    }
}

static cpr_status run_gather(const cpr_op *op)
{
    const cpr_tensor *data = op->tensor[0], *indices = op->tensor[1], *out = op->tensor[2];
    const int32_t axis = (int32_t)op->args[0];
    const int64_t total = cpr_elements(out);
    if (total == 0)
        return CPR_OK;
    const cpr_status status = cpr_check_indices("gather", indices, op->data[1], data->dim[axis]);
    if (status)
        return status;
    blocks b = {.op = op, .data = data, .indices = indices, .out = out, .axis = axis,
                .count = cpr_elements(indices), .size = cpr_dtype_bytes(data->dtype), .out_size = cpr_dtype_bytes(out->dtype)};
    cpr_slab_copy(&b.slab, data, axis + 1, out, axis + indices->rank);
    cpr_conversion conversion;
    if (op->n_args == 3) {
        conversion = cpr_conversion_of(data->dtype, out->dtype, cpr_arg_float(op, 1), op->args[2]);
        b.slab.what.core = convert_row;
        b.slab.what.context = &conversion;
    }
    cpr_parallel(op->pool, total / b.slab.dims.total, WORK / b.slab.dims.total + 1, gather_blocks, &b);
    return CPR_OK;
}

const cpr_kernel cpr_k_gather = {"gather", check_gather, run_gather};

/* ---- gather_nd: operands data, indices [..., k], out; args: batch_dims ------------------- */

static cpr_status check_gather_nd(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("gather_nd", op->n_tensors == 3 && op->n_args == 1 && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *data = op->tensor[0], *indices = op->tensor[1], *out = op->tensor[2];
    const int64_t batch = op->args[0];
    CPR_REQUIRE("gather_nd", cpr_is_index(indices) && indices->rank >= 1 && cpr_is_output(out));
    CPR_REQUIRE("gather_nd", batch >= 0 && batch < indices->rank && batch < data->rank);
    const int64_t tuple = indices->dim[indices->rank - 1];
    CPR_REQUIRE("gather_nd", tuple >= 1 && tuple <= data->rank - batch);
    CPR_REQUIRE("gather_nd", cpr_dtype_bytes(data->dtype) == cpr_dtype_bytes(out->dtype));
    CPR_REQUIRE("gather_nd", out->rank == indices->rank - 1 + data->rank - batch - tuple);
    for (int32_t k = 0; k < batch; k++)
        CPR_REQUIRE("gather_nd", data->dim[k] == indices->dim[k]);
    for (int32_t k = 0; k < out->rank; k++)
        CPR_REQUIRE("gather_nd", out->dim[k] == (k < indices->rank - 1 ? indices->dim[k]
                                                                     : data->dim[k - indices->rank + 1 + batch + tuple]));
    return CPR_OK;
}

/* Offset in data of block `unit`; an error if its indices are out of range. */
static cpr_status nd_offset(const char *name, const blocks *b, int64_t unit, int64_t *offset)
{
    const int32_t last = b->indices->rank - 1;
    const int64_t at = cpr_flat_offset(b->indices, last, unit), along = step(b->indices, last);
    int64_t batch = unit;
    for (int32_t k = b->axis; k < last; k++)
        batch /= b->indices->dim[k];
    *offset = cpr_flat_offset(b->data, b->axis, batch);
    for (int64_t k = 0; k < b->tuple; k++) {
        const int32_t dim = b->axis + (int32_t)k;
        const int64_t bound = b->data->dim[dim], index = cpr_index_at(b->indices, b->op->data[1], at + k * along);
        if (index < -bound || index >= bound)
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: index %lld is out of range for dimension %d of %lld", name,
                            (long long)index, dim, (long long)bound);
        *offset += wrapped(index, bound) * step(b->data, dim);
    }
    return CPR_OK;
}

static cpr_status nd_check(const char *name, const blocks *b)
{
    for (int64_t unit = 0; unit < b->count; unit++) {
        int64_t offset;
        const cpr_status status = nd_offset(name, b, unit, &offset);
        if (status)
            return status;
    }
    return CPR_OK;
}

static void gather_nd_blocks(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const blocks *b = context;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t from;
        if (nd_offset("gather_nd", b, unit, &from))
            return;
        const int64_t to = cpr_flat_offset(b->out, b->indices->rank - 1, unit);
        cpr_slab_run(&b->slab, (const char *)b->op->data[0] + from * b->size, (char *)b->op->data[2] + to * b->size);
    }
}

static blocks nd_blocks(const cpr_op *op, const cpr_tensor *moved, int32_t batch)
{
    const cpr_tensor *indices = op->tensor[1];
    blocks b = {.op = op, .data = op->tensor[0], .indices = indices, .out = moved, .axis = batch,
                .tuple = indices->dim[indices->rank - 1], .count = 1, .size = cpr_dtype_bytes(op->tensor[0]->dtype)};
    for (int32_t k = 0; k < indices->rank - 1; k++)
        b.count *= indices->dim[k];
    return b;
}

static cpr_status run_gather_nd(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[2];
    if (cpr_elements(out) == 0)
        return CPR_OK;
    blocks b = nd_blocks(op, out, (int32_t)op->args[0]);
    const cpr_status status = nd_check("gather_nd", &b);
    if (status)
        return status;
    cpr_slab_copy(&b.slab, b.data, b.axis + (int32_t)b.tuple, out, b.indices->rank - 1);
    cpr_parallel(op->pool, b.count, WORK / b.slab.dims.total + 1, gather_nd_blocks, &b);
    return CPR_OK;
}

const cpr_kernel cpr_k_gather_nd = {"gather_nd", check_gather_nd, run_gather_nd};

/* ---- scatter_nd: operands data, indices [..., k], updates, out; args: reduction ----------- */

static cpr_status check_scatter_nd(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("scatter_nd", op->n_tensors == 4 && op->n_args == 1);
    CPR_REQUIRE("scatter_nd", op->tensor[0] && op->tensor[1] && op->tensor[2] && op->tensor[3]);
    const cpr_tensor *data = op->tensor[0], *indices = op->tensor[1], *updates = op->tensor[2], *out = op->tensor[3];
    CPR_REQUIRE("scatter_nd", cpr_is_index(indices) && indices->rank >= 1 && cpr_is_output(out));
    CPR_REQUIRE("scatter_nd", cpr_same_dims(data, out) && data->dtype == out->dtype && updates->dtype == out->dtype);
    const int64_t tuple = indices->dim[indices->rank - 1];
    CPR_REQUIRE("scatter_nd", tuple >= 1 && tuple <= data->rank);
    CPR_REQUIRE("scatter_nd", updates->rank == indices->rank - 1 + data->rank - tuple);
    for (int32_t k = 0; k < updates->rank; k++)
        CPR_REQUIRE("scatter_nd", updates->dim[k] == (k < indices->rank - 1 ? indices->dim[k]
                                                                          : data->dim[k - indices->rank + 1 + tuple]));
    CPR_REQUIRE("scatter_nd", cpr_can_scatter(out->dtype, op->args[0]));
    return CPR_OK;
}

static cpr_status run_scatter_nd(const cpr_op *op)
{
    const cpr_tensor *updates = op->tensor[2], *out = op->tensor[3];
    blocks b = nd_blocks(op, updates, 0);
    const bool empty = cpr_elements(updates) == 0;
    const cpr_status status = empty ? CPR_OK : nd_check("scatter_nd", &b);
    if (status)
        return status;
    cpr_begin_scatter(op, op->tensor[0], op->data[0], out, op->data[3]);
    if (empty)
        return CPR_OK;
    b.data = out;
    const int32_t first = b.indices->rank - 1;
    if (op->args[0] == 0)
        cpr_slab_copy(&b.slab, updates, first, out, (int32_t)b.tuple);
    else
        cpr_slab_combine(&b.slab, updates, first, out, (int32_t)b.tuple, op->args[0]);
    for (int64_t unit = 0; unit < b.count; unit++) {
        int64_t to;
        const cpr_status found = nd_offset("scatter_nd", &b, unit, &to);
        if (found)
            return found;
        const int64_t from = cpr_flat_offset(updates, first, unit);
        cpr_slab_run(&b.slab, (const char *)op->data[2] + from * b.size, (char *)op->data[3] + to * b.size);
    }
    return CPR_OK;
}

const cpr_kernel cpr_k_scatter_nd = {"scatter_nd", check_scatter_nd, run_scatter_nd};

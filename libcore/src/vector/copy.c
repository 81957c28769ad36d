/* copy.c - moving elements: any strides to any strides, and filling. */
#include <string.h>

#include "program/kernel.h"

/* fill: operands out; args: bit pattern of one element (low bytes).  Any dtype and strides. */
static cpr_status check_fill(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("fill", op->n_tensors == 1 && op->n_args == 1 && op->tensor[0]);
    return CPR_OK;
}

static void fill_row(char *out, int64_t n, int64_t step, int64_t size, const void *bits)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * step, bits, (size_t)size);
}

static void fill_dims(const cpr_tensor *t, int32_t axis, char *out, int64_t size, const void *bits)
{
    if (axis >= t->rank - 1) {
        fill_row(out, t->rank ? t->dim[axis] : 1, t->rank ? t->stride[axis] * size : 0, size, bits);
        return;
    }
    for (int64_t i = 0; i < t->dim[axis]; i++)
        fill_dims(t, axis + 1, out + i * t->stride[axis] * size, size, bits);
}

static cpr_status run_fill(const cpr_op *op)
{
    const cpr_tensor *t = op->tensor[0];
    fill_dims(t, 0, op->data[0], cpr_dtype_bytes(t->dtype), op->args);
    return CPR_OK;
}

const cpr_kernel cpr_k_fill = {"fill", check_fill, run_fill};

/* copy: operands in, out: same dims and element size (bits are moved, not converted). */
static cpr_status check_copy(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("copy", op->n_tensors == 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE("copy", cpr_same_dims(in, out));
    CPR_REQUIRE("copy", cpr_dtype_bytes(in->dtype) == cpr_dtype_bytes(out->dtype));
    return CPR_OK;
}

static void copy_dims(const cpr_tensor *in, const cpr_tensor *out, int32_t axis, const char *x, char *y, int64_t size)
{
    if (axis >= in->rank) {
        memcpy(y, x, (size_t)size);
        return;
    }
    const int64_t n = in->dim[axis], from = in->stride[axis] * size, to = out->stride[axis] * size;
    if (axis == in->rank - 1 && in->stride[axis] == 1 && out->stride[axis] == 1) {
        memmove(y, x, (size_t)(n * size));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        copy_dims(in, out, axis + 1, x + i * from, y + i * to, size);
}

static cpr_status run_copy(const cpr_op *op)
{
    copy_dims(op->tensor[0], op->tensor[1], 0, op->data[0], op->data[1], cpr_dtype_bytes(op->tensor[0]->dtype));
    return CPR_OK;
}

const cpr_kernel cpr_k_copy = {"copy", check_copy, run_copy};

/* kernel.c - small questions about tensors that every kernel asks. */
#include "program/kernel.h"

#include <string.h>

double cpr_arg_float(const cpr_op *op, int32_t i)
{
    double value;
    memcpy(&value, &op->args[i], sizeof value);
    return value;
}

int64_t cpr_dtype_bytes(int32_t dtype)
{
    switch (dtype) {
    case CPR_U8: case CPR_S8: case CPR_BOOL: return 1;
    case CPR_U16: case CPR_S16: case CPR_F16: case CPR_BF16: return 2;
    case CPR_F32: case CPR_S32: case CPR_U32: return 4;
    case CPR_S64: case CPR_U64: case CPR_F64: return 8;
    default: return 0;
    }
}

int64_t cpr_elements(const cpr_tensor *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

bool cpr_is_contiguous(const cpr_tensor *t)
{
    int64_t expected = 1;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] == 0)
            return true;
        if (t->dim[i] != 1 && t->stride[i] != expected)
            return false;
        expected *= t->dim[i];
    }
    return true;
}

bool cpr_same_dims(const cpr_tensor *a, const cpr_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

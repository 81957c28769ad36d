/* cast.c - cast: operands in, out; every pair of the types below. */
#include "vector/cast.h"

int32_t cpr_cast_index(int32_t dtype)
{
    switch (dtype) {
    case CPR_F32: return 0;
    case CPR_F16: return 1;
    case CPR_BF16: return 2;
    case CPR_F64: return 3;
    case CPR_S8: return 4;
    case CPR_U8: return 5;
    case CPR_S16: return 6;
    case CPR_U16: return 7;
    case CPR_S32: return 8;
    case CPR_U32: return 9;
    case CPR_S64: return 10;
    case CPR_U64: return 11;
    case CPR_BOOL: return 12;
    default: return -1;
    }
}

static cpr_status check_cast(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("cast", op, 2);
    if (status)
        return status;
    CPR_REQUIRE("cast", op->n_tensors == 2);
    if (cpr_cast_index(op->tensor[0]->dtype) < 0 || cpr_cast_index(op->tensor[1]->dtype) < 0)
        return cpr_fail(CPR_ERR_UNSUPPORTED, "cast: not from dtype %d to %d", op->tensor[0]->dtype, op->tensor[1]->dtype);
    return CPR_OK;
}

static cpr_status run_cast(const cpr_op *op)
{
    const cpr_cast_ops *ops = CPR_PICK(cpr_cast);
    cpr_core *core = ops->from_to[cpr_cast_index(op->tensor[0]->dtype)][cpr_cast_index(op->tensor[1]->dtype)];
    cpr_walk_op(op, 2, &(cpr_elementwise){core, NULL, 0, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_cast = {"cast", check_cast, run_cast};

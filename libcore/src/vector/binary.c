/* binary.c - binary, where, scale_shift: checks and the choice of a loop. */
#include "vector/binary.h"

#include "vector/half.h"

cpr_core *const *cpr_binary_loops(int32_t dtype)
{
    const cpr_binary_ops *ops = CPR_PICK(cpr_binary);
    switch (dtype) {
    case CPR_F32: return ops->f32;
    case CPR_S8: return ops->s8;
    case CPR_U8: case CPR_BOOL: return ops->u8;
    case CPR_S16: return ops->s16;
    case CPR_U16: return ops->u16;
    case CPR_S32: return ops->s32;
    case CPR_U32: return ops->u32;
    case CPR_S64: return ops->s64;
    case CPR_U64: return ops->u64;
    default: return NULL;
    }
}

/* The same for the operator, which knows bfloat16 too. */
static cpr_core *const *loops_of(int32_t dtype)
{
    return dtype == CPR_BF16 ? CPR_PICK(cpr_half)->binary : cpr_binary_loops(dtype);
}

static bool is_comparison(int64_t code)
{
    return code >= CPR_EQUAL && code <= CPR_GREATER_OR_EQUAL;
}

/* binary: operands a, b, out; args: function.  Bools are bytes 0 and 1, so `and`, `or`, `xor`
 * and `equal` are those of bytes. */
static cpr_status check_binary(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("binary", op, 3);
    if (status)
        return status;
    CPR_REQUIRE("binary", op->n_tensors == 3 && op->n_args == 1);
    const int64_t code = op->args[0];
    const int32_t dtype = op->tensor[0]->dtype, out = op->tensor[2]->dtype;
    CPR_REQUIRE("binary", code >= 0 && code < CPR_BINARY_COUNT);
    CPR_REQUIRE("binary", op->tensor[1]->dtype == dtype && out == (is_comparison(code) ? CPR_BOOL : dtype));
    if (!loops_of(dtype) || !loops_of(dtype)[code] ||
        (dtype == CPR_BOOL && code != CPR_EQUAL && (code < CPR_AND || code > CPR_XOR)))
        return cpr_fail(CPR_ERR_UNSUPPORTED, "binary: no function %d for dtype %d", (int)code, dtype);
    return CPR_OK;
}

static cpr_status run_binary(const cpr_op *op)
{
    const int64_t code = op->args[0];
    const int32_t dtype = op->tensor[0]->dtype;
    const uint32_t accept = dtype == CPR_F32 || dtype == CPR_BF16 ? 1u << 1 | 1u << 2 : 0;
    const bool heavy = code == CPR_POW || code == CPR_MOD || code == CPR_FMOD;
    cpr_walk_op(op, 3, &(cpr_elementwise){loops_of(dtype)[code], NULL, accept,
                                          heavy ? CPR_GRAIN_HEAVY : CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_binary = {"binary", check_binary, run_binary};

/* where: operands condition (bool), x, y, out: bits are moved. */
static cpr_status check_where(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("where", op, 4);
    if (status)
        return status;
    CPR_REQUIRE("where", op->n_tensors == 4 && op->tensor[0]->dtype == CPR_BOOL);
    const int64_t size = cpr_dtype_bytes(op->tensor[3]->dtype);
    CPR_REQUIRE("where", size > 0 && cpr_dtype_bytes(op->tensor[1]->dtype) == size &&
                             cpr_dtype_bytes(op->tensor[2]->dtype) == size);
    return CPR_OK;
}

static cpr_status run_where(const cpr_op *op)
{
    const int64_t size = cpr_dtype_bytes(op->tensor[3]->dtype);
    const int32_t log = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    const cpr_binary_ops *ops = CPR_PICK(cpr_binary);
    cpr_walk_op(op, 4, &(cpr_elementwise){ops->where[log], NULL, 1u << 1 | 1u << 2 | 1u << 4, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_where = {"where", check_where, run_where};

/* scale_shift: operands x, scale, shift, out, all f32; args: low, high. */
static cpr_status check_scale_shift(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("scale_shift", op, 4);
    if (status)
        return status;
    CPR_REQUIRE("scale_shift", op->n_tensors == 4 && op->n_args == 2);
    for (int32_t i = 0; i < 4; i++)
        CPR_REQUIRE("scale_shift", op->tensor[i]->dtype == CPR_F32);
    return CPR_OK;
}

static cpr_status run_scale_shift(const cpr_op *op)
{
    const float bounds[2] = {(float)cpr_arg_float(op, 0), (float)cpr_arg_float(op, 1)};
    const cpr_binary_ops *ops = CPR_PICK(cpr_binary);
    cpr_walk_op(op, 4, &(cpr_elementwise){ops->scale_shift, bounds, 1u << 6, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_scale_shift = {"scale_shift", check_scale_shift, run_scale_shift};

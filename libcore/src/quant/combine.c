/* combine.c - add_q8 and mul_q8. */
#include "quant/combine.h"

/* add_q8, mul_q8: operands a u8, b u8, out u8, of the same dims, any strides
 * args a_zero, b_zero, a_scale, b_scale, low, high (floats), zero_point */
enum { A_ZERO, B_ZERO, A_SCALE, B_SCALE, LOW, HIGH, ZERO, N_ARGS };

static cpr_status check_combine(const char *name, const cpr_op *op)
{
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == N_ARGS);
    const cpr_status status = cpr_check_walk(name, op, 3);
    if (status)
        return status;
    for (int32_t i = 0; i < 3; i++)
        CPR_REQUIRE(name, op->tensor[i]->dtype == CPR_U8);
    const double low = cpr_arg_float(op, LOW), high = cpr_arg_float(op, HIGH), zero = (double)op->args[ZERO];
    CPR_REQUIRE(name, op->args[ZERO] >= 0 && op->args[ZERO] <= 255);
    CPR_REQUIRE(name, low >= -zero && high <= 255.0 - zero && low <= high);
    return CPR_OK;
}

static cpr_status run_combine(const cpr_op *op, bool product)
{
    const cpr_combine p = {
        .a_zero = (float)op->args[A_ZERO],
        .b_zero = (float)op->args[B_ZERO],
        .a_scale = (float)cpr_arg_float(op, A_SCALE),
        .b_scale = (float)cpr_arg_float(op, B_SCALE),
        .low = (float)cpr_arg_float(op, LOW),
        .high = (float)cpr_arg_float(op, HIGH),
        .zero_point = (int32_t)op->args[ZERO],
    };
    const cpr_combine_ops *ops = CPR_PICK(cpr_combine);
    cpr_walk_op(op, 3, &(cpr_elementwise){product ? ops->mul : ops->add, &p, 1u << 2, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

static cpr_status check_add(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_combine("add_q8", op);
}

static cpr_status check_mul(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_combine("mul_q8", op);
}

static cpr_status run_add(const cpr_op *op)
{
    return run_combine(op, false);
}

static cpr_status run_mul(const cpr_op *op)
{
    return run_combine(op, true);
}

const cpr_kernel cpr_k_add_q8 = {"add_q8", check_add, run_add};
const cpr_kernel cpr_k_mul_q8 = {"mul_q8", check_mul, run_mul};

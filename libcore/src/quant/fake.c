/* fake.c - fake_quantize and its gradients: what training with quantization computes. */
#include "quant/fake.h"

/* fake_quantize: operands x f32, scale f32, out f32, of one shape
 *     v = x / scale;  out = rint(clip(v, low, high)) * scale
 * fake_quantize_grad: operands x, scale, g, out f32, of one shape
 *     of 0 (x):      out = g where low <= v <= high, else 0
 *     of 1 (scale):  out = g (rint(clip(v)) - v) where low <= v <= high, else g clip(v)
 * low and high are the ends of the grid minus the zero point: whole numbers, low <= 0 <= high.
 * args low, high, and of for the gradient */
enum { MOST = 1 << 16 };

static cpr_status check_fake(const char *name, const cpr_op *op, int32_t operands, int32_t args)
{
    CPR_REQUIRE(name, op->n_tensors == operands && op->n_args == args);
    const cpr_status status = cpr_check_walk(name, op, operands);
    if (status)
        return status;
    for (int32_t i = 0; i < operands; i++)
        CPR_REQUIRE(name, op->tensor[i]->dtype == CPR_F32);
    CPR_REQUIRE(name, op->args[0] >= -MOST && op->args[0] <= 0 && op->args[1] >= 0 && op->args[1] <= MOST);
    return CPR_OK;
}

static cpr_status check_value(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_fake("fake_quantize", op, 3, 2);
}

static cpr_status check_grad(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check_fake("fake_quantize_grad", op, 4, 3);
    if (status)
        return status;
    CPR_REQUIRE("fake_quantize_grad", op->args[2] == 0 || op->args[2] == 1);
    return CPR_OK;
}

static cpr_status run_core(const cpr_op *op, int32_t operands, cpr_core *core)
{
    const cpr_fake p = {(float)op->args[0], (float)op->args[1]};
    cpr_walk_op(op, operands, &(cpr_elementwise){core, &p, 1u << 2, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

static cpr_status run_value(const cpr_op *op)
{
    return run_core(op, 3, CPR_PICK(cpr_fake)->value);
}

static cpr_status run_grad(const cpr_op *op)
{
    const cpr_fake_ops *ops = CPR_PICK(cpr_fake);
    return run_core(op, 4, op->args[2] ? ops->grad_scale : ops->grad_x);
}

const cpr_kernel cpr_k_fake_quantize = {"fake_quantize", check_value, run_value};
const cpr_kernel cpr_k_fake_quantize_grad = {"fake_quantize_grad", check_grad, run_grad};

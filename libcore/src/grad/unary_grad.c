/* unary_grad.c - the operator unary_grad.
 *
 * operands  v (the function's operand or its result, see unary.h), g, out: f32, as elementwise
 * args      function, alpha (float; swish)
 */
#include "grad/unary.h"

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "unary_grad";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == 2 && op->args[0] >= 0 && op->args[0] < CPR_GRAD_FUNCTIONS);
    const cpr_status status = cpr_check_walk(name, op, 3);
    if (status)
        return status;
    for (int32_t i = 0; i < 3; i++)
        CPR_REQUIRE(name, op->tensor[i]->dtype == CPR_F32);
    return CPR_OK;
}

static cpr_status run(const cpr_op *op)
{
    const float alpha = (float)cpr_arg_float(op, 1);
    const int64_t function = op->args[0];
    const cpr_elementwise what = {
        .core = CPR_PICK(cpr_unary_grad)->core[function],
        .context = &alpha,
        .grain = function == CPR_GRAD_RELU ? CPR_GRAIN_CHEAP : CPR_GRAIN_HEAVY,
    };
    cpr_walk_op(op, 3, &what);
    return CPR_OK;
}

const cpr_kernel cpr_k_unary_grad = {"unary_grad", check, run};

/* step.c - sgd_step and adam_step: all that an optimizer does to a parameter, in one pass.
 * Operands and args: libcore/README.md. */
#include "optim/step.h"


/* All operands but an absent pair: the same floats, contiguous, of the same dims. */
static cpr_status check(const char *name, const cpr_op *op, int32_t operands, int32_t args)
{
    CPR_REQUIRE(name, op->n_tensors == operands && op->n_args == args && op->tensor[0]);
    const cpr_tensor *p = op->tensor[0];
    CPR_REQUIRE(name, p->dtype == CPR_F32 || p->dtype == CPR_F64);
    for (int32_t i = 0; i < operands; i++) {
        const cpr_tensor *t = op->tensor[i];
        CPR_REQUIRE(name, !t || (t->dtype == p->dtype && cpr_same_dims(t, p) && cpr_is_contiguous(t)));
    }
    return CPR_OK;
}

static cpr_status check_sgd(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check("sgd_step", op, 5, 4);
    if (status)
        return status;
    CPR_REQUIRE("sgd_step", op->tensor[1] && op->tensor[3] && !op->tensor[2] == !op->tensor[4]);
    return CPR_OK;
}

static cpr_status check_adam(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check("adam_step", op, 7, 8);
    if (status)
        return status;
    for (int32_t i = 1; i < 7; i++)
        CPR_REQUIRE("adam_step", op->tensor[i]);
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    cpr_sgd sgd;
    cpr_adam adam;
    cpr_sgd_fn *sgd_fn;
    cpr_adam_fn *adam_fn;
} task;

static void run_range(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const task *t = context;
    if (t->adam_fn)
        t->adam_fn(&t->adam, begin, end, t->op->data);
    else
        t->sgd_fn(&t->sgd, begin, end, t->op->data);
}

static cpr_status run(const cpr_op *op, task *t)
{
    cpr_parallel(op->pool, cpr_elements(op->tensor[0]), CPR_GRAIN_CHEAP, run_range, t);
    return CPR_OK;
}

static cpr_status run_sgd(const cpr_op *op)
{
    const cpr_step_ops *ops = CPR_PICK(cpr_step);
    task t = {.op = op, .sgd_fn = op->tensor[0]->dtype == CPR_F32 ? ops->sgd_f32 : ops->sgd_f64};
    t.sgd = (cpr_sgd){cpr_arg_float(op, 0), cpr_arg_float(op, 1), cpr_arg_float(op, 2), op->args[3] != 0};
    return run(op, &t);
}

static cpr_status run_adam(const cpr_op *op)
{
    const cpr_step_ops *ops = CPR_PICK(cpr_step);
    task t = {.op = op, .adam_fn = op->tensor[0]->dtype == CPR_F32 ? ops->adam_f32 : ops->adam_f64};
    t.adam = (cpr_adam){cpr_arg_float(op, 0), cpr_arg_float(op, 1), cpr_arg_float(op, 2), cpr_arg_float(op, 3),
                        cpr_arg_float(op, 4), cpr_arg_float(op, 5), cpr_arg_float(op, 6), cpr_arg_float(op, 7)};
    return run(op, &t);
}

const cpr_kernel cpr_k_sgd_step = {"sgd_step", check_sgd, run_sgd};
const cpr_kernel cpr_k_adam_step = {"adam_step", check_adam, run_adam};

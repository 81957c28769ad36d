/* after.c - functions and tables on results, see after.h. */
#include "product/after.h"

cpr_status cpr_after_check(const char *name, const cpr_op *op, int32_t n_args, int32_t n_operands, const cpr_tensor *out)
{
    CPR_REQUIRE(name, op->n_args == n_args || op->n_args == n_args + CPR_AFTER_ARGS);
    CPR_REQUIRE(name, op->n_tensors == n_operands || op->n_tensors == n_operands + 1);
    if (op->n_args > n_args) {
        CPR_REQUIRE(name, out && out->dtype == CPR_F32);
        CPR_REQUIRE(name, op->args[n_args] >= 0 && op->args[n_args] < CPR_UNARY_COUNT);
    }
    if (op->n_tensors > n_operands) {
        const cpr_tensor *table = op->tensor[n_operands];
        CPR_REQUIRE(name, table && out && cpr_dtype_bytes(out->dtype) == 1 && cpr_is_table(table));
    }
    return CPR_OK;
}

cpr_after cpr_after_of(const cpr_op *op, int32_t n_args, int32_t n_operands)
{
    cpr_after found = {0};
    if (op->n_args > n_args) {
        found.f = cpr_unary()->f[op->args[n_args]];
        found.alpha = (float)cpr_arg_float(op, n_args + 1);
        found.beta = (float)cpr_arg_float(op, n_args + 2);
    }
    if (op->n_tensors > n_operands) {
        found.look_up = cpr_lut_now();
        found.table = op->data[n_operands];
    }
    return found;
}

void cpr_after_rows(const cpr_after *after, int64_t rows, int64_t n, int64_t step, int64_t bytes, void *y)
{
    if (step == n || rows == 1) {
        n *= rows;
        rows = 1;
    }
    for (int64_t i = 0; i < rows; i++) {
        char *row = (char *)y + i * step * bytes;
        if (after->f)
            after->f(n, (const float *)row, (float *)row, after->alpha, after->beta);
        else if (after->look_up)
            after->look_up(after->table, n, (const uint8_t *)row, (uint8_t *)row);
    }
}

/* rows.c - normalising along one axis: softmax, log_softmax, lp_norm, lrn.
 *
 * A slice that is not dense is gathered into scratch, and scattered from there.
 */
#include <string.h>

#include "norm/norm.h"
#include "reduce/slices.h"

enum { WORK = 4096 /* elements worth a thread */ };

typedef struct rows rows;
typedef void row_fn(const rows *r, const float *x, float *y, float *scratch);

struct rows {
    const cpr_op *op;
    const cpr_norm_ops *ops;
    cpr_slices slices;
    row_fn *row;
    int64_t n, in_step, out_step;
    float parameters[3]; /* lrn */
};

static void run_rows(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const rows *r = context;
    float *buffer = (float *)(r->op->scratch + worker * r->op->scratch_stride);
    const int64_t dense = sizeof(float);
    for (int64_t i = begin; i < end; i++) {
        int64_t offset[CPR_SLICES_MAX];
        cpr_slices_at(&r->slices, i, offset);
        const char *in = (const char *)r->op->data[0] + offset[0];
        char *out = (char *)r->op->data[1] + offset[1];
        const float *x = (const float *)in;
        if (r->in_step != dense && r->n > 1) {
            for (int64_t k = 0; k < r->n; k++)
                memcpy(&buffer[k], in + k * r->in_step, sizeof *buffer);
            x = buffer;
        }
        const bool direct = r->out_step == dense || r->n == 1;
        r->row(r, x, direct ? (float *)out : buffer, buffer + r->n);
        if (!direct)
            for (int64_t k = 0; k < r->n; k++)
                memcpy(out + k * r->out_step, &buffer[k], sizeof *buffer);
    }
}

/* Softmax of dense rows, several at a time. */
static void run_softmax_rows(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const rows *r = context;
    (void)worker;
    for (int64_t first = begin; first < end; first += CPR_SOFTMAX_ROWS) {
        const int64_t n = end - first < CPR_SOFTMAX_ROWS ? end - first : CPR_SOFTMAX_ROWS;
        const float *x[CPR_SOFTMAX_ROWS];
        float *y[CPR_SOFTMAX_ROWS];
        for (int64_t i = 0; i < n; i++) {
            int64_t offset[CPR_SLICES_MAX];
            cpr_slices_at(&r->slices, first + i, offset);
            x[i] = (const float *)((const char *)r->op->data[0] + offset[0]);
            y[i] = (float *)((char *)r->op->data[1] + offset[1]);
        }
        r->ops->softmax(x, y, n, r->n);
    }
}

static cpr_status check_rows(const char *name, const cpr_op *op, int64_t axis, int64_t *scratch_bytes)
{
    const cpr_status status = cpr_check_walk(name, op, 2);
    if (status)
        return status;
    CPR_REQUIRE(name, op->n_tensors == 2 && axis >= 0 && axis < op->tensor[0]->rank);
    CPR_REQUIRE(name, op->tensor[0]->dtype == CPR_F32 && op->tensor[1]->dtype == CPR_F32);
    CPR_REQUIRE(name, op->tensor[0]->dim[axis] < INT64_MAX / 64);
    *scratch_bytes = op->tensor[0]->dim[axis] * (int64_t)sizeof(float);
    return CPR_OK;
}

static rows rows_of(const cpr_op *op, int32_t axis, row_fn *row)
{
    return (rows){.op = op, .ops = CPR_PICK(cpr_norm), .slices = cpr_slices_of(axis, 2, op->tensor), .row = row,
                  .n = op->tensor[0]->dim[axis], .in_step = cpr_axis_step(op->tensor[0], axis),
                  .out_step = cpr_axis_step(op->tensor[1], axis)};
}

static cpr_status start(rows *r)
{
    if (r->n > 0)
        cpr_parallel(r->op->pool, r->slices.count, WORK / r->n + 1, run_rows, r);
    return CPR_OK;
}

/* ---- softmax, log_softmax: operands in, out; args: axis --------------------------------- */

static void softmax_row(const rows *r, const float *x, float *y, float *scratch)
{
    (void)scratch;
    r->ops->softmax(&x, &y, 1, r->n);
}

static void log_softmax_row(const rows *r, const float *x, float *y, float *scratch)
{
    (void)scratch;
    r->ops->log_softmax(x, y, r->n);
}

static cpr_status check_softmax(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("softmax", op->n_args == 1);
    return check_rows("softmax", op, op->args[0], scratch_bytes);
}

static cpr_status run_softmax(const cpr_op *op)
{
    rows r = rows_of(op, (int32_t)op->args[0], softmax_row);
    const int64_t dense = sizeof(float);
    if (r.n <= 1 || r.in_step != dense || r.out_step != dense)
        return start(&r);
    cpr_parallel(op->pool, r.slices.count, WORK / r.n + 1, run_softmax_rows, &r);
    return CPR_OK;
}

const cpr_kernel cpr_k_softmax = {"softmax", check_softmax, run_softmax};

static cpr_status check_log_softmax(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("log_softmax", op->n_args == 1);
    return check_rows("log_softmax", op, op->args[0], scratch_bytes);
}

static cpr_status run_log_softmax(const cpr_op *op)
{
    rows r = rows_of(op, (int32_t)op->args[0], log_softmax_row);
    return start(&r);
}

const cpr_kernel cpr_k_log_softmax = {"log_softmax", check_log_softmax, run_log_softmax};

/* ---- lp_norm: operands in, out; args: axis, p ------------------------------------------- */

static void lp_row(const rows *r, const float *x, float *y, float *scratch)
{
    (void)scratch;
    r->ops->lp(x, y, r->n, r->op->args[1]);
}

static cpr_status check_lp_norm(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("lp_norm", op->n_args == 2 && (op->args[1] == 1 || op->args[1] == 2));
    return check_rows("lp_norm", op, op->args[0], scratch_bytes);
}

static cpr_status run_lp_norm(const cpr_op *op)
{
    rows r = rows_of(op, (int32_t)op->args[0], lp_row);
    return start(&r);
}

const cpr_kernel cpr_k_lp_norm = {"lp_norm", check_lp_norm, run_lp_norm};

/* ---- lrn: operands in [N, C, ...], out; args: size, alpha, beta, bias -------------------- */

static void lrn_row(const rows *r, const float *x, float *y, float *scratch)
{
    const int64_t size = r->op->args[0];
    memset(scratch, 0, (size_t)size * sizeof *scratch);
    memset(scratch + size + r->n, 0, (size_t)size * sizeof *scratch);
    r->ops->lrn(x, y, r->n, scratch, size, r->parameters);
}

static cpr_status check_lrn(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("lrn", op->n_args == 4 && op->args[0] >= 1 && op->args[0] <= 1 << 20);
    const cpr_status status = check_rows("lrn", op, 1, scratch_bytes);
    if (status)
        return status;
    *scratch_bytes = 2 * *scratch_bytes + 2 * op->args[0] * (int64_t)sizeof(float);
    return CPR_OK;
}

static cpr_status run_lrn(const cpr_op *op)
{
    rows r = rows_of(op, 1, lrn_row);
    r.parameters[0] = (float)(cpr_arg_float(op, 1) / (double)op->args[0]);
    r.parameters[1] = (float)cpr_arg_float(op, 2);
    r.parameters[2] = (float)cpr_arg_float(op, 3);
    return start(&r);
}

const cpr_kernel cpr_k_lrn = {"lrn", check_lrn, run_lrn};

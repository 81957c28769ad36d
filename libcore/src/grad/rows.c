/* rows.c - layer_norm_grad and softmax_grad: derivatives of what normalises rows.
 *
 * Rows are cut into chunks of a fixed number, whose sums are added in their order: the bytes
 * depend on the dims alone.
 */
#include "grad/rows.h"

#include <string.h>

#include "vector/walk.h"

enum { WORK = 4096 /* elements worth a thread */ };

static bool dense_rows(const cpr_tensor *t)
{
    return t && t->dtype == CPR_F32 && t->rank == 2 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static bool per_column(const cpr_tensor *t, int64_t n)
{
    return t && t->dtype == CPR_F32 && t->rank == 1 && t->dim[0] == n && (t->stride[0] == 1 || n <= 1);
}

static float *row_of(const cpr_op *op, int32_t i, int64_t row)
{
    return (float *)op->data[i] + row * op->tensor[i]->stride[0];
}

/* ---- layer_norm_grad: operands x, g [rows, n] columns of stride 1, scale [n], partial
 * [chunks, 2, n] contiguous, dx [rows, n], dscale, dbias [n]; args: rows per chunk, epsilon.
 * Ba, Kiros and Hinton, 2016. ---- */
enum { X, G, L_SCALE, PARTIAL, DX, DSCALE, DBIAS };

static cpr_status check_layer(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "layer_norm_grad";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 7 && op->n_args == 2 && op->args[0] >= 1);
    const cpr_tensor *x = op->tensor[X], *g = op->tensor[G], *partial = op->tensor[PARTIAL], *dx = op->tensor[DX];
    CPR_REQUIRE(name, dense_rows(x) && dense_rows(g) && dense_rows(dx) && cpr_is_output(dx));
    CPR_REQUIRE(name, cpr_same_dims(x, g) && cpr_same_dims(x, dx));
    const int64_t n = x->dim[1], chunk = op->args[0];
    CPR_REQUIRE(name, partial && partial->dtype == CPR_F32 && partial->rank == 3 && cpr_is_contiguous(partial));
    CPR_REQUIRE(name, partial->dim[0] == x->dim[0] / chunk + (x->dim[0] % chunk != 0));
    CPR_REQUIRE(name, partial->dim[1] == 2 && partial->dim[2] == n);
    static const int32_t rows[] = {L_SCALE, DSCALE, DBIAS};
    for (int32_t i = 0; i < 3; i++)
        if (!per_column(op->tensor[rows[i]], n))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %d must have one element per column", name, rows[i]);
    return CPR_OK;
}

static void layers(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_grad_rows_ops *ops = CPR_PICK(cpr_grad_rows);
    const int64_t rows = op->tensor[X]->dim[0], n = op->tensor[X]->dim[1], chunk = op->args[0];
    const float epsilon = (float)cpr_arg_float(op, 1);
    for (int64_t part = begin; part < end; part++) {
        float *sums = (float *)op->data[PARTIAL] + part * 2 * n;
        const int64_t first = part * chunk, last = rows - first < chunk ? rows : first + chunk;
        memset(sums, 0, (size_t)(2 * n) * sizeof *sums);
        for (int64_t row = first; row < last; row++)
            ops->layer(row_of(op, X, row), row_of(op, G, row), row_of(op, DX, row), n, op->data[L_SCALE], epsilon,
                       sums, sums + n);
    }
}

static cpr_status run_layer(const cpr_op *op)
{
    const cpr_tensor *partial = op->tensor[PARTIAL];
    const int64_t n = op->tensor[X]->dim[1], chunks = partial->dim[0];
    const float *from = op->data[PARTIAL];
    cpr_parallel(op->pool, chunks, 1, layers, (void *)op);
    float *to[2] = {op->data[DSCALE], op->data[DBIAS]};
    for (int64_t k = 0; k < 2; k++)
        for (int64_t i = 0; i < n; i++) {
            double sum = 0.0;
            for (int64_t c = 0; c < chunks; c++)
                sum += (double)from[(2 * c + k) * n + i];
            to[k][i] = (float)sum;
        }
    return CPR_OK;
}

const cpr_kernel cpr_k_layer_norm_grad = {"layer_norm_grad", check_layer, run_layer};

/* ---- softmax_grad: operands y (the result), g, out [rows, n] columns of stride 1; out may be g.
 * No args. ---- */
static cpr_status check_softmax(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "softmax_grad";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == 0);
    for (int32_t i = 0; i < 3; i++)
        CPR_REQUIRE(name, dense_rows(op->tensor[i]) && cpr_same_dims(op->tensor[0], op->tensor[i]));
    CPR_REQUIRE(name, cpr_is_output(op->tensor[2]));
    return CPR_OK;
}

static void softmaxes(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_grad_rows_ops *ops = CPR_PICK(cpr_grad_rows);
    for (int64_t row = begin; row < end; row++)
        ops->softmax(row_of(op, 0, row), row_of(op, 1, row), row_of(op, 2, row), op->tensor[0]->dim[1], 1.0f);
}

static cpr_status run_softmax(const cpr_op *op)
{
    const cpr_tensor *y = op->tensor[0];
    cpr_parallel(op->pool, y->dim[0], WORK / (y->dim[1] + 1) + 1, softmaxes, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_softmax_grad = {"softmax_grad", check_softmax, run_softmax};

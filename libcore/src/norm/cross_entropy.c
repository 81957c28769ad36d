/* cross_entropy.c - softmax and the cross-entropy with labels, per row, and the gradient of both.
 * Operands and args: libcore/README.md. */
#include "norm/norm.h"

#include <string.h>

enum { SCORES, LABELS, LOSS, FACTOR = 2, GRADIENT };
enum { WORK = 4096 /* elements worth a thread */ };

typedef struct {
    const cpr_op *op;
    const cpr_norm_ops *norm;
    const cpr_reduce_ops *reduce;
    int64_t classes;
    float smoothing, factor;
    bool ignores;
    int64_t ignored;
} task;

/* scores [n, classes] with dense rows, labels [n]. */
static cpr_status check(const char *name, const cpr_op *op, int32_t operands)
{
    CPR_REQUIRE(name, op->n_tensors == operands && op->n_args == 3);
    for (int32_t i = 0; i < operands; i++)
        CPR_REQUIRE(name, op->tensor[i] && op->tensor[i]->dtype == (i == LABELS ? CPR_S64 : CPR_F32));
    const cpr_tensor *x = op->tensor[SCORES], *labels = op->tensor[LABELS], *out = op->tensor[operands - 1];
    CPR_REQUIRE(name, x->rank == 2 && labels->rank == 1 && labels->dim[0] == x->dim[0]);
    CPR_REQUIRE(name, x->dim[1] >= 1 && x->dim[1] < INT64_MAX / 64 && (x->stride[1] == 1 || x->dim[1] == 1));
    CPR_REQUIRE(name, cpr_is_output(out));
    return CPR_OK;
}

static cpr_status check_loss(const cpr_op *op, int64_t *scratch_bytes)
{
    const cpr_status status = check("cross_entropy", op, 3);
    if (status)
        return status;
    CPR_REQUIRE("cross_entropy", op->tensor[LOSS]->rank == 1 && op->tensor[LOSS]->dim[0] == op->tensor[SCORES]->dim[0]);
    *scratch_bytes = op->tensor[SCORES]->dim[1] * (int64_t)sizeof(float);
    return CPR_OK;
}

static cpr_status check_gradient(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check("cross_entropy_grad", op, 4);
    if (status)
        return status;
    const cpr_tensor *out = op->tensor[GRADIENT];
    CPR_REQUIRE("cross_entropy_grad", op->tensor[FACTOR]->rank == 0 && cpr_same_dims(out, op->tensor[SCORES]));
    CPR_REQUIRE("cross_entropy_grad", out->stride[1] == 1 || out->dim[1] == 1);
    return CPR_OK;
}

static int64_t label_of(const task *t, int64_t row)
{
    return ((const int64_t *)t->op->data[LABELS])[row * t->op->tensor[LABELS]->stride[0]];
}

static bool skipped(const task *t, int64_t row)
{
    return t->ignores && label_of(t, row) == t->ignored;
}

static const float *scores_of(const task *t, int64_t row)
{
    return (const float *)t->op->data[SCORES] + row * t->op->tensor[SCORES]->stride[0];
}

static void run_losses(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const task *t = context;
    float *row = (float *)(t->op->scratch + worker * t->op->scratch_stride), *out = t->op->data[LOSS];
    for (int64_t i = begin; i < end; i++) {
        float loss = 0.0f;
        if (!skipped(t, i)) {
            t->norm->log_softmax(scores_of(t, i), row, t->classes);
            loss = -row[label_of(t, i)] * (1.0f - t->smoothing);
            if (t->smoothing != 0.0f) {
                _Alignas(64) float partials[CPR_PARTIALS] = {0};
                t->reduce->row[CPR_FOLD_SUM](partials, row, t->classes, 0);
                loss -= cpr_fold_tree(CPR_FOLD_SUM, partials) / (float)t->classes * t->smoothing;
            }
        }
        out[i * t->op->tensor[LOSS]->stride[0]] = loss;
    }
}

static void run_gradients(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const task *t = context;
    const float shift = t->smoothing / (float)t->classes, right = 1.0f - t->smoothing;
    for (int64_t i = begin; i < end; i++) {
        const float *x = scores_of(t, i);
        float *y = (float *)t->op->data[GRADIENT] + i * t->op->tensor[GRADIENT]->stride[0];
        if (skipped(t, i)) {
            memset(y, 0, (size_t)t->classes * sizeof *y);
            continue;
        }
        t->norm->softmax(&x, &y, 1, t->classes);
        const int64_t label = label_of(t, i);
        const float hit = (y[label] - shift - right) * t->factor;
        for (int64_t k = 0; k < t->classes; k++)
            y[k] = (y[k] - shift) * t->factor;
        y[label] = hit;
    }
}

static cpr_status run(const char *name, const cpr_op *op, cpr_task *rows, float factor)
{
    task t = {op, CPR_PICK(cpr_norm), CPR_PICK(cpr_reduce), op->tensor[SCORES]->dim[1],
              (float)cpr_arg_float(op, 0), factor, op->args[1] != 0, op->args[2]};
    const int64_t n = op->tensor[SCORES]->dim[0];
    for (int64_t i = 0; i < n; i++) {
        const int64_t label = label_of(&t, i);
        if (!skipped(&t, i) && (label < 0 || label >= t.classes))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: label %lld is not in 0..%lld", name, (long long)label,
                            (long long)t.classes - 1);
    }
    cpr_parallel(op->pool, n, WORK / t.classes + 1, rows, &t);
    return CPR_OK;
}

static cpr_status run_loss(const cpr_op *op)
{
    return run("cross_entropy", op, run_losses, 1.0f);
}

static cpr_status run_gradient(const cpr_op *op)
{
    return run("cross_entropy_grad", op, run_gradients, *(const float *)op->data[FACTOR]);
}

const cpr_kernel cpr_k_cross_entropy = {"cross_entropy", check_loss, run_loss};
const cpr_kernel cpr_k_cross_entropy_grad = {"cross_entropy_grad", check_gradient, run_gradient};

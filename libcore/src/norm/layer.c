/* layer.c - layer_norm and rms_norm: the trailing dims are one dense row. */
#include "norm/norm.h"

#include "quant/linear.h"

enum { WORK = 4096 /* elements worth a thread */ };
enum { MEAN = 4, CODES = 6, CODE_SCALE = 2, CODE_ZERO }; /* of layer_norm: operands, args */

/* Whether the last n dims lie in row-major order without gaps. */
static bool trailing_dense(const cpr_tensor *t, int64_t n)
{
    cpr_tensor tail = {.rank = (int32_t)n};
    for (int32_t k = 0; k < n; k++) {
        tail.dim[k] = t->dim[t->rank - n + k];
        tail.stride[k] = t->stride[t->rank - n + k];
    }
    return cpr_is_contiguous(&tail);
}

/* A scale or bias: absent, or rank n with the trailing dims of in, dense. */
static bool fits_trailing(const cpr_tensor *t, const cpr_tensor *in, int64_t n)
{
    if (!t)
        return true;
    if (t->dtype != CPR_F32 || t->rank != n || !trailing_dense(t, n))
        return false;
    for (int32_t k = 0; k < n; k++)
        if (t->dim[k] != in->dim[in->rank - n + k])
            return false;
    return true;
}

/* A statistic: absent, or in's dims with the trailing ones 1. */
static bool fits_statistic(const cpr_tensor *t, const cpr_tensor *in, int64_t n)
{
    if (!t)
        return true;
    if (t->dtype != CPR_F32 || t->rank != in->rank || !cpr_is_output(t))
        return false;
    for (int32_t k = 0; k < in->rank; k++)
        if (t->dim[k] != (k < in->rank - n ? in->dim[k] : 1))
            return false;
    return true;
}

typedef struct {
    const cpr_op *op;
    const cpr_norm_ops *ops;
    const cpr_tensor *in, *out, *codes;
    const float *scale, *bias;
    cpr_core *quantize;
    float code_scale;
    uint8_t code_zero; /* or int8_t */
    int32_t outer; /* dims that are not normalised */
    int32_t out_at;
    int64_t n;
    float epsilon;
    bool rms;
} layers;

static int64_t offset_of(const cpr_tensor *t, int32_t outer, int64_t row)
{
    int64_t offset = 0;
    for (int32_t k = outer - 1; k >= 0; k--) {
        if (t->dim[k] > 1)
            offset += row % t->dim[k] * t->stride[k];
        row /= t->dim[k];
    }
    return offset;
}

static const cpr_tensor *optional(const cpr_op *op, int32_t i)
{
    return i < op->n_tensors ? op->tensor[i] : NULL;
}

static void normalise(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const layers *l = context;
    const cpr_tensor *statistic[2] = {l->rms ? NULL : optional(l->op, MEAN), l->rms ? NULL : optional(l->op, MEAN + 1)};
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)l->op->data[0] + offset_of(l->in, l->outer, row);
        float *y = l->out ? (float *)l->op->data[l->out_at] + offset_of(l->out, l->outer, row)
                          : (float *)(l->op->scratch + worker * l->op->scratch_stride);
        if (l->rms) {
            l->ops->rms(x, y, l->n, l->scale, l->epsilon);
            continue;
        }
        float value[2];
        l->ops->layer(x, y, l->n, l->scale, l->bias, l->epsilon, &value[0], &value[1]);
        for (int32_t i = 0; i < 2; i++)
            if (statistic[i])
                ((float *)l->op->data[MEAN + i])[offset_of(statistic[i], l->outer, row)] = value[i];
        if (l->codes) {
            char *codes = (char *)l->op->data[CODES] + offset_of(l->codes, l->outer, row);
            l->quantize(NULL, l->n, (char *[]){(char *)y, (char *)&l->code_scale, (char *)&l->code_zero, codes},
                        1u << 1 | 1u << 2);
        }
    }
}

/* What has the dims of in, its trailing ones dense. */
static bool fits_result(const cpr_tensor *t, const cpr_tensor *in, int64_t n)
{
    return cpr_same_dims(in, t) && cpr_is_output(t) && trailing_dense(t, n);
}

static cpr_status check_layers(const char *name, const cpr_op *op, int32_t out_at, int32_t most)
{
    CPR_REQUIRE(name, op->n_tensors > out_at && op->n_tensors <= most && op->n_args >= 2 && op->tensor[0]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[out_at];
    const int64_t n = op->args[0];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && n >= 1 && n <= in->rank && trailing_dense(in, n));
    CPR_REQUIRE(name, !out || (out->dtype == CPR_F32 && fits_result(out, in, n)));
    for (int32_t i = 1; i < out_at; i++)
        if (!fits_trailing(op->tensor[i], in, n))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %d must have the trailing dims, dense", name, i);
    for (int32_t i = out_at + 1; i < op->n_tensors && i < CODES; i++)
        if (!fits_statistic(op->tensor[i], in, n))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %d must have one element per row", name, i);
    return CPR_OK;
}

static cpr_status run_layers(const cpr_op *op, int32_t out_at, bool rms)
{
    const cpr_tensor *in = op->tensor[0];
    const cpr_tensor *codes = optional(op, CODES);
    layers l = {.op = op, .codes = codes, .ops = CPR_PICK(cpr_norm), .in = in, .out = op->tensor[out_at], .out_at = out_at,
                .scale = op->data[1], .bias = rms ? NULL : op->data[2],
                .outer = in->rank - (int32_t)op->args[0], .n = 1,
                .epsilon = (float)cpr_arg_float(op, 1), .rms = rms};
    if (codes) {
        l.quantize = CPR_PICK(cpr_linear)->quantize[codes->dtype == CPR_S8];
        l.code_scale = (float)cpr_arg_float(op, CODE_SCALE);
        l.code_zero = (uint8_t)op->args[CODE_ZERO];
    }
    int64_t count = 1;
    for (int32_t k = 0; k < in->rank; k++)
        *(k < l.outer ? &count : &l.n) *= in->dim[k];
    cpr_parallel(op->pool, count, WORK / (l.n + 1) + 1, normalise, &l);
    return CPR_OK;
}

/* layer_norm: operands in, scale?, bias?, out?, mean?, inv_std?, codes u8 or s8?; args: n trailing
 * dims, epsilon; with codes, which are out quantized, their scale (float) and zero point. */
static cpr_status check_layer_norm(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "layer_norm";
    const cpr_status status = check_layers(name, op, 3, CODES + 1);
    if (status)
        return status;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[3], *codes = optional(op, CODES);
    CPR_REQUIRE(name, op->n_args == (codes ? CODE_ZERO + 1 : CODE_SCALE) && (out || codes));
    if (!codes)
        return CPR_OK;
    CPR_REQUIRE(name, cpr_is_code(codes->dtype) && fits_result(codes, in, op->args[0]));
    const int64_t least = codes->dtype == CPR_S8 ? -128 : 0;
    CPR_REQUIRE(name, op->args[CODE_ZERO] >= least && op->args[CODE_ZERO] <= least + 255);
    int64_t bytes = out ? 0 : sizeof(float);
    for (int32_t k = in->rank - (int32_t)op->args[0]; k < in->rank; k++)
        CPR_REQUIRE(name, !__builtin_mul_overflow(bytes, in->dim[k], &bytes));
    *scratch_bytes = bytes;
    return CPR_OK;
}

static cpr_status run_layer_norm(const cpr_op *op)
{
    return run_layers(op, 3, false);
}

const cpr_kernel cpr_k_layer_norm = {"layer_norm", check_layer_norm, run_layer_norm};

/* rms_norm: operands in, scale?, out; args: n trailing dims, epsilon. */
static cpr_status check_rms_norm(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check_layers("rms_norm", op, 2, 3);
    if (status)
        return status;
    CPR_REQUIRE("rms_norm", op->n_args == 2 && op->tensor[2]);
    return CPR_OK;
}

static cpr_status run_rms_norm(const cpr_op *op)
{
    return run_layers(op, 2, true);
}

const cpr_kernel cpr_k_rms_norm = {"rms_norm", check_rms_norm, run_rms_norm};

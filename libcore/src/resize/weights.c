/* weights.c - resize_weights: operands in f32, starts s32 [n], weights f32 [n, taps], out f32;
 * args: axis.  One axis of a separable resizing: out[o] = sum over t of weights[o, t] in[starts[o] + t].
 */
#include "reduce/slices.h"
#include "resize/resize.h"
#include "vector/walk.h"

enum { WORK = 4096 /* products worth a thread */ };

typedef struct {
    const cpr_op *op;
    cpr_weigh *weigh;
    cpr_slices slices; /* all dims but the axis and the inner one */
    int32_t axis;
    int64_t inner, taps, outputs;            /* the inner dim's size */
    int64_t in_inner, out_inner, in_axis, out_axis; /* bytes */
} resampling;

/* The dim to run along: the one, other than the axis, with the smallest step in the output. */
static int32_t find_inner(const cpr_tensor *out, int32_t axis)
{
    int32_t found = -1;
    for (int32_t k = 0; k < out->rank; k++) {
        if (k == axis || out->dim[k] <= 1)
            continue;
        const int64_t step = out->stride[k] < 0 ? -out->stride[k] : out->stride[k];
        const int64_t best = found < 0 ? INT64_MAX : out->stride[found] < 0 ? -out->stride[found] : out->stride[found];
        if (step < best)
            found = k;
    }
    return found;
}

static void resample(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const resampling *r = context;
    const int32_t *starts = r->op->data[1];
    const float *weights = r->op->data[2];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t at[CPR_SLICES_MAX];
        cpr_slices_at(&r->slices, unit / r->outputs, at);
        const int64_t o = unit % r->outputs;
        r->weigh((const char *)r->op->data[0] + at[0] + starts[o] * r->in_axis, r->in_axis, r->in_inner,
                 weights + o * r->taps, r->taps, (char *)r->op->data[3] + at[1] + o * r->out_axis, r->out_inner, r->inner);
    }
}

static cpr_status check_resize_weights(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("resize_weights", op->n_tensors == 4 && op->n_args == 1);
    CPR_REQUIRE("resize_weights", op->tensor[0] && op->tensor[1] && op->tensor[2] && op->tensor[3]);
    const cpr_tensor *in = op->tensor[0], *starts = op->tensor[1], *weights = op->tensor[2], *out = op->tensor[3];
    const int64_t axis = op->args[0];
    CPR_REQUIRE("resize_weights", in->dtype == CPR_F32 && out->dtype == CPR_F32 && weights->dtype == CPR_F32);
    CPR_REQUIRE("resize_weights", starts->dtype == CPR_S32 && starts->rank == 1 && weights->rank == 2);
    CPR_REQUIRE("resize_weights", cpr_is_contiguous(starts) && cpr_is_contiguous(weights));
    CPR_REQUIRE("resize_weights", cpr_same_but_axis(in, out, axis) && cpr_is_output(out));
    CPR_REQUIRE("resize_weights", starts->dim[0] == out->dim[axis] && weights->dim[0] == out->dim[axis]);
    CPR_REQUIRE("resize_weights", weights->dim[1] >= 1 && weights->dim[1] <= in->dim[axis]);
    return CPR_OK;
}

static cpr_status run_resize_weights(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[3];
    const int32_t axis = (int32_t)op->args[0];
    const int64_t taps = op->tensor[2]->dim[1], n = out->dim[axis], size = sizeof(float);
    if (cpr_elements(out) == 0)
        return CPR_OK;
    const int32_t *starts = op->data[1];
    for (int64_t o = 0; o < n; o++)
        if (starts[o] < 0 || starts[o] > in->dim[axis] - taps)
            return cpr_fail(CPR_ERR_ARGUMENT, "resize_weights: start %d with %lld taps leaves a dimension of %lld",
                            starts[o], (long long)taps, (long long)in->dim[axis]);
    resampling r = {.op = op, .axis = axis, .inner = 1, .taps = taps, .outputs = n,
                    .in_inner = size, .out_inner = size,
                    .in_axis = cpr_axis_step(in, axis), .out_axis = cpr_axis_step(out, axis)};
#if defined(__x86_64__)
    r.weigh = cpr_isa() >= CPR_AVX512 ? cpr_weigh_avx512 : cpr_isa() >= CPR_AVX2 ? cpr_weigh_avx2 : cpr_weigh_scalar;
#else
    r.weigh = cpr_weigh_scalar;
#endif
    cpr_tensor x = *in, y = *out;
    const int32_t inner = find_inner(out, axis);
    if (inner >= 0) {
        r.inner = out->dim[inner];
        r.in_inner = in->stride[inner] * size;
        r.out_inner = out->stride[inner] * size;
        x.dim[inner] = y.dim[inner] = 1;
    }
    const cpr_tensor *tensors[] = {&x, &y};
    r.slices = cpr_slices_of(axis, 2, tensors);
    cpr_parallel(op->pool, r.slices.count * n, WORK / r.inner + 1, resample, &r);
    return CPR_OK;
}

const cpr_kernel cpr_k_resize_weights = {"resize_weights", check_resize_weights, run_resize_weights};

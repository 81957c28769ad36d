/* depthwise_bf16.c - the operator depthwise_bf16: lines of the output. */
#include "conv/depthwise_bf16.h"

#include "vector/walk.h"

/* depthwise_bf16: out = clip(depthwise conv(in, weights) + bias), one output per channel
 * operands  in bf16 [N, C, H, W] channel stride 1 | weights f32 [blocks, taps, 2, 16] contiguous |
 *           bias f32 [blocks, 2, 16] or absent | out bf16 [N, C, OH, OW] channel stride 1
 * args      the eight of window.h, low, high */
enum { IN, WEIGHTS, BIAS, OUT };
enum { LOW = CPR_WINDOW_ARGS, HIGH, N_ARGS };
enum { MAX_TAPS = 1 << 16, TOGETHER = 4 /* lines: what they read stays in L2 for all channels */ };

static bool channels_last(const cpr_tensor *t)
{
    return t->dtype == CPR_BF16 && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static bool is_packed(const cpr_tensor *t, int32_t rank, int64_t channels)
{
    const int32_t last = rank - 1;
    return t->dtype == CPR_F32 && t->rank == rank && cpr_is_contiguous(t) && t->dim[last] == CPR_DEPTHWISE_BLOCK / 2 &&
           t->dim[last - 1] == 2 && t->dim[0] == (channels + CPR_DEPTHWISE_BLOCK - 1) / CPR_DEPTHWISE_BLOCK;
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "depthwise_bf16";
    CPR_REQUIRE(name, op->n_tensors == 4 && op->n_args == N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *bias = op->tensor[BIAS], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && out && channels_last(in) && channels_last(out) && cpr_is_output(out));
    const cpr_window w = cpr_window_read(op, 0);
    const cpr_status status = cpr_window_check(name, &w, in, out);
    if (status)
        return status;
    const int64_t taps = w.kernel_h * w.kernel_w;
    CPR_REQUIRE(name, taps <= MAX_TAPS && in->dim[1] == out->dim[1]);
    CPR_REQUIRE(name, is_packed(weights, 4, in->dim[1]) && weights->dim[1] == taps);
    CPR_REQUIRE(name, !bias || is_packed(bias, 3, in->dim[1]));
    *scratch_bytes = TOGETHER * w.kernel_h * (int64_t)sizeof(char *);
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    cpr_depthwise_bf16_lines *lines;
    cpr_depthwise_bf16 shared;
    cpr_window window;
} job;

/* Output line `index`, counted over n and oh; row has room for kernel_h pointers. */
static cpr_bf16_line line_at(const job *j, int64_t index, const char **row)
{
    const cpr_tensor *in = j->op->tensor[IN], *out = j->op->tensor[OUT];
    const int64_t image = index / out->dim[2], oh = index % out->dim[2], bytes = 2;
    const cpr_window *w = &j->window;
    for (int64_t k = 0; k < w->kernel_h; k++) {
        const int64_t ih = oh * w->stride_h - w->pad_h + k * w->dilation_h;
        const bool inside = ih >= 0 && ih < in->dim[2];
        row[k] = inside ? (const char *)j->op->data[IN] + (image * in->stride[0] + ih * in->stride[2]) * bytes : NULL;
    }
    return (cpr_bf16_line){
        .row = row,
        .width = in->dim[3],
        .step = in->stride[3] * bytes,
        .first = -w->pad_w,
        .out = (char *)j->op->data[OUT] + (image * out->stride[0] + oh * out->stride[2]) * bytes,
        .out_step = out->stride[3] * bytes,
        .n = out->dim[3],
    };
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const char **rows = (const char **)(j->op->scratch + worker * j->op->scratch_stride);
    for (int64_t first = begin; first < end; first += TOGETHER) {
        cpr_bf16_line lines[TOGETHER];
        const int64_t n = end - first < TOGETHER ? end - first : TOGETHER;
        for (int64_t i = 0; i < n; i++)
            lines[i] = line_at(j, first + i, rows + i * j->window.kernel_h);
        j->lines(&j->shared, lines, n);
    }
}

static cpr_depthwise_bf16_lines *lines_now(void)
{
#if defined(__x86_64__)
    const int32_t isa = cpr_isa();
    if (isa >= CPR_AVX512BF16)
        return cpr_depthwise_bf16_avx512bf16;
    if (isa >= CPR_AVX512)
        return cpr_depthwise_bf16_avx512;
    if (isa >= CPR_AVX2)
        return cpr_depthwise_bf16_avx2;
#endif
    return cpr_depthwise_bf16_scalar;
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    const cpr_window w = cpr_window_read(op, 0);
    job j = {
        .op = op,
        .lines = lines_now(),
        .shared = {out->dim[1], w.kernel_h, w.kernel_w, w.stride_w, w.dilation_w, op->data[WEIGHTS],
                   op->tensor[BIAS] ? op->data[BIAS] : NULL, (float)cpr_arg_float(op, LOW), (float)cpr_arg_float(op, HIGH)},
        .window = w,
    };
    /* About 30 multiply-adds a nanosecond. */
    cpr_pool *pool = cpr_pool_for(op->pool, cpr_elements(out) / 30 * w.kernel_h * w.kernel_w);
    if (cpr_elements(out) > 0)
        cpr_parallel(pool, out->dim[0] * out->dim[2], 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_depthwise_bf16 = {"depthwise_bf16", check, run};

/* depthwise_f32.c - the operator depthwise_f32: blocks of pixels of one output line. */
#include <string.h>

#include "vector/walk.h"

#include "conv/depthwise_f32.h"
#include "product/after.h"

/* depthwise_f32: out = clip(depthwise conv(in, weights) + bias), one output per channel
 * operands  in [N, C, H, W] channel stride 1 | weights [kernel_h * kernel_w, C] contiguous |
 *           bias [C] or absent | out [N, C, OH, OW] channel stride 1
 * args      the eight of window.h, low, high, and those of after.h */
enum { IN, WEIGHTS, BIAS, OUT, N_OPERANDS };
enum { LOW = CPR_WINDOW_ARGS, HIGH, N_ARGS };
enum { MAX_TAPS = 1 << 16 };

static bool channels_last(const cpr_tensor *t)
{
    return t->dtype == CPR_F32 && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "depthwise_f32";
    CPR_REQUIRE(name, op->n_tensors >= N_OPERANDS && op->n_args >= N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *bias = op->tensor[BIAS], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && out && channels_last(in) && channels_last(out) && cpr_is_output(out));
    const cpr_window w = cpr_window_read(op, 0);
    const cpr_status status = cpr_window_check(name, &w, in, out);
    if (status)
        return status;
    const int64_t taps = w.kernel_h * w.kernel_w;
    CPR_REQUIRE(name, taps <= MAX_TAPS && in->dim[1] == out->dim[1]);
    CPR_REQUIRE(name, weights->dtype == CPR_F32 && weights->rank == 2 && cpr_is_contiguous(weights));
    CPR_REQUIRE(name, weights->dim[0] == taps && weights->dim[1] == in->dim[1]);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 1 && cpr_is_contiguous(bias) && bias->dim[0] == in->dim[1]));
    *scratch_bytes = taps * CPR_DEPTHWISE_PIXELS * (int64_t)sizeof(void *) + in->dim[1] * (int64_t)sizeof(float);
    return cpr_after_check(name, op, N_ARGS, N_OPERANDS, out);
}

typedef struct {
    const cpr_op *op;
    cpr_depthwise_f32 *kernel;
    cpr_window window;
    int64_t taps;
    float low, high;
    cpr_after after;
} job;

/* Lines [begin, end) of the output, counted over n and oh. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    const char **rows = (const char **)(op->scratch + worker * op->scratch_stride);
    float *zeros = (float *)(rows + j->taps * CPR_DEPTHWISE_PIXELS);
    memset(zeros, 0, (size_t)in->dim[1] * sizeof *zeros);
    const float *bias = op->tensor[BIAS] ? op->data[BIAS] : NULL;
    const int64_t width = out->dim[3];
    for (int64_t line = begin; line < end; line++) {
        float *y = (float *)op->data[OUT] + line / out->dim[2] * out->stride[0] + line % out->dim[2] * out->stride[2];
        for (int64_t ow = 0; ow < width; ow += CPR_DEPTHWISE_PIXELS) {
            const int64_t n = width - ow < CPR_DEPTHWISE_PIXELS ? width - ow : CPR_DEPTHWISE_PIXELS;
            cpr_window_rows(&j->window, in, out, op->data[IN], (const char *)zeros, sizeof(float), line * width + ow, n, rows);
            j->kernel(n, in->dim[1], j->taps, (const float *const *)rows, op->data[WEIGHTS], bias, j->low, j->high,
                      y + ow * out->stride[3], out->stride[3]);
        }
        cpr_after_rows(&j->after, width, out->dim[1], out->stride[3], sizeof(float), y);
    }
}

#if defined(__x86_64__)
/* The same lines of a 3 x 3 window. */
static void work_3x3(void *context, int64_t begin, int64_t end, int32_t worker)
{
    enum { LINES = 4 }; /* at a time: what they read stays in L2 for all channels */
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    char *zeros = op->scratch + worker * op->scratch_stride;
    memset(zeros, 0, (size_t)in->dim[1] * sizeof(float));
    const float *bias = op->tensor[BIAS] ? op->data[BIAS] : NULL;
    for (int64_t first = begin; first < end; first += LINES) {
        cpr_depthwise_line lines[LINES];
        const int64_t n = end - first < LINES ? end - first : LINES;
        for (int64_t i = 0; i < n; i++)
            lines[i] = cpr_depthwise_line_at(&j->window, in, out, op->data[IN], op->data[OUT], zeros, sizeof(float), first + i);
        cpr_depthwise_f32_3x3 *kernel = cpr_isa() >= CPR_AVX512 ? cpr_depthwise_f32_3x3_avx512 : cpr_depthwise_f32_3x3_avx2;
        kernel(in->dim[1], lines, n, op->data[WEIGHTS], bias, j->low, j->high);
        for (int64_t i = 0; i < n; i++)
            cpr_after_rows(&j->after, lines[i].n, out->dim[1], out->stride[3], sizeof(float), lines[i].out);
    }
}
#endif

static cpr_depthwise_f32 *kernel_now(void)
{
#if defined(__x86_64__)
    const int32_t isa = cpr_isa();
    if (isa >= CPR_AVX512)
        return cpr_depthwise_f32_avx512;
    if (isa >= CPR_AVX2)
        return cpr_depthwise_f32_avx2;
#endif
    return cpr_depthwise_f32_scalar;
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    job j = {.op = op, .kernel = kernel_now(), .window = cpr_window_read(op, 0)};
    j.taps = j.window.kernel_h * j.window.kernel_w;
    j.low = (float)cpr_arg_float(op, LOW);
    j.high = (float)cpr_arg_float(op, HIGH);
    j.after = cpr_after_of(op, N_ARGS, N_OPERANDS);
    cpr_task *task = work;
#if defined(__x86_64__)
    if (cpr_isa() >= CPR_AVX2 && cpr_depthwise_is_3x3(&j.window))
        task = work_3x3;
#endif
    /* About 20 multiply-adds a nanosecond. */
    cpr_pool *pool = cpr_pool_for(op->pool, cpr_elements(out) / 20 * j.taps);
    if (out->dim[1] > 0 && out->dim[3] > 0)
        cpr_parallel(pool, out->dim[0] * out->dim[2], 1, task, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_depthwise_f32 = {"depthwise_f32", check, run};

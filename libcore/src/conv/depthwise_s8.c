/* depthwise_s8.c - the operator depthwise_s8: blocks of pixels of one output line. */
#include "conv/depthwise_s8.h"

#include <string.h>

#include "product/after.h"
#include "vector/walk.h"

/* depthwise_s8: operands
 *   in u8 [N, C, H, W] channel stride 1 | weights s16 [pairs of taps, C, 2] contiguous |
 *   start s32 [C] | scale f32 [C] | out u8 or s8 [N, C, OH, OW] channel stride 1 | and that of after.h
 * args the eight of window.h, padding byte, low, high (floats), zero_point */
enum { IN, WEIGHTS, START, SCALE, OUT, N_OPERANDS };
enum { PADDING = CPR_WINDOW_ARGS, LOW, HIGH, ZERO, N_ARGS };
enum { MAX_TAPS = 30000 }; /* 30,000 x 255 x 128 stays inside int32 */

static bool is_vector(const cpr_tensor *t, int32_t dtype, int64_t n)
{
    return t->dtype == dtype && t->rank == 1 && t->dim[0] == n && cpr_is_contiguous(t);
}

static bool channels_last(const cpr_tensor *t)
{
    return t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "depthwise_s8";
    CPR_REQUIRE(name, op->n_tensors >= N_OPERANDS && op->n_args >= N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *start = op->tensor[START];
    const cpr_tensor *scale = op->tensor[SCALE], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && start && scale && out && channels_last(in) && channels_last(out) && cpr_is_output(out));
    CPR_REQUIRE(name, in->dtype == CPR_U8 && (out->dtype == CPR_U8 || out->dtype == CPR_S8));
    const cpr_window w = cpr_window_read(op, 0);
    const cpr_status status = cpr_window_check(name, &w, in, out);
    if (status)
        return status;
    const int64_t taps = w.kernel_h * w.kernel_w, channels = in->dim[1];
    CPR_REQUIRE(name, taps <= MAX_TAPS && out->dim[1] == channels);
    CPR_REQUIRE(name, weights->dtype == CPR_S16 && weights->rank == 3 && cpr_is_contiguous(weights));
    CPR_REQUIRE(name, weights->dim[0] == (taps + 1) / 2 && weights->dim[1] == channels && weights->dim[2] == 2);
    CPR_REQUIRE(name, is_vector(start, CPR_S32, channels) && is_vector(scale, CPR_F32, channels));
    CPR_REQUIRE(name, op->args[PADDING] >= 0 && op->args[PADDING] <= 255);
    const double low = cpr_arg_float(op, LOW), high = cpr_arg_float(op, HIGH), zero = (double)op->args[ZERO];
    const double least = out->dtype == CPR_U8 ? 0.0 : -128.0;
    CPR_REQUIRE(name, low >= least - zero && high <= least + 255.0 - zero && low <= high);
    CPR_REQUIRE(name, op->args[ZERO] >= -128 && op->args[ZERO] <= 255);
    *scratch_bytes = taps * CPR_DEPTHWISE_S8_PIXELS * (int64_t)sizeof(void *) + channels;
    return cpr_after_check(name, op, N_ARGS, N_OPERANDS, out);
}

typedef struct {
    const cpr_op *op;
    cpr_depthwise_s8 *kernel;
    cpr_window window;
    cpr_depthwise_s8_layer layer;
    cpr_after after;
} job;

/* Lines [begin, end) of the output, counted over n and oh. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    const char **rows = (const char **)(op->scratch + worker * op->scratch_stride);
    char *padding = (char *)(rows + j->layer.taps * CPR_DEPTHWISE_S8_PIXELS);
    memset(padding, (int)op->args[PADDING], (size_t)in->dim[1]);
    const int64_t width = out->dim[3];
    for (int64_t line = begin; line < end; line++) {
        uint8_t *y = (uint8_t *)op->data[OUT] + line / out->dim[2] * out->stride[0] + line % out->dim[2] * out->stride[2];
        for (int64_t ow = 0; ow < width; ow += CPR_DEPTHWISE_S8_PIXELS) {
            const int64_t n = width - ow < CPR_DEPTHWISE_S8_PIXELS ? width - ow : CPR_DEPTHWISE_S8_PIXELS;
            cpr_window_rows(&j->window, in, out, op->data[IN], padding, 1, line * width + ow, n, rows);
            j->kernel(&j->layer, n, (const uint8_t *const *)rows, y + ow * out->stride[3], out->stride[3]);
        }
        cpr_after_rows(&j->after, width, out->dim[1], out->stride[3], 1, y);
    }
}

#if defined(__x86_64__)
enum { LINES = 16 }; /* prepared at a time */

/* The same lines of a 3 x 3 window. */
static void work_3x3(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    char *padding = op->scratch + worker * op->scratch_stride;
    memset(padding, (int)op->args[PADDING], (size_t)in->dim[1]);
    for (int64_t first = begin; first < end; first += LINES) {
        cpr_depthwise_line lines[LINES];
        const int64_t n = end - first < LINES ? end - first : LINES;
        for (int64_t i = 0; i < n; i++)
            lines[i] = cpr_depthwise_line_at(&j->window, in, out, op->data[IN], op->data[OUT], padding, 1, first + i);
        if (cpr_isa() >= CPR_AVX512VNNI)
            cpr_depthwise_s8_3x3_avx512vnni(&j->layer, lines, n);
        else
            cpr_depthwise_s8_3x3_avx2(&j->layer, lines, n);
        for (int64_t i = 0; i < n; i++)
            cpr_after_rows(&j->after, lines[i].n, out->dim[1], out->stride[3], 1, lines[i].out);
    }
}
#endif

static cpr_depthwise_s8 *kernel_now(void)
{
#if defined(__x86_64__)
    if (cpr_isa() >= CPR_AVX512VNNI)
        return cpr_depthwise_s8_avx512vnni;
    if (cpr_isa() >= CPR_AVX512)
        return cpr_depthwise_s8_avx512;
    if (cpr_isa() >= CPR_AVX2)
        return cpr_depthwise_s8_avx2;
#endif
    return cpr_depthwise_s8_scalar;
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    job j = {.op = op, .kernel = kernel_now(), .window = cpr_window_read(op, 0)};
    j.layer = (cpr_depthwise_s8_layer){
        .channels = out->dim[1],
        .taps = j.window.kernel_h * j.window.kernel_w,
        .w = op->data[WEIGHTS],
        .start = op->data[START],
        .scale = op->data[SCALE],
        .low = (float)cpr_arg_float(op, LOW),
        .high = (float)cpr_arg_float(op, HIGH),
        .zero_point = (int32_t)op->args[ZERO],
        .is_signed = out->dtype == CPR_S8,
    };
    j.after = cpr_after_of(op, N_ARGS, N_OPERANDS);
    cpr_task *task = work;
#if defined(__x86_64__)
    if (cpr_isa() >= CPR_AVX2 && cpr_depthwise_is_3x3(&j.window))
        task = work_3x3;
#endif
    /* About 50 multiply-adds a nanosecond. */
    cpr_pool *pool = cpr_pool_for(op->pool, cpr_elements(out) / 50 * j.layer.taps);
    if (out->dim[1] > 0 && out->dim[3] > 0)
        cpr_parallel(pool, out->dim[0] * out->dim[2], 1, task, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_depthwise_s8 = {"depthwise_s8", check, run};

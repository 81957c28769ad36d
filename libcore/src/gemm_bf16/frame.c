/* frame.c - an image of few channels, rounded and laid into a frame of zeros: frame_bf16. */
#include <string.h>

#include "program/kernel.h"
#include "vector/cast.h"

/* frame_bf16: what a convolution of few channels reads: channels last, whole pairs of them, padding
 * written out.
 * operands  in f32 [N, C, H, W] any strides | out bf16 [N, C + C % 2, OH, OW], channels last and dense
 * args      top, left: where pixel (0, 0) of the image goes */
enum { IN, OUT };
enum { TOP, LEFT, N_ARGS };

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "frame_bf16";
    CPR_REQUIRE(name, op->n_tensors == 2 && op->n_args == N_ARGS && op->tensor[IN] && op->tensor[OUT]);
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && out->dtype == CPR_BF16 && in->rank == 4 && out->rank == 4);
    CPR_REQUIRE(name, in->dim[0] == out->dim[0] && out->dim[1] == in->dim[1] + in->dim[1] % 2);
    CPR_REQUIRE(name, cpr_is_output(out));
    if (cpr_elements(out) == 0)
        return CPR_OK;
    const int64_t dense[4] = {out->dim[3] * out->dim[2] * out->dim[1], 1, out->dim[3] * out->dim[1], out->dim[1]};
    for (int32_t i = 0; i < 4; i++)
        CPR_REQUIRE(name, out->dim[i] <= 1 || out->stride[i] == dense[i]);
    for (int32_t i = 0; i < N_ARGS; i++)
        CPR_REQUIRE(name, op->args[i] >= 0 && op->args[i] <= out->dim[2 + i] && in->dim[2 + i] <= out->dim[2 + i] - op->args[i]);
    *scratch_bytes = in->dim[3] * (4 + 2 * out->dim[1]);
    return CPR_OK;
}

/* The channels of one line of the image, each a dense line of bfloat16. */
static void round_line(const cpr_tensor *in, const char *x, float *gathered, uint16_t *planes)
{
    cpr_core *cast = CPR_PICK(cpr_cast)->from_to[cpr_cast_index(CPR_F32)][cpr_cast_index(CPR_BF16)];
    const int64_t width = in->dim[3], step = in->stride[3] * 4;
    for (int64_t c = 0; c < in->dim[1]; c++) {
        const char *from = x + c * in->stride[1] * 4;
        if (step != 4)
            for (int64_t i = 0; i < width; i++)
                memcpy(&gathered[i], from + i * step, 4);
        char *const data[2] = {step == 4 ? (char *)from : (char *)gathered, (char *)(planes + c * width)};
        cast(NULL, width, data, 0);
    }
    if (in->dim[1] % 2)
        memset(planes + in->dim[1] * width, 0, (size_t)width * 2);
}

/* A pair of bfloat16, wherever one may lie. */
typedef uint32_t pair_of __attribute__((may_alias, aligned(2)));

/* Pairs of channels side by side, pixel by pixel. */
static void interleave(const uint16_t *planes, int64_t width, int64_t pairs, pair_of *y)
{
    if (pairs == 2) {
        const uint16_t *a = planes, *b = a + width, *c = b + width, *d = c + width;
        for (int64_t i = 0; i < width; i++) {
            y[2 * i] = a[i] | (uint32_t)b[i] << 16;
            y[2 * i + 1] = c[i] | (uint32_t)d[i] << 16;
        }
        return;
    }
    for (int64_t p = 0; p < pairs; p++, planes += 2 * width)
        for (int64_t i = 0; i < width; i++)
            y[i * pairs + p] = planes[i] | (uint32_t)planes[width + i] << 16;
}

/* Lines [begin, end) of the frame, counted over n and oh. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    float *gathered = (float *)(op->scratch + worker * op->scratch_stride);
    uint16_t *planes = (uint16_t *)(gathered + in->dim[3]);
    const int64_t pixel = out->dim[1] * 2, line = out->dim[3] * pixel, left = op->args[LEFT] * pixel;
    const int64_t inner = in->dim[3] * pixel;
    for (int64_t unit = begin; unit < end; unit++) {
        char *y = (char *)op->data[OUT] + unit * line;
        const int64_t ih = unit % out->dim[2] - op->args[TOP];
        if (ih < 0 || ih >= in->dim[2]) {
            memset(y, 0, (size_t)line);
            continue;
        }
        const int64_t at = unit / out->dim[2] * in->stride[0] + ih * in->stride[2];
        round_line(in, (const char *)op->data[IN] + at * 4, gathered, planes);
        memset(y, 0, (size_t)left);
        interleave(planes, in->dim[3], out->dim[1] / 2, (pair_of *)(y + left));
        memset(y + left + inner, 0, (size_t)(line - left - inner));
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    if (cpr_elements(out) > 0)
        cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 8), out->dim[0] * out->dim[2], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_frame_bf16 = {"frame_bf16", check, run};

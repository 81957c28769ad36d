/* mean.c - mean_q8: the mean of quantized pixels, quantized again. */
#include "quant/mean.h"

#include <math.h>
#include <string.h>

/* mean_q8: operands in u8 [N, C, H, W] any strides (fast with channel stride 1), out u8 [N, C, 1, 1]
 *     out = rint(clip((sum over pixels - H * W * zero) * factor, low, high)) + out_zero
 * factor is the input's scale / (H * W * the result's scale).
 * args zero, factor (float), low, high (floats), out_zero */
enum { ZERO, FACTOR, LOW, HIGH, OUT_ZERO, N_ARGS };
enum { CHANNELS = 256, MOST_PIXELS = 1 << 22 }; /* 2^22 * 255 stays inside int32 */

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "mean_q8";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->n_args == N_ARGS && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->dtype == CPR_U8 && out->dtype == CPR_U8 && in->rank == 4 && out->rank == 4);
    CPR_REQUIRE(name, in->dim[0] == out->dim[0] && in->dim[1] == out->dim[1] && out->dim[2] == 1 && out->dim[3] == 1);
    CPR_REQUIRE(name, cpr_is_output(out) && in->dim[2] > 0 && in->dim[3] > 0);
    CPR_REQUIRE(name, in->dim[2] <= MOST_PIXELS && in->dim[3] <= MOST_PIXELS && in->dim[2] * in->dim[3] <= MOST_PIXELS);
    const double low = cpr_arg_float(op, LOW), high = cpr_arg_float(op, HIGH), zero = (double)op->args[OUT_ZERO];
    CPR_REQUIRE(name, op->args[ZERO] >= 0 && op->args[ZERO] <= 255 && op->args[OUT_ZERO] >= 0 && op->args[OUT_ZERO] <= 255);
    CPR_REQUIRE(name, low >= -zero && high <= 255.0 - zero && low <= high);
    return CPR_OK;
}

/* Sum channels [first, first + n) of one image over all pixels. */
static void sum_pixels(const cpr_op *op, const uint8_t *image, int64_t n, int32_t *sums)
{
    const cpr_tensor *in = op->tensor[0];
    const cpr_mean_ops *ops = CPR_PICK(cpr_mean);
    const bool dense = in->stride[1] == 1 || n == 1;
    for (int64_t h = 0; h < in->dim[2]; h++)
        for (int64_t w = 0; w < in->dim[3]; w++) {
            const uint8_t *pixel = image + h * in->stride[2] + w * in->stride[3];
            if (dense)
                ops->add(n, pixel, sums);
            else
                for (int64_t c = 0; c < n; c++)
                    sums[c] += pixel[c * in->stride[1]];
        }
}

/* Blocks of channels, counted over images. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int64_t blocks = (in->dim[1] + CHANNELS - 1) / CHANNELS;
    const int32_t offset = (int32_t)(in->dim[2] * in->dim[3] * op->args[ZERO]);
    const float factor = (float)cpr_arg_float(op, FACTOR);
    const float low = (float)cpr_arg_float(op, LOW), high = (float)cpr_arg_float(op, HIGH);
    for (int64_t unit = begin; unit < end; unit++) {
        int32_t sums[CHANNELS];
        const int64_t first = unit % blocks * CHANNELS, image = unit / blocks;
        const int64_t n = in->dim[1] - first < CHANNELS ? in->dim[1] - first : CHANNELS;
        memset(sums, 0, sizeof sums);
        sum_pixels(op, (const uint8_t *)op->data[0] + image * in->stride[0] + first * in->stride[1], n, sums);
        uint8_t *y = (uint8_t *)op->data[1] + image * out->stride[0] + first * out->stride[1];
        for (int64_t c = 0; c < n; c++) {
            float v = (float)(sums[c] - offset) * factor;
            v = low > v ? low : v;
            v = high < v ? high : v;
            y[c * out->stride[1]] = (uint8_t)((int32_t)rintf(v) + (int32_t)op->args[OUT_ZERO]);
        }
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0];
    cpr_parallel(op->pool, in->dim[0] * ((in->dim[1] + CHANNELS - 1) / CHANNELS), 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_mean_q8 = {"mean_q8", check, run};

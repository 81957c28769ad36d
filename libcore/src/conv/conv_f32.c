/* conv_f32.c - float32 convolution, channels-last, any kernel, stride, padding, groups. */
#include <string.h>

#include "conv/window.h"
#include "gemm_f32/gemm_f32.h"

/* conv_f32: out = clip(conv(in, weights) + bias + residual)
 * operands  in [N, C, H, W] channel stride 1 |
 *           weights packed [groups, panels, kernel_h * kernel_w * C / groups, 16] contiguous,
 *           k ordered kernel row, kernel column, channel |
 *           bias [groups, panels * 16] or absent | residual as out or absent |
 *           out [N, OC, OH, OW] channel stride 1; W, H and N strides free
 * args      the eight of window.h, groups, low, high */
enum { IN, WEIGHTS, BIAS, RESIDUAL, OUT };
enum { GROUPS = CPR_WINDOW_ARGS, LOW, HIGH, N_ARGS };
enum { MAX_TAPS = 1 << 16, POINTERS = 4096 };

static bool channels_last(const cpr_tensor *t)
{
    return t->dtype == CPR_F32 && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

/* Pixels of one chunk: whole blocks, few enough that their pointers stay in L1. */
static int64_t chunk_pixels(int64_t taps)
{
    const int64_t blocks = POINTERS / (taps * CPR_F32_MAX_ROWS);
    return (blocks < 1 ? 1 : blocks > 8 ? 8 : blocks) * CPR_F32_MAX_ROWS;
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "conv_f32";
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *bias = op->tensor[BIAS];
    const cpr_tensor *residual = op->tensor[RESIDUAL], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && out && channels_last(in) && channels_last(out));
    const cpr_window w = cpr_window_read(op, 0);
    const cpr_status status = cpr_window_check(name, &w, in, out);
    if (status)
        return status;
    const int64_t groups = op->args[GROUPS], taps = w.kernel_h * w.kernel_w;
    CPR_REQUIRE(name, taps <= MAX_TAPS);
    CPR_REQUIRE(name, groups > 0 && in->dim[1] % groups == 0 && out->dim[1] % groups == 0);
    CPR_REQUIRE(name, weights->dtype == CPR_F32 && weights->rank == 4 && cpr_is_contiguous(weights));
    CPR_REQUIRE(name, weights->dim[0] == groups && weights->dim[3] == CPR_F32_PANEL);
    CPR_REQUIRE(name, weights->dim[2] == taps * (in->dim[1] / groups));
    CPR_REQUIRE(name, weights->dim[1] * CPR_F32_PANEL >= out->dim[1] / groups);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 2 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == groups && bias->dim[1] == weights->dim[1] * CPR_F32_PANEL));
    CPR_REQUIRE(name, !residual || (channels_last(residual) && cpr_same_dims(residual, out)));
    *scratch_bytes = taps * chunk_pixels(taps) * (int64_t)sizeof(void *) + (in->dim[1] + 16) * (int64_t)sizeof(float);
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_f32_tiles *tiles;
    cpr_window window;
    int64_t groups, taps, kc; /* kc: floats per tap and group */
    int64_t n_pixels, pixels; /* in all; per unit of work */
    int64_t columns, column_units, panels;
    float low, high;
} job;

/* Element offset of output pixel p of a tensor with N, C, H, W logical dims. */
static int64_t pixel_offset(const cpr_tensor *t, int64_t p)
{
    const int64_t width = t->dim[3], height = t->dim[2];
    return p / width / height * t->stride[0] + p / width % height * t->stride[2] + p % width * t->stride[3];
}

/* Whether all pixels of a tensor are evenly spaced in (n, h, w) order. */
static bool even(const cpr_tensor *t)
{
    return (t->dim[2] == 1 || t->stride[2] == t->stride[3] * t->dim[3]) &&
           (t->dim[0] == 1 || t->stride[0] == t->stride[3] * t->dim[3] * t->dim[2]);
}

static void do_pixels(const job *j, int64_t pixel, int64_t n, int64_t column, int64_t columns, char *scratch)
{
    const cpr_op *op = j->op;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT], *residual = op->tensor[RESIDUAL];
    const int64_t oc = out->dim[1] / j->groups, panel_floats = j->taps * j->kc * CPR_F32_PANEL;
    const int64_t rows_of_block = cpr_f32_block_rows(j->tiles, n, (columns + 15) / 16);
    const char **rows = (const char **)scratch;
    const char *zeros = scratch + j->taps * j->pixels * (int64_t)sizeof(void *);
    for (int64_t g = 0; g < j->groups; g++) {
        const char *x = (const char *)((const float *)op->data[IN] + g * (in->dim[1] / j->groups));
        for (int64_t i = 0; i < n; i += rows_of_block) {
            const int64_t m = n - i < rows_of_block ? n - i : rows_of_block;
            cpr_window_rows(&j->window, in, out, x, zeros, sizeof(float), pixel + i, m, rows + i * j->taps);
        }
        const int64_t c0 = g * oc + column;
        const cpr_f32_block block = {
            .taps = j->taps,
            .kc = j->kc,
            .rows = (const float *const *)rows,
            .b = (const float *)op->data[WEIGHTS] + g * j->panels * panel_floats + column / CPR_F32_PANEL * panel_floats,
            .bias = op->tensor[BIAS] ? (const float *)op->data[BIAS] + g * j->panels * CPR_F32_PANEL + column : NULL,
            .residual = residual ? (const float *)op->data[RESIDUAL] + pixel_offset(residual, pixel) + c0 : NULL,
            .ldr = residual ? residual->stride[3] : 0,
            .low = j->low,
            .high = j->high,
            .c = (float *)op->data[OUT] + pixel_offset(out, pixel) + c0,
            .ldc = out->stride[3],
        };
        cpr_f32_product(j->tiles, &block, n, rows_of_block, columns);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *out = op->tensor[OUT], *residual = op->tensor[RESIDUAL];
    char *scratch = op->scratch + worker * op->scratch_stride;
    memset(scratch + j->taps * j->pixels * (int64_t)sizeof(void *), 0, (size_t)(op->tensor[IN]->dim[1] + 16) * sizeof(float));
    const bool evenly = even(out) && (!residual || even(residual));
    const int64_t line = out->dim[3], oc = out->dim[1] / j->groups;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t column = unit % j->column_units * j->columns;
        const int64_t columns = oc - column < j->columns ? oc - column : j->columns;
        const int64_t first = unit / j->column_units * j->pixels;
        const int64_t last = first + j->pixels < j->n_pixels ? first + j->pixels : j->n_pixels;
        for (int64_t p = first; p < last;) {
            int64_t n = last - p;
            if (!evenly && n > line - p % line)
                n = line - p % line;
            do_pixels(j, p, n, column, columns, scratch);
            p += n;
        }
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    const int64_t threads = cpr_pool_threads(op->pool);
    job j = {.op = op, .tiles = cpr_f32_tiles_now(), .window = cpr_window_read(op, 0)};
    j.groups = op->args[GROUPS];
    j.kc = in->dim[1] / j.groups;
    j.panels = op->tensor[WEIGHTS]->dim[1];
    j.low = (float)cpr_arg_float(op, LOW);
    j.high = (float)cpr_arg_float(op, HIGH);
    j.taps = j.window.kernel_h * j.window.kernel_w;
    j.n_pixels = out->dim[0] * out->dim[2] * out->dim[3];
    if (j.n_pixels == 0 || out->dim[1] == 0)
        return CPR_OK;
    /* A kernel row inside one unpadded image row is a single run of kernel_w * C floats. */
    const bool dense = j.groups == 1 && j.window.kernel_w > 1 && j.window.dilation_w == 1 && j.window.pad_w == 0 &&
                       in->stride[3] == in->dim[1] &&
                       (out->dim[3] - 1) * j.window.stride_w + j.window.kernel_w <= in->dim[3];
    if (dense) {
        j.kc *= j.window.kernel_w;
        j.taps = j.window.kernel_h;
        j.window.kernel_w = 1;
    }
    j.pixels = chunk_pixels(op->args[0] * op->args[1]);
    j.columns = out->dim[1] / j.groups;
    j.column_units = 1;
    const int64_t units = (j.n_pixels + j.pixels - 1) / j.pixels;
    if (threads > 1 && units < 4 * threads) {
        const int64_t per_thread = (j.n_pixels + threads - 1) / threads;
        if (per_thread >= 2 * CPR_F32_MAX_ROWS || j.columns < 64 * threads) {
            if (per_thread < j.pixels * 2) {
                const int64_t parts = (per_thread + j.pixels - 1) / j.pixels;
                j.pixels = (per_thread + parts - 1) / parts;
            }
        } else {
            j.columns = ((j.columns + threads - 1) / threads + 63) / 64 * 64;
            j.column_units = (out->dim[1] / j.groups + j.columns - 1) / j.columns;
        }
    }
    cpr_parallel(op->pool, (j.n_pixels + j.pixels - 1) / j.pixels * j.column_units, 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_conv_f32 = {"conv_f32", check, run};

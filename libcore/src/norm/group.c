/* group.c - group_norm: operands in [N, C, ...], scale [C]?, bias [C]?, out; args: groups, epsilon.
 *
 * Each channel's positions are folded with sixteen partials, then the channels of a group are
 * added in order: the same result for channels first and channels last.
 */
#include <math.h>
#include <string.h>

#include "norm/norm.h"
#include "reduce/split.h"

enum { CHUNK = 256 };

typedef struct {
    const cpr_op *op;
    const cpr_norm_ops *ops;
    const cpr_reduce_ops *fold;
    cpr_split positions; /* of one channel */
    int64_t channels, per_group, per_unit, units; /* a unit: whole groups of one image */
    float epsilon;
} groups;

static int64_t step(const cpr_tensor *t, int32_t k)
{
    return t->dim[k] > 1 ? t->stride[k] : 0;
}

/* Sums of x, or of (x - mean)^2 if mean is given, of n <= CPR_LANES dense channels. */
static void sum_lanes(const groups *g, const char *x, int64_t n, const float *mean, float *sums)
{
    const cpr_split *s = &g->positions;
    const int32_t last = s->n_reduced - 1;
    const int64_t columns = s->reduced_dim[last], rows = s->count / columns;
    _Alignas(64) float lanes[CPR_PARTIALS][CPR_LANES] = {{0}};
    cpr_odometer at = {0};
    int64_t i = 0;
    for (int64_t row = 0; row < rows; row++, cpr_split_next(s, &at))
        for (int64_t c = 0; c < columns; c++, i++) {
            const float *from = (const float *)(x + at.offset + c * s->reduced_in[last]);
            if (mean)
                g->ops->lanes_deviation(lanes[i % CPR_PARTIALS], from, n, mean);
            else
                g->fold->lanes[CPR_FOLD_SUM](lanes[i % CPR_PARTIALS], from, n);
        }
    for (int64_t half = CPR_PARTIALS / 2; half >= 1; half /= 2)
        for (int64_t j = 0; j < half; j++)
            g->fold->lanes[CPR_FOLD_SUM](lanes[j], lanes[j + half], n);
    memcpy(sums, lanes[0], (size_t)n * sizeof *sums);
}

/* The same for one channel. */
static float sum_row(const groups *g, const char *x, const float *mean)
{
    const cpr_split *s = &g->positions;
    const int32_t last = s->n_reduced - 1;
    const int64_t n = s->reduced_dim[last], step_bytes = s->reduced_in[last], rows = s->count / n;
    _Alignas(64) float partials[CPR_PARTIALS] = {0}, buffer[CHUNK];
    cpr_odometer at = {0};
    for (int64_t row = 0; row < rows; row++, cpr_split_next(s, &at))
        for (int64_t i = 0; i < n; i += CHUNK) {
            const int64_t part = n - i < CHUNK ? n - i : CHUNK;
            const char *from = x + at.offset + i * step_bytes;
            if (step_bytes != (int64_t)sizeof *buffer)
                for (int64_t j = 0; j < part; j++)
                    memcpy(&buffer[j], from + j * step_bytes, sizeof *buffer);
            const float *dense = step_bytes == (int64_t)sizeof *buffer ? (const float *)from : buffer;
            if (mean)
                g->ops->row_deviation(partials, dense, part, row * n + i, *mean);
            else
                g->fold->row[CPR_FOLD_SUM](partials, dense, part, row * n + i);
        }
    return cpr_fold_tree(CPR_FOLD_SUM, partials);
}

/* Sums of channels [0, n) from x on. */
static void sum_channels(const groups *g, const char *x, int64_t n, const float *mean, float *sums)
{
    const int64_t to_next = step(g->op->tensor[0], 1) * (int64_t)sizeof(float);
    if (to_next == (int64_t)sizeof(float) && n >= 4) {
        for (int64_t c = 0; c < n; c += CPR_LANES)
            sum_lanes(g, x + c * to_next, n - c < CPR_LANES ? n - c : CPR_LANES, mean ? mean + c : NULL, sums + c);
        return;
    }
    for (int64_t c = 0; c < n; c++)
        sums[c] = sum_row(g, x + c * to_next, mean ? mean + c : NULL);
}

/* Give every channel of a group the mean of the group's sums. */
static void average(const groups *g, int64_t n, const float *sums, float *means)
{
    for (int64_t c = 0; c < n; c += g->per_group) {
        float sum = 0.0f;
        for (int64_t k = c; k < c + g->per_group; k++)
            sum += sums[k];
        const float mean = sum / ((float)g->per_group * (float)g->positions.count);
        for (int64_t k = c; k < c + g->per_group; k++)
            means[k] = mean;
    }
}

static void apply(const groups *g, int64_t image, int64_t channel, int64_t n, float *mean, float *factor, float *shift)
{
    const cpr_tensor *in = g->op->tensor[0], *out = g->op->tensor[3];
    cpr_tensor x = *in, y = *out, one = *in;
    x.dim[0] = y.dim[0] = one.dim[0] = 1;
    x.dim[1] = y.dim[1] = one.dim[1] = n;
    for (int32_t k = 0; k < one.rank; k++)
        one.stride[k] = k == 1 ? 1 : 0;
    const cpr_tensor *tensors[] = {&x, &one, &one, &one, &y};
    void *data[] = {(float *)g->op->data[0] + image * step(in, 0) + channel * step(in, 1), mean, factor, shift,
                    (float *)g->op->data[3] + image * step(out, 0) + channel * step(out, 1)};
    cpr_walk(NULL, 5, tensors, data, &(cpr_elementwise){g->ops->apply, NULL, 1u << 14, CPR_GRAIN_CHEAP});
}

static void run_units(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const groups *g = context;
    const cpr_tensor *in = g->op->tensor[0], *scale = g->op->tensor[1], *bias = g->op->tensor[2];
    float *sums = (float *)(g->op->scratch + worker * g->op->scratch_stride);
    float *mean = sums + g->per_unit, *factor = mean + g->per_unit, *shift = factor + g->per_unit;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t image = unit / g->units, channel = unit % g->units * g->per_unit;
        const int64_t n = g->channels - channel < g->per_unit ? g->channels - channel : g->per_unit;
        const char *x = (const char *)g->op->data[0] +
                        (image * step(in, 0) + channel * step(in, 1)) * (int64_t)sizeof(float);
        sum_channels(g, x, n, NULL, sums);
        average(g, n, sums, mean);
        sum_channels(g, x, n, mean, sums);
        average(g, n, sums, factor);
        for (int64_t c = 0; c < n; c++) {
            factor[c] = 1.0f / sqrtf(factor[c] + g->epsilon);
            if (scale)
                factor[c] *= ((const float *)g->op->data[1])[(channel + c) * step(scale, 0)];
            shift[c] = bias ? ((const float *)g->op->data[2])[(channel + c) * step(bias, 0)] : 0.0f;
        }
        apply(g, image, channel, n, mean, factor, shift);
    }
}

/* Whole groups of about CPR_LANES channels. */
static int64_t unit_of(int64_t channels, int64_t per_group)
{
    const int64_t unit = per_group >= CPR_LANES ? per_group : CPR_LANES / per_group * per_group;
    return unit < channels ? unit : channels;
}

static cpr_status check_group_norm(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("group_norm", op->n_tensors == 4 && op->n_args == 2 && op->tensor[0] && op->tensor[3]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[3];
    CPR_REQUIRE("group_norm", in->dtype == CPR_F32 && out->dtype == CPR_F32 && in->rank >= 2);
    CPR_REQUIRE("group_norm", cpr_same_dims(in, out) && cpr_is_output(out));
    const int64_t channels = in->dim[1], n = op->args[0];
    CPR_REQUIRE("group_norm", n >= 1 && channels >= 1 && channels % n == 0 && channels < INT64_MAX / 64);
    for (int32_t i = 1; i <= 2; i++) {
        const cpr_tensor *t = op->tensor[i];
        if (t && (t->dtype != CPR_F32 || t->rank != 1 || t->dim[0] != channels))
            return cpr_fail(CPR_ERR_ARGUMENT, "group_norm: operand %d must have one element per channel", i);
    }
    *scratch_bytes = 4 * unit_of(channels, channels / n) * (int64_t)sizeof(float);
    return CPR_OK;
}

static cpr_status run_group_norm(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0];
    if (cpr_elements(in) == 0)
        return CPR_OK;
    cpr_tensor channel = *in, one = *in;
    channel.dim[0] = channel.dim[1] = 1;
    for (int32_t k = 0; k < one.rank; k++)
        one.dim[k] = 1;
    groups g = {.op = op, .ops = CPR_PICK(cpr_norm), .fold = CPR_PICK(cpr_reduce),
                .positions = cpr_split_dims(&channel, &one), .channels = in->dim[1],
                .per_group = in->dim[1] / op->args[0], .epsilon = (float)cpr_arg_float(op, 1)};
    g.per_unit = unit_of(g.channels, g.per_group);
    g.units = (g.channels + g.per_unit - 1) / g.per_unit;
    cpr_parallel(op->pool, in->dim[0] * g.units, 1, run_units, &g);
    return CPR_OK;
}

const cpr_kernel cpr_k_group_norm = {"group_norm", check_group_norm, run_group_norm};

/* batch_norm.c - batch_norm and batch_norm_grad: batch normalisation in training.
 *
 * Images are cut into chunks of a fixed number; partial results of chunks are combined in their
 * order, so the bytes depend on the dims alone.
 */
#include <math.h>
#include <string.h>

#include "grad/channels.h"
#include "vector/walk.h"

static bool images(const cpr_tensor *t)
{
    return t && t->dtype == CPR_F32 && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static bool per_channel(const cpr_tensor *t, int64_t channels)
{
    return t && t->dtype == CPR_F32 && t->rank == 1 && t->dim[0] == channels && (t->stride[0] == 1 || channels <= 1);
}

static bool is_partial(const cpr_tensor *t, const cpr_tensor *x, int64_t chunk)
{
    return t && t->dtype == CPR_F32 && t->rank == 3 && cpr_is_contiguous(t) &&
           t->dim[0] == x->dim[0] / chunk + (x->dim[0] % chunk != 0) && t->dim[1] == 2 && t->dim[2] == x->dim[1];
}

static float *line(const cpr_op *op, int32_t i, int64_t n, int64_t h)
{
    const cpr_tensor *t = op->tensor[i];
    return (float *)op->data[i] + n * t->stride[0] + h * t->stride[2];
}

/* ((0 + 1) + (2 + 3)) */
static void fold(const cpr_lanes sum, int64_t lanes, float *out)
{
    for (int64_t l = 0; l < lanes; l++)
        out[l] = (sum[0][l] + sum[1][l]) + (sum[2][l] + sum[3][l]);
}

/* ---- batch_norm: operands x [N, C, H, W] channel stride 1, scale, bias [C], partial
 * [chunks, 2, C] contiguous, out as x, mean, variance [C], residual as x or absent; args: images
 * per chunk, epsilon, low: out = max(low, normalised + residual).
 * Variances by Chan, Golub and LeVeque, 1979. ---- */
enum { X, S_SCALE, BIAS, PARTIAL, OUT, MEAN, VARIANCE, RESIDUAL };

static cpr_status check_norm(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "batch_norm";
    CPR_REQUIRE(name, op->n_tensors == 8 && op->n_args == 3 && op->args[0] >= 1);
    const cpr_tensor *x = op->tensor[X], *added = op->tensor[RESIDUAL], *out = op->tensor[OUT];
    CPR_REQUIRE(name, images(x) && images(out) && cpr_is_output(out) && cpr_same_dims(x, out));
    CPR_REQUIRE(name, !added || (images(added) && cpr_same_dims(x, added)));
    CPR_REQUIRE(name, is_partial(op->tensor[PARTIAL], x, op->args[0]));
    static const int32_t rows[] = {S_SCALE, BIAS, MEAN, VARIANCE};
    for (int32_t i = 0; i < 4; i++)
        if (!per_channel(op->tensor[rows[i]], x->dim[1]))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %d must have one element per channel", name, rows[i]);
    *scratch_bytes = x->dim[1] * (int64_t)sizeof(float);
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_channel_ops *ops;
    int64_t chunk, blocks;
    const float *a, *b, *c; /* of apply */
} job;

static void stats_of(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *x = j->op->tensor[X];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t chunk = unit / j->blocks, channel = unit % j->blocks * CPR_CHANNELS;
        const int64_t left = x->dim[1] - channel, lanes = left < CPR_CHANNELS ? left : CPR_CHANNELS;
        const int64_t first = chunk * j->chunk, last = first + j->chunk < x->dim[0] ? first + j->chunk : x->dim[0];
        const float count = (float)((last - first) * x->dim[2] * x->dim[3]);
        _Alignas(64) cpr_lanes sum = {{0}}, squares = {{0}};
        float *out = (float *)j->op->data[PARTIAL] + chunk * 2 * x->dim[1] + channel;
        for (int64_t n = first; n < last; n++)
            for (int64_t h = 0; h < x->dim[2]; h++)
                j->ops->sum(line(j->op, X, n, h) + channel, x->stride[3], x->dim[3], lanes, sum);
        float mean[CPR_CHANNELS] = {0};
        fold((const float(*)[CPR_CHANNELS])sum, lanes, mean);
        for (int64_t l = 0; l < lanes; l++)
            mean[l] /= count;
        for (int64_t n = first; n < last; n++)
            for (int64_t h = 0; h < x->dim[2]; h++)
                j->ops->deviation(line(j->op, X, n, h) + channel, x->stride[3], x->dim[3], lanes, mean, squares);
        memcpy(out, mean, (size_t)lanes * sizeof *out);
        fold((const float(*)[CPR_CHANNELS])squares, lanes, out + x->dim[1]);
    }
}

static void affine_to(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *x = j->op->tensor[X], *added = j->op->tensor[RESIDUAL], *out = j->op->tensor[OUT];
    const float low = (float)cpr_arg_float(j->op, 2);
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / x->dim[2], h = row % x->dim[2];
        j->ops->affine(line(j->op, X, n, h), x->stride[3], added ? line(j->op, RESIDUAL, n, h) : NULL,
                       added ? added->stride[3] : 0, line(j->op, OUT, n, h), out->stride[3], x->dim[3], x->dim[1],
                       j->op->data[MEAN], j->b, j->c, low);
    }
}

static cpr_status run_norm(const cpr_op *op)
{
    const cpr_tensor *x = op->tensor[X], *partial = op->tensor[PARTIAL];
    const int64_t channels = x->dim[1], plane = x->dim[2] * x->dim[3];
    job j = {.op = op, .ops = CPR_PICK(cpr_channels), .chunk = op->args[0]};
    j.blocks = (channels + CPR_CHANNELS - 1) / CPR_CHANNELS;
    cpr_parallel(op->pool, partial->dim[0] * j.blocks, 1, stats_of, &j);
    const float *from = op->data[PARTIAL];
    const float *scale = op->data[S_SCALE];
    float *means = op->data[MEAN], *variances = op->data[VARIANCE], *factor = (float *)op->scratch;
    const double epsilon = cpr_arg_float(op, 1);
    for (int64_t c = 0; c < channels; c++) {
        double count = 0.0, mean = 0.0, squares = 0.0;
        for (int64_t k = 0; k < partial->dim[0]; k++) {
            const int64_t first = k * j.chunk, left = x->dim[0] - first;
            const double n = (double)((left < j.chunk ? left : j.chunk) * plane);
            if (n == 0.0)
                continue;
            const double apart = (double)from[(2 * k) * channels + c] - mean;
            const double total = count + n;
            squares += (double)from[(2 * k + 1) * channels + c] + apart * apart * (count * (n / total));
            mean += apart * (n / total);
            count = total;
        }
        means[c] = (float)mean;
        variances[c] = (float)(squares / count);
        factor[c] = (float)((double)scale[c] / sqrt(squares / count + epsilon));
    }
    j.b = factor;
    j.c = op->data[BIAS];
    cpr_parallel(op->pool, x->dim[0] * x->dim[2], 16, affine_to, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_batch_norm = {"batch_norm", check_norm, run_norm};

/* ---- batch_norm_grad: operands x, g [N, C, H, W] channel stride 1, mean, inverse deviation,
 * scale [C], partial [chunks, 2, C] contiguous, dx as x, dscale, dbias [C]; args: images per
 * chunk.  Ioffe and Szegedy, 2015, section 3. ---- */
enum { G = 1, G_MEAN, INVERSE, SCALE, G_PARTIAL, DX, DSCALE, DBIAS };

static cpr_status check_grad(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "batch_norm_grad";
    CPR_REQUIRE(name, op->n_tensors == 9 && op->n_args == 1 && op->args[0] >= 1);
    const cpr_tensor *x = op->tensor[X], *g = op->tensor[G], *dx = op->tensor[DX];
    CPR_REQUIRE(name, images(x) && images(g) && images(dx) && cpr_is_output(dx));
    CPR_REQUIRE(name, cpr_same_dims(x, g) && cpr_same_dims(x, dx));
    CPR_REQUIRE(name, is_partial(op->tensor[G_PARTIAL], x, op->args[0]));
    static const int32_t rows[] = {G_MEAN, INVERSE, SCALE, DSCALE, DBIAS};
    for (int32_t i = 0; i < 5; i++)
        if (!per_channel(op->tensor[rows[i]], x->dim[1]))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %d must have one element per channel", name, rows[i]);
    *scratch_bytes = 3 * x->dim[1] * (int64_t)sizeof(float);
    return CPR_OK;
}

static void products_of(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *x = j->op->tensor[X], *g = j->op->tensor[G];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t chunk = unit / j->blocks, channel = unit % j->blocks * CPR_CHANNELS;
        const int64_t left = x->dim[1] - channel, lanes = left < CPR_CHANNELS ? left : CPR_CHANNELS;
        const int64_t first = chunk * j->chunk, last = first + j->chunk < x->dim[0] ? first + j->chunk : x->dim[0];
        const float *mean = (const float *)j->op->data[G_MEAN] + channel;
        _Alignas(64) cpr_lanes sum = {{0}}, along = {{0}};
        for (int64_t n = first; n < last; n++)
            for (int64_t h = 0; h < x->dim[2]; h++)
                j->ops->products(line(j->op, X, n, h) + channel, x->stride[3], line(j->op, G, n, h) + channel,
                                 g->stride[3], x->dim[3], lanes, mean, sum, along);
        float *out = (float *)j->op->data[G_PARTIAL] + chunk * 2 * x->dim[1] + channel;
        fold((const float(*)[CPR_CHANNELS])sum, lanes, out);
        fold((const float(*)[CPR_CHANNELS])along, lanes, out + x->dim[1]);
    }
}

static void apply_to(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *x = j->op->tensor[X], *g = j->op->tensor[G], *dx = j->op->tensor[DX];
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / x->dim[2], h = row % x->dim[2];
        j->ops->apply(line(j->op, X, n, h), x->stride[3], line(j->op, G, n, h), g->stride[3], line(j->op, DX, n, h),
                      dx->stride[3], x->dim[3], x->dim[1], j->op->data[G_MEAN], j->a, j->b, j->c);
    }
}

static cpr_status run_grad(const cpr_op *op)
{
    const cpr_tensor *x = op->tensor[X], *partial = op->tensor[G_PARTIAL];
    const int64_t channels = x->dim[1];
    const double count = (double)(x->dim[0] * x->dim[2] * x->dim[3]);
    job j = {.op = op, .ops = CPR_PICK(cpr_channels), .chunk = op->args[0]};
    j.blocks = (channels + CPR_CHANNELS - 1) / CPR_CHANNELS;
    cpr_parallel(op->pool, partial->dim[0] * j.blocks, 1, products_of, &j);
    const float *from = op->data[G_PARTIAL], *inverse = op->data[INVERSE];
    const float *scale = op->data[SCALE];
    float *dscale = op->data[DSCALE], *dbias = op->data[DBIAS];
    float *a = (float *)op->scratch, *b = a + channels, *c = b + channels;
    for (int64_t k = 0; k < channels; k++) {
        double sum = 0.0, along = 0.0;
        for (int64_t p = 0; p < partial->dim[0]; p++) {
            sum += (double)from[2 * p * channels + k];
            along += (double)from[(2 * p + 1) * channels + k];
        }
        const double inv = (double)inverse[k], factor = (double)scale[k] * inv;
        dbias[k] = (float)sum;
        dscale[k] = (float)(along * inv);
        a[k] = (float)factor;
        b[k] = (float)(-factor * inv * inv * along / count);
        c[k] = (float)(-factor * sum / count);
    }
    j.a = a;
    j.b = b;
    j.c = c;
    cpr_parallel(op->pool, x->dim[0] * x->dim[2], 16, apply_to, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_batch_norm_grad = {"batch_norm_grad", check_grad, run_grad};

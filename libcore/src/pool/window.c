/* window.c - max_pool and average_pool: operands in [N, C, H, W], out [N, C, OH, OW], indices?;
 * args: kh, kw, stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right, dilation_h,
 * dilation_w, and storage_order or count_include_pad.
 */
#include <math.h>
#include <string.h>

#include "pool/pool.h"
#include "vector/walk.h"

enum { KH, KW, STRIDE_H, STRIDE_W, TOP, LEFT, BOTTOM, RIGHT, DILATION_H, DILATION_W, FLAG, N_ARGS };
enum { N, C, H, W };
enum { LIMIT = 1 << 30, WORK = 16384 };

/* One dim of the windows. */
typedef struct {
    int64_t size, kernel, stride, before, after, dilation;
} dimension;

typedef struct {
    const cpr_op *op;
    const cpr_pool_ops *ops;
    int32_t kind;
    int64_t bytes;                        /* of an element */
    int64_t in_step[4], out_step[4];      /* bytes */
    int64_t out[4];
    dimension h, w;
} pooling;

/* How many taps there are in so many positions. */
static int64_t taps_in(const dimension *d, int64_t positions)
{
    if (positions <= 0)
        return 0;
    return d->dilation == 1 ? positions : (positions + d->dilation - 1) / d->dilation; /* to divide takes long */
}

/* The taps of window o that lie inside: first position, how many, and what a padded average
 * divides by along this dim. */
static void taps_of(const dimension *d, int64_t o, int64_t *first, int64_t *count, int64_t *padded)
{
    const int64_t origin = o * d->stride - d->before;
    const int64_t skip = taps_in(d, -origin);
    int64_t end = taps_in(d, d->size - origin);
    end = end < d->kernel ? end : d->kernel;
    const int64_t past = taps_in(d, d->size + d->after - origin);
    *padded = past < d->kernel ? past : d->kernel;
    *count = end > skip ? end - skip : 0;
    *first = *count > 0 ? origin + skip * d->dilation : 0;
}

typedef struct {
    int64_t first, count, padded;
} taps;

static float divisor_of(const pooling *p, int64_t rows, int64_t columns, int64_t padded_h, int64_t padded_w)
{
    if (p->kind != CPR_POOL_AVERAGE)
        return 1.0f;
    const int64_t count = p->op->args[FLAG] ? padded_h * padded_w : rows * columns;
    return (float)(count > 0 ? count : 1);
}

/* Unit: one output pixel, all its channels, which are dense. */
static void pool_pixels(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const pooling *p = context;
    while (begin < end) { /* pixels of one row */
        const int64_t first = begin % p->out[W], row = begin / p->out[W], oh = row % p->out[H], n = row / p->out[H];
        const int64_t left_over = end - begin, last = p->out[W] - first < left_over ? p->out[W] : first + left_over;
        int64_t top, rows, padded_h;
        taps_of(&p->h, oh, &top, &rows, &padded_h);
        const char *line = (const char *)p->op->data[0] + n * p->in_step[N] + top * p->in_step[H];
        char *y = (char *)p->op->data[1] + n * p->out_step[N] + oh * p->out_step[H];
        /* A single tap's dilation may be anything: its product could overflow. */
        const int64_t down = rows > 1 ? p->h.dilation * p->in_step[H] : 0;
        for (int64_t ow = first; ow < last; ow++) {
            int64_t left, columns, padded_w;
            taps_of(&p->w, ow, &left, &columns, &padded_w);
            const int64_t right = columns > 1 ? p->w.dilation * p->in_step[W] : 0;
            p->ops->lanes[p->kind](line + left * p->in_step[W], rows, down, columns, right, y + ow * p->out_step[W],
                                   p->out[C], divisor_of(p, rows, columns, padded_h, padded_w));
        }
        begin += last - first;
    }
}

/* One row of outputs: fold the taps of each out of a buffer of columns. */
#define FOLD_ROW(name, t, start, value, finish)                                                    static void name(const pooling *p, const char *column, const taps *along, int64_t rows, int64_t padded_h, char *y)     {                                                                                                  (void)rows;                                                                                    (void)padded_h;                                                                                for (int64_t o = 0; o < p->out[W]; o++) {                                                          const t *from = (const t *)column + along[o].first;                                            t a = (t)(start);                                                                              for (int64_t i = 0; i < along[o].count; i++) {                                                     const t b = from[i * p->w.dilation];                                                           a = (value);                                                                               }                                                                                              *(t *)(y + o * p->out_step[W]) = (finish);                                                 }                                                                                          }

/* As masks: a branch on random values would be mispredicted. */
static inline float larger(float b, float a)
{
    union {
        float f;
        uint32_t u;
    } x = {b}, y = {a};
    const uint32_t take = 0u - (uint32_t)((b > a) | (b != b));
    x.u = (x.u & take) | (y.u & ~take);
    return x.f;
}

FOLD_ROW(fold_row_f32, float, -INFINITY, larger(b, a), a)
FOLD_ROW(fold_row_s8, int8_t, INT8_MIN, b > a ? b : a, a)
FOLD_ROW(fold_row_u8, uint8_t, 0, b > a ? b : a, a)
FOLD_ROW(fold_row_average, float, 0.0f, a + b, a / divisor_of(p, rows, along[o].count, padded_h, along[o].padded))

typedef void fold_row(const pooling *p, const char *column, const taps *along, int64_t rows, int64_t padded_h, char *y);

static fold_row *const fold_rows[CPR_POOL_KINDS] = {fold_row_f32, fold_row_s8, fold_row_u8, fold_row_average};

/* Unit: one row of outputs of one channel.  The rows of its windows are folded first, for all
 * columns at once, then the columns of each window. */
static void pool_rows(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const pooling *p = context;
    taps *along = (taps *)(p->op->scratch + worker * p->op->scratch_stride);
    char *column = (char *)(along + p->out[W]), *gathered = column + p->w.size * p->bytes;
    for (int64_t ow = 0; ow < p->out[W]; ow++)
        taps_of(&p->w, ow, &along[ow].first, &along[ow].count, &along[ow].padded);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t oh = unit % p->out[H], c = unit / p->out[H] % p->out[C], n = unit / p->out[H] / p->out[C];
        int64_t top, rows, padded_h;
        taps_of(&p->h, oh, &top, &rows, &padded_h);
        const char *x = (const char *)p->op->data[0] + n * p->in_step[N] + c * p->in_step[C] + top * p->in_step[H];
        char *y = (char *)p->op->data[1] + n * p->out_step[N] + c * p->out_step[C] + oh * p->out_step[H];
        const int64_t down = rows > 1 ? p->h.dilation * p->in_step[H] : 0;
        if (p->in_step[W] == p->bytes || p->w.size <= 1)
            p->ops->rows[p->kind](x, rows, down, column, p->w.size);
        else
            for (int64_t w = 0; w < p->w.size; w++) {
                p->ops->rows[p->kind](x + w * p->in_step[W], rows, down, gathered, 1);
                memcpy(column + w * p->bytes, gathered, (size_t)p->bytes);
            }
        /* Without rows the buffer holds what an empty window gives. */
        fold_rows[p->kind](p, column, along, rows, padded_h, y);
    }
}

/* max_pool with indices, one output at a time. */
static double element(const char *x, int32_t kind)
{
    return kind == CPR_POOL_MAX_F32 ? (double)*(const float *)x
           : kind == CPR_POOL_MAX_S8 ? *(const int8_t *)x : *(const uint8_t *)x;
}

static void pool_with_indices(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const pooling *p = context;
    const cpr_tensor *in = p->op->tensor[0], *indices = p->op->tensor[2];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t ow = unit % p->out[W], oh = unit / p->out[W] % p->out[H];
        const int64_t plane = unit / p->out[W] / p->out[H], c = plane % p->out[C], n = plane / p->out[C];
        const int64_t at[4] = {n, c, oh, ow};
        int64_t top, left, rows, columns, unused;
        taps_of(&p->h, oh, &top, &rows, &unused);
        taps_of(&p->w, ow, &left, &columns, &unused);
        const char *x = (const char *)p->op->data[0] + n * p->in_step[N] + c * p->in_step[C];
        const char *best = NULL;
        int64_t found = -1, to = 0, out = 0;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < columns; k++) {
                const int64_t ih = top + r * p->h.dilation, iw = left + k * p->w.dilation;
                const char *here = x + ih * p->in_step[H] + iw * p->in_step[W];
                const double value = element(here, p->kind);
                if (!best || value > element(best, p->kind)) {
                    best = here;
                    found = plane * in->dim[H] * in->dim[W] +
                            (p->op->n_args > FLAG && p->op->args[FLAG] ? iw * in->dim[H] + ih : ih * in->dim[W] + iw);
                }
            }
        for (int32_t k = 0; k < 4; k++) {
            out += at[k] * p->out_step[k];
            to += indices->dim[k] > 1 ? at[k] * indices->stride[k] : 0;
        }
        const float lowest = -INFINITY; /* of a window without elements; else of the integers */
        const int8_t least = INT8_MIN;
        const void *none = p->kind == CPR_POOL_MAX_F32 ? (const void *)&lowest : p->kind == CPR_POOL_MAX_S8 ? (const void *)&least : "";
        memcpy((char *)p->op->data[1] + out, best ? best : none, (size_t)p->bytes);
        ((int64_t *)p->op->data[2])[to] = found;
    }
}

static int32_t kind_of(const char *name, int32_t dtype)
{
    if (name[0] == 'a')
        return dtype == CPR_F32 ? CPR_POOL_AVERAGE : -1;
    switch (dtype) {
    case CPR_F32: return CPR_POOL_MAX_F32;
    case CPR_BF16: return CPR_POOL_MAX_BF16;
    case CPR_S8: return CPR_POOL_MAX_S8;
    case CPR_U8: return CPR_POOL_MAX_U8;
    default: return -1;
    }
}

static bool dense_channels(const cpr_tensor *t)
{
    return t->stride[C] == 1 || t->dim[C] <= 1;
}

static cpr_status check_pool(const char *name, const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE(name, op->n_tensors >= 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->rank == 4 && out->rank == 4 && cpr_is_output(out) && in->dtype == out->dtype);
    CPR_REQUIRE(name, in->dim[N] == out->dim[N] && in->dim[C] == out->dim[C]);
    for (int32_t k = H; k <= W; k++)
        CPR_REQUIRE(name, in->dim[k] <= LIMIT && out->dim[k] <= LIMIT);
    for (int32_t i = 0; i < FLAG; i++) {
        const int64_t least = i == TOP || i == LEFT || i == BOTTOM || i == RIGHT ? 0 : 1;
        if (op->args[i] < least || op->args[i] > LIMIT)
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: argument %d is out of range", name, i);
    }
    if (kind_of(name, in->dtype) < 0)
        return cpr_fail(CPR_ERR_UNSUPPORTED, "%s: not for dtype %d", name, in->dtype);
    if (in->dtype == CPR_BF16)
        CPR_REQUIRE(name, op->n_tensors == 2 && dense_channels(in) && dense_channels(out));
    *scratch_bytes = (in->dim[W] + 1) * 4 + out->dim[W] * (int64_t)sizeof(taps);
    return CPR_OK;
}

static cpr_status run_pool(const char *name, const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    if (cpr_elements(out) == 0)
        return CPR_OK;
    const int64_t *a = op->args;
    pooling p = {.op = op, .ops = CPR_PICK(cpr_pool), .kind = kind_of(name, in->dtype),
                 .bytes = cpr_dtype_bytes(in->dtype),
                 .h = {in->dim[H], a[KH], a[STRIDE_H], a[TOP], a[BOTTOM], a[DILATION_H]},
                 .w = {in->dim[W], a[KW], a[STRIDE_W], a[LEFT], a[RIGHT], a[DILATION_W]}};
    for (int32_t k = 0; k < 4; k++) {
        p.out[k] = out->dim[k];
        p.in_step[k] = in->dim[k] > 1 ? in->stride[k] * p.bytes : 0;
        p.out_step[k] = out->dim[k] > 1 ? out->stride[k] * p.bytes : 0;
    }
    const int64_t window = a[KH] * a[KW], pixels = p.out[N] * p.out[H] * p.out[W], channels = p.out[C];
    if (op->n_tensors > 2 && op->tensor[2])
        cpr_parallel(op->pool, pixels * channels, WORK / window / 8 + 1, pool_with_indices, &p);
    else if (p.kind == CPR_POOL_MAX_BF16 || (p.in_step[C] == p.bytes && p.out_step[C] == p.bytes))
        cpr_parallel(op->pool, pixels, WORK / window / channels + 1, pool_pixels, &p);
    else
        cpr_parallel(op->pool, p.out[N] * channels * p.out[H], WORK / window / (p.w.size + 1) + 1, pool_rows, &p);
    return CPR_OK;
}

static cpr_status check_max_pool(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("max_pool", op->n_tensors == 2 || op->n_tensors == 3);
    CPR_REQUIRE("max_pool", op->n_args == FLAG || op->n_args == N_ARGS);
    const cpr_status status = check_pool("max_pool", op, scratch_bytes);
    if (status)
        return status;
    if (op->n_tensors == 3 && op->tensor[2]) {
        CPR_REQUIRE("max_pool", cpr_same_dims(op->tensor[1], op->tensor[2]) && cpr_is_output(op->tensor[2]));
        CPR_REQUIRE("max_pool", op->tensor[2]->dtype == CPR_S64);
    }
    return CPR_OK;
}

static cpr_status run_max_pool(const cpr_op *op)
{
    return run_pool("max_pool", op);
}

const cpr_kernel cpr_k_max_pool = {"max_pool", check_max_pool, run_max_pool};

static cpr_status check_average_pool(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("average_pool", op->n_tensors == 2 && op->n_args == N_ARGS);
    return check_pool("average_pool", op, scratch_bytes);
}

static cpr_status run_average_pool(const cpr_op *op)
{
    return run_pool("average_pool", op);
}

const cpr_kernel cpr_k_average_pool = {"average_pool", check_average_pool, run_average_pool};

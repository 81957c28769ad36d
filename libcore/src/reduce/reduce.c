/* reduce.c - reduce: operands in, out; args: function.  See libcore/README.md. */
#include "reduce/reduce.h"

#include <math.h>
#include <string.h>

#include "reduce/split.h"
#include "vector/cast.h"
#include "vector/walk.h"

enum { CHUNK = 256, WORK = 16384 /* elements worth a thread */ };

float cpr_fold_start(int32_t fold)
{
    return fold == CPR_FOLD_PROD ? 1.0f : fold == CPR_FOLD_MAX ? -INFINITY : fold == CPR_FOLD_MIN ? INFINITY : 0.0f;
}

/* The tree, on partials that lie `step` floats apart. */
static float tree(int32_t fold, float *p, int64_t step)
{
    for (int64_t half = CPR_PARTIALS / 2; half >= 1; half /= 2)
        for (int64_t j = 0; j < half; j++) {
            const float x = p[(j + half) * step];
            float *a = &p[j * step];
            switch (fold) {
            case CPR_FOLD_PROD: *a *= x; break;
            case CPR_FOLD_MAX: *a = x > *a || x != x ? x : *a; break;
            case CPR_FOLD_MIN: *a = x < *a || x != x ? x : *a; break;
            default: *a += x;
            }
        }
    return p[0];
}

float cpr_fold_tree(int32_t fold, float *partials)
{
    return tree(fold, partials, 1);
}

typedef struct {
    const cpr_reduce_ops *ops;
    cpr_split split;
    const char *in;
    char *out;
    int64_t code;
    int32_t fold;
    cpr_core *widen; /* elements are bfloat16; NULL: float32 */
} reduction;

static int32_t fold_of(int64_t code)
{
    switch (code) {
    case CPR_REDUCE_MAX: return CPR_FOLD_MAX;
    case CPR_REDUCE_MIN: return CPR_FOLD_MIN;
    case CPR_REDUCE_PROD: return CPR_FOLD_PROD;
    case CPR_REDUCE_SUM_SQUARE: case CPR_REDUCE_L2: return CPR_FOLD_SUM_SQUARE;
    case CPR_REDUCE_L1: return CPR_FOLD_L1;
    default: return CPR_FOLD_SUM;
    }
}

/* n lanes of folded values become results; shift is the maximum that log_sum_exp took out. */
static void finish(const reduction *r, float *x, int64_t n, const float *shift)
{
    static const float zero[CPR_LANES];
    if (r->code == CPR_REDUCE_LOG_SUM || r->code == CPR_REDUCE_LOG_SUM_EXP)
        r->ops->log_plus(x, n, shift ? shift : zero);
    for (int64_t i = 0; i < n; i++) {
        if (r->code == CPR_REDUCE_MEAN)
            x[i] = x[i] / (float)r->split.count;
        else if (r->code == CPR_REDUCE_L2)
            x[i] = sqrtf(x[i]);
    }
}

/* n elements that lie `step` bytes apart, as floats. */
static void gather(const reduction *r, const char *x, int64_t step, int64_t n, float *to)
{
    if (r->widen)
        for (int64_t j = 0; j < n; j++) {
            uint16_t half;
            memcpy(&half, x + j * step, sizeof half);
            const uint32_t bits = (uint32_t)half << 16;
            memcpy(&to[j], &bits, sizeof bits);
        }
    else
        for (int64_t j = 0; j < n; j++)
            memcpy(&to[j], x + j * step, sizeof *to);
}

/* Fold all elements of one output that start at x, with `shift` taken out first if given. */
static float fold_row(const reduction *r, int32_t fold, const char *x, const float *shift)
{
    const cpr_split *s = &r->split;
    const int32_t last = s->n_reduced - 1;
    const int64_t n = s->reduced_dim[last], step = s->reduced_in[last], rows = s->count / n;
    _Alignas(64) float partials[CPR_PARTIALS], buffer[CHUNK];
    for (int64_t j = 0; j < CPR_PARTIALS; j++)
        partials[j] = cpr_fold_start(fold);
    cpr_odometer at = {0};
    for (int64_t row = 0; row < rows; row++, cpr_split_next(s, &at)) {
        if (step == (int64_t)sizeof(float) && !shift && !r->widen) {
            r->ops->row[fold](partials, (const float *)(x + at.offset), n, row * n);
            continue;
        }
        for (int64_t i = 0; i < n; i += CHUNK) {
            const int64_t part = n - i < CHUNK ? n - i : CHUNK;
            gather(r, x + at.offset + i * step, step, part, buffer);
            if (shift)
                r->ops->exp_minus(buffer, buffer, part, shift, 0);
            r->ops->row[fold](partials, buffer, part, row * n + i);
        }
    }
    return tree(fold, partials, 1);
}

static void reduce_rows(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const reduction *r = context;
    for (int64_t output = begin; output < end; output++) {
        int64_t in, out;
        cpr_split_at(&r->split, output, &in, &out);
        float value, shift = 0.0f;
        if (r->code == CPR_REDUCE_LOG_SUM_EXP) {
            shift = fold_row(r, CPR_FOLD_MAX, r->in + in, NULL);
            shift = isfinite(shift) ? shift : 0.0f;
            value = fold_row(r, CPR_FOLD_SUM, r->in + in, &shift);
        } else
            value = fold_row(r, r->fold, r->in + in, NULL);
        finish(r, &value, 1, &shift);
        memcpy(r->out + out, &value, sizeof value);
    }
}

/* Fold n neighbouring outputs at once, each in its own lane; result in lanes[0..n). */
static void fold_lanes(const reduction *r, int32_t fold, const char *x, int64_t n, const float *shift,
                       float lanes[CPR_PARTIALS][CPR_LANES])
{
    const cpr_split *s = &r->split;
    const int32_t last = s->n_reduced - 1;
    const int64_t columns = s->reduced_dim[last], step = s->reduced_in[last], rows = s->count / columns;
    for (int64_t j = 0; j < CPR_PARTIALS; j++)
        for (int64_t l = 0; l < n; l++)
            lanes[j][l] = cpr_fold_start(fold);
    cpr_odometer at = {0};
    int64_t i = 0;
    for (int64_t row = 0; row < rows; row++, cpr_split_next(s, &at))
        for (int64_t c = 0; c < columns; c++, i++) {
            const char *given = x + at.offset + c * step;
            const float *from = (const float *)given;
            float buffer[CPR_LANES];
            if (r->widen && fold == CPR_FOLD_SUM && !shift) {
                r->ops->lanes_half(lanes[i % CPR_PARTIALS], (const uint16_t *)given, n);
                continue;
            }
            if (r->widen) {
                r->widen(NULL, n, (char *const[]){(char *)given, (char *)buffer}, 0);
                from = buffer;
            }
            if (shift) {
                r->ops->exp_minus(buffer, from, n, shift, 1);
                from = buffer;
            }
            r->ops->lanes[fold](lanes[i % CPR_PARTIALS], from, n);
        }
    for (int64_t half = CPR_PARTIALS / 2; half >= 1; half /= 2)
        for (int64_t j = 0; j < half; j++)
            r->ops->lanes[fold == CPR_FOLD_SUM_SQUARE || fold == CPR_FOLD_L1 ? CPR_FOLD_SUM : fold](
                lanes[j], lanes[j + half], n);
}

/* Unit u is a block of lanes: the last kept dim is dense. */
static void reduce_lanes(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const reduction *r = context;
    const cpr_split *s = &r->split;
    const int64_t width = s->kept_dim[s->n_kept - 1], out_step = s->kept_out[s->n_kept - 1];
    const int64_t blocks = (width + CPR_LANES - 1) / CPR_LANES;
    _Alignas(64) float lanes[CPR_PARTIALS][CPR_LANES];
    float shift[CPR_LANES];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first = unit % blocks * CPR_LANES;
        const int64_t n = width - first < CPR_LANES ? width - first : CPR_LANES;
        int64_t in, out;
        cpr_split_at(s, unit / blocks * width + first, &in, &out);
        if (r->code == CPR_REDUCE_LOG_SUM_EXP) {
            fold_lanes(r, CPR_FOLD_MAX, r->in + in, n, NULL, lanes);
            for (int64_t l = 0; l < n; l++)
                shift[l] = isfinite(lanes[0][l]) ? lanes[0][l] : 0.0f;
            fold_lanes(r, CPR_FOLD_SUM, r->in + in, n, shift, lanes);
            finish(r, lanes[0], n, shift);
        } else {
            fold_lanes(r, r->fold, r->in + in, n, NULL, lanes);
            finish(r, lanes[0], n, NULL);
        }
        for (int64_t l = 0; l < n; l++)
            memcpy(r->out + out + l * out_step, &lanes[0][l], sizeof(float));
    }
}

/* ---- integers: any order gives the same result --------------------------------------- */

typedef void fold_int(void *result, const char *x, int64_t step, int64_t n);

#define FOLD_INT(name, t, start, value)                                              \
    static void name(void *result, const char *from, int64_t step, int64_t n)        \
    {                                                                                \
        t a;                                                                         \
        if (!from) {                                                                 \
            *(t *)result = (start);                                                  \
            return;                                                                  \
        }                                                                            \
        a = *(t *)result;                                                            \
        for (int64_t i = 0; i < n; i++) {                                            \
            const t x = *(const t *)(from + i * step);                               \
            a = (t)(value);                                                          \
        }                                                                            \
        *(t *)result = a;                                                            \
    }

FOLD_INT(sum_s32, int32_t, 0, (uint32_t)a + (uint32_t)x)
FOLD_INT(sum_s64, int64_t, 0, (uint64_t)a + (uint64_t)x)
FOLD_INT(prod_s32, int32_t, 1, (uint32_t)a *(uint32_t)x)
FOLD_INT(prod_s64, int64_t, 1, (uint64_t)a *(uint64_t)x)
FOLD_INT(max_s32, int32_t, INT32_MIN, x > a ? x : a)
FOLD_INT(max_s64, int64_t, INT64_MIN, x > a ? x : a)
FOLD_INT(max_s8, int8_t, INT8_MIN, x > a ? x : a)
FOLD_INT(max_u8, uint8_t, 0, x > a ? x : a)
FOLD_INT(min_s32, int32_t, INT32_MAX, x < a ? x : a)
FOLD_INT(min_s64, int64_t, INT64_MAX, x < a ? x : a)
FOLD_INT(min_s8, int8_t, INT8_MAX, x < a ? x : a)
FOLD_INT(min_u8, uint8_t, UINT8_MAX, x < a ? x : a)

static fold_int *int_fold(int32_t dtype, int64_t code)
{
    static const struct {
        int32_t dtype, code;
        fold_int *fold;
    } rows[] = {
        {CPR_S32, CPR_REDUCE_SUM, sum_s32},   {CPR_S64, CPR_REDUCE_SUM, sum_s64},
        {CPR_S32, CPR_REDUCE_PROD, prod_s32}, {CPR_S64, CPR_REDUCE_PROD, prod_s64},
        {CPR_S32, CPR_REDUCE_MAX, max_s32},   {CPR_S64, CPR_REDUCE_MAX, max_s64},
        {CPR_S8, CPR_REDUCE_MAX, max_s8},     {CPR_U8, CPR_REDUCE_MAX, max_u8},
        {CPR_S32, CPR_REDUCE_MIN, min_s32},   {CPR_S64, CPR_REDUCE_MIN, min_s64},
        {CPR_S8, CPR_REDUCE_MIN, min_s8},     {CPR_U8, CPR_REDUCE_MIN, min_u8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].dtype == dtype && rows[i].code == code)
            return rows[i].fold;
    return NULL;
}

typedef struct {
    cpr_split split;
    const char *in;
    char *out;
    fold_int *fold;
} int_reduction;

static void reduce_ints(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const int_reduction *r = context;
    const int32_t last = r->split.n_reduced - 1;
    const int64_t n = r->split.reduced_dim[last], rows = r->split.count / n;
    for (int64_t output = begin; output < end; output++) {
        int64_t in, out;
        cpr_split_at(&r->split, output, &in, &out);
        cpr_odometer at = {0};
        r->fold(r->out + out, NULL, 0, 0);
        for (int64_t row = 0; row < rows; row++, cpr_split_next(&r->split, &at))
            r->fold(r->out + out, r->in + in + at.offset, r->split.reduced_in[last], n);
    }
}

static cpr_status check_reduce(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("reduce", op->n_tensors == 2 && op->n_args == 1 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE("reduce", in->rank == out->rank && cpr_is_output(out));
    CPR_REQUIRE("reduce", out->dtype == (in->dtype == CPR_BF16 ? CPR_F32 : in->dtype));
    for (int32_t i = 0; i < in->rank; i++)
        CPR_REQUIRE("reduce", out->dim[i] == 1 || out->dim[i] == in->dim[i]);
    const int64_t code = op->args[0];
    CPR_REQUIRE("reduce", code >= 0 && code < CPR_REDUCE_COUNT);
    if (in->dtype != CPR_F32 && in->dtype != CPR_BF16 && !int_fold(in->dtype, code))
        return cpr_fail(CPR_ERR_UNSUPPORTED, "reduce: no function %d for dtype %d", (int)code, in->dtype);
    return CPR_OK;
}

static cpr_status run_reduce(const cpr_op *op)
{
    const cpr_split split = cpr_split_dims(op->tensor[0], op->tensor[1]);
    if (split.outputs == 0)
        return CPR_OK;
    const int64_t code = op->args[0], each = split.count > 0 ? split.count : 1;
    if (op->tensor[0]->dtype != CPR_F32 && op->tensor[0]->dtype != CPR_BF16) {
        int_reduction r = {split, op->data[0], op->data[1], int_fold(op->tensor[0]->dtype, code)};
        cpr_parallel(op->pool, split.outputs, WORK / each + 1, reduce_ints, &r);
        return CPR_OK;
    }
    const bool half = op->tensor[0]->dtype == CPR_BF16;
    cpr_core *widen = CPR_PICK(cpr_cast)->from_to[cpr_cast_index(CPR_BF16)][cpr_cast_index(CPR_F32)];
    reduction r = {CPR_PICK(cpr_reduce), split, op->data[0], op->data[1], code, fold_of(code), half ? widen : NULL};
    const int64_t width = split.kept_dim[split.n_kept - 1], dense = cpr_dtype_bytes(op->tensor[0]->dtype);
    if (width >= 4 && split.kept_in[split.n_kept - 1] == dense && split.reduced_in[split.n_reduced - 1] != dense) {
        const int64_t blocks = (width + CPR_LANES - 1) / CPR_LANES;
        cpr_parallel(op->pool, split.outputs / width * blocks, WORK / CPR_LANES / each + 1, reduce_lanes, &r);
    } else
        cpr_parallel(op->pool, split.outputs, WORK / each + 1, reduce_rows, &r);
    return CPR_OK;
}

const cpr_kernel cpr_k_reduce = {"reduce", check_reduce, run_reduce};

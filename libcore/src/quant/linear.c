/* linear.c - quantize_linear, requantize, dequantize_linear, dynamic_quantize_linear.
 *
 * Scales and zero points have the dims of the tensor: per tensor, per axis or per block is a
 * matter of strides.
 */
#include "quant/linear.h"

#include <math.h>
#include <string.h>

#include "reduce/reduce.h"
#include "reduce/slices.h"

/* u8 s8 u16 s16 s32, else -1 */
static int32_t type_of(int32_t dtype)
{
    switch (dtype) {
    case CPR_U8: return 0;
    case CPR_S8: return 1;
    case CPR_U16: return 2;
    case CPR_S16: return 3;
    case CPR_S32: return 4;
    default: return -1;
    }
}

cpr_conversion cpr_conversion_of(int32_t from, int32_t to, double scale, int64_t zero_point)
{
    const cpr_linear_ops *ops = CPR_PICK(cpr_linear);
    cpr_core *core = from == CPR_F32 ? ops->quantize[type_of(to)] : ops->dequantize[type_of(from)];
    return (cpr_conversion){core, (float)scale, (char)zero_point};
}

/* Operands value, scale f32, zero_point? of `code`'s dtype, out. */
static cpr_status check_linear(const char *name, const cpr_op *op, int32_t code)
{
    CPR_REQUIRE(name, op->n_tensors == 4 && op->n_args == 0 && op->tensor[0] && op->tensor[1] && op->tensor[3]);
    const cpr_tensor *out = op->tensor[3], *zero = op->tensor[2];
    CPR_REQUIRE(name, cpr_same_dims(op->tensor[0], out) && cpr_same_dims(op->tensor[1], out) && cpr_is_output(out));
    CPR_REQUIRE(name, op->tensor[1]->dtype == CPR_F32);
    CPR_REQUIRE(name, !zero || (cpr_same_dims(zero, out) && zero->dtype == op->tensor[code]->dtype));
    return CPR_OK;
}

static void run_linear(const cpr_op *op, cpr_core *core, int32_t code)
{
    static const int32_t none;
    cpr_tensor zero = *op->tensor[1];
    zero.dtype = op->tensor[code]->dtype;
    for (int32_t k = 0; k < zero.rank; k++)
        zero.stride[k] = 0;
    const cpr_tensor *tensors[] = {op->tensor[0], op->tensor[1], op->tensor[2] ? op->tensor[2] : &zero, op->tensor[3]};
    void *data[] = {op->data[0], op->data[1], op->tensor[2] ? op->data[2] : (void *)&none, op->data[3]};
    cpr_walk(op->pool, 4, tensors, data, &(cpr_elementwise){core, NULL, 1u << 6 | 1u << 4, CPR_GRAIN_CHEAP});
}

static cpr_status check_quantize_linear(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check_linear("quantize_linear", op, 3);
    if (status)
        return status;
    CPR_REQUIRE("quantize_linear", op->tensor[0]->dtype == CPR_F32);
    CPR_REQUIRE("quantize_linear", type_of(op->tensor[3]->dtype) >= 0 && op->tensor[3]->dtype != CPR_S32);
    return CPR_OK;
}

static cpr_status run_quantize_linear(const cpr_op *op)
{
    const cpr_linear_ops *ops = CPR_PICK(cpr_linear);
    run_linear(op, ops->quantize[type_of(op->tensor[3]->dtype)], 3);
    return CPR_OK;
}

const cpr_kernel cpr_k_quantize_linear = {"quantize_linear", check_quantize_linear, run_quantize_linear};

static cpr_status check_requantize(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check_linear("requantize", op, 3);
    if (status)
        return status;
    const int32_t out = op->tensor[3]->dtype;
    CPR_REQUIRE("requantize", op->tensor[0]->dtype == CPR_S32 && cpr_is_code(out));
    return CPR_OK;
}

static cpr_status run_requantize(const cpr_op *op)
{
    const cpr_linear_ops *ops = CPR_PICK(cpr_linear);
    run_linear(op, ops->requantize[type_of(op->tensor[3]->dtype)], 3);
    return CPR_OK;
}

const cpr_kernel cpr_k_requantize = {"requantize", check_requantize, run_requantize};

static cpr_status check_dequantize_linear(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check_linear("dequantize_linear", op, 0);
    if (status)
        return status;
    CPR_REQUIRE("dequantize_linear", type_of(op->tensor[0]->dtype) >= 0 && op->tensor[3]->dtype == CPR_F32);
    return CPR_OK;
}

static cpr_status run_dequantize_linear(const cpr_op *op)
{
    const cpr_linear_ops *ops = CPR_PICK(cpr_linear);
    run_linear(op, ops->dequantize[type_of(op->tensor[0]->dtype)], 0);
    return CPR_OK;
}

const cpr_kernel cpr_k_dequantize_linear = {"dequantize_linear", check_dequantize_linear, run_dequantize_linear};

/* ---- dynamic_quantize_linear: operands x f32, out u8, scale f32, zero_point u8 ------------- */

/* Fold the range of x, line by line along its last dim, into sixteen partials each. */
static void fold_range(const cpr_tensor *t, const char *x, float *high, float *low)
{
    enum { CHUNK = 256 };
    const cpr_reduce_ops *ops = CPR_PICK(cpr_reduce);
    const int64_t dense = sizeof(float);
    const bool flat = cpr_is_contiguous(t);
    const int64_t n = flat ? cpr_elements(t) : t->dim[t->rank - 1];
    const int64_t step = flat ? dense : cpr_axis_step(t, t->rank - 1);
    const cpr_slices slices = flat ? (cpr_slices){.n = 1, .count = 1} : cpr_slices_of(t->rank - 1, 1, &t);
    for (int64_t s = 0; s < slices.count && n > 0; s++) {
        int64_t at;
        cpr_slices_at(&slices, s, &at);
        for (int64_t i = 0; i < n; i += CHUNK) {
            float buffer[CHUNK];
            const int64_t part = n - i < CHUNK ? n - i : CHUNK;
            const float *from = (const float *)(x + at + i * step);
            if (step != dense) {
                for (int64_t j = 0; j < part; j++)
                    memcpy(&buffer[j], x + at + (i + j) * step, sizeof *buffer);
                from = buffer;
            }
            ops->row[CPR_FOLD_MAX](high, from, part, 0);
            ops->row[CPR_FOLD_MIN](low, from, part, 0);
        }
    }
}

static bool is_single(const cpr_tensor *t, int32_t dtype)
{
    return t && t->dtype == dtype && cpr_elements(t) == 1;
}

static cpr_status check_dynamic_quantize_linear(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("dynamic_quantize_linear", op->n_tensors == 4 && op->n_args == 0 && op->tensor[0] && op->tensor[1]);
    CPR_REQUIRE("dynamic_quantize_linear", op->tensor[0]->dtype == CPR_F32 && op->tensor[1]->dtype == CPR_U8);
    CPR_REQUIRE("dynamic_quantize_linear", cpr_same_dims(op->tensor[0], op->tensor[1]) && cpr_is_output(op->tensor[1]));
    CPR_REQUIRE("dynamic_quantize_linear", is_single(op->tensor[2], CPR_F32) && is_single(op->tensor[3], CPR_U8));
    return CPR_OK;
}

/* The range of x, widened to 0, is spread over 0..255; all zeros have scale 0 and codes 0. */
static cpr_status run_dynamic_quantize_linear(const cpr_op *op)
{
    _Alignas(64) float high[CPR_PARTIALS] = {0}, low[CPR_PARTIALS] = {0};
    fold_range(op->tensor[0], op->data[0], high, low);
    const float max = cpr_fold_tree(CPR_FOLD_MAX, high), min = cpr_fold_tree(CPR_FOLD_MIN, low);
    float *scale = op->data[2];
    uint8_t *zero_point = op->data[3];
    *scale = (max - min) / 255.0f;
    const float zero = rintf((0.0f - min) / *scale);
    *zero_point = (uint8_t)(zero >= 255.0f ? 255.0f : zero > 0.0f ? zero : 0.0f);
    cpr_tensor scales = *op->tensor[0], zeros = *op->tensor[1];
    for (int32_t k = 0; k < scales.rank; k++)
        scales.stride[k] = zeros.stride[k] = 0;
    const cpr_tensor *tensors[] = {op->tensor[0], &scales, &zeros, op->tensor[1]};
    void *data[] = {op->data[0], scale, zero_point, op->data[1]};
    const cpr_linear_ops *ops = CPR_PICK(cpr_linear);
    cpr_walk(op->pool, 4, tensors, data, &(cpr_elementwise){ops->quantize[0], NULL, 1u << 6, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_dynamic_quantize_linear = {"dynamic_quantize_linear", check_dynamic_quantize_linear,
                                                  run_dynamic_quantize_linear};

/* unary.c - operators of one tensor: float32 functions, integers, bool. */
#include "vector/unary.h"

#include <math.h>

#include "vector/math_loops.h"

const cpr_unary_ops *cpr_unary(void)
{
    return CPR_PICK(cpr_unary);
}

/* |x| = m 2^e, m of 24 bits: m times the 96 bits of 2/pi that start at weight 2^(1-e), modulo 4,
 * gives the quadrant and the fraction of a quadrant (Payne and Hanek, 1983). */
float cpr_sine_large(float x, int32_t shift)
{
    static const uint64_t two_over_pi[] = {
        0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u};
    const uint32_t u = bits_f32(x) & 0x7fffffffu;
    if (u >= 0x7f800000u)
        return NAN;
    const uint32_t mantissa = (u & 0x7fffffu) | 0x800000u;
    const uint32_t skip = (u >> 23) - 150 - 2; /* whole bits of weight 4 and more; >= 15 here */
    const uint32_t word = skip / 64, bit = skip % 64;
    unsigned __int128 window = (unsigned __int128)two_over_pi[word] << 64 | two_over_pi[word + 1];
    if (bit)
        window = window << bit | two_over_pi[word + 2] >> (64 - bit);
    const unsigned __int128 product = mantissa * (window >> 32) << 32; /* modulo 4: 96 bits */
    uint64_t n = (uint64_t)(product >> 126);
    const int64_t fraction = (int64_t)((uint64_t)(product >> 62)); /* of a quadrant, signed */
    n += fraction < 0;
    const double r = (double)fraction * 0x1p-64 * 0x1.921fb54442d18p+0;
    n = x < 0.0f ? 0 - n : n;
    const double signed_r = x < 0.0f ? -r : r;
    if (shift == 2)
        return (float)(sine_of(signed_r, n) / sine_of(signed_r, n + 1));
    return (float)sine_of(signed_r, n + (uint64_t)shift);
}

/* ---- unary_f32: operands in, out; args: function, alpha, beta -------------------------- */

typedef struct {
    cpr_unary_fn *f;
    float alpha, beta;
} unary_context;

static cpr_status check_unary_f32(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("unary_f32", op, 2);
    if (status)
        return status;
    CPR_REQUIRE("unary_f32", op->n_tensors == 2 && op->n_args == 3);
    CPR_REQUIRE("unary_f32", op->tensor[0]->dtype == CPR_F32 && op->tensor[1]->dtype == CPR_F32);
    CPR_REQUIRE("unary_f32", op->args[0] >= 0 && op->args[0] < CPR_UNARY_COUNT);
    return CPR_OK;
}

static void unary_core(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)scalars;
    const unary_context *c = context;
    c->f(n, (const float *)data[0], (float *)data[1], c->alpha, c->beta);
}

bool cpr_unary_is_cheap(int32_t code)
{
    return code == CPR_UNARY_relu || code == CPR_UNARY_leaky_relu || code == CPR_UNARY_clip ||
           (code >= CPR_UNARY_sqrt && code <= CPR_UNARY_round) || code == CPR_UNARY_hard_swish;
}

static cpr_status run_unary_f32(const cpr_op *op)
{
    const int64_t code = op->args[0];
    const bool cheap = cpr_unary_is_cheap((int32_t)code);
    const unary_context context = {cpr_unary()->f[code], (float)cpr_arg_float(op, 1), (float)cpr_arg_float(op, 2)};
    cpr_walk_op(op, 2, &(cpr_elementwise){unary_core, &context, 0, cheap ? CPR_GRAIN_CHEAP : CPR_GRAIN_HEAVY});
    return CPR_OK;
}

const cpr_kernel cpr_k_unary_f32 = {"unary_f32", check_unary_f32, run_unary_f32};

/* ---- unary_int: operands in, out of one integer dtype; args: function ------------------- */

enum { INT_ABS, INT_NEG, INT_SIGN, INT_NOT, INT_COUNT };

/* In the unsigned type u of the same width nothing overflows. */
#define INT_CORE(name, t, u)                                                                  \
    static void int_core_##name(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                         \
        (void)scalars;                                                                        \
        const t *x = (const t *)data[0];                                                      \
        t *y = (t *)data[1];                                                                  \
        switch (*(const int64_t *)context) {                                                  \
        case INT_ABS:                                                                         \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                              \
                y[i] = x[i] < (t)1 ? (t)(0 - (u)x[i]) : x[i];                                 \
            break;                                                                            \
        case INT_NEG:                                                                         \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) y[i] = (t)(0 - (u)x[i]);     \
            break;                                                                            \
        case INT_SIGN:                                                                        \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                              \
                y[i] = (t)((x[i] >= (t)1) - ((t)-1 < (t)1 && x[i] < (t)1 && x[i] != (t)0));    \
            break;                                                                            \
        default:                                                                              \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) y[i] = (t)~x[i];             \
        }                                                                                     \
    }

INT_CORE(s8, int8_t, uint8_t)
INT_CORE(u8, uint8_t, uint8_t)
INT_CORE(s16, int16_t, uint16_t)
INT_CORE(u16, uint16_t, uint16_t)
INT_CORE(s32, int32_t, uint32_t)
INT_CORE(u32, uint32_t, uint32_t)
INT_CORE(s64, int64_t, uint64_t)
INT_CORE(u64, uint64_t, uint64_t)

static cpr_core *int_core(int32_t dtype)
{
    switch (dtype) {
    case CPR_S8: return int_core_s8;
    case CPR_U8: return int_core_u8;
    case CPR_S16: return int_core_s16;
    case CPR_U16: return int_core_u16;
    case CPR_S32: return int_core_s32;
    case CPR_U32: return int_core_u32;
    case CPR_S64: return int_core_s64;
    case CPR_U64: return int_core_u64;
    default: return NULL;
    }
}

static cpr_status check_unary_int(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("unary_int", op, 2);
    if (status)
        return status;
    CPR_REQUIRE("unary_int", op->n_tensors == 2 && op->n_args == 1);
    CPR_REQUIRE("unary_int", op->tensor[0]->dtype == op->tensor[1]->dtype && int_core(op->tensor[0]->dtype));
    CPR_REQUIRE("unary_int", op->args[0] >= 0 && op->args[0] < INT_COUNT);
    return CPR_OK;
}

static cpr_status run_unary_int(const cpr_op *op)
{
    cpr_walk_op(op, 2, &(cpr_elementwise){int_core(op->tensor[0]->dtype), op->args, 0, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_unary_int = {"unary_int", check_unary_int, run_unary_int};

/* ---- not_bool, is_nan, is_inf: operands in, out bool ------------------------------------ */

static cpr_status check_to_bool(const char *name, const cpr_op *op, int32_t n_args)
{
    const cpr_status status = cpr_check_walk(name, op, 2);
    if (status)
        return status;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->n_args == n_args && op->tensor[1]->dtype == CPR_BOOL);
    return CPR_OK;
}

static cpr_status check_not_bool(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = check_to_bool("not_bool", op, 0);
    if (status)
        return status;
    CPR_REQUIRE("not_bool", op->tensor[0]->dtype == CPR_BOOL);
    return CPR_OK;
}

static void not_core(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)context;
    (void)scalars;
    const uint8_t *x = (const uint8_t *)data[0];
    uint8_t *y = (uint8_t *)data[1];
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) y[i] = x[i] == 0;
}

static cpr_status run_not_bool(const cpr_op *op)
{
    cpr_walk_op(op, 2, &(cpr_elementwise){not_core, NULL, 0, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_not_bool = {"not_bool", check_not_bool, run_not_bool};

/* kinds: bit 0 NaN, bit 1 -infinity, bit 2 +infinity count as true */
static void special_core_f32(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)scalars;
    const int64_t kinds = *(const int64_t *)context;
    const float *x = (const float *)data[0];
    uint8_t *y = (uint8_t *)data[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint8_t)((kinds >> (x[i] != x[i] ? 0 : x[i] < 0.0f ? 1 : 2) & 1) & !(fabsf(x[i]) <= FLT_MAX));
}

static void special_core_f64(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)scalars;
    const int64_t kinds = *(const int64_t *)context;
    const double *x = (const double *)data[0];
    uint8_t *y = (uint8_t *)data[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint8_t)((kinds >> (x[i] != x[i] ? 0 : x[i] < 0.0 ? 1 : 2) & 1) & !(fabs(x[i]) <= DBL_MAX));
}

static cpr_status check_special(const char *name, const cpr_op *op, int32_t n_args)
{
    const cpr_status status = check_to_bool(name, op, n_args);
    if (status)
        return status;
    CPR_REQUIRE(name, op->tensor[0]->dtype == CPR_F32 || op->tensor[0]->dtype == CPR_F64);
    return CPR_OK;
}

static cpr_status run_special(const cpr_op *op, int64_t kinds)
{
    cpr_core *core = op->tensor[0]->dtype == CPR_F32 ? special_core_f32 : special_core_f64;
    cpr_walk_op(op, 2, &(cpr_elementwise){core, &kinds, 0, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

static cpr_status check_is_nan(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_special("is_nan", op, 0);
}

static cpr_status run_is_nan(const cpr_op *op)
{
    return run_special(op, 1);
}

const cpr_kernel cpr_k_is_nan = {"is_nan", check_is_nan, run_is_nan};

static cpr_status check_is_inf(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_special("is_inf", op, 2);
}

static cpr_status run_is_inf(const cpr_op *op)
{
    return run_special(op, (op->args[0] ? 2 : 0) | (op->args[1] ? 4 : 0));
}

const cpr_kernel cpr_k_is_inf = {"is_inf", check_is_inf, run_is_inf};

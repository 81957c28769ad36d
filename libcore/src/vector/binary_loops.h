/* binary_loops.h - the loops behind binary.h; the including file defines TABLE. */
#include "vector/binary.h"
#include "vector/math_loops.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* float32: out[i] = value(a, b), each side dense or one element. */
#define FLOAT(name, out_type, value)                                                          \
    static void f32_##name(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                         \
        (void)context;                                                                        \
        const float *as = (const float *)data[0], *bs = (const float *)data[1];               \
        out_type *out = (out_type *)data[2];                                                  \
        if (scalars == 1) {                                                                   \
            const float a = *as;                                                              \
            LOOP { const float b = bs[i]; out[i] = (value); }                                 \
        } else if (scalars == 2) {                                                            \
            const float b = *bs;                                                              \
            LOOP { const float a = as[i]; out[i] = (value); }                                 \
        } else {                                                                              \
            LOOP { const float a = as[i], b = bs[i]; out[i] = (value); }                      \
        }                                                                                     \
    }

/* Exact, so the library's function gives the same bytes everywhere. */
static inline float mod_f32(float a, float b)
{
    const float r = fmodf(a, b);
    if (r == 0.0f)
        return copysignf(r, b);
    return (r < 0.0f) != (b < 0.0f) ? r + b : r;
}

FLOAT(add, float, a + b)
FLOAT(sub, float, a - b)
FLOAT(mul, float, a *b)
FLOAT(div, float, a / b)
FLOAT(pow, float, pow_f32(a, b))
FLOAT(min, float, a != a ? a : b < a || b != b ? b : a)
FLOAT(max, float, a != a ? a : b > a || b != b ? b : a)
FLOAT(mod, float, mod_f32(a, b))
FLOAT(fmod, float, fmodf(a, b))
FLOAT(prelu, float, a < 0.0f ? a * b : a)
FLOAT(equal, uint8_t, a == b)
FLOAT(less, uint8_t, a < b)
FLOAT(less_or_equal, uint8_t, a <= b)
FLOAT(greater, uint8_t, a > b)
FLOAT(greater_or_equal, uint8_t, a >= b)

/* Integers: t is the type, u the unsigned type that sums and products wrap in (never narrower
 * than int, where u16 * u16 would overflow). */
#define INTEGER(name, t, u, out_type, value)                                                  \
    static void t##_##name(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                         \
        (void)context;                                                                        \
        (void)scalars;                                                                        \
        const t *as = (const t *)data[0], *bs = (const t *)data[1];                           \
        out_type *out = (out_type *)data[2];                                                  \
        LOOP { const t a = as[i], b = bs[i]; out[i] = (out_type)(value); }                    \
    }

/* Division and remainder: by 0 gives 0; by -1 is a negation, which INT_MIN must not reach. */
#define INTEGER_HELPERS(t, u)                                                                 \
    static inline t t##_quotient(t a, t b)                                                    \
    {                                                                                         \
        return b == 0 ? 0 : (t)-1 < 1 && b == (t)-1 ? (t)(0 - (u)a) : (t)(a / b);             \
    }                                                                                         \
    static inline t t##_remainder(t a, t b)                                                   \
    {                                                                                         \
        return b == 0 || ((t)-1 < 1 && b == (t)-1) ? 0 : (t)(a % b);                          \
    }                                                                                         \
    static inline t t##_modulus(t a, t b)                                                     \
    {                                                                                         \
        const t r = t##_remainder(a, b);                                                      \
        return r != 0 && (r < 1) != (b < 1) ? (t)(r + b) : r;                                 \
    }                                                                                         \
    static inline t t##_power(t a, t b)                                                       \
    {                                                                                         \
        if ((t)-1 < 1 && b < 1 && b != 0)                                                     \
            return a == 1 ? 1 : a == (t)-1 ? ((u)b & 1 ? a : 1) : 0;                          \
        u base = (u)a, result = 1;                                                            \
        for (t left = b; left != 0; left = (t)(left >> 1)) {                                  \
            if (left & 1)                                                                     \
                result *= base;                                                               \
            base *= base;                                                                     \
        }                                                                                     \
        return (t)result;                                                                     \
    }

#define INTEGERS(t, u, bits)                                                      \
    INTEGER_HELPERS(t, u)                                                         \
    INTEGER(add, t, u, t, (u)a + (u)b)                                            \
    INTEGER(sub, t, u, t, (u)a - (u)b)                                            \
    INTEGER(mul, t, u, t, (u)a *(u)b)                                             \
    INTEGER(div, t, u, t, t##_quotient(a, b))                                     \
    INTEGER(pow, t, u, t, t##_power(a, b))                                        \
    INTEGER(min, t, u, t, b < a ? b : a)                                          \
    INTEGER(max, t, u, t, b > a ? b : a)                                          \
    INTEGER(mod, t, u, t, t##_modulus(a, b))                                      \
    INTEGER(fmod, t, u, t, t##_remainder(a, b))                                   \
    INTEGER(prelu, t, u, t, (t)-1 < 1 && a < 1 ? (u)a *(u)b : (u)a)               \
    INTEGER(equal, t, u, uint8_t, a == b)                                         \
    INTEGER(less, t, u, uint8_t, a < b)                                           \
    INTEGER(less_or_equal, t, u, uint8_t, a <= b)                                 \
    INTEGER(greater, t, u, uint8_t, a > b)                                        \
    INTEGER(greater_or_equal, t, u, uint8_t, a >= b)                              \
    INTEGER(and, t, u, t, a &b)                                                   \
    INTEGER(or, t, u, t, a | b)                                                   \
    INTEGER(xor, t, u, t, a ^ b)                                                  \
    INTEGER(shift_left, t, u, t, (u)b >= bits ? 0 : (u)a << ((u)b & (bits - 1)))  \
    INTEGER(shift_right, t, u, t,                                                 \
            (u)b < bits ? a >> ((u)b & (bits - 1)) : (t)-1 < 1 ? a >> (bits - 1) : 0)

INTEGERS(int8_t, uint32_t, 8)
INTEGERS(uint8_t, uint32_t, 8)
INTEGERS(int16_t, uint32_t, 16)
INTEGERS(uint16_t, uint32_t, 16)
INTEGERS(int32_t, uint32_t, 32)
INTEGERS(uint32_t, uint32_t, 32)
INTEGERS(int64_t, uint64_t, 64)
INTEGERS(uint64_t, uint64_t, 64)

/* where: condition, x, y, out; x or y may be one element. */
#define WHERE(t)                                                                              \
    static void where_##t(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                         \
        (void)context;                                                                        \
        const uint8_t *c = (const uint8_t *)data[0];                                          \
        const t *x = (const t *)data[1], *y = (const t *)data[2];                             \
        t *out = (t *)data[3];                                                                \
        if (scalars == 1) {                                                                   \
            const t *chosen = *c ? x : y;                                                     \
            LOOP { out[i] = chosen[i]; }                                                      \
        } else if (scalars == 2) {                                                            \
            const t all = *x;                                                                 \
            LOOP { const t b = y[i]; out[i] = c[i] ? all : b; }                               \
        } else if (scalars == 4) {                                                            \
            const t all = *y;                                                                 \
            LOOP { const t a = x[i]; out[i] = c[i] ? a : all; }                               \
        } else {                                                                              \
            LOOP { const t a = x[i], b = y[i]; out[i] = c[i] ? a : b; }                       \
        }                                                                                     \
    }

WHERE(uint8_t)
WHERE(uint16_t)
WHERE(uint32_t)
WHERE(uint64_t)

CPR_FN float clamp(float x, float low, float high)
{
    const float y = x < low ? low : x;
    return y > high ? high : y;
}

/* x, scale, shift, out; scale and shift are both dense or both one element. */
static void scale_shift(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    const float *bounds = context, low = bounds[0], high = bounds[1];
    const float *x = (const float *)data[0], *s = (const float *)data[1], *b = (const float *)data[2];
    float *out = (float *)data[3];
    if (scalars) {
        const float scale = *s, shift = *b;
        LOOP { out[i] = clamp(fmaf(x[i], scale, shift), low, high); }
    } else {
        LOOP { out[i] = clamp(fmaf(x[i], s[i], b[i]), low, high); }
    }
}

#define SAME_TYPE(p)                                                                       \
    p##_add, p##_sub, p##_mul, p##_div, p##_pow, p##_min, p##_max, p##_mod, p##_fmod, p##_prelu, \
    p##_equal, p##_less, p##_less_or_equal, p##_greater, p##_greater_or_equal
#define INTEGER_TYPE(p) {SAME_TYPE(p), p##_and, p##_or, p##_xor, p##_shift_left, p##_shift_right}

const cpr_binary_ops TABLE = {
    .f32 = {SAME_TYPE(f32)},
    .s8 = INTEGER_TYPE(int8_t), .u8 = INTEGER_TYPE(uint8_t),
    .s16 = INTEGER_TYPE(int16_t), .u16 = INTEGER_TYPE(uint16_t),
    .s32 = INTEGER_TYPE(int32_t), .u32 = INTEGER_TYPE(uint32_t),
    .s64 = INTEGER_TYPE(int64_t), .u64 = INTEGER_TYPE(uint64_t),
    .where = {where_uint8_t, where_uint16_t, where_uint32_t, where_uint64_t},
    .scale_shift = scale_shift,
};

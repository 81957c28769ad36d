/* cast_loops.h - the loops behind cast.h; the including file defines TABLE.
 *
 * Float to integer truncates toward zero.  Targets of at most 32 signed bits go through int32,
 * the others through int64, and what does not fit there becomes its smallest value, as the
 * processor's own instruction does; narrower targets keep the low bits of that.
 */
#include "vector/brain.h"
#include "vector/cast.h"

CPR_FN float float_of_half(uint16_t h)
{
    const uint32_t rest = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16;
    const float finite = f32_bits(rest << 13) * 0x1p112f; /* rebiases the exponent, denormals too */
    const uint32_t u = rest >= 0x7c00u ? (rest << 13) | 0x7f800000u : bits_f32(finite);
    return f32_bits(u | sign);
}

/* Round half to even: by integer carry for normal halves, by adding 0.5 for denormal ones. */
CPR_FN uint16_t half_of_float(float x)
{
    const uint32_t u = bits_f32(x), a = u & 0x7fffffffu, rebiased = a - 0x38000000u;
    const uint32_t normal = (rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13;
    const uint32_t denormal = bits_f32(f32_bits(a) + 0.5f) - 0x3f000000u;
    uint32_t h = a >= 0x38800000u ? normal : denormal;
    h = a >= 0x47800000u ? 0x7c00u : h;
    h = a > 0x7f800000u ? 0x7e00u : h;
    return (uint16_t)(h | ((u >> 16) & 0x8000u));
}

/* Toward zero, with the last bit set if anything was lost: rounding once more stays right. */
CPR_FN float odd_float_of_double(double d)
{
    const float f = (float)d;
    const uint32_t u = bits_f32(f), back = u - (fabs((double)f) > fabs(d) ? 1u : 0u);
    return (double)f == d || d != d ? f : f32_bits(back | 1u);
}

CPR_FN int32_t s32_of_float(float x) { return x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : INT32_MIN; }
CPR_FN int32_t s32_of_double(double x) { return x > -0x1p31 - 1.0 && x < 0x1p31 ? (int32_t)x : INT32_MIN; }
CPR_FN int64_t s64_of_float(float x) { return x >= -0x1p63f && x < 0x1p63f ? (int64_t)x : INT64_MIN; }
CPR_FN int64_t s64_of_double(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }

CPR_FN uint64_t u64_of_double(double x)
{
    if (x >= 0x1p63 && x < 0x1p64)
        return (uint64_t)(int64_t)(x - 0x1p63) + ((uint64_t)1 << 63);
    return (uint64_t)s64_of_double(x);
}

CPR_FN uint64_t u64_of_float(float x) { return u64_of_double(x); }

#define CAST(from, from_type, to, to_type, value)                                             \
    static void from##_##to(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                         \
        (void)context;                                                                        \
        (void)scalars;                                                                        \
        const from_type *xs = (const from_type *)data[0];                                     \
        to_type *ys = (to_type *)data[1];                                                     \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                                  \
        {                                                                                     \
            const from_type x = xs[i];                                                        \
            ys[i] = (to_type)(value);                                                         \
        }                                                                                     \
    }

/* v is x as a float32. */
#define FROM_FLOAT(from, t, v)                        \
    CAST(from, t, f32, float, v)                      \
    CAST(from, t, f16, uint16_t, half_of_float(v))    \
    CAST(from, t, bf16, uint16_t, brain_of_float(v))  \
    CAST(from, t, f64, double, v)                     \
    CAST(from, t, s8, int8_t, s32_of_float(v))        \
    CAST(from, t, u8, uint8_t, s32_of_float(v))       \
    CAST(from, t, s16, int16_t, s32_of_float(v))      \
    CAST(from, t, u16, uint16_t, s32_of_float(v))     \
    CAST(from, t, s32, int32_t, s32_of_float(v))      \
    CAST(from, t, u32, uint32_t, s64_of_float(v))     \
    CAST(from, t, s64, int64_t, s64_of_float(v))      \
    CAST(from, t, u64, uint64_t, u64_of_float(v))     \
    CAST(from, t, boolean, uint8_t, (v) != 0.0f)

FROM_FLOAT(f32, float, x)
FROM_FLOAT(f16, uint16_t, float_of_half(x))
FROM_FLOAT(bf16, uint16_t, float_of_brain(x))

CAST(f64, double, f32, float, x)
CAST(f64, double, f16, uint16_t, half_of_float(odd_float_of_double(x)))
CAST(f64, double, bf16, uint16_t, brain_of_float(odd_float_of_double(x)))
CAST(f64, double, f64, double, x)
CAST(f64, double, s8, int8_t, s32_of_double(x))
CAST(f64, double, u8, uint8_t, s32_of_double(x))
CAST(f64, double, s16, int16_t, s32_of_double(x))
CAST(f64, double, u16, uint16_t, s32_of_double(x))
CAST(f64, double, s32, int32_t, s32_of_double(x))
CAST(f64, double, u32, uint32_t, s64_of_double(x))
CAST(f64, double, s64, int64_t, s64_of_double(x))
CAST(f64, double, u64, uint64_t, u64_of_double(x))
CAST(f64, double, boolean, uint8_t, x != 0.0)

#define FROM_INTEGER(from, t, v)                             \
    CAST(from, t, f32, float, v)                             \
    CAST(from, t, f16, uint16_t, half_of_float((float)(v)))  \
    CAST(from, t, bf16, uint16_t, brain_of_float((float)(v))) \
    CAST(from, t, f64, double, v)                            \
    CAST(from, t, s8, int8_t, v)                             \
    CAST(from, t, u8, uint8_t, v)                            \
    CAST(from, t, s16, int16_t, v)                           \
    CAST(from, t, u16, uint16_t, v)                          \
    CAST(from, t, s32, int32_t, v)                           \
    CAST(from, t, u32, uint32_t, v)                          \
    CAST(from, t, s64, int64_t, v)                           \
    CAST(from, t, u64, uint64_t, v)                          \
    CAST(from, t, boolean, uint8_t, (v) != 0)

FROM_INTEGER(s8, int8_t, x)
FROM_INTEGER(u8, uint8_t, x)
FROM_INTEGER(s16, int16_t, x)
FROM_INTEGER(u16, uint16_t, x)
FROM_INTEGER(s32, int32_t, x)
FROM_INTEGER(u32, uint32_t, x)
FROM_INTEGER(s64, int64_t, x)
FROM_INTEGER(u64, uint64_t, x)
FROM_INTEGER(boolean, uint8_t, x != 0)

#define ROW(from) \
    {from##_f32, from##_f16, from##_bf16, from##_f64, from##_s8, from##_u8, from##_s16, from##_u16, \
     from##_s32, from##_u32, from##_s64, from##_u64, from##_boolean}

const cpr_cast_ops TABLE = {{
    ROW(f32), ROW(f16), ROW(bf16), ROW(f64), ROW(s8), ROW(u8), ROW(s16), ROW(u16),
    ROW(s32), ROW(u32), ROW(s64), ROW(u64), ROW(boolean),
}};

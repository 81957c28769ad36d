/* linear_loops.h - the loops behind linear.h; the including file defines TABLE. */
#include <math.h>

#include "quant/linear.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* clip(rint(v) + zero_point, low, high).  Cut to 2^20 first, which no clip can see, v is rounded
 * half to even by adding 1.5 2^23.  A NaN becomes low. */
static inline __attribute__((always_inline)) int32_t code_of(float v, float zero_point, float low, float high)
{
    const float magic = 0x1.8p23f, bound = 0x1p20f;
    float c = v > -bound ? v : -bound;
    c = c < bound ? c : bound;
    float q = (c + magic) - magic + zero_point;
    q = q > low ? q : low;
    q = q < high ? q : high;
    return (int32_t)q;
}

/* scale and zero_point: both one element, both dense, or only zero_point one element. */
#define CODES(name, t, in_type, low, high, value)                                                  \
    static void name(const void *context, int64_t n, char *const *data, uint32_t scalars)          \
    {                                                                                              \
        (void)context;                                                                             \
        const in_type *xs = (const in_type *)data[0];                                              \
        const float *scales = (const float *)data[1];                                              \
        const t *zeros = (const t *)data[2];                                                       \
        t *out = (t *)data[3];                                                                     \
        if (scalars == 6) {                                                                        \
            const float s = *scales, z = (float)*zeros;                                            \
            LOOP { const float x = (float)xs[i]; out[i] = (t)code_of(value, z, low, high); }       \
        } else if (scalars == 4) {                                                                 \
            const float z = (float)*zeros;                                                         \
            LOOP { const float x = (float)xs[i], s = scales[i]; out[i] = (t)code_of(value, z, low, high); } \
        } else                                                                                     \
            LOOP                                                                                   \
            {                                                                                      \
                const float x = (float)xs[i], s = scales[i], z = (float)zeros[i];                  \
                out[i] = (t)code_of(value, z, low, high);                                          \
            }                                                                                      \
    }

CODES(quantize_u8, uint8_t, float, 0.0f, 255.0f, x / s)
CODES(quantize_s8, int8_t, float, -128.0f, 127.0f, x / s)
CODES(quantize_u16, uint16_t, float, 0.0f, 65535.0f, x / s)
CODES(quantize_s16, int16_t, float, -32768.0f, 32767.0f, x / s)
CODES(requantize_u8, uint8_t, int32_t, 0.0f, 255.0f, x *s)
CODES(requantize_s8, int8_t, int32_t, -128.0f, 127.0f, x *s)

/* (q - zero_point) scale; the difference of s32 wraps. */
#define VALUES(name, t)                                                                            \
    static void name(const void *context, int64_t n, char *const *data, uint32_t scalars)          \
    {                                                                                              \
        (void)context;                                                                             \
        const t *q = (const t *)data[0], *zeros = (const t *)data[2];                              \
        const float *scales = (const float *)data[1];                                              \
        float *out = (float *)data[3];                                                             \
        if (scalars == 6) {                                                                        \
            const float s = *scales;                                                               \
            const uint32_t z = (uint32_t)*zeros;                                                   \
            LOOP out[i] = (float)(int32_t)((uint32_t)q[i] - z) * s;                                \
        } else if (scalars == 4) {                                                                 \
            const uint32_t z = (uint32_t)*zeros;                                                   \
            LOOP out[i] = (float)(int32_t)((uint32_t)q[i] - z) * scales[i];                        \
        } else                                                                                     \
            LOOP out[i] = (float)(int32_t)((uint32_t)q[i] - (uint32_t)zeros[i]) * scales[i];       \
    }

VALUES(dequantize_u8, uint8_t)
VALUES(dequantize_s8, int8_t)
VALUES(dequantize_u16, uint16_t)
VALUES(dequantize_s16, int16_t)
VALUES(dequantize_s32, int32_t)

const cpr_linear_ops TABLE = {
    .quantize = {quantize_u8, quantize_s8, quantize_u16, quantize_s16},
    .requantize = {requantize_u8, requantize_s8},
    .dequantize = {dequantize_u8, dequantize_s8, dequantize_u16, dequantize_s16, dequantize_s32},
};

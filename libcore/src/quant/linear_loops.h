/* linear_loops.h - the loops behind linear.h; the including file defines TABLE. */
#include "quant/linear.h"
#include "quant/nearest.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* clip(rint(v) + zero_point, low, high); a NaN becomes low. */
static inline __attribute__((always_inline)) int32_t code_of(float v, int32_t zero_point, int32_t low, int32_t high)
{
    return nearest(v, (float)(low - zero_point), (float)(high - zero_point)) + zero_point;
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
            const float s = *scales;                                                               \
            const int32_t z = *zeros;                                                              \
            LOOP { const float x = (float)xs[i]; out[i] = (t)code_of(value, z, low, high); }       \
        } else if (scalars == 4) {                                                                 \
            const int32_t z = *zeros;                                                              \
            LOOP { const float x = (float)xs[i], s = scales[i]; out[i] = (t)code_of(value, z, low, high); } \
        } else                                                                                     \
            LOOP                                                                                   \
            {                                                                                      \
                const float x = (float)xs[i], s = scales[i];                                       \
                out[i] = (t)code_of(value, zeros[i], low, high);                                   \
            }                                                                                      \
    }

CODES(quantize_u8, uint8_t, float, 0, 255, x / s)
CODES(quantize_s8, int8_t, float, -128, 127, x / s)
CODES(quantize_u16, uint16_t, float, 0, 65535, x / s)
CODES(quantize_s16, int16_t, float, -32768, 32767, x / s)
CODES(requantize_u8, uint8_t, int32_t, 0, 255, x *s)
CODES(requantize_s8, int8_t, int32_t, -128, 127, x *s)

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

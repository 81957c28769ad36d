/* combine_loops.h - the loops behind combine.h; the including file defines TABLE. */
#include "quant/combine.h"
#include "quant/nearest.h"

#define COMBINE(name, value)                                                                   \
    static void name(const void *context, int64_t n, char *const *data, uint32_t scalars)      \
    {                                                                                          \
        const cpr_combine p = *(const cpr_combine *)context;                                   \
        const uint8_t *as = (const uint8_t *)data[0], *bs = (const uint8_t *)data[1];          \
        uint8_t *out = (uint8_t *)data[2];                                                     \
        if (scalars == 2) {                                                                    \
            const float b = (float)*bs - p.b_zero;                                             \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                               \
            {                                                                                  \
                const float a = (float)as[i] - p.a_zero;                                       \
                out[i] = (uint8_t)(nearest(value, p.low, p.high) + p.zero_point);              \
            }                                                                                  \
        } else                                                                                 \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                               \
            {                                                                                  \
                const float a = (float)as[i] - p.a_zero, b = (float)bs[i] - p.b_zero;          \
                out[i] = (uint8_t)(nearest(value, p.low, p.high) + p.zero_point);              \
            }                                                                                  \
    }

COMBINE(add, a *p.a_scale + b * p.b_scale)
COMBINE(mul, (a * b) * p.a_scale)

const cpr_combine_ops TABLE = {.add = add, .mul = mul};

/* combine_loops.h - the loops behind combine.h; the including file defines TABLE. */
#include "quant/combine.h"

/* rint by adding 1.5 2^23: |v| is far below 2^22 after the clip. */
static inline __attribute__((always_inline)) uint8_t code_of(float v, const cpr_combine *p)
{
    const float magic = 0x1.8p23f;
    v = v > p->low ? v : p->low;
    v = v < p->high ? v : p->high;
    return (uint8_t)(int32_t)((v + magic) - magic + p->zero_point);
}

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
                out[i] = code_of(value, &p);                                                   \
            }                                                                                  \
        } else                                                                                 \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                               \
            {                                                                                  \
                const float a = (float)as[i] - p.a_zero, b = (float)bs[i] - p.b_zero;          \
                out[i] = code_of(value, &p);                                                   \
            }                                                                                  \
    }

COMBINE(add, a *p.a_scale + b * p.b_scale)
COMBINE(mul, (a * b) * p.a_scale)

const cpr_combine_ops TABLE = {.add = add, .mul = mul};

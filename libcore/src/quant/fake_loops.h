/* fake_loops.h - the loops behind fake.h; the including file defines TABLE. */
#include "quant/fake.h"

/* Half to even by adding 1.5 2^23, after the clip to whole bounds, which rounding commutes with. */
static inline __attribute__((always_inline)) float step_of(float v, const cpr_fake *p)
{
    const float magic = 0x1.8p23f;
    v = v > p->low ? v : p->low; /* NaN: low */
    v = v < p->high ? v : p->high;
    return (v + magic) - magic;
}

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* Bit 1 of scalars: one scale for all. */
#define FAKE(name, operands, value)                                                       \
    static void name(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                     \
        const cpr_fake p = *(const cpr_fake *)context;                                    \
        const float *xs = (const float *)data[0], *scales = (const float *)data[1];       \
        const float *gs = (const float *)data[operands == 4 ? 2 : 0];                     \
        float *out = (float *)data[operands - 1];                                         \
        (void)gs;                                                                         \
        if (scalars == 2) {                                                               \
            const float s = *scales;                                                      \
            LOOP                                                                          \
            {                                                                             \
                const float v = xs[i] / s, g = gs[i];                                     \
                (void)g;                                                                  \
                out[i] = (value);                                                         \
            }                                                                             \
        } else                                                                            \
            LOOP                                                                          \
            {                                                                             \
                const float s = scales[i], v = xs[i] / s, g = gs[i];                      \
                (void)s;                                                                  \
                (void)g;                                                                  \
                out[i] = (value);                                                         \
            }                                                                             \
    }

FAKE(value, 3, step_of(v, &p) * s)
FAKE(grad_x, 4, v >= p.low && v <= p.high ? g : 0.0f)
FAKE(grad_scale, 4, g *(step_of(v, &p) - (v >= p.low && v <= p.high ? v : 0.0f)))

const cpr_fake_ops TABLE = {.value = value, .grad_x = grad_x, .grad_scale = grad_scale};

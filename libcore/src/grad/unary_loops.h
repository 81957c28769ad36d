/* unary_loops.h - the loops behind unary.h; the including file defines TABLE. */
#include "grad/unary.h"
#include "vector/math_loops.h"

/* Phi(x) + x phi(x) */
CPR_FN float gelu_slope(float x)
{
    const float tail = normal_tail_f32(fabsf(x));
    const float density = 0x1.988454p-2f * exp_negative_f32(-0.5f * x * x);
    return fmaf(x, density, x < 0.0f ? tail : 1.0f - tail);
}

/* The slope of x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
CPR_FN float gelu_tanh_slope(float x)
{
    const float c = x > 1e6f ? 1e6f : x < -1e6f ? -1e6f : x; /* c^3 stays finite */
    const float u = fmaf(0.044715f * c, c * c, c);
    const float s = sigmoid_f32(0x1.988454p0f * u);
    const float inner = 0x1.988454p0f * fmaf(3.0f * 0.044715f, c * c, 1.0f);
    const float rest = c * s * (1.0f - s);
    return fmaf(rest, inner, s);
}

CPR_FN float swish_slope(float x, float alpha)
{
    const float s = sigmoid_f32(alpha * x), t = alpha * x * (1.0f - s);
    return fmaf(s, t, s);
}

#define GRAD(name, value)                                                             \
    static void name(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                 \
        (void)scalars;                                                                \
        const float alpha = *(const float *)context;                                  \
        (void)alpha;                                                                  \
        const float *vs = (const float *)data[0], *gs = (const float *)data[1];       \
        float *out = (float *)data[2];                                                \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                          \
        {                                                                             \
            const float v = vs[i], g = gs[i];                                         \
            out[i] = (value);                                                         \
        }                                                                             \
    }

GRAD(relu, v > 0.0f ? g : 0.0f)
GRAD(sigmoid, g *v * (1.0f - v))
GRAD(hyperbolic, g *fmaf(-v, v, 1.0f))
GRAD(gelu, g *gelu_slope(v))
GRAD(gelu_tanh, g *gelu_tanh_slope(v))
GRAD(swish, g *swish_slope(v, alpha))

const cpr_unary_grad_ops TABLE = {{relu, sigmoid, hyperbolic, gelu, gelu_tanh, swish}};

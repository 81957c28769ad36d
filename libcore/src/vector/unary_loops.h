/* unary_loops.h - the loops behind unary.h; the including file defines TABLE. */
#include "vector/math_loops.h"
#include "vector/unary.h"

#define UNARY(name, value)                                                              \
    static void loop_##name(int64_t n, const float *xs, float *ys, float alpha, float beta) \
    {                                                                                   \
        (void)alpha;                                                                    \
        (void)beta;                                                                     \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                            \
        {                                                                               \
            const float x = xs[i];                                                      \
            ys[i] = (value);                                                            \
        }                                                                               \
    }

/* value of x and e = e^argument, the argument being nowhere positive: see exp_negative_begin.  between
 * is another loop, that may leave something in gs. */
enum { PART = 256 };
#define EACH_OF_PART _Pragma("GCC ivdep") for (int64_t i = 0; i < part; i++)
#define STAGED(name, argument, between, value)                                          \
    static void loop_##name(int64_t n, const float *xs, float *ys, float alpha, float beta) \
    {                                                                                   \
        _Alignas(64) float es[PART], gs[PART];                                          \
        (void)alpha;                                                                    \
        (void)beta;                                                                     \
        for (; n > 0; n -= PART, xs += PART, ys += PART) {                              \
            const int64_t part = n < PART ? n : PART;                                   \
            EACH_OF_PART                                                                \
            {                                                                           \
                const float x = xs[i];                                                  \
                es[i] = exp_negative_begin(argument, &gs[i]);                           \
            }                                                                           \
            EACH_OF_PART es[i] = exp_negative_end(es[i], gs[i]);                        \
            between;                                                                    \
            EACH_OF_PART                                                                \
            {                                                                           \
                const float x = xs[i], e = es[i];                                       \
                ys[i] = (value);                                                        \
            }                                                                           \
        }                                                                               \
    }

STAGED(sigmoid, minus_size(x), , sigmoid_of(x, e))
STAGED(swish, minus_size(alpha * x), , x * sigmoid_of(alpha * x, e))
STAGED(gelu, normal_tail_argument(fabsf(x)), EACH_OF_PART gs[i] = normal_tail_factor(fabsf(xs[i])), gelu_of(x, e, gs[i]))
STAGED(gelu_tanh, minus_size(gelu_tanh_argument(x)), , x *sigmoid_of(gelu_tanh_argument(x), e))
STAGED(tanh, 2.0f * minus_size(x), , tanh_of(x, e))
STAGED(scaled_tanh, 2.0f * minus_size(beta * x), , alpha *tanh_of(beta *x, e))
UNARY(relu, x < 0.0f ? 0.0f : x)
UNARY(leaky_relu, x < 0.0f ? x * alpha : x)
UNARY(elu, x < 0.0f ? alpha * expm1_negative_f32(x) : x)
UNARY(selu, beta * (x > 0.0f ? x : alpha * expm1_negative_f32(x)))
UNARY(celu, x < 0.0f ? alpha * expm1_negative_f32(x / alpha) : x)
UNARY(softplus, (float)softplus_f64(x))
UNARY(softsign, x / (1.0f + fabsf(x)))
UNARY(erf, erf_f32(x))
UNARY(exp, exp_f32(x))
UNARY(log, (float)log_f64(x))
UNARY(sqrt, sqrtf(x))
UNARY(reciprocal, 1.0f / x)
UNARY(abs, fabsf(x))
UNARY(neg, -x)
UNARY(sign, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x)
UNARY(floor, floorf(x))
UNARY(ceil, ceilf(x))
UNARY(round, rintf(x))
UNARY(thresholded_relu, x > alpha ? x : 0.0f)
UNARY(shrink, x < -alpha ? x + beta : x > alpha ? x - beta : x != x ? x : 0.0f)
UNARY(affine, alpha * x + beta)
UNARY(atan, (float)atan_f64(x))
UNARY(asin, fabsf(x) > 1.0f ? NAN : (float)asin_f64(x))
UNARY(acos, fabsf(x) > 1.0f ? NAN : (float)acos_f64(x))

CPR_FN float clamp_f32(float x, float low, float high)
{
    const float y = x < low ? low : x;
    return y > high ? high : y;
}

UNARY(clip, clamp_f32(x, alpha, beta))
UNARY(hard_sigmoid, clamp_f32(alpha * x + beta, 0.0f, 1.0f))
UNARY(hard_swish, x * clamp_f32(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f))

/* x tanh(ln(1 + e^x)) = x u / (u + 2), u = e^x (e^x + 2); it is x from 40 on. */
CPR_FN float mish_f32(float x)
{
    const double e = x < -200.0f ? 0.0 : exp_f64(x > 40.0f ? 40.0f : x), u = e * (e + 2.0);
    return (float)(x * (u / (u + 2.0)));
}

UNARY(mish, mish_f32(x))

/* sinh x = x + x^3/6 + x^5/120 below 0.03, else from e^|x|. */
CPR_FN float sinh_f32(float x)
{
    const double d = x, z = d * d, e = exp_f64(fabs(d)), large = 0.5 * (e - 1.0 / e);
    const double small = d + d * z * (1.0 / 6 + z * (1.0 / 120));
    return (float)(fabs(d) < 0.03 ? small : copysign(large, d));
}

CPR_FN float cosh_f32(float x)
{
    const double e = exp_f64(fabs((double)x));
    return (float)(0.5 * (e + 1.0 / e));
}

UNARY(sinh, sinh_f32(x))
UNARY(cosh, cosh_f32(x))

/* The inverse hyperbolic functions: logarithms, and two terms of the series below 2^-12. */
CPR_FN float asinh_f32(float x)
{
    const double d = x, a = fabs(d), z = d * d;
    const double large = log_f64(a + sqrt(z + 1.0));
    return (float)(a < 0x1p-12 ? d - d * z * (1.0 / 6) : copysign(large, d));
}

CPR_FN float acosh_f32(float x)
{
    const double d = x;
    return x < 1.0f ? NAN : (float)log_f64(d + sqrt(d * d - 1.0));
}

CPR_FN float atanh_f32(float x)
{
    const double d = x, a = fabs(d), z = d * d;
    const double large = 0.5 * log_f64((1.0 + a) / (1.0 - a));
    return a > 1.0 ? NAN : (float)(a < 0x1p-12 ? d + d * z * (1.0 / 3) : copysign(large, d));
}

UNARY(asinh, asinh_f32(x))
UNARY(acosh, acosh_f32(x))
UNARY(atanh, atanh_f32(x))

CPR_FN float sine_f32(float x, uint64_t shift)
{
    uint64_t n;
    const double r = quadrant_f64(x, &n);
    return (float)sine_of(r, n + shift);
}

CPR_FN float tan_f32(float x)
{
    uint64_t n;
    const double r = quadrant_f64(x, &n);
    return (float)(sine_of(r, n) / sine_of(r, n + 1));
}

/* In blocks: a block with an element that two doubles of pi/2 cannot reduce goes one by one. */
#define PERIODIC(name, value, shift)                                                    \
    static void loop_##name(int64_t n, const float *xs, float *ys, float alpha, float beta) \
    {                                                                                   \
        (void)alpha;                                                                    \
        (void)beta;                                                                     \
        for (int64_t start = 0; start < n; start += 256) {                              \
            const int64_t end = n - start < 256 ? n : start + 256;                      \
            int32_t large = 0;                                                          \
            for (int64_t i = start; i < end; i++)                                       \
                large |= fabsf(xs[i]) >= 0x1p40f;                                       \
            if (!large) {                                                               \
                _Pragma("GCC ivdep") for (int64_t i = start; i < end; i++)              \
                {                                                                       \
                    const float x = xs[i];                                              \
                    ys[i] = (value);                                                    \
                }                                                                       \
                continue;                                                               \
            }                                                                           \
            for (int64_t i = start; i < end; i++) {                                     \
                const float x = xs[i];                                                  \
                ys[i] = fabsf(x) >= 0x1p40f ? cpr_sine_large(x, shift) : (value);       \
            }                                                                           \
        }                                                                               \
    }

PERIODIC(sin, sine_f32(x, 0), 0)
PERIODIC(cos, sine_f32(x, 1), 1)
PERIODIC(tan, tan_f32(x), 2)

#define ENTRY(name) loop_##name,
const cpr_unary_ops TABLE = {{CPR_UNARY_F32(ENTRY)}};

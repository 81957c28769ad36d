/* math_loops.h - elementary functions that the compiler can vectorise: no branches, no calls.
 *
 * Included by every loops_<isa>.c that needs them.  All fused multiply-adds are written out,
 * so each instruction set gives the same bytes.  The polynomials are minimax fits made for
 * this file (Remez exchange on the stated interval).  The hot functions work in float32 and
 * stay within 4 ulp; the others pass through float64 and are off by 1 ulp at most.
 */
#ifndef CPR_MATH_LOOPS_H
#define CPR_MATH_LOOPS_H

#include <float.h>
#include <math.h>
#include <stdint.h>

#define CPR_FN static inline __attribute__((always_inline, unused))

CPR_FN uint32_t bits_f32(float x) { uint32_t u; __builtin_memcpy(&u, &x, 4); return u; }
CPR_FN float f32_bits(uint32_t u) { float x; __builtin_memcpy(&x, &u, 4); return x; }
CPR_FN uint64_t bits_f64(double x) { uint64_t u; __builtin_memcpy(&u, &x, 8); return u; }
CPR_FN double f64_bits(uint64_t u) { double x; __builtin_memcpy(&x, &u, 8); return x; }

CPR_FN float copysign_f32(float magnitude, float sign)
{
    return f32_bits((bits_f32(magnitude) & 0x7fffffffu) | (bits_f32(sign) & 0x80000000u));
}

/* 2^n for n in -126..127, from the low bits of n. */
CPR_FN float power_of_two(uint32_t n) { return f32_bits((n + 127u) << 23); }

/* x = n ln2 + r, |r| <= ln2/2: returns r.  Adding 1.5 2^23 (and bias, a small integer) rounds to an
 * integer and leaves n + bias in the low bits of t. */
CPR_FN float exp_argument(float x, float bias, float *t)
{
    const float magic = 0x1.8p23f + bias;
    *t = fmaf(x, 0x1.715476p0f, magic);
    const float whole = *t - magic;
    const float r = fmaf(whole, -0x1.62e400p-1f, x); /* 15 bits: the product is exact */
    return fmaf(whole, -0x1.7f7d1cp-20f, r);
}

/* q with e^r = 1 + q; error 3.1e-9 of e^r. */
CPR_FN float exp_less_one(float r)
{
    float p = 0.0013814416762854874f;
    p = fmaf(p, r, 0.0083687814139695586f);
    p = fmaf(p, r, 0.041668395412010548f);
    p = fmaf(p, r, 0.16666520098855154f);
    p = fmaf(p, r, 0.49999993405690468f);
    return fmaf(r * r, p, r);
}

CPR_FN float exp_reduced(float x, uint32_t *n)
{
    float t;
    const float q = exp_less_one(exp_argument(x, 0.0f, &t));
    *n = bits_f32(t) - bits_f32(0x1.8p23f);
    return q;
}

/* Two scalings, so that results down to the smallest denormal round once. */
CPR_FN float exp_f32(float x)
{
    float c = x < -104.0f ? -104.0f : x; /* a NaN passes both */
    c = c > 89.0f ? 89.0f : c;
    uint32_t n;
    const float p = 1.0f + exp_reduced(c, &n);
    const uint32_t half = (uint32_t)((int32_t)n >> 1);
    return p * power_of_two(half) * power_of_two(n - half);
}

/* e^x for x <= 0, in two halves: loops over many numbers do one after the other, each a chain of
 * operations short enough for the processor to work on several elements at once.  The low bits of
 * t are those of 2^(n + 24), which is never subnormal: so a result that is subnormal is rounded
 * once, by the last product. */
CPR_FN float exp_negative_begin(float x, float *t)
{
    return exp_argument(x < -104.0f ? -104.0f : x, 127.0f + 24.0f, t); /* a NaN passes */
}

CPR_FN float exp_negative_end(float r, float t)
{
    const float power = f32_bits(bits_f32(t) << 23);
    return fmaf(exp_less_one(r), power, power) * 0x1p-24f;
}

CPR_FN float exp_negative_f32(float x)
{
    float t;
    const float r = exp_negative_begin(x, &t);
    return exp_negative_end(r, t);
}

/* -|x| */
CPR_FN float minus_size(float x) { return f32_bits(bits_f32(x) | 0x80000000u); }

/* e^x - 1 for x <= 0; e^x - 1 = 2^n q + (2^n - 1). */
CPR_FN float expm1_negative_f32(float x)
{
    float c = x < -30.0f ? -30.0f : x;
    c = c > 0.0f ? 0.0f : c;
    uint32_t n;
    const float q = exp_reduced(c, &n), s = power_of_two(n);
    return fmaf(s, q, s - 1.0f);
}

/* 1 / (1 + e^-x) of e = e^-|x|, accurate where e^-x overflows too. */
CPR_FN float sigmoid_of(float x, float e)
{
    return f32_bits(bits_f32(x) >> 31 ? bits_f32(e) : bits_f32(1.0f)) / (1.0f + e);
}

CPR_FN float sigmoid_f32(float x) { return sigmoid_of(x, exp_negative_f32(minus_size(x))); }

/* tanh x of e = e^(-2|x|).  |x| < 0.64: x + x^3 P(x^2), error 5.7e-9; else 1 - 2 e / (1 + e). */
CPR_FN float tanh_of(float x, float e)
{
    const float a = fabsf(x), z = x * x;
    float p = -0.0055910388186916172f;
    p = fmaf(p, z, 0.020538848164900363f);
    p = fmaf(p, z, -0.053709669580663648f);
    p = fmaf(p, z, 0.13331092463867283f);
    p = fmaf(p, z, -0.33333269529991193f);
    const float small = fmaf(x * z, p, x);
    const float large = 1.0f - 2.0f * e / (1.0f + e);
    return a < 0.625f ? small : copysign_f32(large, x);
}

/* The normal tail Phi(-a) = e^(-a^2/2) G(a), a >= 0; G is a polynomial in (a - 3) / (a + 3),
 * error 9.5e-9.  a^2 is split, or its rounding would be magnified by a^2. */
CPR_FN float normal_tail_argument(float a)
{
    const float c = a > 15.0f ? 15.0f : a;
    return -0.5f * (c * c);
}

CPR_FN float normal_tail_factor(float a) /* G */
{
    const float c = a > 15.0f ? 15.0f : a, q = (c - 3.0f) / (c + 3.0f);
    float g = 5.3062743433730204e-5f;
    g = fmaf(g, q, 0.0001149099340588123f);
    g = fmaf(g, q, -0.0003389188328128322f);
    g = fmaf(g, q, -0.00098319438681949945f);
    g = fmaf(g, q, 0.0029043529238338833f);
    g = fmaf(g, q, 0.0061319161816549066f);
    g = fmaf(g, q, -0.046213257918653808f);
    g = fmaf(g, q, 0.12322504340399692f);
    g = fmaf(g, q, -0.20640262070119252f);
    return fmaf(g, q, 0.12151394748949529f);
}

CPR_FN float normal_tail_of(float a, float e, float g)
{
    const float c = a > 15.0f ? 15.0f : a;
    const float square = c * c, rest = fmaf(c, c, -square);
    return e * fmaf(-0.5f * rest, g, g);
}

CPR_FN float normal_tail_f32(float a)
{
    return normal_tail_of(a, exp_negative_f32(normal_tail_argument(a)), normal_tail_factor(a));
}

/* |x| < 1: x P(x^2), error 1.2e-9; else 1 - 2 Phi(-sqrt(2) |x|). */
CPR_FN float erf_f32(float x)
{
    const float a = fabsf(x), z = a < 1.0f ? x * x : 1.0f;
    float p = 7.8538656316040099e-5f;
    p = fmaf(p, z, -0.00080101937767238599f);
    p = fmaf(p, z, 0.0051883275436176761f);
    p = fmaf(p, z, -0.02685381175847568f);
    p = fmaf(p, z, 0.11283585141531381f);
    p = fmaf(p, z, -0.3761262582343283f);
    p = fmaf(p, z, 1.1283791657269897f);
    const float large = fmaf(-2.0f, normal_tail_f32(a * 0x1.6a09e6p0f), 1.0f);
    return a < 1.0f ? x * p : copysign_f32(large, x);
}

/* x Phi(x) */
CPR_FN float gelu_of(float x, float e, float g)
{
    const float tail = normal_tail_of(fabsf(x), e, g);
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

/* 0.5 x (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
CPR_FN float gelu_tanh_argument(float x)
{
    const float c = x > 1e6f ? 1e6f : x < -1e6f ? -1e6f : x; /* c^3 stays finite */
    return 0x1.988454p0f * fmaf(0.044715f * c, c * c, c);
}

/* ---- float64, for results that are rounded to float32 ------------------------------- */

/* e^x to 2e-14; the range is cut where float32 has long become 0 or infinity. */
CPR_FN double exp_f64(double x)
{
    const double magic = 0x1.8p52;
    double c = x < -700.0 ? -700.0 : x;
    c = c > 700.0 ? 700.0 : c;
    const double t = fma(c, 0x1.71547652b82fep0, magic), whole = t - magic;
    const uint64_t n = bits_f64(t) - bits_f64(magic);
    const double r = fma(whole, -0x1.abc9e3b39803fp-56, fma(whole, -0x1.62e42fefa39efp-1, c));
    double p = 2.74930551563187e-6;
    p = fma(p, r, 2.4880953420687888e-5);
    p = fma(p, r, 0.0001984153980376335);
    p = fma(p, r, 0.0013888810862792071);
    p = fma(p, r, 0.0083333330939871847);
    p = fma(p, r, 0.041666666963851812);
    p = fma(p, r, 0.16666666667269172);
    p = fma(p, r, 0.49999999999661861);
    return (1.0 + fma(r * r, p, r)) * f64_bits((n + 1023) << 52);
}

/* ln x for positive normal x, to 1e-15.  m in [sqrt(1/2), sqrt(2)): ln m = 2s + s^3 P(s^2),
 * s = (m - 1) / (m + 1). */
CPR_FN double log_positive_f64(double x)
{
    const uint64_t bias = (uint64_t)1024 << 52;
    const uint64_t biased = (bits_f64(x) - 0x3fe6a09e667f3bcdu + bias) >> 52;
    const double m = f64_bits(bits_f64(x) - (biased << 52) + bias);
    const double e = f64_bits(biased | 0x4330000000000000u) - (0x1p52 + 1024.0);
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 0.16822852638495363;
    p = fma(p, z, 0.18123401289331722);
    p = fma(p, z, 0.22223378768434463);
    p = fma(p, z, 0.28571417036322382);
    p = fma(p, z, 0.40000000052804849);
    p = fma(p, z, 0.66666666666586247);
    return fma(e, 0x1.62e42fefa39efp-1, fma(s * z, p, 2.0 * s));
}

CPR_FN double log_f64(double x)
{
    double y = log_positive_f64(x);
    y = x == 0.0 ? -(double)INFINITY : y;
    y = x == (double)INFINITY ? x : y;
    return x >= 0.0 ? y : (double)NAN;
}

/* ln(1 + u) for 0 <= u <= 1 */
CPR_FN double log1p_f64(double u)
{
    const double y = log_positive_f64(1.0 + u);
    return u < 1e-8 ? fma(-0.5 * u, u, u) : y;
}

CPR_FN double softplus_f64(double x)
{
    const double y = log1p_f64(exp_f64(-fabs(x)));
    return (x < 0.0 ? 0.0 : x) + y;
}

/* sin and cos of r in [-0.8, 0.8], z = r^2; error below 6e-12. */
CPR_FN double sin_poly(double r, double z)
{
    double p = 2.7175652258195385e-6;
    p = fma(p, z, -0.00019839256723581063);
    p = fma(p, z, 0.0083333291442189018);
    p = fma(p, z, -0.16666666639560867);
    return fma(r * z, p, r);
}

CPR_FN double cos_poly(double z)
{
    double p = 2.0643162686606339e-9;
    p = fma(p, z, -2.7554963203654020e-7);
    p = fma(p, z, 2.4801580583887722e-5);
    p = fma(p, z, -0.0013888888877398605);
    p = fma(p, z, 0.041666666666595551);
    return fma(z * z, p, fma(-0.5, z, 1.0));
}

/* x = n pi/2 + r for |x| < 2^40; n modulo 2^51 in the low bits. */
CPR_FN double quadrant_f64(double x, uint64_t *n)
{
    const double magic = 0x1.8p52;
    const double t = fma(x, 0x1.45f306dc9c883p-1, magic), whole = t - magic;
    *n = bits_f64(t);
    return fma(whole, -0x1.1a62633145c07p-54, fma(whole, -0x1.921fb54442d18p+0, x));
}

/* sin of quadrant n: shift = 0 for sin, 1 for cos. */
CPR_FN double sine_of(double r, uint64_t n)
{
    const double z = r * r, s = sin_poly(r, z), c = cos_poly(z);
    const double v = n & 1 ? c : s;
    return f64_bits(bits_f64(v) ^ (n & 2) << 62);
}

/* |x| <= 1 */
CPR_FN double asin_f64(double x)
{
    const double a = fabs(x), half = (1.0 - a) * 0.5;
    const double z = a > 0.5 ? half : x * x, t = a > 0.5 ? sqrt(half) : a;
    double p = 0.031975625966831909;
    p = fma(p, z, -0.0028756206023220748);
    p = fma(p, z, 0.018638063065383457);
    p = fma(p, z, 0.016475915962188006);
    p = fma(p, z, 0.022471558947651211);
    p = fma(p, z, 0.03037521296955445);
    p = fma(p, z, 0.044643113351906298);
    p = fma(p, z, 0.074999995237469948);
    p = fma(p, z, 0.16666666669708902);
    const double y = fma(t * z, p, t);
    return copysign(a > 0.5 ? fma(-2.0, y, 0x1.921fb54442d18p+0) : y, x);
}

CPR_FN double acos_f64(double x)
{
    /* Near 1 the difference pi/2 - asin(x) would cancel: 2 asin(sqrt((1 - |x|) / 2)) instead. */
    const double a = fabs(x), y = 2.0 * asin_f64(sqrt((1.0 - a) * 0.5));
    const double near = x < 0.0 ? 0x1.921fb54442d18p+1 - y : y;
    return a > 0.5 ? near : 0x1.921fb54442d18p+0 - asin_f64(x);
}

CPR_FN double atan_f64(double x)
{
    const double a = fabs(x), t = a > 1.0 ? 1.0 / a : a; /* [0, 1] */
    const double tan8 = 0x1.a827999fcef32p-2;            /* tan(pi/8) */
    const double u = t > tan8 ? (t - 1.0) / (t + 1.0) : t, z = u * u;
    double p = 0.030857302366450287;
    p = fma(p, z, -0.058886755352657623);
    p = fma(p, z, 0.0756792806168927);
    p = fma(p, z, -0.090790566131786918);
    p = fma(p, z, 0.11110444131282162);
    p = fma(p, z, -0.14285693371719346);
    p = fma(p, z, 0.19999999681585637);
    p = fma(p, z, -0.33333333331672913);
    double y = fma(u * z, p, u);
    y = t > tan8 ? y + 0x1.921fb54442d18p-1 : y;
    return copysign(a > 1.0 ? 0x1.921fb54442d18p+0 - y : y, x);
}

CPR_FN uint32_t mask_of(int condition) { return 0u - (uint32_t)condition; }

CPR_FN float select_f32(uint32_t mask, float x, float y)
{
    return f32_bits((bits_f32(x) & mask) | (bits_f32(y) & ~mask));
}

/* IEEE 754's pow on float32.  The cases are chosen with masks: as conditions the compiler
 * chains them into branches and gives up vectorising. */
CPR_FN float pow_f32(float x, float y)
{
    const float a = fabsf(x);
    const double l = log_f64(a);
    const uint32_t unit = mask_of(a == 1.0f);
    const float power = (float)exp_f64((double)y * l);
    float v = select_f32(unit, 1.0f, power); /* also for y infinite */
    const float small = select_f32(mask_of(fabsf(y) < 0x1p24f), y, 0.0f); /* larger: even */
    const int32_t whole = (int32_t)small;
    const uint32_t fraction = mask_of((float)whole != small);
    const uint32_t odd_sign = (uint32_t)whole << 31 & ~fraction;
    v = f32_bits(bits_f32(v) | (odd_sign & bits_f32(x)));
    v = select_f32(mask_of(x < 0.0f) & mask_of(a != INFINITY) & fraction, NAN, v);
    v = select_f32(mask_of(x != x), x, v);
    v = select_f32(mask_of(y != y), y, v);
    v = select_f32(mask_of(y == 2.0f), x * x, v);
    return select_f32(mask_of(y == 0.0f) | mask_of(x == 1.0f), 1.0f, v);
}

#endif

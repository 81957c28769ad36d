/* half_loops.h - the loops behind half.h; the including file defines TABLE.
 *
 * Two neighbours are one word: shifted up it is the first as a float32, without its lower half the
 * second.  A result keeps 8 bits, so the exponential and the reciprocal are made to 13: what they
 * give is within 0.55 of a unit in the last place.
 */
#include "vector/brain.h"
#include "vector/half.h"

#define UPPER 0xffff0000u

CPR_FN uint32_t word_at(const uint16_t *x, int64_t i)
{
    uint32_t word;
    __builtin_memcpy(&word, x + 2 * i, sizeof word);
    return word;
}

CPR_FN float first_of(uint32_t word) { return f32_bits(word << 16); }
CPR_FN float second_of(uint32_t word) { return f32_bits(word & UPPER); }

CPR_FN void put(uint16_t *y, int64_t i, uint32_t first, uint32_t second)
{
    const uint32_t word = first >> 16 | (second & UPPER);
    __builtin_memcpy(y + 2 * i, &word, sizeof word);
}

/* Rounded, in the upper half: as brain_of_computed, and ties up where 13 bits are right. */
CPR_FN uint32_t to_even(float x) { return bits_f32(x) + 0x7fffu + (bits_f32(x) >> 16 & 1u); }
CPR_FN uint32_t to_nearest(float x) { return bits_f32(x) + 0x8000u; }

/* y = value of x, for all n. */
#define EACH(n, value, round)                                                   \
    do {                                                                        \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < (n) / 2; i++)              \
        {                                                                       \
            const uint32_t word = word_at(xs, i);                               \
            float x = first_of(word);                                           \
            const uint32_t first = round(value);                                \
            x = second_of(word);                                                \
            put(ys, i, first, round(value));                                    \
        }                                                                       \
        if ((n) % 2) {                                                          \
            const float x = float_of_brain(xs[(n) - 1]);                        \
            ys[(n) - 1] = (uint16_t)(round(value) >> 16);                       \
        }                                                                       \
    } while (0)

#define UNARY(name, value)                                                                    \
    static void half_##name(int64_t n, const uint16_t *xs, uint16_t *ys, float alpha, float beta) \
    {                                                                                         \
        (void)alpha;                                                                          \
        (void)beta;                                                                           \
        EACH(n, value, to_even);                                                              \
    }

/* Its size cut to a bound, as integers: one instruction.  A NaN becomes the bound. */
CPR_FN float bounded(float x, float bound)
{
    const uint32_t size = bits_f32(x) & 0x7fffffffu, most = bits_f32(bound);
    return f32_bits((size < most ? size : most) | (bits_f32(x) & 0x80000000u));
}

CPR_FN float clamp_brief(float x, float low, float high)
{
    const float y = low > x ? low : x; /* a NaN passes */
    return high < y ? high : y;
}

/* 1 + 2^(k x), |k x| at most 116.  Adding 1.5 2^23 leaves the whole part in the low bits, the rest
 * goes through a polynomial (minimax, error 7.5e-5). */
CPR_FN float one_plus_power(float x, float k)
{
    const float magic = 0x1.8p23f, t = fmaf(x, k, magic), f = fmaf(x, k, magic - t);
    float p = 0.05517167f;
    p = fmaf(p, f, 0.24261112f);
    p = fmaf(p, f, 0.69326099f);
    p = fmaf(p, f, 0.99992807f);
    return 1.0f + f32_bits(bits_f32(p) + (bits_f32(t) << 23));
}

/* A difference of bits is within 5.1 % of 1/d; its cube is 1.3e-4. */
CPR_FN float reciprocal_brief(float d)
{
    const float y = f32_bits(0x7ef31000u - bits_f32(d)), rest = fmaf(-d, y, 1.0f);
    return fmaf(y, fmaf(rest, rest, rest), y);
}

CPR_FN float times_cubic(float x) { return x * fmaf(0.044715f * x, x, 1.0f); }

/* value of x and r = 1 / (1 + e^(-scale argument)), in two loops: in one the processor would wait
 * for a chain of twenty operations. */
enum { BLOCK = 256 };
#define LOGISTIC(name, scale, argument, value)                                                     \
    static void half_##name(int64_t n, const uint16_t *xs, uint16_t *ys, float alpha, float beta)  \
    {                                                                                              \
        const float log2e = 0x1.715476p0f, most = 80.0f; /* e^-80, e^80: 0 and 1 */                \
        const float k = -log2e * (scale), size = fabsf(scale), bound = size > 1e-30f ? most / size : 1e30f; \
        _Alignas(64) float d[2][BLOCK / 2 + 1];                                                    \
        (void)alpha;                                                                               \
        (void)beta;                                                                                \
        for (; n > 0; n -= BLOCK, xs += BLOCK, ys += BLOCK) {                                      \
            const int64_t part = n < BLOCK ? n : BLOCK;                                            \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < part / 2; i++)                            \
            {                                                                                      \
                const uint32_t word = word_at(xs, i);                                              \
                float x = first_of(word);                                                          \
                d[0][i] = one_plus_power(bounded(argument, bound), k);                             \
                x = second_of(word);                                                               \
                d[1][i] = one_plus_power(bounded(argument, bound), k);                             \
            }                                                                                      \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < part / 2; i++)                            \
            {                                                                                      \
                const uint32_t word = word_at(xs, i);                                              \
                float x = first_of(word), r = reciprocal_brief(d[0][i]);                           \
                const uint32_t first = to_nearest(value);                                          \
                x = second_of(word), r = reciprocal_brief(d[1][i]);                                \
                put(ys, i, first, to_nearest(value));                                              \
            }                                                                                      \
            if (part % 2) {                                                                        \
                const float x = float_of_brain(xs[part - 1]);                                      \
                const float r = reciprocal_brief(one_plus_power(bounded(argument, bound), k));     \
                ys[part - 1] = (uint16_t)(to_nearest(value) >> 16);                                \
            }                                                                                      \
        }                                                                                          \
    }

UNARY(relu, x < 0.0f ? 0.0f : x)
UNARY(leaky_relu, x < 0.0f ? x * alpha : x)
UNARY(clip, clamp_brief(x, alpha, beta))
UNARY(hard_sigmoid, clamp_brief(alpha * x + beta, 0.0f, 1.0f))
UNARY(hard_swish, x * clamp_brief(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f))
LOGISTIC(sigmoid, 1.0f, x, x != x ? x : r)
LOGISTIC(swish, alpha, x, x *r)
LOGISTIC(gelu_tanh, 0x1.988454p0f, times_cubic(bounded(x, 1e6f)), x *r)

/* a and b of each pair of words; a scalar is a word of two. */
#define BINARY_LOOP(word_a, word_b, value)                                      \
    do {                                                                        \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n / 2; i++)                \
        {                                                                       \
            const uint32_t p = (word_a), q = (word_b);                          \
            float a = first_of(p), b = first_of(q);                             \
            const uint32_t first = to_even(value);                              \
            a = second_of(p), b = second_of(q);                                 \
            put(out, i, first, to_even(value));                                 \
        }                                                                       \
    } while (0)

#define BINARY(name, value)                                                                    \
    static void half_##name(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                          \
        (void)context;                                                                         \
        const uint16_t *as = (const uint16_t *)data[0], *bs = (const uint16_t *)data[1];       \
        uint16_t *out = (uint16_t *)data[2];                                                   \
        const uint32_t one_a = *as * 0x10001u, one_b = *bs * 0x10001u;                         \
        if (n % 2) {                                                                           \
            const float a = float_of_brain(as[scalars & 1 ? 0 : n - 1]);                       \
            const float b = float_of_brain(bs[scalars & 2 ? 0 : n - 1]);                       \
            out[n - 1] = (uint16_t)(to_even(value) >> 16);                                     \
        }                                                                                      \
        if (scalars == 1)                                                                      \
            BINARY_LOOP(one_a, word_at(bs, i), value);                                         \
        else if (scalars == 2)                                                                 \
            BINARY_LOOP(word_at(as, i), one_b, value);                                         \
        else                                                                                   \
            BINARY_LOOP(word_at(as, i), word_at(bs, i), value);                                \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)

const cpr_half_ops TABLE = {
    .unary = {
        [CPR_UNARY_relu] = half_relu,
        [CPR_UNARY_leaky_relu] = half_leaky_relu,
        [CPR_UNARY_clip] = half_clip,
        [CPR_UNARY_hard_sigmoid] = half_hard_sigmoid,
        [CPR_UNARY_hard_swish] = half_hard_swish,
        [CPR_UNARY_sigmoid] = half_sigmoid,
        [CPR_UNARY_swish] = half_swish,
        [CPR_UNARY_gelu_tanh] = half_gelu_tanh,
    },
    .binary = {[CPR_ADD] = half_add, [CPR_SUB] = half_sub, [CPR_MUL] = half_mul},
};

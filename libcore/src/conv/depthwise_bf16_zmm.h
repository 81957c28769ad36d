/* depthwise_bf16_zmm.h - what depthwise_bf16 with AVX-512 shares: with VCVTNE2PS2BF16 and without.
 *
 * The file that includes it defines LINES and joined(a, b): 16 floats each, rounded, as pairs.
 * Registers: 4 x 2 sums + 5 x 2 weights + 3 of a column = 21 of 32.
 */
enum { LANES = 16 };
typedef __m512 vector;
typedef __m512i pairs;

static inline __mmask32 mask_of(int64_t left)
{
    return left >= 2 * LANES ? 0xffffffffu : (__mmask32)((1u << left) - 1);
}

static inline pairs load(const char *from, int64_t left)
{
    return _mm512_maskz_loadu_epi16(mask_of(left), from);
}

static inline vector even(pairs both) { return _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)); }

static inline vector odd(pairs both)
{
    return _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000)));
}

static inline vector read(const float *from) { return _mm512_loadu_ps(from); }
static inline vector all(float x) { return _mm512_set1_ps(x); }
static inline vector fused(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }

static inline vector clipped(vector x, float low, float high)
{
    return _mm512_min_ps(all(high), _mm512_max_ps(all(low), x)); /* NaN passes */
}

static inline void store(char *to, vector a, vector b, int64_t left)
{
    if (left >= 2 * LANES)
        _mm512_storeu_si512(to, joined(a, b));
    else
        _mm512_mask_storeu_epi16(to, mask_of(left), joined(a, b));
}

#include "conv/depthwise_bf16_loops.h"

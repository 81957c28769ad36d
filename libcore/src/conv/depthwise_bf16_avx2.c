/* depthwise_bf16_avx2.c - depthwise convolution of bfloat16, 4 pixels x 16 channels (AVX2 + FMA). */
#include <immintrin.h>

#include "conv/depthwise_bf16.h"

#define LINES cpr_depthwise_bf16_avx2
enum { LANES = 8 };
typedef __m256 vector;
typedef __m256i pairs;

static __attribute__((noinline)) pairs load_some(const char *from, int64_t left)
{
    uint16_t halves[16] = {0};
    __builtin_memcpy(halves, from, (size_t)left * sizeof *halves);
    return _mm256_loadu_si256((const __m256i *)halves);
}

static inline pairs load(const char *from, int64_t left)
{
    return left >= 2 * LANES ? _mm256_loadu_si256((const __m256i *)from) : load_some(from, left);
}

static inline vector even(pairs both) { return _mm256_castsi256_ps(_mm256_slli_epi32(both, 16)); }

static inline vector odd(pairs both)
{
    return _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000)));
}

static inline vector read(const float *from) { return _mm256_loadu_ps(from); }
static inline vector all(float x) { return _mm256_set1_ps(x); }
static inline vector fused(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }

static inline vector clipped(vector x, float low, float high)
{
    return _mm256_min_ps(all(high), _mm256_max_ps(all(low), x)); /* NaN passes */
}

/* Rounded to the nearest bfloat16, in the upper halves. */
static inline __m256i rounded(vector x)
{
    const __m256i sign = _mm256_set1_epi32((int)0x80000000), one = _mm256_set1_epi32(1);
    const vector size = _mm256_andnot_ps(_mm256_castsi256_ps(sign), x);
    const vector tiny = _mm256_cmp_ps(size, all(0x1p-126f), _CMP_LT_OQ);
    const __m256i given = _mm256_castps_si256(x);
    const __m256i bits = _mm256_blendv_epi8(given, _mm256_and_si256(given, sign), _mm256_castps_si256(tiny));
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(_mm256_srli_epi32(bits, 16), one));
    const __m256i nan = _mm256_or_si256(given, _mm256_set1_epi32(0x400000));
    return _mm256_blendv_epi8(_mm256_add_epi32(bits, half), nan, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}

static inline void store(char *to, vector a, vector b, int64_t left)
{
    const __m256i upper = _mm256_and_si256(rounded(b), _mm256_set1_epi32((int)0xffff0000));
    const __m256i both = _mm256_or_si256(_mm256_srli_epi32(rounded(a), 16), upper);
    if (left >= 2 * LANES) {
        _mm256_storeu_si256((__m256i *)to, both);
        return;
    }
    uint16_t halves[16];
    _mm256_storeu_si256((__m256i *)halves, both);
    __builtin_memcpy(to, halves, (size_t)left * sizeof *halves);
}

#include "conv/depthwise_bf16_loops.h"

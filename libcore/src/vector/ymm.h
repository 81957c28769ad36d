/* ymm.h - what files compiled for AVX2 share: the first n of eight lanes, and codes.
 *
 * VMASKMOVPS stores take tens of cycles on AMD's processors before Zen 5: whole registers are
 * stored plainly, and the rest of a row in pieces.  Masked loads are as fast as plain ones.
 */
#ifndef CPR_YMM_H
#define CPR_YMM_H

#include <immintrin.h>
#include <stdint.h>

/* All ones in the lanes below n. */
static inline __attribute__((always_inline)) __m256i cpr_lanes(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), lane);
}

/* Store fewer than eight lanes; not inlined: it is rare, and a tile stores many registers. */
static __attribute__((noinline, unused)) void cpr_store_some(float *to, int64_t n, __m256 x)
{
    __m128 part = _mm256_castps256_ps128(x);
    if (n & 4) {
        _mm_storeu_ps(to, part);
        part = _mm256_extractf128_ps(x, 1);
        to += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)to, part);
        part = _mm_movehl_ps(part, part);
        to += 2;
    }
    if (n & 1)
        _mm_store_ss(to, part);
}

/* Store the first n lanes, all of them from 8 on. */
static inline __attribute__((always_inline)) void cpr_store_lanes(float *to, int64_t n, __m256 x)
{
    if (n >= 8)
        _mm256_storeu_ps(to, x);
    else if (n > 0)
        cpr_store_some(to, n, x);
}

/* Eight sums as codes, rint(clip(float(sum) * scale, low, high)) + zero, which are in the range of
 * their type: its low byte, in the lower half of the result. */
static inline __attribute__((always_inline)) __m128i cpr_codes(__m256i sum, __m256 scale, __m256 low, __m256 high, __m128i zero)
{
    const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
    const __m256i code = _mm256_cvtps_epi32(_mm256_min_ps(high, _mm256_max_ps(low, value)));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    const __m128i low_bytes = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1);
    return _mm_shuffle_epi8(_mm_add_epi16(words, zero), low_bytes);
}

#endif

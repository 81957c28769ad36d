/* depthwise_avx2.c - depthwise convolution, 4 pixels x 8 channels (AVX2 + FMA). */
#include <immintrin.h>
#include <stdbool.h>

#include "conv/depthwise_f32.h"
#include "vector/ymm.h"

#define EACH_PIXEL _Pragma("GCC unroll 4") for (int i = 0; i < N; i++)

/* Eight channels from c on; all: there are so many. */
static inline __attribute__((always_inline)) void channels_of(const int N, const bool all, int64_t c, int64_t channels, int64_t taps,
                                                              const float *const *rows, const float *w, const float *bias,
                                                              float low, float high, float *out, int64_t ldc)
{
    const __m256 lowest = _mm256_set1_ps(low), highest = _mm256_set1_ps(high);
    const int64_t left = channels - c;
    const __m256i lanes = cpr_lanes(left);
#define LOAD(from) (all ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, lanes))
    const __m256 start = bias ? LOAD(bias + c) : _mm256_setzero_ps();
    __m256 sum[4];
    EACH_PIXEL sum[i] = start;
    for (int64_t t = 0; t < taps; t++) {
        const __m256 wt = LOAD(w + t * channels + c);
        EACH_PIXEL sum[i] = _mm256_fmadd_ps(LOAD(rows[t * N + i] + c), wt, sum[i]);
    }
    EACH_PIXEL {
        sum[i] = _mm256_min_ps(highest, _mm256_max_ps(lowest, sum[i]));
        cpr_store_lanes(out + i * ldc + c, left, sum[i]);
    }
}

static inline __attribute__((always_inline)) void pixels(const int N, int64_t channels, int64_t taps,
                                                         const float *const *rows, const float *w, const float *bias,
                                                         float low, float high, float *out, int64_t ldc)
{
    int64_t c = 0;
    for (; c + 8 <= channels; c += 8)
        channels_of(N, true, c, channels, taps, rows, w, bias, low, high, out, ldc);
    if (c < channels)
        channels_of(N, false, c, channels, taps, rows, w, bias, low, high, out, ldc);
}

void cpr_depthwise_f32_avx2(int64_t n, int64_t channels, int64_t taps, const float *const *rows, const float *w,
                            const float *bias, float low, float high, float *out, int64_t ldc)
{
    switch (n) {
    case 1: pixels(1, channels, taps, rows, w, bias, low, high, out, ldc); break;
    case 2: pixels(2, channels, taps, rows, w, bias, low, high, out, ldc); break;
    case 3: pixels(3, channels, taps, rows, w, bias, low, high, out, ldc); break;
    default: pixels(4, channels, taps, rows, w, bias, low, high, out, ldc); break;
    }
}

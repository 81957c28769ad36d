/* depthwise_avx512.c - depthwise convolution, 4 pixels x 16 channels (AVX-512). */
#include <immintrin.h>

#include "conv/depthwise_f32.h"

#define EACH_PIXEL _Pragma("GCC unroll 4") for (int i = 0; i < N; i++)

static inline __attribute__((always_inline)) void pixels(const int N, int64_t channels, int64_t taps,
                                                         const float *const *rows, const float *w, const float *bias,
                                                         float low, float high, float *out, int64_t ldc)
{
    const __m512 lowest = _mm512_set1_ps(low), highest = _mm512_set1_ps(high);
    for (int64_t c = 0; c < channels; c += 16) {
        const __mmask16 lanes = channels - c >= 16 ? 0xffff : (__mmask16)((1u << (channels - c)) - 1);
        const __m512 start = bias ? _mm512_maskz_loadu_ps(lanes, bias + c) : _mm512_setzero_ps();
        __m512 sum[4];
        EACH_PIXEL sum[i] = start;
        for (int64_t t = 0; t < taps; t++) {
            const __m512 wt = _mm512_maskz_loadu_ps(lanes, w + t * channels + c);
            EACH_PIXEL sum[i] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, rows[t * N + i] + c), wt, sum[i]);
        }
        EACH_PIXEL {
            sum[i] = _mm512_min_ps(highest, _mm512_max_ps(lowest, sum[i]));
            _mm512_mask_storeu_ps(out + i * ldc + c, lanes, sum[i]);
        }
    }
}

void cpr_depthwise_f32_avx512(int64_t n, int64_t channels, int64_t taps, const float *const *rows, const float *w,
                              const float *bias, float low, float high, float *out, int64_t ldc)
{
    switch (n) {
    case 1: pixels(1, channels, taps, rows, w, bias, low, high, out, ldc); break;
    case 2: pixels(2, channels, taps, rows, w, bias, low, high, out, ldc); break;
    case 3: pixels(3, channels, taps, rows, w, bias, low, high, out, ldc); break;
    default: pixels(4, channels, taps, rows, w, bias, low, high, out, ldc); break;
    }
}

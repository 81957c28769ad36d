/* depthwise_s8_avx512vnni.c - depthwise int8: 16 channels, one VPDPWSSD per tap, 4 pixels.
 *
 * A byte widened to 32 bits has a zero upper half, so the pair of weights beside it adds the
 * product with its lower half only; the odd tap's weight is shifted down.
 */
#include <immintrin.h>

#include "conv/depthwise_s8.h"

#define EACH_PIXEL _Pragma("GCC unroll 4") for (int i = 0; i < N; i++)
#define DOT(sum, x, w) __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w))

static inline __attribute__((always_inline)) void pixels(const int N, const cpr_depthwise_s8_layer *p,
                                                         const uint8_t *const *rows, uint8_t *out, int64_t ldc)
{
    const int64_t channels = p->channels, taps = p->taps;
    const __m512 low = _mm512_set1_ps(p->low), high = _mm512_set1_ps(p->high);
    const __m512i zero_point = _mm512_set1_epi32(p->zero_point);
    for (int64_t c = 0; c < channels; c += 16) {
        const __mmask16 lanes = channels - c >= 16 ? 0xffff : (__mmask16)((1u << (channels - c)) - 1);
        const __m512i start = _mm512_maskz_loadu_epi32(lanes, p->start + c);
        __m512i sum[4];
        EACH_PIXEL sum[i] = start;
        for (int64_t t = 0; t < taps; t += 2) {
            const __m512i w = _mm512_maskz_loadu_epi32(lanes, p->w + (t / 2 * channels + c) * 2);
            EACH_PIXEL {
                const __m512i x = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, rows[t * N + i] + c));
                DOT(sum[i], x, w);
            }
            if (t + 1 == taps)
                break;
            const __m512i odd = _mm512_srli_epi32(w, 16);
            EACH_PIXEL {
                const __m512i x = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, rows[(t + 1) * N + i] + c));
                DOT(sum[i], x, odd);
            }
        }
        const __m512 scale = _mm512_maskz_loadu_ps(lanes, p->scale + c);
        EACH_PIXEL {
            const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i]), scale);
            const __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(high, _mm512_max_ps(low, value)));
            _mm_mask_storeu_epi8(out + i * ldc + c, lanes, _mm512_cvtepi32_epi8(_mm512_add_epi32(code, zero_point)));
        }
    }
}

void cpr_depthwise_s8_avx512vnni(const cpr_depthwise_s8_layer *p, int64_t n, const uint8_t *const *rows, uint8_t *out,
                                 int64_t ldc)
{
    switch (n) {
    case 1: pixels(1, p, rows, out, ldc); break;
    case 2: pixels(2, p, rows, out, ldc); break;
    case 3: pixels(3, p, rows, out, ldc); break;
    default: pixels(4, p, rows, out, ldc); break;
    }
}

/* depthwise_s8_avx2.c - depthwise int8: 8 channels, two taps per VPMADDWD; a tail in plain C. */
#include <immintrin.h>
#include <math.h>

#include "conv/depthwise_s8.h"
#include "vector/ymm.h"

static void tail(const cpr_depthwise_s8_layer *p, int64_t first, int64_t n, int64_t i, const uint8_t *const *rows,
                 uint8_t *out)
{
    for (int64_t c = first; c < p->channels; c++) {
        int32_t sum = p->start[c];
        for (int64_t t = 0; t < p->taps; t++)
            sum += rows[t * n + i][c] * p->w[(t / 2 * p->channels + c) * 2 + t % 2];
        float value = (float)sum * p->scale[c];
        value = p->low > value ? p->low : value;
        value = p->high < value ? p->high : value;
        out[c] = (uint8_t)((int32_t)rintf(value) + p->zero_point);
    }
}

void cpr_depthwise_s8_avx2(const cpr_depthwise_s8_layer *p, int64_t n, const uint8_t *const *rows, uint8_t *out,
                           int64_t ldc)
{
    const __m256 low = _mm256_set1_ps(p->low), high = _mm256_set1_ps(p->high);
    const __m128i zero_point = _mm_set1_epi16((int16_t)p->zero_point);
    const int64_t whole = p->channels / 8 * 8;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c = 0; c < whole; c += 8) {
            __m256i sum = _mm256_loadu_si256((const __m256i *)(p->start + c));
            for (int64_t t = 0; t < p->taps; t += 2) {
                const __m256i w = _mm256_loadu_si256((const __m256i *)(p->w + (t / 2 * p->channels + c) * 2));
                const __m128i a = _mm_loadl_epi64((const __m128i *)(rows[t * n + i] + c));
                const __m128i b = t + 1 < p->taps ? _mm_loadl_epi64((const __m128i *)(rows[(t + 1) * n + i] + c))
                                                  : _mm_setzero_si128();
                const __m256i both = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(both, w));
            }
            const __m128i bytes = cpr_codes(sum, _mm256_loadu_ps(p->scale + c), low, high, zero_point);
            _mm_storel_epi64((__m128i *)(out + i * ldc + c), bytes);
        }
        tail(p, whole, n, i, rows, out + i * ldc);
    }
}

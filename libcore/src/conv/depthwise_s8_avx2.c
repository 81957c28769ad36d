/* depthwise_s8_avx2.c - depthwise int8: 8 channels, two taps per VPMADDWD; a tail in plain C. */
#include <immintrin.h>
#include <math.h>

#include "conv/depthwise_s8.h"

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
    const __m256i zero_point = _mm256_set1_epi32(p->zero_point);
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
            const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(p->scale + c));
            const __m256i code =
                _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(high, _mm256_max_ps(low, value))), zero_point);
            const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
            /* Codes of u8 fit 16 bits; those of s8 keep their low byte. */
            const __m128i bytes = _mm_shuffle_epi8(words, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1));
            _mm_storel_epi64((__m128i *)(out + i * ldc + c), bytes);
        }
        tail(p, whole, n, i, rows, out + i * ldc);
    }
}

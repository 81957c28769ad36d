/* tile_avx2.c - int8 tiles of up to 2 rows x 1 panel for AVX2.
 *
 * Both sides are widened to 16 bits and VPMADDWD adds pairs of products exactly (VPMADDUBSW would
 * saturate).  One register holds 4 columns, each as two neighbouring partial sums.
 * Registers: 2 x 4 accumulators + 4 of B + 1 of A = 13 of 16.
 */
#include <immintrin.h>

#include "gemm_s8/gemm_s8.h"

#define EACH_ROW _Pragma("GCC unroll 2") for (int i = 0; i < MR; i++)
#define EACH_QUARTER _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++)

/* Store eight sums of columns [8 * half, 8 * half + 8). */
static inline __attribute__((always_inline)) void store(const cpr_block *p, int i, int half, __m256i sum)
{
    const int64_t left = p->n - 8 * half, at = i * p->ldc + 8 * half;
    if (left <= 0)
        return;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i columns = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? (int)left : 8), lane);
    if (!p->scale) {
        _mm256_maskstore_epi32((int32_t *)p->c + at, columns, sum);
        return;
    }
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(p->scale + 8 * half));
    if (p->store == CPR_F32 && p->residual)
        value = _mm256_add_ps(value, _mm256_maskload_ps((const float *)p->residual + i * p->ldr + 8 * half, columns));
    if (p->store == CPR_U8 && p->residual) {
        const uint8_t *from = (const uint8_t *)p->residual + i * p->ldr + 8 * half;
        uint8_t bytes[8] = {0};
        for (int64_t j = 0; j < 8 && j < left; j++)
            bytes[j] = from[j];
        const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bytes));
        const __m256 r = _mm256_cvtepi32_ps(_mm256_sub_epi32(code, _mm256_set1_epi32(p->residual_zero)));
        value = _mm256_min_ps(_mm256_set1_ps(p->inner_high), _mm256_max_ps(_mm256_set1_ps(p->inner_low), value));
        value = _mm256_round_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        value = _mm256_add_ps(_mm256_mul_ps(value, _mm256_set1_ps(p->inner_scale)),
                              _mm256_mul_ps(r, _mm256_set1_ps(p->residual_scale)));
    }
    value = _mm256_min_ps(_mm256_set1_ps(p->high), _mm256_max_ps(_mm256_set1_ps(p->low), value));
    if (p->store == CPR_F32) {
        _mm256_maskstore_ps((float *)p->c + at, columns, value);
        return;
    }
    const __m256i code = _mm256_add_epi32(_mm256_cvtps_epi32(value), _mm256_set1_epi32(p->zero_point));
    int32_t codes[8];
    _mm256_storeu_si256((__m256i *)codes, code);
    for (int64_t j = 0; j < 8 && j < left; j++)
        ((uint8_t *)p->c)[at + j] = (uint8_t)codes[j];
}

static inline __attribute__((always_inline)) void tile(const int MR, const cpr_block *p)
{
    __m256i acc[2][4];
    const int64_t taps = p->taps, kc = p->kc;
    EACH_ROW EACH_QUARTER acc[i][j] = _mm256_setzero_si256();

    const int8_t *b = p->b;
    for (int64_t t = 0; t < taps; t++) {
        const uint8_t *a[2];
        EACH_ROW a[i] = p->rows[t * MR + i];
        for (int64_t k = 0; k < kc; k += 4, b += 64) {
            __m256i bk[4];
            EACH_QUARTER bk[j] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 16 * j)));
            EACH_ROW {
                uint32_t quad = 0;
                if (k + 4 <= kc)
                    __builtin_memcpy(&quad, a[i] + k, sizeof quad);
                else
                    for (int64_t l = kc - 1; l >= k; l--)
                        quad = quad << 8 | a[i][l];
                const __m256i ak = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128((int32_t)quad)));
                EACH_QUARTER acc[i][j] = _mm256_add_epi32(acc[i][j], _mm256_madd_epi16(ak, bk[j]));
            }
        }
    }

    EACH_ROW {
        _Pragma("GCC unroll 2") for (int half = 0; half < 2; half++) {
            /* hadd works within 128-bit lanes: columns 0 1 4 5 2 3 6 7. */
            const __m256i pairs = _mm256_hadd_epi32(acc[i][2 * half], acc[i][2 * half + 1]);
            __m256i sum = _mm256_permute4x64_epi64(pairs, 0xd8);
            if (p->start)
                sum = _mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)((const int32_t *)p->start + 8 * half)));
            store(p, i, half, sum);
        }
    }
}

static void tile_1x1(const cpr_block *p) { tile(1, p); }
static void tile_2x1(const cpr_block *p) { tile(2, p); }

const cpr_tiles cpr_s8_tiles_avx2 = {
    .max_rows = {0, 2},
    .tile = {[1] = {NULL, tile_1x1, tile_2x1}},
};

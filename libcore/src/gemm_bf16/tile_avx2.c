/* tile_avx2.c - bfloat16 tiles of up to 4 rows x 1 panel for AVX2 + FMA.
 *
 * A register of B holds 8 pairs: the odd ones are its upper halves as they are, the even ones are
 * shifted up.  Registers: 4 x 2 accumulators + 4 of B + 2 of A + 1 mask = 15 of 16.  The caller has
 * told the processor to take subnormal numbers for zeros.
 */
#include <immintrin.h>

#include "gemm_bf16/gemm_bf16.h"
#include "product/tiles.h"
#include "vector/ymm.h"

#define EACH_ROW _Pragma("GCC unroll 4") for (int i = 0; i < MR; i++)
#define EACH_HALF _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)

static inline __attribute__((always_inline)) __m256 odd(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000)));
}

static inline __attribute__((always_inline)) __m256 even(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

/* Round to the nearest bfloat16, in the lower halves. */
static inline __attribute__((always_inline)) __m256i rounded(__m256 x)
{
    const __m256i bits = _mm256_castps_si256(x), upper = _mm256_srli_epi32(bits, 16);
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(upper, _mm256_set1_epi32(1)));
    const __m256i near = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i nan = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(near, nan, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}

/* Up to 8 floats of a residual; not inlined, so that nothing of the tile goes through memory. */
static __attribute__((noinline)) __m256 residual_of(const uint16_t *from, int64_t n)
{
    uint16_t halves[8] = {0};
    for (int64_t k = 0; k < 8 && k < n; k++)
        halves[k] = from[k];
    return even(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)halves)));
}

static inline __attribute__((always_inline)) void store(const cpr_block *p, int i, int j, __m256 c)
{
    const int64_t left = p->n - 8 * j, at = i * p->ldc + 8 * j, r = i * p->ldr + 8 * j;
    if (p->more) {
        cpr_store_lanes((float *)p->c + at, left, c);
        return;
    }
    if (p->zeros)
        c = _mm256_add_ps(c, _mm256_setzero_ps());
    if (p->residual && p->store == CPR_F32)
        c = _mm256_add_ps(c, _mm256_maskload_ps((const float *)p->residual + r, cpr_lanes(left)));
    else if (p->residual)
        c = _mm256_add_ps(c, residual_of((const uint16_t *)p->residual + r, left));
    c = _mm256_min_ps(_mm256_set1_ps(p->high), _mm256_max_ps(_mm256_set1_ps(p->low), c)); /* NaN passes */
    if (p->store == CPR_F32) {
        cpr_store_lanes((float *)p->c + at, left, c);
        return;
    }
    int32_t codes[8];
    _mm256_storeu_si256((__m256i *)codes, rounded(c));
    for (int64_t k = 0; k < 8 && k < left; k++)
        ((uint16_t *)p->c)[at + k] = (uint16_t)codes[k];
}

static inline __attribute__((always_inline)) __m256 first(const cpr_block *p, int i, int j)
{
    if (!p->resume)
        return p->start ? _mm256_loadu_ps((const float *)p->start + 8 * j) : _mm256_setzero_ps();
    return _mm256_maskload_ps((const float *)p->c + i * p->ldc + 8 * j, cpr_lanes(p->n - 8 * j));
}

static inline __attribute__((always_inline)) void tile(const int MR, const int panels, const cpr_block *p)
{
    (void)panels; /* one */
    __m256 acc[4][2];
    const int64_t taps = p->taps, kc = p->kc;
    EACH_ROW EACH_HALF acc[i][j] = first(p, i, j);

    const uint16_t *b = p->b;
    for (int64_t t = 0; t < taps; t++) {
        const uint16_t *a[4];
        EACH_ROW a[i] = p->rows[t * MR + i];
        for (int64_t k = 0; k < kc; k += 2, b += 32) {
            __m256i bk[2];
            EACH_HALF bk[j] = _mm256_loadu_si256((const __m256i *)(b + 16 * j));
            EACH_ROW {
                const uint32_t pair = k + 2 <= kc ? (uint32_t)a[i][k] | (uint32_t)a[i][k + 1] << 16 : a[i][k];
                const __m256i ak = _mm256_set1_epi32((int)pair);
                EACH_HALF acc[i][j] = _mm256_fmadd_ps(odd(ak), odd(bk[j]), acc[i][j]);
                EACH_HALF acc[i][j] = _mm256_fmadd_ps(even(ak), even(bk[j]), acc[i][j]);
            }
        }
    }
    EACH_HALF
        EACH_ROW store(p, i, j, acc[i][j]);
}

FOUR(1)

const cpr_tiles cpr_bf16_tiles_avx2 = {
    .max_rows = {0, 4},
    .tile = {[1] = {NULL, NAMES4(1)}},
};

/* tile_avx2.c - int8 tiles of up to 6 rows x 1 panel for AVX2.
 *
 * Both sides are widened to 16 bits and VPMADDWD adds pairs of products exactly (VPMADDUBSW would
 * saturate).  A is widened once for the whole panel, a block of k at a time, so that inside a row
 * costs one load; the panel's halves of 8 columns take turns, since one register holds 4 columns,
 * each as two neighbouring partial sums.  Registers: 6 x 2 accumulators + 2 of B + 1 of A = 15 of 16.
 */
#include <immintrin.h>

#include "gemm_s8/gemm_s8.h"

#define EACH_ROW _Pragma("GCC unroll 6") for (int i = 0; i < MR; i++)
#define EACH_PAIR _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)

/* Units of k that are widened at a time: 6 KB of stack for six rows. */
enum { BLOCK = 512, QUAD = 4, ROWS = 6 };

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
    /* The low bytes: codes are in the range of their type. */
    const __m256i low_bytes = _mm256_and_si256(code, _mm256_set1_epi32(255));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low_bytes), _mm256_extracti128_si256(low_bytes, 1));
    uint8_t codes[8];
    _mm_storel_epi64((__m128i *)(left < 8 ? codes : (uint8_t *)p->c + at), _mm_packus_epi16(words, words));
    for (int64_t j = 0; left < 8 && j < left; j++)
        ((uint8_t *)p->c)[at + j] = codes[j];
}

/* n bytes as 16-bit numbers, zeros up to a multiple of 4. */
static int16_t *widen(const uint8_t *from, int64_t n, int16_t *to)
{
    int64_t k = 0;
    for (; k + 16 <= n; k += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(from + k));
        _mm256_storeu_si256((__m256i *)(to + k), _mm256_cvtepu8_epi16(bytes));
    }
    for (; k < n; k++)
        to[k] = from[k];
    for (; k % QUAD; k++)
        to[k] = 0;
    return to + k;
}

/* Where a tile has come to. */
typedef struct {
    int64_t tap, k;
} place;

/* The next block of every row; returns its quads.  Taps follow one another as in B. */
static int64_t next_block(const cpr_block *p, int64_t rows, place *at, int16_t (*to)[BLOCK])
{
    place end = *at;
    int64_t quads = 0;
    for (int64_t i = 0; i < rows; i++) {
        int16_t *next = to[i];
        end = *at;
        while (end.tap < p->taps && next < to[i] + BLOCK) {
            const int64_t left = p->kc - end.k, room = to[i] + BLOCK - next, n = left < room ? left : room;
            next = widen((const uint8_t *)p->rows[end.tap * rows + i] + end.k, n, next);
            end.k += n;
            if (end.k >= p->kc)
                end = (place){end.tap + 1, 0};
        }
        quads = (next - to[i]) / QUAD;
    }
    *at = end;
    return quads;
}

/* Add a block's products to the sums of half a panel. */
static inline __attribute__((always_inline)) void add_block(const int MR, const int16_t (*a)[BLOCK], const int8_t *b,
                                                            int64_t quads, __m256i (*sums)[2])
{
    __m256i acc[ROWS][2];
    EACH_ROW EACH_PAIR acc[i][j] = sums[i][j];
    for (int64_t q = 0; q < quads; q++, b += 64) {
        __m256i bk[2];
        EACH_PAIR bk[j] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 16 * j)));
        EACH_ROW {
            const __m256i ak = _mm256_set1_epi64x(*(const long long *)(const void *)(a[i] + QUAD * q));
            EACH_PAIR acc[i][j] = _mm256_add_epi32(acc[i][j], _mm256_madd_epi16(ak, bk[j]));
        }
    }
    EACH_ROW EACH_PAIR sums[i][j] = acc[i][j];
}

static inline __attribute__((always_inline)) void tile(const int MR, const cpr_block *p)
{
    _Alignas(32) int16_t a[ROWS][BLOCK];
    __m256i sums[2][ROWS][2]; /* of the panel's halves */
    for (int half = 0; half < 2; half++)
        EACH_ROW EACH_PAIR sums[half][i][j] = _mm256_setzero_si256();
    const int8_t *b = p->b;
    for (place at = {0, 0}; at.tap < p->taps && p->kc > 0;) {
        const int64_t quads = next_block(p, MR, &at, a);
        add_block(MR, a, b, quads, sums[0]);
        add_block(MR, a, b + 32, quads, sums[1]);
        b += 64 * quads;
    }

    for (int i = 0; i < MR; i++) {
        _Pragma("GCC unroll 2") for (int half = 0; half < 2; half++) {
            /* hadd works within 128-bit lanes: columns 0 1 4 5 2 3 6 7. */
            const __m256i pairs = _mm256_hadd_epi32(sums[half][i][0], sums[half][i][1]);
            __m256i sum = _mm256_permute4x64_epi64(pairs, 0xd8);
            if (p->start)
                sum = _mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)((const int32_t *)p->start + 8 * half)));
            store(p, i, half, sum);
        }
    }
}

static void tile_1x1(const cpr_block *p) { tile(1, p); }
static void tile_2x1(const cpr_block *p) { tile(2, p); }
static void tile_3x1(const cpr_block *p) { tile(3, p); }
static void tile_4x1(const cpr_block *p) { tile(4, p); }
static void tile_5x1(const cpr_block *p) { tile(5, p); }
static void tile_6x1(const cpr_block *p) { tile(6, p); }

const cpr_tiles cpr_s8_tiles_avx2 = {
    .max_rows = {0, ROWS},
    .tile = {[1] = {NULL, tile_1x1, tile_2x1, tile_3x1, tile_4x1, tile_5x1, tile_6x1}},
};

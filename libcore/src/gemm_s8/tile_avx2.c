/* tile_avx2.c - int8 tiles of up to 6 rows x 4 panels for AVX2.
 *
 * Both sides are widened to 16 bits and VPMADDWD adds pairs of products exactly (VPMADDUBSW would
 * saturate).  A is widened once for all panels of the tile, a block of k at a time, so that inside
 * a row costs one load.  Half a panel, 8 columns, is computed at a time, since one register holds 4
 * columns, each as two neighbouring partial sums.  Registers: 6 x 2 accumulators + 2 of B + 1 of A
 * + 1 product = 16 of 16.
 */
#include <immintrin.h>
#include <string.h>

#include "gemm_s8/gemm_s8.h"
#include "product/tiles.h"
#include "vector/ymm.h"

#define EACH_ROW _Pragma("GCC unroll 6") for (int i = 0; i < MR; i++)
#define EACH_PAIR _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)

/* Units of k that are widened at a time: 6 KB of stack for six rows. */
enum { BLOCK = 512, QUAD = 4, ROWS = 6, HALVES = 2 * CPR_MAX_PANELS };

/* A row's 16 sums, in the order in which VPHADDD leaves them: columns 0 1 4 5 2 3 6 7, then the
 * second half's. */
typedef struct {
    __m256i half[2];
} sums_of_row;

/* To the order of the columns, or from it. */
static inline __attribute__((always_inline)) __m256i ordered(__m256i x)
{
    return _mm256_permute4x64_epi64(x, 0xd8);
}

/* 16 numbers of 4 bytes, in the order of the sums; NULL: zeros. */
static inline __attribute__((always_inline)) sums_of_row per_column(const void *from)
{
    sums_of_row found;
    EACH_PAIR found.half[j] = from ? ordered(_mm256_loadu_si256((const __m256i *)from + j)) : _mm256_setzero_si256();
    return found;
}

/* The first n bytes of a residual, 16 at most, as numbers in the order of the sums. */
static inline __attribute__((always_inline)) sums_of_row load_codes(const uint8_t *from, int64_t n)
{
    uint8_t bytes[CPR_PANEL] = {0};
    if (n < CPR_PANEL) {
        for (int64_t j = 0; j < n; j++)
            bytes[j] = from[j];
        from = bytes;
    }
    sums_of_row found;
    EACH_PAIR {
        const __m128i eight = _mm_loadl_epi64((const __m128i *)(const void *)(from + 8 * j));
        found.half[j] = ordered(_mm256_cvtepu8_epi32(eight));
    }
    return found;
}

/* Requantize and store bytes of all rows of a panel. */
static inline __attribute__((always_inline)) void finish_codes(const cpr_block *p, int64_t rows, int64_t column,
                                                               const bool residual, const sums_of_row *sums)
{
    const int64_t n = p->n - column;
    const sums_of_row start = per_column(p->start ? (const int32_t *)p->start + column : NULL);
    const sums_of_row scale = per_column(p->scale + column);
    const __m256 low = _mm256_set1_ps(p->low), high = _mm256_set1_ps(p->high);
    const __m256i zero = _mm256_set1_epi16((int16_t)p->zero_point);
    /* Codes are in the range of their type: its low byte. */
    const __m256i low_bytes = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1));
    uint8_t *to = (uint8_t *)p->c + column;
    const uint8_t *from = (const uint8_t *)p->residual + column;
    for (int64_t i = 0; i < rows; i++, to += p->ldc, from += p->ldr) {
        __m256i code[2];
        sums_of_row added;
        if (residual)
            added = load_codes(from, n);
        EACH_PAIR {
            __m256 value = _mm256_cvtepi32_ps(_mm256_add_epi32(sums[i].half[j], start.half[j]));
            value = _mm256_mul_ps(value, _mm256_castsi256_ps(scale.half[j]));
            if (residual) {
                const __m256 r = _mm256_cvtepi32_ps(_mm256_sub_epi32(added.half[j], _mm256_set1_epi32(p->residual_zero)));
                value = _mm256_min_ps(_mm256_set1_ps(p->inner_high), _mm256_max_ps(_mm256_set1_ps(p->inner_low), value));
                value = _mm256_round_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
                value = _mm256_add_ps(_mm256_mul_ps(value, _mm256_set1_ps(p->inner_scale)),
                                      _mm256_mul_ps(r, _mm256_set1_ps(p->residual_scale)));
            }
            code[j] = _mm256_cvtps_epi32(_mm256_min_ps(high, _mm256_max_ps(low, value)));
        }
        /* Columns 0 1 4 5 of both halves in the lower lane, 2 3 6 7 in the upper one: pairs of bytes take turns. */
        const __m256i words = _mm256_add_epi16(_mm256_packs_epi32(code[0], code[1]), zero);
        const __m256i bytes = _mm256_shuffle_epi8(words, low_bytes);
        const __m128i codes = _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
        if (n >= CPR_PANEL) {
            _mm_storeu_si128((__m128i *)(void *)to, codes);
        } else {
            uint8_t some[CPR_PANEL];
            _mm_storeu_si128((__m128i *)(void *)some, codes);
            for (int64_t j = 0; j < n; j++)
                to[j] = some[j];
        }
    }
}

/* What becomes of the sums of a panel that begins at `column`; not inlined: once per tile and panel. */
static __attribute__((noinline)) void finish(const cpr_block *p, int64_t rows, int64_t column, const sums_of_row *sums)
{
    if (p->scale && p->store != CPR_F32) {
        if (p->residual)
            finish_codes(p, rows, column, true, sums);
        else
            finish_codes(p, rows, column, false, sums);
        return;
    }
    const sums_of_row start = per_column(p->start ? (const int32_t *)p->start + column : NULL);
    const __m256 low = _mm256_set1_ps(p->low), high = _mm256_set1_ps(p->high);
    for (int64_t i = 0; i < rows; i++)
        EACH_PAIR {
            const int64_t first = column + 8 * j, left = p->n - first;
            const __m256i sum = ordered(_mm256_add_epi32(sums[i].half[j], start.half[j]));
            float *to = (float *)p->c + i * p->ldc + first;
            if (!p->scale) {
                cpr_store_lanes(to, left, _mm256_castsi256_ps(sum));
                continue;
            }
            __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(p->scale + first));
            if (p->residual)
                value = _mm256_add_ps(value, _mm256_maskload_ps((const float *)p->residual + i * p->ldr + first, cpr_lanes(left)));
            cpr_store_lanes(to, left, _mm256_min_ps(high, _mm256_max_ps(low, value)));
        }
}

/* n bytes as 16-bit numbers, zeros up to a multiple of 4. */
static inline int16_t *widen(const uint8_t *from, int64_t n, int16_t *to)
{
    int64_t k = 0;
    for (; k + 16 <= n; k += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + k));
        _mm256_storeu_si256((__m256i *)(void *)(to + k), _mm256_cvtepu8_epi16(bytes));
    }
    if (k + 8 <= n) {
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(from + k));
        _mm_storeu_si128((__m128i *)(void *)(to + k), _mm_cvtepu8_epi16(bytes));
        k += 8;
    }
    for (; k < n; k += QUAD) {
        uint32_t quad = 0;
        if (k + QUAD <= n)
            memcpy(&quad, from + k, sizeof quad);
        else
            for (int64_t l = n - 1; l >= k; l--)
                quad = quad << 8 | from[l];
        _mm_storel_epi64((__m128i *)(void *)(to + k), _mm_cvtepu8_epi16(_mm_cvtsi32_si128((int)quad)));
    }
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
    if (p->taps == 1 && p->kc <= BLOCK) {
        for (int64_t i = 0; i < rows; i++)
            widen(p->rows[i], p->kc, to[i]);
        *at = (place){1, 0};
        return (p->kc + QUAD - 1) / QUAD;
    }
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
                                                            int64_t quads, __m256i (*acc)[2])
{
    for (int64_t q = 0; q < quads; q++, b += 64) {
        __m256i bk[2];
        EACH_PAIR bk[j] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + 16 * j)));
        EACH_ROW {
            const __m256i ak = _mm256_set1_epi64x(*(const long long *)(const void *)(a[i] + QUAD * q));
            EACH_PAIR acc[i][j] = _mm256_add_epi32(acc[i][j], _mm256_madd_epi16(ak, bk[j]));
        }
    }
}

static inline __attribute__((always_inline)) void tile(const int MR, const int NP, const cpr_block *p)
{
    _Alignas(32) int16_t a[ROWS][BLOCK];
    __m256i sums[HALVES][ROWS][2]; /* between two blocks */
    sums_of_row found[ROWS];
    const int8_t *b = p->b;
    place at = {0, 0};
    bool first = true, last;
    do {
        const int64_t quads = p->kc > 0 ? next_block(p, MR, &at, a) : 0;
        last = p->kc <= 0 || at.tap >= p->taps;
        for (int half = 0; half < 2 * NP; half++) {
            __m256i acc[ROWS][2];
            EACH_ROW EACH_PAIR acc[i][j] = first ? _mm256_setzero_si256() : sums[half][i][j];
            add_block(MR, a, b + half / 2 * p->panel + half % 2 * 32, quads, acc);
            if (!last) {
                EACH_ROW EACH_PAIR sums[half][i][j] = acc[i][j];
                continue;
            }
            EACH_ROW found[i].half[half % 2] = _mm256_hadd_epi32(acc[i][0], acc[i][1]);
            if (half % 2)
                finish(p, MR, 8 * (half - 1), found);
        }
        b += 64 * quads;
        first = false;
    } while (!last);
}

SIX(1)
SIX(2)
SIX(4)

const cpr_tiles cpr_s8_tiles_avx2 = {
    .max_rows = {0, ROWS, ROWS, 0, ROWS},
    .tile = {[1] = {NULL, NAMES6(1)}, [2] = {NULL, NAMES6(2)}, [4] = {NULL, NAMES6(4)}},
};

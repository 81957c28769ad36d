/* copy_avx2.c - transposition in registers: 8x8 words, 8x8 halves, 16x16 bytes. */
#include <immintrin.h>

#include "vector/copy.h"

#define EACH(n) _Pragma("GCC unroll 16") for (int i = 0; i < n; i++)

/* Rows and columns that no whole tile covers. */
#define EDGES(t, side)                                                                         \
    for (int64_t c = 0; c < columns; c++) {                                                    \
        t *to = (t *)(y + c * y_step);                                                         \
        for (int64_t r = c < columns / side * side ? rows / side * side : 0; r < rows; r++)    \
            to[r] = ((const t *)(x + r * x_step))[c];                                          \
    }

static void tile_8x8_words(const char *x, int64_t x_step, char *y, int64_t y_step)
{
    __m256 a[8], b[8];
    EACH(8) a[i] = _mm256_loadu_ps((const float *)(x + i * x_step));
    EACH(4) {
        b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    EACH(2) {
        a[4 * i] = _mm256_shuffle_ps(b[4 * i], b[4 * i + 2], 0x44);
        a[4 * i + 1] = _mm256_shuffle_ps(b[4 * i], b[4 * i + 2], 0xee);
        a[4 * i + 2] = _mm256_shuffle_ps(b[4 * i + 1], b[4 * i + 3], 0x44);
        a[4 * i + 3] = _mm256_shuffle_ps(b[4 * i + 1], b[4 * i + 3], 0xee);
    }
    EACH(4) {
        b[i] = _mm256_permute2f128_ps(a[i], a[i + 4], 0x20);
        b[i + 4] = _mm256_permute2f128_ps(a[i], a[i + 4], 0x31);
    }
    EACH(8) _mm256_storeu_ps((float *)(y + i * y_step), b[i]);
}

/* Four rounds of interleaving row i with row i + 8 transpose 16 rows of 16 bytes. */
static void tile_16x16_bytes(const char *x, int64_t x_step, char *y, int64_t y_step)
{
    __m128i a[16], b[16];
    EACH(16) a[i] = _mm_loadu_si128((const __m128i *)(x + i * x_step));
#define ROUND(from, to)                                    \
    EACH(8) {                                              \
        to[2 * i] = _mm_unpacklo_epi8(from[i], from[i + 8]); \
        to[2 * i + 1] = _mm_unpackhi_epi8(from[i], from[i + 8]); \
    }
    ROUND(a, b)
    ROUND(b, a)
    ROUND(a, b)
    ROUND(b, a)
    EACH(16) _mm_storeu_si128((__m128i *)(y + i * y_step), a[i]);
}

/* Three rounds for 8 rows of 8 halves. */
static void tile_8x8_halves(const char *x, int64_t x_step, char *y, int64_t y_step)
{
    __m128i a[8], b[8];
    EACH(8) a[i] = _mm_loadu_si128((const __m128i *)(x + i * x_step));
#define ROUND_OF_HALVES(from, to)                            \
    EACH(4) {                                                \
        to[2 * i] = _mm_unpacklo_epi16(from[i], from[i + 4]); \
        to[2 * i + 1] = _mm_unpackhi_epi16(from[i], from[i + 4]); \
    }
    ROUND_OF_HALVES(a, b)
    ROUND_OF_HALVES(b, a)
    ROUND_OF_HALVES(a, b)
    EACH(8) _mm_storeu_si128((__m128i *)(y + i * y_step), b[i]);
}

#define TILES(t, side, tile)                                                                   \
    for (int64_t c = 0; c + side <= columns; c += side)                                        \
        for (int64_t r = 0; r + side <= rows; r += side)                                       \
            tile(x + r * x_step + c * (int64_t)sizeof(t), x_step, y + c * y_step + r * (int64_t)sizeof(t), y_step); \
    EDGES(t, side)

static void transpose_words(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t rows, int64_t columns)
{
    TILES(uint32_t, 8, tile_8x8_words)
}

static void transpose_bytes(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t rows, int64_t columns)
{
    TILES(uint8_t, 16, tile_16x16_bytes)
}

static void transpose_halves(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t rows, int64_t columns)
{
    TILES(uint16_t, 8, tile_8x8_halves)
}

static void transpose_doubles(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t rows, int64_t columns)
{
    EDGES(uint64_t, INT64_MAX)
}

const cpr_copy_ops cpr_copy_avx2 = {{transpose_bytes, transpose_halves, transpose_words, transpose_doubles}};

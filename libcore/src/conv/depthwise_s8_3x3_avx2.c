/* depthwise_s8_3x3_avx2.c - depthwise int8, 3 x 3: 8 channels, pairs of taps by VPMADDWD (AVX2).
 *
 * Of an input column the bytes of lines 0 and 1 are paired, and of line 2 those of two neighbouring
 * columns; pixels beside each other share both:
 *
 *     sum(x) = upper(x) w(0) + upper(x + 1) w(1) + upper(x + 2) w(2) + lower(x) w(3) + lower(x + 2) w(4)
 */
#include <immintrin.h>
#include <string.h>

#include "conv/depthwise_s8.h"
#include "vector/ymm.h"

enum { WIDTH = 8 };

/* What is the same for all pixels of eight channels. */
typedef struct {
    __m256i w[5], start; /* w: pairs of taps (0, 3), (1, 4), (2, 5), (6, 7), (8, none) */
    __m256 scale, low, high;
    __m128i zero;
    int64_t left; /* channels from the first of these on */
} block;

typedef struct {
    __m256i upper, lower;
} column;

/* One tap's weights of eight channels, in 32 bits each. */
static __m256i tap(const cpr_depthwise_s8_layer *p, int64_t c, int t)
{
    int32_t w[WIDTH] = {0};
    for (int64_t i = 0; i < WIDTH && c + i < p->channels; i++)
        w[i] = p->w[((int64_t)(t / 2) * p->channels + c + i) * 2 + t % 2];
    return _mm256_loadu_si256((const __m256i *)w);
}

static __m256i paired(__m256i even, __m256i odd)
{
    return _mm256_or_si256(_mm256_and_si256(even, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(odd, 16));
}

static void prepare(const cpr_depthwise_s8_layer *p, int64_t c, block *b)
{
    for (int k = 0; k < 3; k++)
        b->w[k] = paired(tap(p, c, k), tap(p, c, 3 + k));
    b->w[3] = paired(tap(p, c, 6), tap(p, c, 7));
    b->w[4] = paired(tap(p, c, 8), _mm256_setzero_si256());
    b->left = p->channels - c;
    const size_t bytes = (size_t)(b->left < WIDTH ? b->left : WIDTH) * 4;
    int32_t start[WIDTH] = {0};
    float scale[WIDTH] = {0};
    memcpy(start, p->start + c, bytes);
    memcpy(scale, p->scale + c, bytes);
    b->start = _mm256_loadu_si256((const __m256i *)start);
    b->scale = _mm256_loadu_ps(scale);
    b->low = _mm256_set1_ps(p->low);
    b->high = _mm256_set1_ps(p->high);
    b->zero = _mm_set1_epi16((int16_t)p->zero_point);
}

/* The bytes of one input pixel. */
static inline __attribute__((always_inline)) __m128i bytes_at(const bool whole, const block *b, const char *from)
{
    if (whole)
        return _mm_loadl_epi64((const __m128i *)(const void *)from);
    uint8_t some[WIDTH] = {0};
    for (int64_t i = 0; i < b->left; i++)
        some[i] = ((const uint8_t *)from)[i];
    return _mm_loadl_epi64((const __m128i *)(const void *)some);
}

/* Where pixel x of line k lies, inside the image or not. */
static inline __attribute__((always_inline)) const char *at(const cpr_depthwise_line *line, int k, int64_t c, int64_t x)
{
    const bool inside = x >= 0 && x < line->width && line->line[k];
    return (inside ? line->line[k] + x * line->step : line->padding) + c;
}

static inline __attribute__((always_inline)) __m256i widened(__m128i even, __m128i odd)
{
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd));
}

static inline __attribute__((always_inline)) __m256i upper_at(const bool whole, const block *b,
                                                              const cpr_depthwise_line *line, int64_t c, int64_t x)
{
    return widened(bytes_at(whole, b, at(line, 0, c, x)), bytes_at(whole, b, at(line, 1, c, x)));
}

static inline __attribute__((always_inline)) void pixel(const bool whole, const block *b, __m256i x, __m256i y, __m256i z,
                                                        __m256i lower, __m256i last, uint8_t *out)
{
    __m256i sum = _mm256_add_epi32(b->start, _mm256_madd_epi16(x, b->w[0]));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(y, b->w[1]));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(z, b->w[2]));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lower, b->w[3]));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(last, b->w[4]));
    const __m128i codes = cpr_codes(sum, b->scale, b->low, b->high, b->zero);
    uint8_t some[WIDTH];
    _mm_storel_epi64((__m128i *)(void *)(whole ? out : some), codes);
    for (int64_t i = 0; !whole && i < b->left; i++)
        out[i] = some[i];
}

static inline __attribute__((always_inline)) void do_line(const bool whole, const block *b, const cpr_depthwise_line *line,
                                                          int64_t c)
{
    uint8_t *out = (uint8_t *)line->out + c;
    int64_t x = line->first;
    const int64_t stride = line->stride;
    __m256i u0 = upper_at(whole, b, line, c, x), u1 = upper_at(whole, b, line, c, x + 1);
    __m128i p0 = bytes_at(whole, b, at(line, 2, c, x)), p1 = bytes_at(whole, b, at(line, 2, c, x + 1));
    for (int64_t i = 0; i < line->n; i++, x += stride, out += line->ldc) {
        const __m256i u2 = upper_at(whole, b, line, c, x + 2);
        const __m128i p2 = bytes_at(whole, b, at(line, 2, c, x + 2));
        pixel(whole, b, u0, u1, u2, widened(p0, p1), _mm256_cvtepu8_epi32(p2), out);
        if (stride == 1) {
            u0 = u1;
            u1 = u2;
            p0 = p1;
            p1 = p2;
        } else {
            u0 = u2;
            p0 = p2;
            u1 = upper_at(whole, b, line, c, x + 3);
            p1 = bytes_at(whole, b, at(line, 2, c, x + 3));
        }
    }
}

void cpr_depthwise_s8_3x3_avx2(const cpr_depthwise_s8_layer *p, const cpr_depthwise_line *lines, int64_t n)
{
    for (int64_t c = 0; c < p->channels; c += WIDTH) {
        block b;
        prepare(p, c, &b);
        for (int64_t i = 0; i < n; i++)
            if (b.left >= WIDTH)
                do_line(true, &b, &lines[i], c);
            else
                do_line(false, &b, &lines[i], c);
    }
}

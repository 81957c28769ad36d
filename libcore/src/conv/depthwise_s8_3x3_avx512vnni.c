/* depthwise_s8_3x3_avx512vnni.c - depthwise int8, 3 x 3: a column of the window per VPDPBUSD.
 *
 * 64 channels at a time.  The bytes of the three lines at one input column are interleaved to
 * (line 0, line 1, line 2, 0) for each channel: four registers of 16 channels, which three output
 * pixels share at stride 1.  Interleaving works inside 128 bits, so register j holds the channels
 * 16 L + 4 j .. + 3 in its quarter L; packing the results undoes that.
 */
#include <immintrin.h>

#include "conv/depthwise_s8.h"

#define EACH _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++)
#define DOT(sum, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "m"(w))

typedef struct {
    __m512i part[4];
} column;

/* What is the same for all pixels of 64 channels, in the order of the interleaved registers. */
typedef struct {
    __m512i w[3][4], start[4];
    __m512 scale[4];
    __m512 high;
    __m512i zero, least;
    __mmask64 lanes; /* the channels that exist */
    int64_t left;    /* how many they are */
    bool is_signed;
} block;

/* x[k] holds channels 16 k .. + 15, one in 32 bits; afterwards in the interleaved order. */
static inline __attribute__((always_inline)) void interleave(__m512i *x)
{
    const __m512i a = _mm512_shuffle_i32x4(x[0], x[1], 0x88), b = _mm512_shuffle_i32x4(x[2], x[3], 0x88);
    const __m512i c = _mm512_shuffle_i32x4(x[0], x[1], 0xdd), d = _mm512_shuffle_i32x4(x[2], x[3], 0xdd);
    x[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    x[1] = _mm512_shuffle_i32x4(c, d, 0x88);
    x[2] = _mm512_shuffle_i32x4(a, b, 0xdd);
    x[3] = _mm512_shuffle_i32x4(c, d, 0xdd);
}

/* The weights of taps t, t + 3 and t + 6 of 16 channels as bytes of 32 bits. */
static inline __attribute__((always_inline)) __m512i column_weights(const cpr_depthwise_s8_layer *p, int64_t c,
                                                                    __mmask16 lanes, int t)
{
    __m512i found = _mm512_setzero_si512();
    for (int kh = 0; kh < 3; kh++) {
        const int tap = t + 3 * kh;
        __m512i w = _mm512_maskz_loadu_epi32(lanes, p->w + ((int64_t)(tap / 2) * p->channels + c) * 2);
        w = _mm512_and_si512(_mm512_srl_epi32(w, _mm_cvtsi32_si128(16 * (tap % 2))), _mm512_set1_epi32(0xff));
        found = _mm512_or_si512(found, _mm512_sll_epi32(w, _mm_cvtsi32_si128(8 * kh)));
    }
    return found;
}

static void prepare(const cpr_depthwise_s8_layer *p, int64_t c, block *b)
{
    const int64_t left = p->channels - c;
    __m512i scale[4];
    b->left = left < 64 ? left : 64;
    b->lanes = left >= 64 ? ~0ull : (1ull << left) - 1;
    EACH {
        const __mmask16 lanes = (__mmask16)(b->lanes >> (16 * j));
        for (int kw = 0; kw < 3; kw++)
            b->w[kw][j] = column_weights(p, c + 16 * j, lanes, kw);
        b->start[j] = _mm512_maskz_loadu_epi32(lanes, p->start + c + 16 * j);
        scale[j] = _mm512_maskz_loadu_epi32(lanes, p->scale + c + 16 * j);
    }
    for (int kw = 0; kw < 3; kw++)
        interleave(b->w[kw]);
    interleave(b->start);
    interleave(scale);
    EACH b->scale[j] = _mm512_castsi512_ps(scale[j]);
    b->high = _mm512_set1_ps(p->high);
    b->zero = _mm512_set1_epi16((int16_t)p->zero_point);
    b->least = _mm512_set1_epi16((int16_t)(__builtin_lrintf(p->low) + p->zero_point));
    b->is_signed = p->is_signed;
}

static inline __attribute__((always_inline)) column column_at(const block *b, const cpr_depthwise_line *line, int64_t c,
                                                              int64_t x)
{
    const bool inside = x >= 0 && x < line->width;
    __m512i row[3];
    for (int k = 0; k < 3; k++) {
        const char *from = inside && line->line[k] ? line->line[k] + x * line->step : line->padding;
        row[k] = _mm512_maskz_loadu_epi8(b->lanes, from + c);
    }
    const __m512i zero = _mm512_setzero_si512();
    const __m512i low = _mm512_unpacklo_epi8(row[0], row[1]), high = _mm512_unpackhi_epi8(row[0], row[1]);
    const __m512i low2 = _mm512_unpacklo_epi8(row[2], zero), high2 = _mm512_unpackhi_epi8(row[2], zero);
    return (column){{_mm512_unpacklo_epi16(low, low2), _mm512_unpackhi_epi16(low, low2),
                     _mm512_unpacklo_epi16(high, high2), _mm512_unpackhi_epi16(high, high2)}};
}

static inline __attribute__((always_inline)) void pixel(const block *b, const column *x, const column *y, const column *z,
                                                        uint8_t *out)
{
    __m512i sum[4];
    EACH sum[j] = b->start[j];
    EACH DOT(sum[j], x->part[j], b->w[0][j]);
    EACH DOT(sum[j], y->part[j], b->w[1][j]);
    EACH DOT(sum[j], z->part[j], b->w[2][j]);
    EACH sum[j] = _mm512_cvtps_epi32(_mm512_min_ps(b->high, _mm512_mul_ps(_mm512_cvtepi32_ps(sum[j]), b->scale[j])));
    const __m512i low = _mm512_max_epi16(b->least, _mm512_adds_epi16(b->zero, _mm512_packs_epi32(sum[0], sum[1])));
    const __m512i high = _mm512_max_epi16(b->least, _mm512_adds_epi16(b->zero, _mm512_packs_epi32(sum[2], sum[3])));
    const __m512i codes = b->is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
    /* Masked stores of bytes take many cycles. */
    if (b->left == 64)
        _mm512_storeu_si512(out, codes);
    else if (b->left == 32)
        _mm256_storeu_si256((__m256i *)out, _mm512_castsi512_si256(codes));
    else if (b->left == 16)
        _mm_storeu_si128((__m128i *)out, _mm512_castsi512_si128(codes));
    else
        _mm512_mask_storeu_epi8(out, b->lanes, codes);
}

static void do_line(const block *b, const cpr_depthwise_line *line, int64_t c)
{
    uint8_t *out = (uint8_t *)line->out + c;
    int64_t x = line->first, i = 0;
    column p = column_at(b, line, c, x), q, r;
    if (line->stride == 1) {
        q = column_at(b, line, c, x + 1);
        for (; i + 3 <= line->n; i += 3, x += 3, out += 3 * line->ldc) {
            r = column_at(b, line, c, x + 2);
            pixel(b, &p, &q, &r, out);
            p = column_at(b, line, c, x + 3);
            pixel(b, &q, &r, &p, out + line->ldc);
            q = column_at(b, line, c, x + 4);
            pixel(b, &r, &p, &q, out + 2 * line->ldc);
        }
        for (; i < line->n; i++, x++, out += line->ldc) {
            r = column_at(b, line, c, x + 2);
            pixel(b, &p, &q, &r, out);
            p = q;
            q = r;
        }
        return;
    }
    for (; i < line->n; i++, x += 2, out += line->ldc) {
        q = column_at(b, line, c, x + 1);
        r = column_at(b, line, c, x + 2);
        pixel(b, &p, &q, &r, out);
        p = r;
    }
}

void cpr_depthwise_s8_3x3_avx512vnni(const cpr_depthwise_s8_layer *p, const cpr_depthwise_line *lines, int64_t n)
{
    for (int64_t c = 0; c < p->channels; c += 64) {
        block b;
        prepare(p, c, &b);
        for (int64_t i = 0; i < n; i++)
            do_line(&b, &lines[i], c);
    }
}

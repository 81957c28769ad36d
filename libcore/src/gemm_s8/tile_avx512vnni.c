/* tile_avx512vnni.c - int8 tiles of up to 14 rows x 2 panels, 6 rows x 4 panels (VNNI).
 *
 * VPDPBUSD adds four products of unsigned and signed bytes to an int32 lane without saturating.
 * It is written as inline assembly: gcc 12 spills the accumulators of its intrinsic in any tile
 * wider than 16 columns.  Registers: 14 x 2 accumulators + 2 of B + 1 broadcast of A = 31 of 32.
 */
#include <immintrin.h>

#include "gemm_s8/gemm_s8.h"

#define EACH_ROW _Pragma("GCC unroll 14") for (int i = 0; i < MR; i++)
#define EACH_PANEL _Pragma("GCC unroll 4") for (int j = 0; j < NP; j++)

/* acc += the four products of each lane. */
#define DOT(acc, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))

/* Sums, or floats, as they are. */
static inline __attribute__((always_inline)) void store(const cpr_block *p, int i, int j, __m512i sum)
{
    const int64_t left = p->n - 16 * j, at = i * p->ldc + 16 * j;
    const __mmask16 columns = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
    if (!p->scale) {
        _mm512_mask_storeu_epi32((int32_t *)p->c + at, columns, sum);
        return;
    }
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(p->scale + 16 * j));
    if (p->residual)
        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(columns, (const float *)p->residual + i * p->ldr + 16 * j));
    value = _mm512_min_ps(_mm512_set1_ps(p->high), _mm512_max_ps(_mm512_set1_ps(p->low), value));
    _mm512_mask_storeu_ps((float *)p->c + at, columns, value);
}

/* What becomes a code: not above `high`, so that its conversion does not overflow. */
static inline __attribute__((always_inline)) __m512i rounded(const cpr_block *p, bool residual, int i, int j, __m512i sum)
{
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(p->scale + 16 * j));
    if (residual) {
        const int64_t left = p->n - 16 * j;
        const __mmask16 columns = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        const uint8_t *from = (const uint8_t *)p->residual + i * p->ldr + 16 * j;
        const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(columns, from));
        const __m512 r = _mm512_cvtepi32_ps(_mm512_sub_epi32(code, _mm512_set1_epi32(p->residual_zero)));
        value = _mm512_min_ps(_mm512_set1_ps(p->inner_high), _mm512_max_ps(_mm512_set1_ps(p->inner_low), value));
        value = _mm512_roundscale_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        value = _mm512_add_ps(_mm512_mul_ps(value, _mm512_set1_ps(p->inner_scale)),
                              _mm512_mul_ps(r, _mm512_set1_ps(p->residual_scale)));
    }
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(p->high), value));
}

/* Store 16, 32 or 64 codes.  Masked stores of bytes take many cycles, so only where it must be. */
static inline __attribute__((always_inline)) void store_bytes(const int NP, uint8_t *c, uint64_t columns, bool whole,
                                                              __m512i codes)
{
    if (NP == 4) {
        if (whole)
            _mm512_storeu_si512(c, codes);
        else
            _mm512_mask_storeu_epi8(c, columns, codes);
    } else if (NP == 2) {
        if (whole)
            _mm256_storeu_si256((__m256i *)c, _mm512_castsi512_si256(codes));
        else
            _mm256_mask_storeu_epi8(c, (__mmask32)columns, _mm512_castsi512_si256(codes));
    } else if (whole) {
        _mm_storeu_si128((__m128i *)c, _mm512_castsi512_si128(codes));
    } else {
        _mm_mask_storeu_epi8(c, (__mmask16)columns, _mm512_castsi512_si128(codes));
    }
}

/* The columns of `panels` panels that exist. */
static inline __attribute__((always_inline)) uint64_t columns_of(const cpr_block *p, int panels)
{
    return p->n >= 16 * panels ? ~0ull >> (64 - 16 * panels) : (1ull << p->n) - 1;
}

/* Store all codes of a tile, four registers at a time: 4 rows x 1, 2 x 2 or 1 x 4 panels.  The
 * lower bound is applied to 16-bit numbers: rint and both bounds being monotone, the order does not
 * matter. */
static inline __attribute__((always_inline)) void store_codes(const int MR, const int NP, const cpr_block *p,
                                                              bool residual, __m512i acc[14][4])
{
    const int rows = 4 / NP;
    const bool whole = p->n >= 16 * NP;
    const uint64_t columns = columns_of(p, NP);
    const __m512i zero = _mm512_set1_epi16((int16_t)p->zero_point);
    const __m512i least = _mm512_set1_epi16((int16_t)(__builtin_lrintf(p->low) + p->zero_point));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const bool is_signed = p->store == CPR_S8;
    uint8_t *c = p->c;
    const int64_t ldc = p->ldc;
    _Pragma("GCC unroll 14") for (int i = 0; i < MR; i += rows) {
        __m512i v[4];
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {
            const int row = i + k / NP < MR ? i + k / NP : i;
            v[k] = row == i + k / NP ? rounded(p, residual, row, k % NP, acc[row][k % NP]) : v[0];
        }
        const __m512i a = _mm512_max_epi16(least, _mm512_adds_epi16(zero, _mm512_packs_epi32(v[0], v[1])));
        const __m512i b = _mm512_max_epi16(least, _mm512_adds_epi16(zero, _mm512_packs_epi32(v[2], v[3])));
        const __m512i mixed = is_signed ? _mm512_packs_epi16(a, b) : _mm512_packus_epi16(a, b);
        const __m512i codes = _mm512_permutexvar_epi32(order, mixed);
        store_bytes(NP, c + i * ldc, columns, whole, codes);
        if (rows == 2 && i + 1 < MR)
            store_bytes(NP, c + (i + 1) * ldc, columns, whole, _mm512_castsi256_si512(_mm512_extracti64x4_epi64(codes, 1)));
        if (rows == 4 && i + 1 < MR)
            store_bytes(NP, c + (i + 1) * ldc, columns, whole, _mm512_castsi128_si512(_mm512_extracti32x4_epi32(codes, 1)));
        if (rows == 4 && i + 2 < MR)
            store_bytes(NP, c + (i + 2) * ldc, columns, whole, _mm512_castsi128_si512(_mm512_extracti32x4_epi32(codes, 2)));
        if (rows == 4 && i + 3 < MR)
            store_bytes(NP, c + (i + 3) * ldc, columns, whole, _mm512_castsi128_si512(_mm512_extracti32x4_epi32(codes, 3)));
    }
}

/* One quad of k. */
static inline __attribute__((always_inline)) void step(const int MR, const int NP, __m512i acc[14][4], const uint8_t *const *a,
                                                       int64_t k, const int8_t *b, int64_t panel)
{
    __m512i bk[4];
    EACH_PANEL bk[j] = _mm512_loadu_si512(b + j * panel);
    EACH_ROW {
        int32_t quad;
        __builtin_memcpy(&quad, a[i] + k, sizeof quad);
        const __m512i ak = _mm512_set1_epi32(quad);
        EACH_PANEL DOT(acc[i][j], ak, bk[j]);
    }
}

static inline __attribute__((always_inline)) void tile(const int MR, const int NP, const cpr_block *p)
{
    __m512i acc[14][4];
    const int64_t taps = p->taps, kc = p->kc, panel = p->panel;
    EACH_PANEL {
        const __m512i start = p->start ? _mm512_loadu_si512((const int32_t *)p->start + 16 * j) : _mm512_setzero_si512();
        EACH_ROW acc[i][j] = start;
    }

    const int8_t *b = p->b;
    const char *ahead = p->ahead;
    const int64_t ahead_step = p->ahead_step;
    for (int64_t t = 0; t < taps; t++) {
        const uint8_t *a[14];
        EACH_ROW a[i] = p->rows[t * MR + i];
        int64_t k = 0;
        for (; NP == 1 && !ahead_step && k + 16 <= kc; k += 16, b += 4 * 64) /* more than 14 pointers: reload them less */
            _Pragma("GCC unroll 4") for (int u = 0; u < 4; u++) step(MR, NP, acc, a, k + 4 * u, b + 64 * u, panel);
        for (; k + 4 <= kc; k += 4, b += 64) {
            step(MR, NP, acc, a, k, b, panel);
            _mm_prefetch(ahead, _MM_HINT_T1);
            ahead += ahead_step;
        }
        if (k < kc) {
            EACH_ROW {
                uint32_t quad = 0;
                for (int64_t l = kc - 1; l >= k; l--)
                    quad = quad << 8 | a[i][l];
                const __m512i ak = _mm512_set1_epi32((int32_t)quad);
                EACH_PANEL {
                    const __m512i bk = _mm512_loadu_si512(b + j * panel);
                    DOT(acc[i][j], ak, bk);
                }
            }
            b += 64;
        }
    }

    if (p->scale && p->store != CPR_F32)
        if (p->residual)
            store_codes(MR, NP, p, true, acc);
        else
            store_codes(MR, NP, p, false, acc);
    else
        EACH_PANEL EACH_ROW store(p, i, j, acc[i][j]);
}

#define TILE(rows, panels) \
    static void tile_##rows##x##panels(const cpr_block *p) { tile(rows, panels, p); }
#define SIX(panels) \
    TILE(1, panels) TILE(2, panels) TILE(3, panels) TILE(4, panels) TILE(5, panels) TILE(6, panels)
#define FOURTEEN(panels)                                                                       \
    SIX(panels) TILE(7, panels) TILE(8, panels) TILE(9, panels) TILE(10, panels)               \
    TILE(11, panels) TILE(12, panels) TILE(13, panels) TILE(14, panels)
FOURTEEN(1)
FOURTEEN(2)
SIX(4)

#define NAMES6(p) tile_1x##p, tile_2x##p, tile_3x##p, tile_4x##p, tile_5x##p, tile_6x##p
#define NAMES14(p)                                                                              \
    NAMES6(p), tile_7x##p, tile_8x##p, tile_9x##p, tile_10x##p, tile_11x##p, tile_12x##p,       \
        tile_13x##p, tile_14x##p

const cpr_tiles cpr_s8_tiles_avx512vnni = {
    .max_rows = {0, 14, 14, 0, 6},
    .tile = {[1] = {NULL, NAMES14(1)}, [2] = {NULL, NAMES14(2)}, [4] = {NULL, NAMES6(4)}},
};

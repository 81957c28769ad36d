/* store_zmm.h - what becomes of int32 sums in registers of 16 columns (AVX-512). */
#include "gemm_s8/gemm_s8.h"
#include "product/zmm.h"

static inline __attribute__((always_inline)) __m512 scaled(const cpr_block *p, int j, __m512i sum)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(p->scale + 16 * j));
}

/* All sums, or floats, as they are (by store_rows of zmm.h the tiles of codes would be a tenth slower). */
static inline __attribute__((always_inline)) void store_words(const int MR, const int NP, const cpr_block *p,
                                                              __m512i acc[14][4])
{
    const bool whole = p->n >= 16 * NP;
    if (p->scale) {
        const float *residual = p->residual;
        const int64_t ldr = cpr_here(p->ldr);
        const __m512 low = _mm512_set1_ps(cpr_here_float(&p->low)), high = _mm512_set1_ps(cpr_here_float(&p->high));
        EACH_ROW {
            EACH_PANEL {
                __m512 value = scaled(p, j, acc[i][j]);
                if (residual)
                    value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask_of(p->n - 16 * j), residual + 16 * j));
                acc[i][j] = _mm512_castps_si512(_mm512_min_ps(high, _mm512_max_ps(low, value)));
            }
            residual = residual ? residual + ldr : NULL;
        }
    }
    int32_t *c = p->c;
    const int64_t ldc = cpr_here(p->ldc);
    EACH_ROW {
        EACH_PANEL {
            if (whole)
                _mm512_storeu_si512(c + 16 * j, acc[i][j]);
            else
                _mm512_mask_storeu_epi32(c + 16 * j, mask_of(p->n - 16 * j), acc[i][j]);
        }
        c += ldc;
    }
}

/* Whether the codes of a tile can be clipped by saturation alone: the bounds are those of the type, and
 * nothing is so large that it cannot be converted to an int32. */
static inline __attribute__((always_inline)) bool saturates(const int NP, const cpr_block *p)
{
    const bool is_signed = p->store == CPR_S8;
    const long least = is_signed ? -128 : 0, most = is_signed ? 127 : 255;
    if (__builtin_lrintf(p->low) + p->zero_point > least || __builtin_lrintf(p->high) + p->zero_point < most)
        return false;
    const float large = 1 << 20, width = 1 << 10; /* below 2^31 with the other half of the sum */
    if (p->residual)
        return __builtin_fabsf(p->inner_low) <= width && __builtin_fabsf(p->inner_high) <= width &&
               __builtin_fabsf(p->inner_scale) <= large && __builtin_fabsf(p->residual_scale) <= large;
    bool small = true;
    EACH_PANEL {
        const __m512 size = _mm512_abs_ps(_mm512_loadu_ps(p->scale + 16 * j));
        small &= _mm512_cmp_ps_mask(size, _mm512_set1_ps(1.0f), _CMP_LT_OQ) == 0xffff;
    }
    return small;
}

/* 16 codes of the residual, as int32. */
static inline __attribute__((always_inline)) __m512i codes_at(const uint8_t *from, bool whole, int64_t left)
{
    return _mm512_cvtepu8_epi32(whole ? _mm_loadu_si128((const __m128i *)from) : _mm_maskz_loadu_epi8(mask_of(left), from));
}

/* The sum with its residual: quantized itself before the addition. */
static inline __attribute__((always_inline)) __m512 added(const cpr_block *p, __m512i code, __m512 value)
{
    const __m512 r = _mm512_cvtepi32_ps(_mm512_sub_epi32(code, _mm512_set1_epi32(p->residual_zero)));
    value = _mm512_min_ps(_mm512_set1_ps(p->inner_high), _mm512_max_ps(_mm512_set1_ps(p->inner_low), value));
    value = _mm512_roundscale_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_add_ps(_mm512_mul_ps(value, _mm512_set1_ps(p->inner_scale)),
                         _mm512_mul_ps(r, _mm512_set1_ps(p->residual_scale)));
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

/* The lower bound is applied to 16-bit numbers: rint and both bounds being monotone, the order does not
 * matter. */
static inline __attribute__((always_inline)) __m512i joined(__m512i a, __m512i b, bool free, __m512i zero, __m512i least)
{
    const __m512i codes = _mm512_adds_epi16(zero, _mm512_packs_epi32(a, b));
    return free ? codes : _mm512_max_epi16(least, codes);
}

/* Store all codes of a tile, four registers at a time: 4 rows x 1, 2 x 2 or 1 x 4 panels. */
static inline __attribute__((always_inline)) void store_codes(const int MR, const int NP, const cpr_block *p,
                                                              bool residual, bool free, __m512i acc[14][4])
{
    const int rows = 4 / NP;
    const bool whole = p->n >= 16 * NP;
    const uint64_t columns = columns_of(p, NP);
    const __m512i zero = _mm512_set1_epi16((int16_t)p->zero_point);
    const __m512i least = _mm512_set1_epi16((int16_t)(__builtin_lrintf(p->low) + p->zero_point));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const bool is_signed = p->store == CPR_S8;
    uint8_t *c = p->c;
    const int64_t ldc = cpr_here(p->ldc), ldr = cpr_here(p->ldr);
    const __m512 high = _mm512_set1_ps(p->high); /* not above it, so that the conversion does not overflow */
    const uint8_t *from = p->residual;
    _Pragma("GCC unroll 14") for (int i = 0; i < MR; i += rows) {
        __m512i v[4], code[4];
        const int n = MR - i < rows ? (MR - i) * NP : 4;
        if (residual && whole)
            _Pragma("GCC unroll 4") for (int k = 0; k < n; k++)
                code[k] = codes_at(from + k / NP * ldr + 16 * (k % NP), true, 16);
        else if (residual)
            _Pragma("GCC unroll 4") for (int k = 0; k < n; k++)
                code[k] = codes_at(from + k / NP * ldr + 16 * (k % NP), false, p->n - 16 * (k % NP));
        from = residual ? from + rows * ldr : NULL;
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {
            if (k >= n) {
                v[k] = v[0];
                continue;
            }
            __m512 value = scaled(p, k % NP, acc[i + k / NP][k % NP]);
            if (residual)
                value = added(p, code[k], value);
            v[k] = _mm512_cvtps_epi32(free ? value : _mm512_min_ps(high, value));
        }
        const __m512i a = joined(v[0], v[1], free, zero, least), b = joined(v[2], v[3], free, zero, least);
        const __m512i mixed = is_signed ? _mm512_packs_epi16(a, b) : _mm512_packus_epi16(a, b);
        const __m512i codes = _mm512_permutexvar_epi32(order, mixed);
        store_bytes(NP, c, columns, whole, codes);
        c += ldc;
        if (rows == 2 && i + 1 < MR) {
            store_bytes(NP, c, columns, whole, _mm512_castsi256_si512(_mm512_extracti64x4_epi64(codes, 1)));
            c += ldc;
        }
        if (rows == 4 && i + 1 < MR) {
            store_bytes(NP, c, columns, whole, _mm512_castsi128_si512(_mm512_extracti32x4_epi32(codes, 1)));
            c += ldc;
        }
        if (rows == 4 && i + 2 < MR) {
            store_bytes(NP, c, columns, whole, _mm512_castsi128_si512(_mm512_extracti32x4_epi32(codes, 2)));
            c += ldc;
        }
        if (rows == 4 && i + 3 < MR) {
            store_bytes(NP, c, columns, whole, _mm512_castsi128_si512(_mm512_extracti32x4_epi32(codes, 3)));
            c += ldc;
        }
    }
}

/* All sums of a tile of MR rows and NP panels. */
static inline __attribute__((always_inline)) void store_tile(const int MR, const int NP, const cpr_block *p,
                                                             __m512i acc[14][4])
{
    if (p->scale && p->store != CPR_F32)
        if (saturates(NP, p))
            if (p->residual)
                store_codes(MR, NP, p, true, true, acc);
            else
                store_codes(MR, NP, p, false, true, acc);
        else if (p->residual)
            store_codes(MR, NP, p, true, false, acc);
        else
            store_codes(MR, NP, p, false, false, acc);
    else
        store_words(MR, NP, p, acc);
}

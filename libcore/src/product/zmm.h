/* zmm.h - what AVX-512 tiles of all families do with rows of C and of the residual. */
#ifndef CPR_ZMM_H
#define CPR_ZMM_H

#include <immintrin.h>

#include "product/tiles.h"

#define EACH_ROW _Pragma("GCC unroll 14") for (int i = 0; i < MR; i++)
#define EACH_PANEL _Pragma("GCC unroll 4") for (int j = 0; j < NP; j++)

/* The columns that exist of a panel, `left` of the block's being left from its first on. */
static inline __attribute__((always_inline)) __mmask16 mask_of(int64_t left)
{
    return left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
}

/* Go on from the sums that lie in C. */
static inline __attribute__((always_inline)) void load_sums(const int MR, const int NP, const cpr_block *p, __m512 acc[14][4])
{
    const float *c = p->c;
    const int64_t ldc = cpr_here(p->ldc);
    EACH_ROW {
        EACH_PANEL acc[i][j] = _mm512_maskz_loadu_ps(mask_of(p->n - 16 * j), c + 16 * j);
        c += ldc;
    }
}

/* Fetch the residual, of elements of `width` bytes, while sums are made: it comes from far away. */
static inline __attribute__((always_inline)) void fetch_residual(const int MR, const int NP, const cpr_block *p, int64_t width)
{
    const char *from = p->residual;
    const int64_t step = cpr_here(p->ldr * width);
    EACH_ROW {
        EACH_PANEL _mm_prefetch(from + 16 * j * width, _MM_HINT_T0);
        from += step;
    }
}

/* Add the residual, floats: all of it before the first store, so that no load waits for a store that it
 * might alias. */
static inline __attribute__((always_inline)) void add_floats(const int MR, const int NP, const cpr_block *p, __m512 acc[14][4])
{
    const bool whole = p->n >= 16 * NP;
    const float *residual = p->residual;
    const int64_t ldr = cpr_here(p->ldr);
    EACH_ROW {
        EACH_PANEL {
            const float *r = residual + 16 * j;
            const __m512 more = whole ? _mm512_loadu_ps(r) : _mm512_maskz_loadu_ps(mask_of(p->n - 16 * j), r);
            acc[i][j] = _mm512_add_ps(acc[i][j], more);
        }
        residual += ldr;
    }
}

/* Bound results, if there are bounds; NaN passes. */
static inline __attribute__((always_inline)) void clip_floats(const int MR, const int NP, const cpr_block *p, __m512 acc[14][4])
{
    if (cpr_here_float(&p->low) > -__builtin_inff() || cpr_here_float(&p->high) < __builtin_inff()) {
        const __m512 low = _mm512_set1_ps(cpr_here_float(&p->low)), high = _mm512_set1_ps(cpr_here_float(&p->high));
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_min_ps(high, _mm512_max_ps(low, acc[i][j]));
    }
}

/* Store floats, or other words of 4 bytes. */
static inline __attribute__((always_inline)) void store_rows(const int MR, const int NP, const cpr_block *p, __m512 acc[14][4])
{
    const bool whole = p->n >= 16 * NP;
    float *c = p->c;
    const int64_t ldc = cpr_here(p->ldc);
    EACH_ROW {
        EACH_PANEL {
            if (whole)
                _mm512_storeu_ps(c + 16 * j, acc[i][j]);
            else
                _mm512_mask_storeu_ps(c + 16 * j, mask_of(p->n - 16 * j), acc[i][j]);
        }
        c += ldc;
    }
}

#endif

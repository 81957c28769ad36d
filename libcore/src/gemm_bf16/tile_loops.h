/* tile_loops.h - what the AVX-512 tiles of bfloat16 share: with VDPBF16PS and without.
 *
 * The file that includes it defines DOT(acc, a, b), acc += the two products of each lane, odd ones
 * first, rounded(x), 16 floats as bfloat16, and joined(x, y), those of x before those of y.  The
 * caller has told the processor to take subnormal numbers for zeros.
 */
#include <immintrin.h>

#include "gemm_bf16/gemm_bf16.h"

#define EACH_ROW _Pragma("GCC unroll 14") for (int i = 0; i < MR; i++)
#define EACH_PANEL _Pragma("GCC unroll 4") for (int j = 0; j < NP; j++)
#define EACH_PAIR _Pragma("GCC unroll 2") for (int j = 0; j + 1 < NP; j += 2)

/* The columns that exist of a panel, `left` of the block's being left from its first on. */
static inline __attribute__((always_inline)) __mmask16 mask_of(int64_t left)
{
    return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
}

static inline __attribute__((always_inline)) const char *residual_at(const cpr_block *p, int i, int j)
{
    return (const char *)p->residual + (i * p->ldr + 16 * j) * (p->store == CPR_F32 ? 4 : 2);
}

static inline __attribute__((always_inline)) __m512 plus_residual(const cpr_block *p, int i, int j, __m512 c)
{
    const __mmask16 columns = mask_of(p->n - 16 * j);
    const char *from = residual_at(p, i, j);
    if (p->store == CPR_F32)
        return _mm512_add_ps(c, _mm512_maskz_loadu_ps(columns, from));
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, from));
    return _mm512_add_ps(c, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
}

/* Of bfloat16, where all columns of the panel exist. */
static inline __attribute__((always_inline)) __m512 plus_whole(const cpr_block *p, int i, int j, __m512 c)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)residual_at(p, i, j)));
    return _mm512_add_ps(c, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
}

static inline __attribute__((always_inline)) __m512 clipped(const cpr_block *p, __m512 c)
{
    return _mm512_min_ps(_mm512_set1_ps(p->high), _mm512_max_ps(_mm512_set1_ps(p->low), c)); /* NaN passes */
}

static inline __attribute__((always_inline)) void store_floats(const cpr_block *p, int i, int j, __m512 c)
{
    float *to = (float *)p->c + i * p->ldc + 16 * j;
    _mm512_mask_storeu_ps(to, mask_of(p->n - 16 * j), p->more ? c : clipped(p, c));
}

static inline __attribute__((always_inline)) void store_half(const cpr_block *p, int i, int j, __m512 c)
{
    uint16_t *to = (uint16_t *)p->c + i * p->ldc + 16 * j;
    _mm256_mask_storeu_epi16(to, mask_of(p->n - 16 * j), rounded(clipped(p, c)));
}

/* Two panels: one store for both. */
static inline __attribute__((always_inline)) void store_halves(const cpr_block *p, int i, int j, __m512 c, __m512 d)
{
    uint16_t *to = (uint16_t *)p->c + i * p->ldc + 16 * j;
    const int64_t left = p->n - 16 * j;
    const __m512i both = joined(clipped(p, c), clipped(p, d));
    if (left >= 32)
        _mm512_storeu_si512(to, both);
    else
        _mm512_mask_storeu_epi16(to, (__mmask32)((1u << left) - 1), both);
}

/* One pair of k. */
static inline __attribute__((always_inline)) void step(const int MR, const int NP, __m512 (*acc)[4], const uint16_t *const *a,
                                                       int64_t k, const uint16_t *b, int64_t panel)
{
    __m512i bk[4];
    EACH_PANEL bk[j] = _mm512_loadu_si512(b + j * panel);
    EACH_ROW {
        int32_t pair;
        __builtin_memcpy(&pair, a[i] + k, sizeof pair);
        const __m512i ak = _mm512_set1_epi32(pair);
        EACH_PANEL DOT(acc[i][j], ak, bk[j]);
    }
}

static inline __attribute__((always_inline)) void tile(const int MR, const int NP, const cpr_block *p)
{
    __m512 acc[14][4];
    const int64_t taps = p->taps, kc = p->kc, panel = p->panel / 2;
    EACH_PANEL {
        const __m512 start = p->start ? _mm512_loadu_ps((const float *)p->start + 16 * j) : _mm512_setzero_ps();
        EACH_ROW acc[i][j] = start;
    }
    if (p->resume)
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_maskz_loadu_ps(mask_of(p->n - 16 * j), (const float *)p->c + i * p->ldc + 16 * j);

    const bool added = p->residual && !p->more;
    if (added) /* it comes from far away: fetched while the sums are made */
        EACH_PANEL EACH_ROW _mm_prefetch(residual_at(p, i, j), _MM_HINT_T0);
    if (p->store == CPR_BF16) /* so does what is written */
        EACH_ROW _mm_prefetch((const char *)p->c + i * p->ldc * 2, _MM_HINT_T0);

    const uint16_t *b = p->b;
    const char *ahead = p->ahead;
    const int64_t ahead_step = p->ahead_step;
    for (int64_t t = 0; t < taps; t++) {
        const uint16_t *a[14];
        EACH_ROW a[i] = p->rows[t * MR + i];
        int64_t k = 0;
        for (; NP == 1 && k + 8 <= kc; k += 8, b += 4 * 32) /* more than 14 pointers: reload them less */
            _Pragma("GCC unroll 4") for (int u = 0; u < 4; u++) step(MR, NP, acc, a, k + 2 * u, b + 32 * u, panel);
        for (; k + 2 <= kc; k += 2, b += 32) {
            step(MR, NP, acc, a, k, b, panel);
            _mm_prefetch(ahead, _MM_HINT_T1);
            ahead += ahead_step;
        }
        if (k < kc) {
            EACH_ROW {
                const __m512i ak = _mm512_set1_epi32(a[i][k]);
                EACH_PANEL {
                    const __m512i bk = _mm512_loadu_si512(b + j * panel);
                    DOT(acc[i][j], ak, bk);
                }
            }
            b += 32;
        }
    }
    if (p->zeros && !p->more)
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_setzero_ps());
    /* All of the residual before the first store: no load waits for a store that it might alias. */
    if (added && p->store == CPR_BF16 && p->n == 16 * NP)
        EACH_PANEL EACH_ROW acc[i][j] = plus_whole(p, i, j, acc[i][j]);
    else if (added)
        EACH_PANEL EACH_ROW acc[i][j] = plus_residual(p, i, j, acc[i][j]);
    if (p->more || p->store == CPR_F32)
        EACH_PANEL EACH_ROW store_floats(p, i, j, acc[i][j]);
    else if (NP == 1)
        EACH_ROW store_half(p, i, 0, acc[i][0]);
    else
        EACH_PAIR EACH_ROW store_halves(p, i, j, acc[i][j], acc[i][j + 1]);
}

#define TILE(rows, panels) \
    static void tile_##rows##x##panels(const cpr_block *p) { tile(rows, panels, p); }
#define SIX(panels) \
    TILE(1, panels) TILE(2, panels) TILE(3, panels) TILE(4, panels) TILE(5, panels) TILE(6, panels)
#define NAMES6(p) tile_1x##p, tile_2x##p, tile_3x##p, tile_4x##p, tile_5x##p, tile_6x##p

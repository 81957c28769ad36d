/* tile_avx512.c - float32 tiles of up to 14 rows x 2 panels, 6 rows x 4 panels (AVX-512).
 *
 * Registers: 14 x 2 accumulators + 2 of B + 1 broadcast of A = 31 of 32.
 */
#include "gemm_f32/gemm_f32.h"
#include "product/zmm.h"

/* Rows of B: it comes from L2, where Intel's processors do not fetch far enough by themselves, and for the first
 * rows of A from L3 or main memory.  Few rows of A take less time for one of B. */
enum { AHEAD = 64, AHEAD_OF_FEW = 16 };

/* One k of all rows and panels. */
static inline __attribute__((always_inline)) void step(const int MR, const int NP, __m512 acc[14][4], const float *const *a,
                                                       int64_t k, const float *b, int64_t panel)
{
    __m512 bk[4];
    EACH_PANEL bk[j] = _mm512_loadu_ps(b + j * panel);
    EACH_PANEL _mm_prefetch((const char *)(b + j * panel + (NP == 2 ? AHEAD : AHEAD_OF_FEW) * CPR_PANEL), _MM_HINT_T0);
    EACH_ROW {
        const __m512 ak = _mm512_set1_ps(a[i][k]);
        EACH_PANEL acc[i][j] = _mm512_fmadd_ps(ak, bk[j], acc[i][j]);
    }
}

static inline __attribute__((always_inline)) void tile(const int MR, const int NP, const cpr_block *p)
{
    __m512 acc[14][4];
    const int64_t taps = p->taps, kc = p->kc, panel = p->panel / (int64_t)sizeof(float);
    EACH_PANEL {
        const __m512 start = p->start ? _mm512_loadu_ps((const float *)p->start + 16 * j) : _mm512_setzero_ps();
        EACH_ROW acc[i][j] = start;
    }
    if (__builtin_expect(p->resume, 0))
        load_sums(MR, NP, p, acc);

    const bool added = p->residual && !p->more;
    if (added)
        fetch_residual(MR, NP, p, sizeof(float));

    const float *b = p->b;
    const char *ahead = p->ahead;
    const int64_t ahead_step = p->ahead_step;
    for (int64_t t = 0; t < taps; t++) {
        const float *a[14];
        EACH_ROW a[i] = p->rows[t * MR + i];
        int64_t k = 0;
        for (; NP == 1 && k + 8 <= kc; k += 8, b += 8 * CPR_PANEL) /* more than 14 pointers: reload them less */
            _Pragma("GCC unroll 8") for (int u = 0; u < 8; u++) step(MR, NP, acc, a, k + u, b + u * CPR_PANEL, panel);
        if (NP == 2 && p->next) {
            const char *next = p->next; /* there is one tap */
            for (const int64_t next_step = p->next_step; k < kc; k++, b += CPR_PANEL, next += next_step) {
                _mm_prefetch(next, _MM_HINT_T0);
                step(MR, NP, acc, a, k, b, panel);
            }
        }
        for (; NP == 2 && ahead_step && k < kc; k++, b += CPR_PANEL, ahead += ahead_step) {
            step(MR, NP, acc, a, k, b, panel);
            _mm_prefetch(ahead, _MM_HINT_T1);
        }
        for (; k < kc; k++, b += CPR_PANEL)
            step(MR, NP, acc, a, k, b, panel);
    }

    if (p->zeros && !p->more)
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_setzero_ps());
    if (added)
        add_floats(MR, NP, p, acc);
    if (!p->more)
        clip_floats(MR, NP, p, acc);
    store_rows(MR, NP, p, acc);
}

FOURTEEN(1)
FOURTEEN(2)
SIX(4)

const cpr_tiles cpr_f32_tiles_avx512 = {
    .max_rows = {0, 14, 14, 0, 6},
    .tile = {[1] = {NULL, NAMES14(1)}, [2] = {NULL, NAMES14(2)}, [4] = {NULL, NAMES6(4)}},
};

/* tile_loops.h - what the AVX-512 tiles of bfloat16 share: with VDPBF16PS and without.
 *
 * The file that includes it defines DOT(acc, a, b), acc += the two products of each lane, odd ones
 * first, rounded(x), 16 floats as bfloat16, and joined(x, y), those of x before those of y.  The
 * caller has told the processor to take subnormal numbers for zeros.
 */
#include <immintrin.h>

#include "gemm_bf16/store_zmm.h"
#include "product/tiles.h"

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
    if (__builtin_expect(p->resume, 0))
        load_sums(MR, NP, p, acc);

    if (p->residual && !p->more)
        fetch_residual(MR, NP, p, p->store == CPR_F32 ? 4 : 2);
    if (p->store == CPR_BF16) { /* what is written comes from far away as well */
        const char *c = p->c;
        const int64_t step = cpr_here(2 * p->ldc);
        EACH_ROW {
            _mm_prefetch(c, _MM_HINT_T0);
            c += step;
        }
    }

    const uint16_t *b = p->b;
    const char *ahead = p->ahead;
    const int64_t ahead_step = p->ahead_step;
    for (int64_t t = 0; t < taps; t++) {
        const uint16_t *a[14];
        EACH_ROW a[i] = p->rows[t * MR + i];
        int64_t k = 0;
        for (; NP == 1 && k + 8 <= kc; k += 8, b += 4 * 32) /* more than 14 pointers: reload them less */
            _Pragma("GCC unroll 4") for (int u = 0; u < 4; u++) step(MR, NP, acc, a, k + 2 * u, b + 32 * u, panel);
        if (NP == 2 && p->next) {
            const char *next = p->next; /* there is one tap */
            for (const int64_t next_step = p->next_step; k + 2 <= kc; k += 2, b += 32, next += next_step) {
                step(MR, NP, acc, a, k, b, panel);
                _mm_prefetch(next, _MM_HINT_T0);
            }
        }
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
    store_tile(MR, NP, p, acc);
}

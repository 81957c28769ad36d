/* tile_avx512vnni.c - int8 tiles of up to 14 rows x 2 panels, 6 rows x 4 panels (VNNI).
 *
 * VPDPBUSD adds four products of unsigned and signed bytes to an int32 lane without saturating.
 * It is written as inline assembly: gcc 12 spills the accumulators of its intrinsic in any tile
 * wider than 16 columns.  Registers: 14 x 2 accumulators + 2 of B + 1 broadcast of A = 31 of 32.
 */
#include <immintrin.h>

#include "gemm_s8/store_zmm.h"
#include "product/tiles.h"

/* acc += the four products of each lane. */
#define DOT(acc, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))

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
        if (NP == 2 && p->next) {
            const char *next = p->next; /* there is one tap */
            for (const int64_t next_step = p->next_step; k + 4 <= kc; k += 4, b += 64, next += next_step) {
                step(MR, NP, acc, a, k, b, panel);
                _mm_prefetch(next, _MM_HINT_T0);
            }
        }
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

    store_tile(MR, NP, p, acc);
}

FOURTEEN(1)
FOURTEEN(2)
SIX(4)

const cpr_tiles cpr_s8_tiles_avx512vnni = {
    .max_rows = {0, 14, 14, 0, 6},
    .tile = {[1] = {NULL, NAMES14(1)}, [2] = {NULL, NAMES14(2)}, [4] = {NULL, NAMES6(4)}},
};

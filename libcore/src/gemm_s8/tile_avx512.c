/* tile_avx512.c - int8 tiles of up to 8 rows x 1 panel for AVX-512 without VNNI.
 *
 * VPMADDUBSW would saturate at 16 bits (255 * 127 * 2 > 32767), so both sides are widened to
 * 16 bits and VPMADDWD adds pairs of products exactly.  One register holds 8 columns, each as two
 * neighbouring partial sums (k 0, 1 and k 2, 3) that are added at the end.
 * Registers: 8 x 2 accumulators + 2 of B + 1 of A = 19 of 32.
 */
#include "gemm_s8/store_zmm.h"
#include "product/tiles.h"

#define EACH_HALF _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)

/* Four bytes of A as four 16-bit numbers, repeated. */
static inline __attribute__((always_inline)) __m512i widened(uint32_t quad)
{
    const __m128i four = _mm_cvtepu8_epi16(_mm_cvtsi32_si128((int32_t)quad));
    return _mm512_broadcastq_epi64(four);
}

static inline __attribute__((always_inline)) void tile(const int MR, const int panels, const cpr_block *p)
{
    (void)panels; /* one */
    __m512i acc[8][2];
    const int64_t taps = p->taps, kc = p->kc;
    EACH_ROW EACH_HALF acc[i][j] = _mm512_setzero_si512();

    const int8_t *b = p->b;
    for (int64_t t = 0; t < taps; t++) {
        const uint8_t *a[8];
        EACH_ROW a[i] = p->rows[t * MR + i];
        for (int64_t k = 0; k < kc; k += 4, b += 64) {
            __m512i bk[2];
            EACH_HALF bk[j] = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(b + 32 * j)));
            EACH_ROW {
                uint32_t quad = 0;
                if (k + 4 <= kc)
                    __builtin_memcpy(&quad, a[i] + k, sizeof quad);
                else
                    for (int64_t l = kc - 1; l >= k; l--)
                        quad = quad << 8 | a[i][l];
                const __m512i ak = widened(quad);
                EACH_HALF acc[i][j] = _mm512_add_epi32(acc[i][j], _mm512_madd_epi16(ak, bk[j]));
            }
        }
    }

    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512i start = p->start ? _mm512_loadu_si512(p->start) : _mm512_setzero_si512();
    __m512i sums[14][4];
    EACH_ROW {
        const __m512i sum = _mm512_add_epi32(_mm512_permutex2var_epi32(acc[i][0], even, acc[i][1]),
                                             _mm512_permutex2var_epi32(acc[i][0], odd, acc[i][1]));
        sums[i][0] = _mm512_add_epi32(start, sum);
    }
    store_tile(MR, 1, p, sums);
}

EIGHT(1)

const cpr_tiles cpr_s8_tiles_avx512 = {
    .max_rows = {0, 8},
    .tile = {[1] = {NULL, NAMES8(1)}},
};

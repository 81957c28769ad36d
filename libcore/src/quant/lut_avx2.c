/* lut_avx2.c - 32 look-ups at a time: VPSHUFB takes four bits of each index.
 *
 * Entries 16 i .. 16 i + 15 are kept as their difference (xor) from those before: an index 16 i + l
 * takes entry l of the first i + 1 of them, whose xor is what is looked for.  An index is negative
 * for those it does not reach, and VPSHUFB then gives 0.  Signed bytes have seven bits for that:
 * each half of the table has a chain of its own, and gives 0 for the other's indices.
 */
#include <immintrin.h>

#include "quant/lut.h"

#define EACH_HALF _Pragma("GCC unroll 2") for (int h = 0; h < 2; h++)
#define EACH_PART _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++)

static inline __attribute__((always_inline)) __m256i look_up(const __m256i (*parts)[8], __m256i x)
{
    __m256i found = _mm256_setzero_si256();
    EACH_HALF {
        __m256i at = h ? _mm256_xor_si256(x, _mm256_set1_epi8((char)0x80)) : x;
        EACH_PART {
            found = _mm256_xor_si256(found, _mm256_shuffle_epi8(parts[h][i], at));
            at = _mm256_subs_epi8(at, _mm256_set1_epi8(16));
        }
    }
    return found;
}

void cpr_lut_avx2(const uint8_t *table, int64_t n, const uint8_t *x, uint8_t *y)
{
    __m256i parts[2][8];
    EACH_HALF {
        __m128i before = _mm_setzero_si128();
        EACH_PART {
            const __m128i part = _mm_loadu_si128((const __m128i *)(const void *)(table + 128 * h + 16 * i));
            parts[h][i] = _mm256_broadcastsi128_si256(_mm_xor_si128(part, before));
            before = part;
        }
    }
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        _mm256_storeu_si256((__m256i *)(void *)(y + i), look_up(parts, v));
    }
    for (; i < n; i++)
        y[i] = table[x[i]];
}

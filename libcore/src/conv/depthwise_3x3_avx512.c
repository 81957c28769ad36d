/* depthwise_3x3_avx512.c - depthwise 3 x 3, 16 channels at a time (AVX-512).
 *
 * Registers: 9 weights + 4 sums + 9 columns of one line (stride 2) = 22 of 32.
 */
#include <immintrin.h>
#include <stdint.h>

typedef __m512 vec;
typedef __mmask16 mask;
#define NAME cpr_depthwise_f32_3x3_avx512
#define WIDTH 16
#define lanes_of(left) ((left) >= 16 ? (mask)0xffff : (mask)((1u << (left)) - 1))
#define load(all, lanes, from) ((all) ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(lanes, from))
#define store(to, left, lanes, x) _mm512_mask_storeu_ps(to, lanes, x)
#define zero() _mm512_setzero_ps()
#define every(x) _mm512_set1_ps(x)
#define fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define bounded(low, high, x) _mm512_min_ps(high, _mm512_max_ps(low, x))

#include "conv/depthwise_3x3_loops.h"

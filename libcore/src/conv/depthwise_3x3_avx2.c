/* depthwise_3x3_avx2.c - depthwise 3 x 3, 8 channels at a time (AVX2 + FMA).
 *
 * Registers: 4 sums + 3 weights + columns of one line as they come; the other weights stay in L1.
 */
#include "vector/ymm.h"

typedef __m256 vec;
typedef __m256i mask;
#define NAME cpr_depthwise_f32_3x3_avx2
#define WIDTH 8
#define lanes_of(left) cpr_lanes(left)
#define load(all, lanes, from) ((all) ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, lanes))
#define store(to, left, lanes, x) cpr_store_lanes(to, left, x)
#define zero() _mm256_setzero_ps()
#define every(x) _mm256_set1_ps(x)
#define fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define bounded(low, high, x) _mm256_min_ps(high, _mm256_max_ps(low, x))

#include "conv/depthwise_3x3_loops.h"

/* gemm_f32.h - float32 products (see product/product.h).
 *
 *     C[i][j] = min(high, max(low, (bias[j] + sum over k of A[i][k] * B[k][j]) + residual[i][j]))
 *
 * Every product is added by one fused multiply-add in the order of k, whatever the tile, so each
 * element has the same bytes at every tile height, instruction set, thread count and batch.
 */
#ifndef CPR_GEMM_F32_H
#define CPR_GEMM_F32_H

#include "product/product.h"

extern const cpr_tiles cpr_f32_tiles_scalar, cpr_f32_tiles_avx2, cpr_f32_tiles_avx512;

/* float32 with the tiles of the instruction set in use. */
cpr_product_kind cpr_f32_kind(void);

/* Bring B [k, n] (strides in elements) into panels [panels, k, 16], zeros past n. */
void cpr_pack_f32(const float *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, float *packed);

#endif

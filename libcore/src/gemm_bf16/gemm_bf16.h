/* gemm_bf16.h - products of bfloat16 operands, summed in float32.
 *
 * Packed B holds, per tap, pairs of k: b[pair][column][2], an odd last one paired with 0.  A tap's
 * odd last element of A is paired with 0 too; nothing is read past it.
 *
 *     sum = fma(A[2p + 1], B[2p + 1], sum);  sum = fma(A[2p], B[2p], sum)     for each pair p
 *     C   = clip((start[j] + sum over all pairs, in order) + residual)        float32, or rounded
 *                                                                             to bfloat16
 *
 * This is what VDPBF16PS computes, found equal on 12 million random operands, the subnormal ones
 * included: it takes subnormal numbers for zeros of their sign and gives such zeros back.  All
 * tiles do so throughout, so the bytes are the same on every instruction set; where there is no
 * VDPBF16PS a product takes longer than one of float32.
 *
 * AMX alone adds in another order (wide_amx.c), and is used for every product of 8 of k or more
 * where the processor has it: there VDPBF16PS is no faster than a float32 product.  Its bytes
 * depend neither on batch, rows nor threads, but are not those of other processors.
 */
#ifndef CPR_GEMM_BF16_H
#define CPR_GEMM_BF16_H

#include "product/product.h"

extern const cpr_tiles cpr_bf16_tiles_scalar, cpr_bf16_tiles_avx2, cpr_bf16_tiles_avx512, cpr_bf16_tiles_avx512bf16;

cpr_wide cpr_bf16_wide_amx;

/* bfloat16 with the tiles of the instruction set in use; C is float32 or bfloat16. */
cpr_product_kind cpr_bf16_kind(int32_t store);

/* Bring B [k, n] (strides in elements) into panels [panels, pairs, 16, 2]: zeros past n and k. */
void cpr_pack_bf16(const uint16_t *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, uint16_t *packed);

#endif

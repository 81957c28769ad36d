/* gemm_s8.h - products of unsigned bytes (A) with signed bytes (B), exact in int32.
 *
 * Packed B holds, per tap, quads of k: b[quad][column][4], the last quad padded with zeros.
 * A is read by its own strides; a tap's last 1..3 bytes are gathered, never read past.
 *
 *     sum[i][j]  = start[j] + sum over k of A[i][k] * B[k][j]            (int32, no saturation)
 *     scale NULL:    C = sum                                             (int32)
 *     store float:   C = clip(float(sum) * scale[j] + residual)          (float32)
 *     store u8, s8:  C = rint(clip(float(sum) * scale[j])) + zero_point  (low, high: the bounds
 *                    of the type minus zero_point, or tighter)
 *     u8 and residual u8, the sum itself quantized before the addition (as Q, DQ, Add, Q):
 *                    t = rint(float(sum) * scale[j] clipped to inner_low, inner_high)
 *                    C = rint(clip(t * inner_scale + (residual - residual_zero) * residual_scale))
 *                        + zero_point
 *
 * Zero points of A and the bias are folded into start.  |k| <= 65,000 keeps sums in int32.
 * rint is half to even; there is one multiplication and no contraction: the same bytes everywhere.
 */
#ifndef CPR_GEMM_S8_H
#define CPR_GEMM_S8_H

#include "product/product.h"

enum { CPR_S8_MAX_K = 65000 };

extern const cpr_tiles cpr_s8_tiles_scalar, cpr_s8_tiles_avx2, cpr_s8_tiles_avx512, cpr_s8_tiles_avx512vnni;

cpr_wide cpr_s8_wide_amx;

/* Pack B [k, n] of any strides as quads of k in panels; start[j], for whole panels, becomes
 * -zero * the sum of column j. */
void cpr_pack_s8(const int8_t *b, int64_t k, int64_t n, int64_t k_step, int64_t n_step, int8_t *packed, int64_t zero,
                 int32_t *start);

/* Whether the bounds of a clip, counted from the zero point, are codes of the dtype; of no other
 * dtype are there bounds. */
bool cpr_s8_bounds_fit(int32_t dtype, double low, double high, int64_t zero_point);

/* Bytes with the tiles of the instruction set in use; c_bytes from the dtype of C. */
cpr_product_kind cpr_s8_kind(int32_t store);

#endif

/* gemm_f32.h - float32 products: rows of A reached by pointers, B packed into panels.
 *
 * One tile serves the matrix product and the convolution.  A "tap" is one run of kc
 * contiguous floats per row: a matrix has one tap, a convolution has one per kernel position
 * (or per kernel row), each with its own pointer into the channels-last input or to zeros.
 *
 *       rows[t][i] -> kc floats              panel (16 columns):  b[t * kc + k][16]
 *       _________                              ________________
 *      |_________| row i, tap t               | k = 0          |
 *                                             | k = 1          |   panels follow each other,
 *      C[i][j] = bias[j]                      | ...            |   taps * kc * 16 floats apart
 *              + sum over t, k (in order)
 *                rows[t][i][k] * b[t*kc+k][j]
 *              + residual[i][j]
 *      C[i][j] = min(high, max(low, C[i][j]))
 *
 * Every product is added by one fused multiply-add in this order, whatever the tile, so each
 * element has the same bytes at every tile height, instruction set, thread count and batch.
 */
#ifndef CPR_GEMM_F32_H
#define CPR_GEMM_F32_H

#include "program/kernel.h"

enum { CPR_F32_PANEL = 16, CPR_F32_MAX_ROWS = 14, CPR_F32_MAX_PANELS = 4 };

typedef struct {
    int64_t taps, kc;
    const float *const *rows; /* [taps][m] */
    const float *b;           /* first panel */
    const float *bias;        /* one per column, padded to whole panels; NULL: 0 */
    const float *residual;    /* NULL: none */
    int64_t ldr;              /* floats between rows of the residual */
    float low, high;          /* clip; -inf, inf: none */
    float *c;
    int64_t ldc;              /* floats between rows of C */
    int64_t n;                /* columns to write, at most 16 per panel */
} cpr_f32_block;

/* Compute one block of a fixed number of rows and panels. */
typedef void cpr_f32_tile(const cpr_f32_block *block);

typedef struct {
    int32_t max_rows[CPR_F32_MAX_PANELS + 1];                        /* by panels; 0: no such tile */
    cpr_f32_tile *tile[CPR_F32_MAX_PANELS + 1][CPR_F32_MAX_ROWS + 1]; /* [panels][rows] */
} cpr_f32_tiles;

extern const cpr_f32_tiles cpr_f32_tiles_scalar, cpr_f32_tiles_avx2, cpr_f32_tiles_avx512;

/* The tiles of the instruction set in use. */
const cpr_f32_tiles *cpr_f32_tiles_now(void);

/* Rows per block when m rows are cut into blocks as equal as possible. */
int64_t cpr_f32_block_rows(const cpr_f32_tiles *tiles, int64_t m, int64_t panels);

/* Compute m rows times n columns.  block->rows holds, for each block of block_rows rows (the
 * last may have fewer), its [taps][rows of the block] pointers, one block after the other. */
void cpr_f32_product(const cpr_f32_tiles *tiles, const cpr_f32_block *block, int64_t m, int64_t block_rows,
                     int64_t n);

#endif

/* product.h - products of rows reached by pointers with packed panels of 16 columns.
 *
 * One tile serves the matrix product and the convolution, in float32 and in int8.  A "tap" is
 * one run of kc contiguous elements per row: a matrix has one tap, a convolution one per kernel
 * position (or per kernel row), each with its own pointer into the channels-last input or to
 * padding.
 *
 *       rows[t][i] -> kc elements            panel (16 columns):  taps * kc rows of 16,
 *       _________                            one panel after the other
 *      |_________| row i, tap t
 *
 *      C[i][j] = epilogue(start[j] + sum over t, k (in order) of rows[t][i][k] * B[t, k][j])
 *
 * Float sums may be cut over k: a block stores its sums in C, the next one goes on from them.
 * That is one order of k, so the same bytes.
 *
 * A family (gemm_f32, gemm_s8) says what elements are and provides tiles.  This file and
 * matrix.c, image.c cut the work: no family has a driver of its own.
 */
#ifndef CPR_PRODUCT_H
#define CPR_PRODUCT_H

#include "product/after.h"
#include "quant/linear.h"

enum { CPR_PANEL = 16, CPR_MAX_ROWS = 14, CPR_MAX_PANELS = 4 };

/* Rows that one unit of work covers at most: their data stays in L2. */
enum { CPR_ROW_CHUNK = 256 };

/* The same where rows are copied for it. */
enum { CPR_STAGED_ROWS = 9 * CPR_MAX_ROWS };

typedef struct {
    int64_t taps, kc;
    int64_t panel;           /* bytes of B from one panel to the next */
    bool resume;             /* float: the sums so far lie in C (start is in them) */
    bool more;               /* float: store the sums only; a later block of k goes on */
    const void *const *rows; /* [taps][rows of the tile] */
    int64_t row_step;        /* bytes from one row to the next, of all rows, where there is one tap; 0: any */
    const void *zeros;       /* where rows of padding point, if taps that read nothing else may be left out: no
                              * float sum is then -0, which adding zeros changes; or NULL */
    const void *b;           /* first panel */
    const void *after;       /* B of the product to come, if it has this size; or NULL */
    const char *ahead;       /* B of a later tile, which is fetched meanwhile: ahead_step bytes */
    int64_t ahead_step;      /* per unit of k; 0: of this one, nothing new */
    int64_t ahead_block;     /* bytes of it for one block of rows */
    const char *next;        /* rows of the tile after the last, fetched into L1 meanwhile; or NULL */
    int64_t next_step;       /* bytes of a tile's rows per unit of k; 0: they are not fetched */
    const void *start;       /* one 4-byte element per column, padded to whole panels; NULL: 0 */
    const float *scale;      /* int8: multiplier per column, padded; NULL: store the sums */
    const void *residual;    /* as C, added before the clip; NULL: none */
    int64_t ldr;             /* elements between rows of the residual */
    int64_t residual_step;   /* bytes to that of the next block of rows */
    float low, high;         /* clip of the stored value; int8 sums are not clipped */
    int32_t zero_point;      /* int8: added after rounding */
    int32_t store;           /* int8, bf16: dtype of C */
    float inner_low, inner_high;      /* int8 with a residual of bytes: see gemm_s8.h */
    float inner_scale, residual_scale;
    int32_t residual_zero;
    void *c;
    int64_t ldc;             /* elements between rows of C */
    int64_t c_step;          /* bytes to the next block of rows */
    int64_t n;               /* columns to write, at most 16 per panel */
    const cpr_conversion *codes; /* matrices of int8: A is float32, and its rows become bytes in the scratch memory; or NULL */
    const cpr_after *finish; /* what cpr_product does to whole results; or NULL */
} cpr_block;

/* Compute `count` blocks, each of a fixed number of rows and panels, that follow one another in rows, C and
 * the residual. */
typedef void cpr_tile(const cpr_block *block, int64_t count);

typedef struct {
    int32_t max_rows[CPR_MAX_PANELS + 1];             /* by panels; 0: no such tile */
    cpr_tile *tile[CPR_MAX_PANELS + 1][CPR_MAX_ROWS + 1]; /* [panels][rows] */
} cpr_tiles;

typedef struct cpr_product_kind cpr_product_kind;

/* All of cpr_product's work without its tiles. */
typedef void cpr_wide(const cpr_product_kind *kind, const cpr_block *block, int64_t m, int64_t block_rows, int64_t n);

/* Rows that it does together. */
enum { CPR_WIDE_ROWS = 32 };

/* This thread's memory for it, CPR_WIDE_BYTES at a multiple of 64: stacks may be smaller. */
enum { CPR_WIDE_BYTES = 192 << 10 };
void *cpr_wide_memory(void);

/* What a family's elements are. */
struct cpr_product_kind {
    const cpr_tiles *tiles;
    int64_t a_bytes, b_bytes; /* of one element */
    int64_t c_bytes;
    int64_t k_unit;           /* packed B holds whole units of k per tap */
    bool floats;              /* sums may be cut over k */
    bool flush;               /* subnormal numbers are taken for zeros */
    int64_t least_ahead, ahead; /* bytes of later columns' B that tiles fetch into L2 meanwhile, at least and at most */
    int64_t speed;            /* about how many multiply-adds a nanosecond */
    int64_t most;             /* bytes of B of a tile of several panels, where they take turns; or 0 */
    cpr_wide *wide;           /* instead of tiles where there are enough rows and k; or NULL */
    int64_t wide_rows, wide_k;
    int64_t wide_run;         /* and k of each of several taps */
};

/* Let this thread take subnormal numbers for zeros if the kind asks for it; returns what
 * cpr_flush_end needs to let it go on as before. */
uint32_t cpr_flush_begin(const cpr_product_kind *kind);
void cpr_flush_end(const cpr_product_kind *kind, uint32_t state);

/* The pool for a product of m x k x n, or NULL if it is too small to be split. */
cpr_pool *cpr_product_pool(cpr_pool *pool, const cpr_product_kind *kind, int64_t m, int64_t k, int64_t n);

/* Bytes of one panel. */
int64_t cpr_panel_bytes(const cpr_product_kind *kind, int64_t taps, int64_t kc);

/* Rows that a matrix of m rows is best cut after: whole tiles. */
int64_t cpr_whole_rows(const cpr_product_kind *kind, int64_t m, int64_t k, int64_t panels);

/* Rows per block when m rows are cut into blocks: `line` of them, if that is neither 0 nor too
 * few or many for a tile, else as equal as possible. */
int64_t cpr_block_rows(const cpr_tiles *tiles, int64_t m, int64_t panels, int64_t line);

/* Compute m rows times n columns.  block->rows holds, for each block of block_rows rows (the
 * last may have fewer), its [taps][rows of the block] pointers, one block after the other.
 * stage is NULL, or cpr_stage_bytes of memory for rows that collide (float elements only). */
void cpr_product(const cpr_product_kind *kind, const cpr_block *block, int64_t m, int64_t block_rows, int64_t n,
                 char *stage);

/* Bytes that cpr_product wants for rows of kc elements that lie `step` bytes apart; 0 if they
 * can be read where they are. */
int64_t cpr_stage_bytes(int64_t step, int64_t kc, int64_t a_bytes);

/* Bytes of scratch memory that a product of matrices wants for each worker if its block has codes. */
int64_t cpr_codes_bytes(int64_t k);

/* C[b] = A[b] * B[b] for matrices: a [batch, m, k], c [batch, m, n] with last strides 1;
 * b_batches is 1 or batch; `block` carries start, scale, clip and so on.  residual may be NULL. */
void cpr_matrix_product(const cpr_op *op, const cpr_product_kind *kind, const cpr_block *block, const cpr_tensor *a,
                        const void *a_data, const void *b_data, int64_t b_batches, int64_t b_panels,
                        const cpr_tensor *residual, const cpr_tensor *c);

#endif

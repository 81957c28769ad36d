/* recurrent.h - lstm, gru and rnn, step by step.
 *
 * Each gate value is one chain: bias, then the input products in k order, then the recurrent
 * ones in k order.  So a sequence's result does not depend on the batch or the threads.
 *
 * The weights are packed as for gemm_f32 or gemm_bf16 and read by their tiles.  Each gate has whole
 * panels of its own, so a row of gate values is G * S long, S being H rounded up to 16.
 */
#ifndef CPR_RECURRENT_H
#define CPR_RECURRENT_H

#include "product/product.h"
#include "vector/unary.h"

enum { CPR_LSTM, CPR_GRU, CPR_RNN };

typedef struct {
    void (*halve)(int64_t n, const float *x, uint16_t *y); /* to bfloat16, half to even */
    void (*add_product)(int64_t n, const float *a, const float *b, float *y); /* y += a b */
    void (*product_of)(int64_t n, const float *a, const float *b, float *y);  /* y = a b */
    void (*complement)(int64_t n, const float *a, float *y);                  /* y = 1 - a */
    void (*clip)(int64_t n, float *y, float bound);
    void (*cell)(int64_t n, const float *i, const float *f, const float *g, float *c); /* c = f c + i g */
    void (*mix)(int64_t n, const float *z, const float *fresh, float *h); /* h = (1 - z) fresh + z h */
} cpr_recurrent_ops;

extern const cpr_recurrent_ops cpr_recurrent_scalar, cpr_recurrent_avx2, cpr_recurrent_avx512;

/* An activation: a function of unary_f32. */
typedef struct {
    cpr_unary_fn *f;
    float alpha, beta;
} cpr_activation;

/* Packed weights [panels][k][16], or in pairs of bfloat16, of one direction. */
typedef struct {
    const char *data;
    int64_t k;
} cpr_recurrent_weights;

/* One run of an operator.  B sequences, I inputs, H hidden values, G gates, T steps. */
typedef struct {
    const cpr_op *op;
    const cpr_recurrent_ops *ops;
    int32_t kind, side; /* side: which direction now */
    bool reverse;
    int64_t T, B, I, H, G, D;
    int64_t S;     /* H in whole panels: gate values from one gate to the next */
    int64_t state_step, input_step; /* from row to row of h, c, extra and of inputs */
    cpr_product_kind product;
    int64_t chunk; /* steps whose input products are made at once */
    float bound;   /* of what goes into an activation; infinite: none */
    bool flag;
    cpr_activation activation[3];
    cpr_recurrent_weights w, r;                   /* of this direction, as the next two */
    const float *bias, *peephole;
    const int32_t *lengths;                       /* by batch, NULL: all T */
    int64_t length_step;
    float *gates, *inputs, *h, *c, *extra;        /* scratch: chunk B rows, then B rows */
    uint16_t *halves;                             /* scratch: rows of a product, rounded */
    int64_t step;                                 /* now */
} cpr_cells;

/* What the cells do once their products are there, for sequence b; gates is its row.
 * part: gru has two, before and after the product with r h. */
void cpr_cell_update(const cpr_cells *cells, int64_t b, float *gates, int32_t part);

/* Whether sequence b still runs at a step. */
bool cpr_cell_active(const cpr_cells *cells, int64_t b, int64_t step);

/* The parts of a step that need every sequence: products and updates. */
void cpr_recurrent_step(cpr_cells *cells, float *gates);

/* y[row] += x[row] w, columns in panels first .. first + panels; rows are x_step, y_step apart. */
void cpr_recurrent_product(const cpr_cells *cells, const float *x, int64_t x_step, const cpr_recurrent_weights *w,
                           int64_t first, int64_t panels, float *y, int64_t y_step, int64_t rows);

/* Elements between rows of k: an odd number of cache lines, so that rows do not meet in one set. */
int64_t cpr_recurrent_row(int64_t k, int64_t element_bytes);

#endif

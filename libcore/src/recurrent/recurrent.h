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

/* Activations whose slope follows from their result: functions 0, 5, 14 of unary_f32. */
enum { CPR_SLOPE_RELU, CPR_SLOPE_SIGMOID, CPR_SLOPE_TANH, CPR_SLOPES };

/* What training keeps of a step of one sequence: so many parts of H values.
 * lstm: i o f g k(c), c and h before the step; gru: z r n, then r h or (linear_before_reset)
 * h R + bias of the candidate, h before the step; rnn: the new h, h before the step. */
enum { CPR_LSTM_SAVED = 7, CPR_GRU_SAVED = 5, CPR_RNN_SAVED = 2 };

typedef struct {
    void (*halve)(int64_t n, const float *x, uint16_t *y); /* to bfloat16, half to even */
    void (*add_product)(int64_t n, const float *a, const float *b, float *y); /* y += a b */
    void (*product_of)(int64_t n, const float *a, const float *b, float *y);  /* y = a b */
    void (*complement)(int64_t n, const float *a, float *y);                  /* y = 1 - a */
    void (*clip)(int64_t n, float *y, float bound);
    void (*cell)(int64_t n, const float *i, const float *f, const float *g, float *c); /* c = f c + i g */
    void (*mix)(int64_t n, const float *z, const float *fresh, float *h); /* h = (1 - z) fresh + z h */
    void (*difference)(int64_t n, const float *a, const float *b, float *y);  /* y = a - b */
    void (*sum)(int64_t n, const float *a, float *y);                         /* y += a */
    /* out = g times the slope of an activation whose result is y; out may be g. */
    void (*slope[CPR_SLOPES])(int64_t n, const float *y, const float *g, float *out);
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

/* One run of an operator over B of its sequences, from `first` on.  I inputs, H hidden values, G
 * gates, T steps. */
typedef struct {
    const cpr_op *op;
    const cpr_recurrent_ops *ops;
    int32_t kind, side; /* side: which direction now */
    bool reverse;
    int64_t T, B, I, H, G, D;
    int64_t first, batch; /* of all sequences; what has a number b here has first + b there */
    int64_t S;     /* H in whole panels: gate values from one gate to the next */
    int64_t state_step, input_step; /* from row to row of h, c, extra and of inputs */
    cpr_product_kind product;
    int64_t chunk; /* steps whose input products are made at once */
    float bound;   /* of what goes into an activation; infinite: none */
    bool flag;
    cpr_activation activation[3];
    cpr_recurrent_weights w, r;                   /* of this direction, as the next two */
    const float *bias, *peephole;
    const int32_t *lengths;                       /* of these sequences, NULL: all T */
    int64_t length_step;
    float *gates, *inputs, *h, *c, *extra;        /* scratch: chunk B rows, then B rows */
    float *start;                                 /* scratch: what a row of gates begins with */
    uint16_t *halves;                             /* scratch: rows of a product, rounded */
    int64_t step;                                 /* now */
    float *saved;                                 /* of this direction, [T][B][parts H]; NULL: nothing */
    int64_t saved_row;                            /* elements of one row of it */
} cpr_cells;

/* What the cells do once their products are there, for sequence b; gates is its row.
 * part: gru has two, before and after the product with r h. */
void cpr_cell_update(const cpr_cells *cells, int64_t b, float *gates, int32_t part);

/* Whether sequence b still runs at a step. */
bool cpr_cell_active(const cpr_cells *cells, int64_t b, int64_t step);

/* The time that sequence b is at. */
int64_t cpr_cell_time(const cpr_cells *cells, int64_t b, int64_t step);

/* The row of `saved` of sequence b at this step. */
float *cpr_cell_saved(const cpr_cells *cells, int64_t b);

/* The parts of a step that need every sequence: products and updates. */
void cpr_recurrent_step(cpr_cells *cells, float *gates);

/* y[row] += x[row] w, columns in panels first .. first + panels; rows are x_step, y_step apart. */
void cpr_recurrent_product(const cpr_cells *cells, const float *x, int64_t x_step, const cpr_recurrent_weights *w,
                           int64_t first, int64_t panels, float *y, int64_t y_step, int64_t rows);

/* A run over some sequences, on the pool and the scratch memory of op. */
typedef void cpr_recurrent_part(const cpr_op *op, int64_t first, int64_t count);

/* Run over all sequences: where there are enough, each thread takes some of them through all
 * steps; else all threads share the work of every step.  nanoseconds: about how long it takes. */
void cpr_recurrent_over(const cpr_op *op, int64_t batch, int64_t nanoseconds, cpr_recurrent_part *part);

/* Operand i; NULL: absent. */
const cpr_tensor *cpr_recurrent_operand(const cpr_op *op, int32_t i);

/* Whether t is absent, or has the dtype and exactly these dims. */
bool cpr_recurrent_fits(const cpr_tensor *t, int32_t dtype, int32_t rank, const int64_t *dim);

/* Whether all sequence lengths are in 0..T. */
cpr_status cpr_recurrent_lengths(const cpr_cells *cells, const char *name);

/* Rows of a state [D, B, H] of this direction, state_step apart, from operand i (absent: zeros) or to it. */
void cpr_recurrent_read(const cpr_cells *cells, int32_t i, float *to);
void cpr_recurrent_write(const cpr_cells *cells, int32_t i, const float *from);

/* Elements between rows of k: an odd number of cache lines, so that rows do not meet in one set. */
int64_t cpr_recurrent_row(int64_t k, int64_t element_bytes);

#endif

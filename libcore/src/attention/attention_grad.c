/* attention_grad.c - the way back through attention_f32, one block of queries after the other.
 *
 * The scores of a block are computed again and stay in the cache.  Sums over queries go on from
 * block to block in their order, so the bytes do not depend on the blocks.
 */
#include <math.h>

#include "attention/attention.h"
#include "gemm_f32/gemm_f32.h"
#include "grad/rows.h"
#include "norm/norm.h"
#include "vector/copy.h"

/* attention_grad_f32: gradients of out = P V, P = softmax(scale(Q K') + mask), given that of out
 * operands  Q [batch, heads, m, d] d-stride 1 | K [batch, heads, n, d] | V [batch, heads, n, e] |
 *           mask [batch, heads, m, n] or absent | G [batch, heads, m, e] e-stride 1 |
 *           dQ, dK, dV as Q, K, V, last strides 1; n >= 1; all other strides free
 * args      scale (0 none, 1 times, 2 by the factor), factor (float) */
enum { Q, K, V, MASK, G, DQ, DK, DV, N_OPERANDS };
enum { SCALE, FACTOR, N_ARGS };

enum {
    MOST_ROWS = 128,   /* queries in a block, rows of a product */
    SCORES = 1 << 15   /* scores in a block */
};

/* Where the parts of a worker's scratch memory begin, in floats. */
enum { KEYS, KEYS_BACK, VALUES, SCORE, SLOPE, TURNED, ROWS, PARTS };

typedef struct {
    int64_t at[PARTS], total;
    int64_t step;  /* from one row of scores to the next */
    int64_t block; /* queries in a block */
} layout;

static int64_t whole(int64_t n)
{
    return (n + CPR_PANEL - 1) / CPR_PANEL * CPR_PANEL;
}

static bool layout_of(const cpr_op *op, layout *l)
{
    const int64_t m = op->tensor[Q]->dim[2], n = op->tensor[K]->dim[2];
    const int64_t d = op->tensor[K]->dim[3], e = op->tensor[V]->dim[3], most = (int64_t)1 << 30;
    if (m > most || n > most || d > most || e > most)
        return false;
    l->step = whole(n);
    const int64_t fit = SCORES / l->step < CPR_MAX_ROWS ? CPR_MAX_ROWS : SCORES / l->step;
    const int64_t rows = fit < MOST_ROWS ? fit : MOST_ROWS, blocks = (m + rows - 1) / rows;
    l->block = blocks ? (m + blocks - 1) / blocks : 1;
    const int64_t wide = whole(d > e ? d : e);
    const int64_t size[PARTS][2] = {{l->step, d},        {whole(d), n},     {l->step, e},     {l->block, l->step},
                                    {l->block, l->step}, {n, whole(l->block)}, {wide, l->block}};
    l->total = 0;
    for (int32_t i = 0; i < PARTS; i++) {
        int64_t part;
        l->at[i] = l->total;
        if (__builtin_mul_overflow(size[i][0], size[i][1], &part) || __builtin_add_overflow(l->total, part, &l->total))
            return false;
    }
    return l->total < INT64_MAX / 64;
}

static bool rows_of_rank_4(const cpr_tensor *t, bool any)
{
    return t && t->dtype == CPR_F32 && t->rank == 4 && (any || t->stride[3] == 1 || t->dim[3] <= 1);
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "attention_grad_f32";
    CPR_REQUIRE(name, op->n_tensors == N_OPERANDS && op->n_args == N_ARGS);
    const cpr_tensor *q = op->tensor[Q], *k = op->tensor[K], *v = op->tensor[V], *g = op->tensor[G];
    const cpr_tensor *mask = op->tensor[MASK];
    CPR_REQUIRE(name, rows_of_rank_4(q, false) && rows_of_rank_4(k, true) && rows_of_rank_4(v, true));
    CPR_REQUIRE(name, rows_of_rank_4(g, false) && (!mask || rows_of_rank_4(mask, true)));
    for (int32_t i = 0; i < 2; i++) {
        CPR_REQUIRE(name, q->dim[i] == g->dim[i] && k->dim[i] == g->dim[i] && v->dim[i] == g->dim[i]);
        CPR_REQUIRE(name, !mask || mask->dim[i] == g->dim[i]);
    }
    CPR_REQUIRE(name, q->dim[2] == g->dim[2] && q->dim[3] == k->dim[3] && v->dim[3] == g->dim[3]);
    CPR_REQUIRE(name, k->dim[2] == v->dim[2] && k->dim[2] >= 1);
    CPR_REQUIRE(name, !mask || (mask->dim[2] == q->dim[2] && mask->dim[3] == k->dim[2]));
    for (int32_t i = DQ; i <= DV; i++)
        CPR_REQUIRE(name, rows_of_rank_4(op->tensor[i], false) && cpr_same_dims(op->tensor[i], op->tensor[i - DQ]) &&
                              cpr_is_output(op->tensor[i]));
    CPR_REQUIRE(name, op->args[SCALE] >= 0 && op->args[SCALE] < CPR_SCALES);
    layout l;
    CPR_REQUIRE(name, layout_of(op, &l));
    *scratch_bytes = l.total * (int64_t)sizeof(float);
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_attention_ops *ops;
    const cpr_norm_ops *norm;
    const cpr_grad_rows_ops *rows;
    cpr_product_kind kind;
    layout layout;
    float factor, slope; /* of the scores, and of their gradient */
} job;

/* Element (batch, head, row, 0) of an operand. */
static float *row_of(const cpr_op *op, int32_t i, int64_t head, int64_t row)
{
    const cpr_tensor *t = op->tensor[i];
    return (float *)op->data[i] + head / t->dim[1] * t->stride[0] + head % t->dim[1] * t->stride[1] +
           row * t->stride[2];
}

/* C = A B, or C + A B, for packed B of n columns. */
static void product(const job *j, const float *a, int64_t a_step, int64_t rows, int64_t k, const float *b, int64_t n,
                    float *c, int64_t c_step, bool resume)
{
    for (int64_t first = 0; first < rows; first += MOST_ROWS) {
        const void *pointers[MOST_ROWS];
        const int64_t count = rows - first < MOST_ROWS ? rows - first : MOST_ROWS;
        for (int64_t i = 0; i < count; i++)
            pointers[i] = a + (first + i) * a_step;
        const cpr_block block = {.taps = 1, .kc = k, .rows = pointers, .b = b, .low = -INFINITY, .high = INFINITY,
                                 .c = c + first * c_step, .ldc = c_step, .resume = resume};
        cpr_product(&j->kind, &block, count, cpr_block_rows(j->kind.tiles, count, (n + CPR_PANEL - 1) / CPR_PANEL, 0), n,
                    NULL);
    }
}

/* Bring rows of an operand into panels, as [rows, columns] or turned. */
static void pack(const cpr_op *op, int32_t i, int64_t head, int64_t row, int64_t rows, bool turned, float *to)
{
    const cpr_tensor *t = op->tensor[i];
    const float *from = row_of(op, i, head, row);
    if (turned)
        cpr_pack_f32(from, t->dim[3], rows, t->stride[3], t->stride[2], to);
    else
        cpr_pack_f32(from, rows, t->dim[3], t->stride[2], t->stride[3], to);
}

/* dV or dK: add the turned scores (or their gradient) times rows of G or Q. */
static void gather(const job *j, int64_t head, int64_t row, int64_t rows, const float *scores, int32_t from,
                   int32_t to, float *scratch)
{
    const layout *l = &j->layout;
    const int64_t n = j->op->tensor[K]->dim[2], word = sizeof(float), step = whole(l->block);
    float *turned = scratch + l->at[TURNED], *packed = scratch + l->at[ROWS];
    cpr_copy_in_use()->bytes[2]((const char *)scores, l->step * word, (char *)turned, step * word, rows, n);
    pack(j->op, from, head, row, rows, false, packed);
    const cpr_tensor *out = j->op->tensor[to];
    product(j, turned, step, n, rows, packed, out->dim[3], row_of(j->op, to, head, 0), out->stride[2], row > 0);
}

/* One block of queries of one head, whose keys and values are packed. */
static void back(const job *j, int64_t head, int64_t row, int64_t rows, float *scratch)
{
    const cpr_op *op = j->op;
    const cpr_tensor *q = op->tensor[Q], *k = op->tensor[K], *mask = op->tensor[MASK], *dq = op->tensor[DQ];
    const layout *l = &j->layout;
    const int64_t n = k->dim[2], e = op->tensor[V]->dim[3];
    float *score = scratch + l->at[SCORE], *slope = scratch + l->at[SLOPE];
    product(j, row_of(op, Q, head, row), q->stride[2], rows, q->dim[3], scratch + l->at[KEYS], n, score, l->step, false);
    if (mask || op->args[SCALE] != CPR_SCALE_NONE)
        for (int64_t i = 0; i < rows; i++)
            j->ops->scale_and_mask(score + i * l->step, n, op->args[SCALE], j->factor,
                                   mask ? row_of(op, MASK, head, row + i) : NULL, mask ? mask->stride[3] : 0);
    j->norm->softmax_rows(score, l->step, rows, n);
    gather(j, head, row, rows, score, G, DV, scratch);
    product(j, row_of(op, G, head, row), op->tensor[G]->stride[2], rows, e, scratch + l->at[VALUES], n, slope, l->step,
            false);
    for (int64_t i = 0; i < rows; i++)
        j->rows->softmax(score + i * l->step, slope + i * l->step, slope + i * l->step, n, j->slope);
    product(j, slope, l->step, rows, n, scratch + l->at[KEYS_BACK], dq->dim[3], row_of(op, DQ, head, row),
            dq->stride[2], false);
    gather(j, head, row, rows, slope, Q, DK, scratch);
}

static void zero(const cpr_op *op, int32_t i, int64_t head)
{
    const cpr_tensor *t = op->tensor[i];
    for (int64_t row = 0; row < t->dim[2]; row++)
        for (int64_t c = 0; c < t->dim[3]; c++)
            row_of(op, i, head, row)[c] = 0.0f;
}

static void heads(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const layout *l = &j->layout;
    const int64_t m = op->tensor[Q]->dim[2], n = op->tensor[K]->dim[2];
    float *scratch = (float *)(op->scratch + worker * op->scratch_stride);
    for (int64_t head = begin; head < end; head++) {
        if (m == 0) {
            zero(op, DK, head);
            zero(op, DV, head);
            continue;
        }
        pack(op, K, head, 0, n, true, scratch + l->at[KEYS]);
        pack(op, K, head, 0, n, false, scratch + l->at[KEYS_BACK]);
        pack(op, V, head, 0, n, true, scratch + l->at[VALUES]);
        for (int64_t row = 0; row < m; row += l->block)
            back(j, head, row, m - row < l->block ? m - row : l->block, scratch);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *q = op->tensor[Q];
    const float factor = (float)cpr_arg_float(op, FACTOR);
    const int64_t scale = op->args[SCALE];
    job j = {.op = op, .ops = CPR_PICK(cpr_attention), .norm = CPR_PICK(cpr_norm), .rows = CPR_PICK(cpr_grad_rows),
             .kind = cpr_f32_kind(), .factor = factor,
             .slope = scale == CPR_SCALE_NONE ? 1.0f : scale == CPR_SCALE_MULTIPLY ? factor : 1.0f / factor};
    if (!layout_of(op, &j.layout))
        return cpr_fail(CPR_ERR_ARGUMENT, "attention_grad_f32: sizes overflow");
    cpr_parallel(op->pool, q->dim[0] * q->dim[1], 1, heads, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_attention_grad_f32 = {"attention_grad_f32", check, run};

/* attention.c - scores, softmax and weighted sum of one block of queries after the other.
 *
 * The scores of a block stay in the cache; nobody else sees them.  Every number is computed as
 * gemm_f32, the elementwise kernels and softmax would compute it one after the other: the bytes
 * are theirs.
 */
#include "attention/attention.h"

#include <math.h>

#include "gemm_f32/gemm_f32.h"
#include "norm/norm.h"
#include "vector/walk.h"

/* attention_f32: out = softmax(scale(Q K') + mask) V per batch and head
 * operands  Q [batch, heads, m, d] d-stride 1 | K [batch, heads, n, d] | V [batch, heads, n, e] |
 *           mask [batch, heads, m, n] or absent | out [batch, heads, m, e] e-stride 1;
 *           n >= 1; all other strides free
 * args      scale (0 none, 1 times, 2 by the factor), factor (float) */
enum { Q, K, V, MASK, OUT };
enum { SCALE, FACTOR, N_ARGS };

enum {
    MOST_ROWS = 4 * CPR_MAX_ROWS,  /* queries in a block */
    SCORES = 1 << 15,              /* scores in a block: 128 KB, an eighth of L2 */
    LEAST_ROWS = 2 * CPR_MAX_ROWS, /* queries for which packing K and V pays */
    PER_THREAD = 4                 /* units of work per thread */
};

/* How a worker's scratch memory is cut, in floats. */
typedef struct {
    int64_t keys, values, scores, step; /* step: from one row of scores to the next */
    int64_t block;                      /* queries in a block */
    int64_t total;
} layout;

static int64_t whole(int64_t n)
{
    return (n + CPR_PANEL - 1) / CPR_PANEL * CPR_PANEL;
}

/* Queries per block: whole tiles as far as their scores fit. */
static int64_t block_of(int64_t step)
{
    const int64_t fit = SCORES / step / CPR_MAX_ROWS * CPR_MAX_ROWS;
    return fit < CPR_MAX_ROWS ? CPR_MAX_ROWS : fit > MOST_ROWS ? MOST_ROWS : fit;
}

static bool layout_of(const cpr_op *op, layout *l)
{
    const int64_t n = op->tensor[K]->dim[2], d = op->tensor[K]->dim[3], e = op->tensor[V]->dim[3];
    const int64_t most = (int64_t)1 << 31;
    if (n > most || d > most || e > most)
        return false;
    l->step = whole(n);
    l->block = block_of(l->step);
    bool bad = __builtin_mul_overflow(whole(n), d, &l->keys);
    bad |= __builtin_mul_overflow(whole(e), n, &l->values);
    bad |= __builtin_mul_overflow(l->block, l->step, &l->scores);
    bad |= __builtin_add_overflow(l->keys, l->values, &l->total);
    bad |= __builtin_add_overflow(l->total, l->scores, &l->total);
    return !bad && l->total < INT64_MAX / 64;
}

static bool floats_of_rank_4(const cpr_tensor *t)
{
    return t && t->dtype == CPR_F32 && t->rank == 4;
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "attention_f32";
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == N_ARGS);
    const cpr_tensor *q = op->tensor[Q], *k = op->tensor[K], *v = op->tensor[V], *mask = op->tensor[MASK];
    const cpr_tensor *out = op->tensor[OUT];
    CPR_REQUIRE(name, floats_of_rank_4(q) && floats_of_rank_4(k) && floats_of_rank_4(v) && floats_of_rank_4(out));
    CPR_REQUIRE(name, !mask || floats_of_rank_4(mask));
    for (int i = 0; i < 2; i++) {
        CPR_REQUIRE(name, q->dim[i] == out->dim[i] && k->dim[i] == out->dim[i] && v->dim[i] == out->dim[i]);
        CPR_REQUIRE(name, !mask || mask->dim[i] == out->dim[i]);
    }
    CPR_REQUIRE(name, q->dim[2] == out->dim[2] && q->dim[3] == k->dim[3] && v->dim[3] == out->dim[3]);
    CPR_REQUIRE(name, k->dim[2] == v->dim[2] && k->dim[2] >= 1);
    CPR_REQUIRE(name, !mask || (mask->dim[2] == q->dim[2] && mask->dim[3] == k->dim[2]));
    CPR_REQUIRE(name, (q->stride[3] == 1 || q->dim[3] <= 1) && (out->stride[3] == 1 || out->dim[3] <= 1));
    CPR_REQUIRE(name, cpr_is_output(out));
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
    cpr_product_kind kind;
    layout layout;
    float factor;
    int64_t rows, parts; /* queries that one unit of work covers, units per head */
} job;

/* Element (batch, head, 0, 0) of an operand. */
static float *head_of(const cpr_op *op, int32_t i, int64_t batch, int64_t head)
{
    const cpr_tensor *t = op->tensor[i];
    return (float *)op->data[i] + batch * t->stride[0] + head * t->stride[1];
}

/* rows times n columns of packed B, without bias or clip. */
static void product(const job *j, const float *a, int64_t a_step, int64_t rows, int64_t k, const float *b, int64_t n,
                    float *c, int64_t c_step)
{
    const void *pointers[MOST_ROWS];
    for (int64_t i = 0; i < rows; i++)
        pointers[i] = a + i * a_step;
    const cpr_block block = {.taps = 1, .kc = k, .rows = pointers, .b = b, .low = -INFINITY, .high = INFINITY,
                             .c = c, .ldc = c_step};
    cpr_product(&j->kind, &block, rows, cpr_block_rows(j->kind.tiles, rows, (n + CPR_PANEL - 1) / CPR_PANEL), n,
                NULL);
}

/* One block of queries of one head, whose keys and values are packed. */
static void attend(const job *j, int64_t batch, int64_t head, int64_t row, int64_t rows, float *scratch)
{
    const cpr_op *op = j->op;
    const cpr_tensor *q = op->tensor[Q], *v = op->tensor[V], *mask = op->tensor[MASK], *out = op->tensor[OUT];
    const layout *l = &j->layout;
    const int64_t n = v->dim[2];
    const float *keys = scratch, *values = keys + l->keys;
    float *scores = scratch + l->keys + l->values;
    product(j, head_of(op, Q, batch, head) + row * q->stride[2], q->stride[2], rows, q->dim[3], keys, n, scores,
            l->step);
    const float *added = mask ? head_of(op, MASK, batch, head) + row * mask->stride[2] : NULL;
    if (mask || op->args[SCALE] != CPR_SCALE_NONE)
        for (int64_t i = 0; i < rows; i++)
            j->ops->scale_and_mask(scores + i * l->step, n, op->args[SCALE], j->factor,
                                   mask ? added + i * mask->stride[2] : NULL, mask ? mask->stride[3] : 0);
    j->norm->softmax_rows(scores, l->step, rows, n);
    product(j, scores, l->step, rows, n, values, out->dim[3],
            head_of(op, OUT, batch, head) + row * out->stride[2], out->stride[2]);
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *k = op->tensor[K], *v = op->tensor[V], *out = op->tensor[OUT];
    float *scratch = (float *)(op->scratch + worker * op->scratch_stride);
    int64_t packed = -1;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t at = unit / j->parts, batch = at / out->dim[1], head = at % out->dim[1];
        if (at != packed) {
            cpr_pack_f32(head_of(op, K, batch, head), k->dim[3], k->dim[2], k->stride[3], k->stride[2], scratch);
            cpr_pack_f32(head_of(op, V, batch, head), v->dim[2], v->dim[3], v->stride[2], v->stride[3],
                         scratch + j->layout.keys);
            packed = at;
        }
        const int64_t first = unit % j->parts * j->rows, left = out->dim[2] - first;
        const int64_t rows = left < j->rows ? left : j->rows;
        for (int64_t row = 0; row < rows; row += j->layout.block)
            attend(j, batch, head, first + row, rows - row < j->layout.block ? rows - row : j->layout.block, scratch);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    const int64_t heads = out->dim[0] * out->dim[1], m = out->dim[2];
    if (heads == 0 || m == 0 || out->dim[3] == 0)
        return CPR_OK;
    job j = {.op = op, .ops = CPR_PICK(cpr_attention), .norm = CPR_PICK(cpr_norm), .kind = cpr_f32_kind(),
             .factor = (float)cpr_arg_float(op, FACTOR)};
    if (!layout_of(op, &j.layout))
        return cpr_fail(CPR_ERR_ARGUMENT, "attention_f32: sizes overflow");
    /* A head is cut into parts where there are too few heads for the threads. */
    const int64_t wanted = PER_THREAD * cpr_pool_threads(op->pool);
    int64_t parts = heads < wanted && cpr_pool_threads(op->pool) > 1 ? (wanted + heads - 1) / heads : 1;
    const int64_t most = (m + LEAST_ROWS - 1) / LEAST_ROWS;
    parts = parts < most ? parts : most;
    j.rows = (m + parts - 1) / parts;
    j.parts = (m + j.rows - 1) / j.rows;
    cpr_parallel(op->pool, heads * j.parts, 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_attention_f32 = {"attention_f32", check, run};

/* attention.c - scores, softmax and weighted sum of one block of queries after the other.
 *
 * The scores of a block stay in the cache; nobody else sees them.  Every number is computed as
 * gemm_f32 (gemm_bf16), the elementwise kernels and softmax (and cast) would compute it one after
 * the other: the bytes are theirs.
 */
#include "attention/attention.h"

#include <math.h>

#include "gemm_bf16/gemm_bf16.h"
#include "gemm_f32/gemm_f32.h"
#include "norm/norm.h"
#include "vector/cast.h"

/* attention_f32: out = softmax(scale(Q K') + mask) V per batch and head
 * operands  Q [batch, heads, m, d] d-stride 1 | K [batch, heads, n, d] | V [batch, heads, n, e] |
 *           mask [batch, heads, m, n] or absent | out [batch, heads, m, e] e-stride 1;
 *           n >= 1; all other strides free
 * args      scale (0 none, 1 times, 2 by the factor), factor (float)
 *
 * attention_bf16: Q, K and V bf16, out f32 or bf16; scores and softmax are float32, and the softmax
 * is rounded before it is multiplied with V */
enum { Q, K, V, MASK, OUT };
enum { SCALE, FACTOR, N_ARGS };

enum {
    MOST_ROWS = 4 * CPR_MAX_ROWS,  /* queries in a block */
    SCORES = 1 << 15,              /* scores in a block: 128 KB, an eighth of L2 */
    LEAST_ROWS = 2 * CPR_MAX_ROWS, /* queries for which packing K and V pays */
    PER_THREAD = 4                 /* units of work per thread */
};

/* How a worker's scratch memory is cut, in bytes. */
typedef struct {
    int64_t keys, values, scores;
    int64_t step;  /* elements from one row of scores to the next */
    int64_t block; /* queries in a block */
    int64_t total; /* with the rounded softmax behind the scores, if that is made */
} layout;

static bool is_half(const cpr_op *op)
{
    return op->tensor[Q]->dtype == CPR_BF16;
}

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
    const int64_t width = is_half(op) ? 2 : 4;
    int64_t weights;
    bool bad = __builtin_mul_overflow(whole(n), (d + d % 2) * width, &l->keys);
    bad |= __builtin_mul_overflow(whole(e), (n + n % 2) * width, &l->values);
    bad |= __builtin_mul_overflow(l->block * 4, l->step, &l->scores);
    bad |= __builtin_mul_overflow(is_half(op) ? l->block * width : 0, l->step, &weights);
    bad |= __builtin_add_overflow(l->keys, l->values, &l->total);
    bad |= __builtin_add_overflow(l->total, l->scores, &l->total);
    bad |= __builtin_add_overflow(l->total, weights, &l->total);
    return !bad && l->total < INT64_MAX / 64;
}

static bool is_of_rank_4(const cpr_tensor *t, int32_t dtype)
{
    return t && t->dtype == dtype && t->rank == 4;
}

static cpr_status check(const char *name, const cpr_op *op, int32_t dtype, int64_t *scratch_bytes)
{
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == N_ARGS);
    const cpr_tensor *q = op->tensor[Q], *k = op->tensor[K], *v = op->tensor[V], *mask = op->tensor[MASK];
    const cpr_tensor *out = op->tensor[OUT];
    CPR_REQUIRE(name, is_of_rank_4(q, dtype) && is_of_rank_4(k, dtype) && is_of_rank_4(v, dtype));
    CPR_REQUIRE(name, is_of_rank_4(out, CPR_F32) || is_of_rank_4(out, dtype));
    CPR_REQUIRE(name, !mask || is_of_rank_4(mask, CPR_F32));
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
    *scratch_bytes = l.total;
    return CPR_OK;
}

static cpr_status check_f32(const cpr_op *op, int64_t *scratch_bytes)
{
    return check("attention_f32", op, CPR_F32, scratch_bytes);
}

static cpr_status check_bf16(const cpr_op *op, int64_t *scratch_bytes)
{
    return check("attention_bf16", op, CPR_BF16, scratch_bytes);
}

typedef struct {
    const cpr_op *op;
    const cpr_attention_ops *ops;
    const cpr_norm_ops *norm;
    cpr_product_kind scores, result; /* the two products */
    cpr_core *round;                 /* float32 to bfloat16; NULL: the softmax stays as it is */
    layout layout;
    float factor;
    int64_t rows, parts; /* queries that one unit of work covers, units per head */
} job;

/* Element (batch, head, row, 0) of an operand. */
static char *row_of(const cpr_op *op, int32_t i, int64_t batch, int64_t head, int64_t row)
{
    const cpr_tensor *t = op->tensor[i];
    const int64_t at = batch * t->stride[0] + head * t->stride[1] + row * t->stride[2];
    return (char *)op->data[i] + at * cpr_dtype_bytes(t->dtype);
}

/* rows (a_step elements apart) times n columns of packed B, without bias or clip. */
static void product(const cpr_product_kind *kind, const char *a, int64_t a_step, int64_t rows, int64_t k,
                    const char *b, int64_t n, char *c, int64_t c_step)
{
    const void *pointers[MOST_ROWS];
    for (int64_t i = 0; i < rows; i++)
        pointers[i] = a + i * a_step * kind->a_bytes;
    const cpr_block block = {.taps = 1, .kc = k, .rows = pointers, .b = b, .low = -INFINITY, .high = INFINITY,
                             .store = kind->c_bytes == 4 ? CPR_F32 : CPR_BF16, .c = c, .ldc = c_step};
    const uint32_t state = cpr_flush_begin(kind);
    cpr_product(kind, &block, rows, cpr_block_rows(kind->tiles, rows, (n + CPR_PANEL - 1) / CPR_PANEL, 0), n, NULL);
    cpr_flush_end(kind, state);
}

/* One block of queries of one head, whose keys and values are packed. */
static void attend(const job *j, int64_t batch, int64_t head, int64_t row, int64_t rows, char *scratch)
{
    const cpr_op *op = j->op;
    const cpr_tensor *q = op->tensor[Q], *v = op->tensor[V], *mask = op->tensor[MASK], *out = op->tensor[OUT];
    const layout *l = &j->layout;
    const int64_t n = v->dim[2];
    const char *keys = scratch, *values = keys + l->keys;
    char *weights = scratch + l->keys + l->values;
    float *scores = (float *)weights;
    product(&j->scores, row_of(op, Q, batch, head, row), q->stride[2], rows, q->dim[3], keys, n, weights, l->step);
    const float *added = mask ? (const float *)row_of(op, MASK, batch, head, row) : NULL;
    if (mask || op->args[SCALE] != CPR_SCALE_NONE)
        for (int64_t i = 0; i < rows; i++)
            j->ops->scale_and_mask(scores + i * l->step, n, op->args[SCALE], j->factor,
                                   mask ? added + i * mask->stride[2] : NULL, mask ? mask->stride[3] : 0);
    j->norm->softmax_rows(scores, l->step, rows, n);
    if (j->round) {
        weights += l->scores;
        for (int64_t i = 0; i < rows; i++)
            j->round(NULL, n, (char *[]){(char *)(scores + i * l->step), weights + i * l->step * 2}, 0);
    }
    product(&j->result, weights, l->step, rows, n, values, out->dim[3], row_of(op, OUT, batch, head, row),
            out->stride[2]);
}

/* Pack the keys and values of a head. */
static void pack_head(const cpr_op *op, const layout *l, int64_t batch, int64_t head, char *scratch)
{
    const cpr_tensor *k = op->tensor[K], *v = op->tensor[V];
    const void *keys = row_of(op, K, batch, head, 0), *values = row_of(op, V, batch, head, 0);
    if (is_half(op)) {
        cpr_pack_bf16(keys, k->dim[3], k->dim[2], k->stride[3], k->stride[2], (uint16_t *)scratch);
        cpr_pack_bf16(values, v->dim[2], v->dim[3], v->stride[2], v->stride[3], (uint16_t *)(scratch + l->keys));
    } else {
        cpr_pack_f32(keys, k->dim[3], k->dim[2], k->stride[3], k->stride[2], (float *)scratch);
        cpr_pack_f32(values, v->dim[2], v->dim[3], v->stride[2], v->stride[3], (float *)(scratch + l->keys));
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *out = op->tensor[OUT];
    char *scratch = op->scratch + worker * op->scratch_stride;
    int64_t packed = -1;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t at = unit / j->parts, batch = at / out->dim[1], head = at % out->dim[1];
        if (at != packed) {
            pack_head(op, &j->layout, batch, head, scratch);
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
    job j = {.op = op, .ops = CPR_PICK(cpr_attention), .norm = CPR_PICK(cpr_norm),
             .factor = (float)cpr_arg_float(op, FACTOR)};
    if (!layout_of(op, &j.layout))
        return cpr_fail(CPR_ERR_ARGUMENT, "attention: sizes overflow");
    j.scores = is_half(op) ? cpr_bf16_kind(CPR_F32) : cpr_f32_kind();
    j.result = is_half(op) ? cpr_bf16_kind(out->dtype) : cpr_f32_kind();
    if (is_half(op))
        j.round = CPR_PICK(cpr_cast)->from_to[cpr_cast_index(CPR_F32)][cpr_cast_index(CPR_BF16)];
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

const cpr_kernel cpr_k_attention_f32 = {"attention_f32", check_f32, run};
const cpr_kernel cpr_k_attention_bf16 = {"attention_bf16", check_bf16, run};

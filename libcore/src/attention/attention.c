/* attention.c - scores, softmax and weighted sum of one block of queries after the other.
 *
 * The scores of a block stay in the cache; nobody else sees them.  Every number is computed as
 * gemm_f32 (gemm_bf16, gemm_s8), the elementwise kernels and softmax (and cast, quantize_linear)
 * would compute it one after the other: the bytes are theirs.
 */
#include "attention/attention.h"

#include <math.h>

#include "gemm_bf16/gemm_bf16.h"
#include "gemm_f32/gemm_f32.h"
#include "gemm_s8/gemm_s8.h"
#include "norm/norm.h"
#include "quant/linear.h"
#include "vector/cast.h"

/* attention_f32: out = softmax(scale(Q K') + mask) V per batch and head
 * operands  Q [batch, heads, m, d] d-stride 1 | K [batch, heads, n, d] | V [batch, heads, n, e] |
 *           mask [batch, heads, m, n] or absent | out [batch, heads, m, e] e-stride 1;
 *           n >= 1; all other strides free
 * args      scale (0 none, 1 times, 2 by the factor), factor (float)
 *
 * attention_bf16: Q, K and V bf16, out f32 or bf16; scores and softmax are float32, and the softmax
 * is rounded before it is multiplied with V
 *
 * attention_s8: Q u8, K and V s8, out f32, u8 or s8; more args: the zero point of Q, what the sums
 * of the scores are multiplied by, scale and zero point of the softmax as u8 (float, int), what the
 * last sums are multiplied by, and as in gemm_s8 low, high (floats) and the zero point of out */
enum { Q, K, V, MASK, OUT };
enum { SCALE, FACTOR, N_ARGS };
enum { Q_ZERO = N_ARGS, SCORE_SCALE, WEIGHT_SCALE, WEIGHT_ZERO, OUT_SCALE, LOW, HIGH, OUT_ZERO, S8_ARGS };

enum {
    MOST_ROWS = 4 * CPR_MAX_ROWS,  /* queries in a block */
    SCORES = 1 << 15,              /* scores in a block: 128 KB, an eighth of L2 */
    LEAST_ROWS = 2 * CPR_MAX_ROWS, /* queries for which packing K and V pays */
    PER_THREAD = 4                 /* units of work per thread */
};

/* How a worker's scratch memory is cut: offsets in bytes, behind the packed keys. */
typedef struct {
    int64_t values;
    int64_t starts, scales; /* s8: of the columns of both products */
    int64_t scores;
    int64_t weights; /* the softmax, where it is not left in the place of the scores */
    int64_t total;
    int64_t step;  /* elements from one row of scores to the next */
    int64_t block; /* queries in a block */
} layout;

static int64_t up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Queries per block: whole tiles as far as their scores fit. */
static int64_t block_of(int64_t step)
{
    const int64_t fit = SCORES / step / CPR_MAX_ROWS * CPR_MAX_ROWS;
    return fit < CPR_MAX_ROWS ? CPR_MAX_ROWS : fit > MOST_ROWS ? MOST_ROWS : fit;
}

/* Append a * b bytes; returns where they begin. */
static int64_t append(layout *l, int64_t a, int64_t b, bool *bad)
{
    const int64_t at = l->total;
    int64_t bytes;
    *bad |= __builtin_mul_overflow(a, b, &bytes);
    *bad |= __builtin_add_overflow(at, bytes, &l->total);
    return at;
}

static bool layout_of(const cpr_op *op, layout *l)
{
    const int64_t n = op->tensor[K]->dim[2], d = op->tensor[K]->dim[3], e = op->tensor[V]->dim[3];
    const int64_t most = (int64_t)1 << 31;
    if (n > most || d > most || e > most)
        return false;
    const int32_t dtype = op->tensor[K]->dtype;
    const int64_t width = cpr_dtype_bytes(dtype), unit = dtype == CPR_F32 ? 1 : dtype == CPR_BF16 ? 2 : 4;
    const int64_t keys = up(n, CPR_PANEL), sizes = up(e, CPR_PANEL), columns = dtype == CPR_S8 ? 4 : 0;
    *l = (layout){.step = keys, .block = block_of(keys)};
    bool bad = false;
    append(l, keys, up(d, unit) * width, &bad);
    l->values = append(l, sizes, up(n, unit) * width, &bad);
    l->starts = append(l, keys + sizes, columns, &bad);
    l->scales = append(l, keys + sizes, columns, &bad);
    l->scores = append(l, l->block * 4, keys, &bad);
    l->weights = append(l, dtype == CPR_F32 ? 0 : l->block * width, keys, &bad);
    return !bad && l->total < INT64_MAX / 64;
}

static bool is_of_rank_4(const cpr_tensor *t, int32_t dtype)
{
    return t && t->dtype == dtype && t->rank == 4;
}

static cpr_status check(const char *name, const cpr_op *op, int32_t dtype, int32_t n_args, int64_t *scratch_bytes)
{
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == n_args);
    const cpr_tensor *q = op->tensor[Q], *k = op->tensor[K], *v = op->tensor[V], *mask = op->tensor[MASK];
    const cpr_tensor *out = op->tensor[OUT];
    CPR_REQUIRE(name, is_of_rank_4(q, dtype == CPR_S8 ? CPR_U8 : dtype));
    CPR_REQUIRE(name, is_of_rank_4(k, dtype) && is_of_rank_4(v, dtype));
    CPR_REQUIRE(name, is_of_rank_4(out, CPR_F32) || is_of_rank_4(out, dtype) || is_of_rank_4(out, q->dtype));
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
    return check("attention_f32", op, CPR_F32, N_ARGS, scratch_bytes);
}

static cpr_status check_bf16(const cpr_op *op, int64_t *scratch_bytes)
{
    return check("attention_bf16", op, CPR_BF16, N_ARGS, scratch_bytes);
}

static cpr_status check_s8(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "attention_s8";
    const cpr_status status = check(name, op, CPR_S8, S8_ARGS, scratch_bytes);
    if (status)
        return status;
    CPR_REQUIRE(name, op->tensor[K]->dim[2] <= CPR_S8_MAX_K && op->tensor[K]->dim[3] <= CPR_S8_MAX_K);
    CPR_REQUIRE(name, op->args[Q_ZERO] >= 0 && op->args[Q_ZERO] <= 255);
    CPR_REQUIRE(name, op->args[WEIGHT_ZERO] >= 0 && op->args[WEIGHT_ZERO] <= 255);
    CPR_REQUIRE(name, cpr_s8_bounds_fit(op->tensor[OUT]->dtype, cpr_arg_float(op, LOW), cpr_arg_float(op, HIGH),
                                        op->args[OUT_ZERO]));
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_attention_ops *ops;
    const cpr_norm_ops *norm;
    cpr_product_kind scores, result; /* the two products */
    cpr_block score_block, result_block; /* their epilogues */
    cpr_core *narrow;                /* the softmax to bfloat16 or codes; NULL: it stays as it is */
    float weight_scale;              /* s8: of its codes */
    uint8_t weight_zero;
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

/* rows (a_step elements apart) times n columns of packed B, with the epilogue of `block`. */
static void product(const cpr_product_kind *kind, cpr_block block, const char *a, int64_t a_step, int64_t rows,
                    int64_t k, const char *b, int64_t n, char *c, int64_t c_step)
{
    const void *pointers[MOST_ROWS];
    for (int64_t i = 0; i < rows; i++)
        pointers[i] = a + i * a_step * kind->a_bytes;
    block.taps = 1;
    block.kc = k;
    block.rows = pointers;
    block.b = b;
    block.c = c;
    block.ldc = c_step;
    const uint32_t state = cpr_flush_begin(kind);
    cpr_product(kind, &block, rows, cpr_block_rows(kind->tiles, rows, (n + CPR_PANEL - 1) / CPR_PANEL, 0), n, NULL);
    cpr_flush_end(kind, state);
}

/* Round or quantize a row of the softmax. */
static void narrow_row(const job *j, int64_t n, float *from, char *to)
{
    if (j->op->tensor[K]->dtype == CPR_BF16)
        j->narrow(NULL, n, (char *[]){(char *)from, to}, 0);
    else
        j->narrow(NULL, n, (char *[]){(char *)from, (char *)&j->weight_scale, (char *)&j->weight_zero, to}, 1u << 1 | 1u << 2);
}

/* One block of queries of one head, whose keys and values are packed. */
static void attend(const job *j, int64_t batch, int64_t head, int64_t row, int64_t rows, char *scratch)
{
    const cpr_op *op = j->op;
    const cpr_tensor *q = op->tensor[Q], *v = op->tensor[V], *mask = op->tensor[MASK], *out = op->tensor[OUT];
    const layout *l = &j->layout;
    const int64_t n = v->dim[2], width = j->result.a_bytes;
    float *scores = (float *)(scratch + l->scores);
    char *weights = (char *)scores;
    cpr_block first = j->score_block, last = j->result_block;
    if (j->score_block.scale) { /* s8: where a worker keeps them */
        first.start = scratch + l->starts;
        first.scale = (const float *)(scratch + l->scales);
        last.start = scratch + l->starts + l->step * 4;
        last.scale = first.scale + l->step;
    }
    product(&j->scores, first, row_of(op, Q, batch, head, row), q->stride[2], rows, q->dim[3], scratch, n, weights, l->step);
    const float *added = mask ? (const float *)row_of(op, MASK, batch, head, row) : NULL;
    if (mask || op->args[SCALE] != CPR_SCALE_NONE)
        for (int64_t i = 0; i < rows; i++)
            j->ops->scale_and_mask(scores + i * l->step, n, op->args[SCALE], j->factor,
                                   mask ? added + i * mask->stride[2] : NULL, mask ? mask->stride[3] : 0);
    j->norm->softmax_rows(scores, l->step, rows, n);
    if (j->narrow) {
        weights = scratch + l->weights;
        for (int64_t i = 0; i < rows; i++)
            narrow_row(j, n, scores + i * l->step, weights + i * l->step * width);
    }
    product(&j->result, last, weights, l->step, rows, n, scratch + l->values, out->dim[3],
            row_of(op, OUT, batch, head, row), out->stride[2]);
}

/* Pack the keys and values of a head. */
static void pack_head(const job *j, int64_t batch, int64_t head, char *scratch)
{
    const cpr_op *op = j->op;
    const cpr_tensor *k = op->tensor[K], *v = op->tensor[V];
    const void *keys = row_of(op, K, batch, head, 0), *values = row_of(op, V, batch, head, 0);
    char *to = scratch + j->layout.values;
    const int64_t n = k->dim[2], d = k->dim[3], e = v->dim[3];
    if (k->dtype == CPR_BF16) {
        cpr_pack_bf16(keys, d, n, k->stride[3], k->stride[2], (uint16_t *)scratch);
        cpr_pack_bf16(values, n, e, v->stride[2], v->stride[3], (uint16_t *)to);
    } else if (k->dtype == CPR_F32) {
        cpr_pack_f32(keys, d, n, k->stride[3], k->stride[2], (float *)scratch);
        cpr_pack_f32(values, n, e, v->stride[2], v->stride[3], (float *)to);
    } else {
        int32_t *starts = (int32_t *)(scratch + j->layout.starts);
        cpr_pack_s8(keys, d, n, k->stride[3], k->stride[2], (int8_t *)scratch, op->args[Q_ZERO], starts);
        cpr_pack_s8(values, n, e, v->stride[2], v->stride[3], (int8_t *)to, j->weight_zero, starts + j->layout.step);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const cpr_op *op = j->op;
    const cpr_tensor *out = op->tensor[OUT];
    char *scratch = op->scratch + worker * op->scratch_stride;
    if (j->score_block.scale) {
        float *scales = (float *)(scratch + j->layout.scales);
        for (int64_t i = 0; i < j->layout.step; i++)
            scales[i] = *j->score_block.scale;
        for (int64_t i = 0; i < up(out->dim[3], CPR_PANEL); i++)
            scales[j->layout.step + i] = *j->result_block.scale;
    }
    int64_t packed = -1;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t at = unit / j->parts, batch = at / out->dim[1], head = at % out->dim[1];
        if (at != packed) {
            pack_head(j, batch, head, scratch);
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
    j.score_block = (cpr_block){.low = -INFINITY, .high = INFINITY, .store = CPR_F32};
    j.result_block = (cpr_block){.low = -INFINITY, .high = INFINITY, .store = out->dtype};
    float score_scale, out_scale;
    if (op->tensor[K]->dtype == CPR_F32) {
        j.scores = j.result = cpr_f32_kind();
    } else if (op->tensor[K]->dtype == CPR_BF16) {
        j.scores = cpr_bf16_kind(CPR_F32);
        j.result = cpr_bf16_kind(out->dtype);
        j.narrow = CPR_PICK(cpr_cast)->from_to[cpr_cast_index(CPR_F32)][cpr_cast_index(CPR_BF16)];
    } else {
        j.scores = cpr_s8_kind(CPR_F32);
        j.result = cpr_s8_kind(out->dtype);
        j.narrow = CPR_PICK(cpr_linear)->quantize[0];
        j.weight_scale = (float)cpr_arg_float(op, WEIGHT_SCALE);
        j.weight_zero = (uint8_t)op->args[WEIGHT_ZERO];
        score_scale = (float)cpr_arg_float(op, SCORE_SCALE);
        out_scale = (float)cpr_arg_float(op, OUT_SCALE);
        j.score_block.scale = &score_scale;
        j.result_block.scale = &out_scale;
        j.result_block.low = (float)cpr_arg_float(op, LOW);
        j.result_block.high = (float)cpr_arg_float(op, HIGH);
        j.result_block.zero_point = (int32_t)op->args[OUT_ZERO];
    }
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
const cpr_kernel cpr_k_attention_s8 = {"attention_s8", check_s8, run};

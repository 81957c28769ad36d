/* gemm_f32.c - cutting a float32 product into tiles, and the operator gemm_f32. */
#include "gemm_f32/gemm_f32.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
const cpr_f32_tiles *cpr_f32_tiles_now(void)
{
    const int32_t isa = cpr_isa();
    return isa >= CPR_AVX512 ? &cpr_f32_tiles_avx512 : isa >= CPR_AVX2 ? &cpr_f32_tiles_avx2 : &cpr_f32_tiles_scalar;
}
#else
const cpr_f32_tiles *cpr_f32_tiles_now(void)
{
    return &cpr_f32_tiles_scalar;
}
#endif

/* The widest tile for `panels` panels left and at most `rows` rows. */
static int64_t choose_panels(const cpr_f32_tiles *tiles, int64_t panels, int64_t rows)
{
    if (panels >= 4 && rows <= tiles->max_rows[4])
        return 4;
    if (panels >= 2 && tiles->max_rows[2] > 0)
        return 2;
    return 1;
}

int64_t cpr_f32_block_rows(const cpr_f32_tiles *tiles, int64_t m, int64_t panels)
{
    const int64_t most = tiles->max_rows[choose_panels(tiles, panels, m)];
    const int64_t blocks = (m + most - 1) / most;
    return blocks > 0 ? (m + blocks - 1) / blocks : 1;
}

void cpr_f32_product(const cpr_f32_tiles *tiles, const cpr_f32_block *block, int64_t m, int64_t block_rows, int64_t n)
{
    const int64_t panel = block->taps * block->kc * CPR_F32_PANEL;
    for (int64_t j = 0; j < n;) {
        const int64_t left = (n - j + CPR_F32_PANEL - 1) / CPR_F32_PANEL;
        const int64_t panels = choose_panels(tiles, left, block_rows);
        for (int64_t i = 0; i < m; i += block_rows) {
            const int64_t rows = m - i < block_rows ? m - i : block_rows;
            cpr_f32_block part = *block;
            part.rows += i * block->taps;
            part.b += j / CPR_F32_PANEL * panel;
            part.bias = block->bias ? block->bias + j : NULL;
            part.residual = block->residual ? block->residual + i * block->ldr + j : NULL;
            part.c += i * block->ldc + j;
            part.n = n - j;
            tiles->tile[panels][rows](&part);
        }
        j += panels * CPR_F32_PANEL;
    }
}

/* gemm_f32: C[b] = clip(A[b] * B[b] + bias + residual[b])
 * operands  A [batch, m, k] k-stride 1 | B packed [batch or 1, panels, k, 16] contiguous |
 *           bias [panels * 16] or absent | residual [batch, m, n] n-stride 1 or absent |
 *           C [batch, m, n] n-stride 1
 * args      low, high (floats) */
enum { A, B, BIAS, RESIDUAL, C };

static bool rows_of_floats(const cpr_tensor *t)
{
    return t->dtype == CPR_F32 && t->rank == 3 && (t->stride[2] == 1 || t->dim[2] <= 1);
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "gemm_f32";
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == 2);
    const cpr_tensor *a = op->tensor[A], *b = op->tensor[B], *bias = op->tensor[BIAS];
    const cpr_tensor *residual = op->tensor[RESIDUAL], *c = op->tensor[C];
    CPR_REQUIRE(name, a && b && c && rows_of_floats(a) && rows_of_floats(c));
    CPR_REQUIRE(name, b->dtype == CPR_F32 && b->rank == 4 && b->dim[3] == CPR_F32_PANEL);
    CPR_REQUIRE(name, a->dim[0] == c->dim[0] && a->dim[1] == c->dim[1] && a->dim[2] == b->dim[2]);
    CPR_REQUIRE(name, b->dim[0] == 1 || b->dim[0] == c->dim[0]);
    CPR_REQUIRE(name, cpr_is_contiguous(b) && b->dim[1] * CPR_F32_PANEL >= c->dim[2]);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 1 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == b->dim[1] * CPR_F32_PANEL));
    CPR_REQUIRE(name, !residual || (rows_of_floats(residual) && cpr_same_dims(residual, c)));
    *scratch_bytes = 0;
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_f32_tiles *tiles;
    int64_t row_chunk, column_chunk; /* what one unit of work covers */
    int64_t row_chunks, column_chunks;
    float low, high;
} job;

enum { ROW_CHUNK = 112 }; /* rows whose pointers and data stay in L2: 112 x 1024 floats */

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *a = j->op->tensor[A], *b = j->op->tensor[B], *c = j->op->tensor[C];
    const cpr_tensor *residual = j->op->tensor[RESIDUAL];
    const int64_t m = c->dim[1], n = c->dim[2], k = a->dim[2];
    const float *rows[ROW_CHUNK];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t column = unit % j->column_chunks * j->column_chunk;
        const int64_t row = unit / j->column_chunks % j->row_chunks * j->row_chunk;
        const int64_t batch = unit / j->column_chunks / j->row_chunks;
        const int64_t n_rows = m - row < j->row_chunk ? m - row : j->row_chunk;
        const int64_t n_columns = n - column < j->column_chunk ? n - column : j->column_chunk;
        const float *x = (const float *)j->op->data[A] + batch * a->stride[0] + row * a->stride[1];
        for (int64_t i = 0; i < n_rows; i++)
            rows[i] = x + i * a->stride[1];
        const int64_t panels = (n_columns + CPR_F32_PANEL - 1) / CPR_F32_PANEL;
        const cpr_f32_block block = {
            .taps = 1,
            .kc = k,
            .rows = rows,
            .b = (const float *)j->op->data[B] + (b->dim[0] > 1 ? batch * b->dim[1] * k * CPR_F32_PANEL : 0) +
                 column * k,
            .bias = j->op->tensor[BIAS] ? (const float *)j->op->data[BIAS] + column : NULL,
            .residual = residual ? (const float *)j->op->data[RESIDUAL] + batch * residual->stride[0] +
                                       row * residual->stride[1] + column
                                 : NULL,
            .ldr = residual ? residual->stride[1] : 0,
            .low = j->low,
            .high = j->high,
            .c = (float *)j->op->data[C] + batch * c->stride[0] + row * c->stride[1] + column,
            .ldc = c->stride[1],
        };
        cpr_f32_product(j->tiles, &block, n_rows, cpr_f32_block_rows(j->tiles, n_rows, panels), n_columns);
    }
}

static int64_t chunks(int64_t n, int64_t chunk)
{
    return (n + chunk - 1) / chunk;
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *c = op->tensor[C];
    const int64_t batch = c->dim[0], m = c->dim[1], n = c->dim[2], threads = cpr_pool_threads(op->pool);
    if (batch == 0 || m == 0 || n == 0)
        return CPR_OK;
    job j = {.op = op, .tiles = cpr_f32_tiles_now(), .low = (float)cpr_arg_float(op, 0), .high = (float)cpr_arg_float(op, 1)};
    j.row_chunk = m < ROW_CHUNK ? m : ROW_CHUNK;
    j.column_chunk = chunks(n, 64) * 64;
    if (threads > 1 && batch * chunks(m, j.row_chunk) < 4 * threads) {
        /* Too few units: cut columns (B is read once whatever the cut), then rows. */
        const int64_t per_unit = chunks(chunks(n, 64), threads) * 64;
        if (m <= 28 || batch * chunks(m, 14) < threads)
            j.column_chunk = per_unit;
        else
            j.row_chunk = chunks(chunks(m, 2 * threads), 14) * 14;
        if (j.row_chunk > ROW_CHUNK)
            j.row_chunk = ROW_CHUNK;
    }
    j.row_chunks = chunks(m, j.row_chunk);
    j.column_chunks = chunks(n, j.column_chunk);
    cpr_parallel(op->pool, batch * j.row_chunks * j.column_chunks, 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_gemm_f32 = {"gemm_f32", check, run};

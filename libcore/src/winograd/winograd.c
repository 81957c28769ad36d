/* winograd.c - the operator conv_winograd_f32: transforms around products of float32.
 *
 * A worker takes a block of tiles: it transforms their inputs, and then, 64 output channels at a
 * time, multiplies and transforms back.  All of it lies in its scratch memory, which fits L2:
 *
 *     v [n * n][tiles][channels], sums [n * n][tiles][64], a pointer to each row of v,
 *     zeros that padding reads, a pixel for outputs that are past the image
 */
#include "winograd/winograd.h"

#include <math.h>
#include <string.h>

#include "gemm_f32/gemm_f32.h"
#include "product/image.h"
#include "vector/walk.h"

enum { FITS = 900 << 10, MOST_TILES = 56, COLUMNS = CPR_MAX_PANELS * CPR_PANEL, LINE = 16 /* floats */ };

/* Where things lie in the scratch memory of a worker, in floats; how far rows and planes are apart. */
typedef struct {
    int64_t tiles;                 /* at most, in a block */
    int64_t points;                /* n * n */
    int64_t row, plane;            /* of v */
    int64_t sums, sum_row, sum_plane;
    int64_t rows, zeros, past;
    int64_t bytes;
} layout;

/* An odd number of cache lines: neighbours do not meet in one set of the cache. */
static int64_t odd_lines(int64_t floats)
{
    return ((floats + LINE - 1) / LINE | 1) * LINE;
}

static layout plan(int64_t tile, int64_t channels, int64_t columns)
{
    layout l = {.points = (tile + 2) * (tile + 2)};
    l.row = odd_lines(channels);
    l.sum_row = odd_lines(columns < COLUMNS ? columns : COLUMNS);
    const int64_t fit = FITS / (l.points * (l.row + l.sum_row) * (int64_t)sizeof(float));
    l.tiles = fit < 1 ? 1 : fit > MOST_TILES ? MOST_TILES : fit;
    l.plane = odd_lines(l.tiles * l.row);
    l.sum_plane = odd_lines(l.tiles * l.sum_row);
    l.sums = l.points * l.plane;
    l.rows = l.sums + l.points * l.sum_plane;
    l.zeros = l.rows + odd_lines(l.points * l.tiles * (int64_t)(sizeof(void *) / sizeof(float)));
    l.past = l.zeros + odd_lines(channels);
    l.bytes = (l.past + l.sum_row) * (int64_t)sizeof(float);
    return l;
}

/* conv_winograd_f32: out = clip(conv(in, 3 x 3 weights, stride 1) + bias + residual)
 * operands  in [N, C, H, W] channel stride 1 |
 *           weights G g G' [(tile + 2)^2, panels, C, 16] contiguous |
 *           bias [1, panels * 16] or absent | residual as out or absent |
 *           out [N, OC, OH, OW] channel stride 1; W, H and N strides free
 * args      tile (2 or 4), pad_top, pad_left, low, high (floats) */
enum { IN, WEIGHTS, BIAS, RESIDUAL, OUT };
enum { TILE, PAD_TOP, PAD_LEFT, LOW, HIGH, N_ARGS };

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "conv_winograd_f32";
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *bias = op->tensor[BIAS];
    const cpr_tensor *residual = op->tensor[RESIDUAL], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && out && cpr_channels_last(in, CPR_F32) && cpr_channels_last(out, CPR_F32) && cpr_is_output(out));
    CPR_REQUIRE(name, !residual || (cpr_channels_last(residual, CPR_F32) && cpr_same_dims(residual, out)));
    const int64_t tile = op->args[TILE];
    CPR_REQUIRE(name, tile == CPR_LEAST_TILE || tile == CPR_MOST_TILE);
    const cpr_window w = {3, 3, 1, 1, op->args[PAD_TOP], op->args[PAD_LEFT], 1, 1};
    const cpr_status status = cpr_window_check(name, &w, in, out);
    if (status)
        return status;
    CPR_REQUIRE(name, weights->dtype == CPR_F32 && weights->rank == 4 && cpr_is_contiguous(weights));
    CPR_REQUIRE(name, weights->dim[0] == (tile + 2) * (tile + 2) && weights->dim[3] == CPR_PANEL);
    CPR_REQUIRE(name, weights->dim[2] == in->dim[1] && weights->dim[1] * CPR_PANEL >= out->dim[1]);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 2 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == 1 && bias->dim[1] == weights->dim[1] * CPR_PANEL));
    *scratch_bytes = plan(tile, in->dim[1], out->dim[1]).bytes;
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    cpr_product_kind kind;
    const cpr_winograd_transform *transform;
    layout l;
    int64_t down, across; /* tiles of an image */
    int64_t all, tiles;   /* in all; per unit of work */
    int64_t columns, column_units;
    float low, high;
} job;

/* Of one worker. */
typedef struct {
    float *v, *sums, *zeros, *past;
    const void **rows;
} memory;

typedef struct {
    int64_t image, top, left; /* of the output */
} place;

static place place_of(const job *j, int64_t tile)
{
    const int64_t m = j->transform->tile;
    return (place){tile / j->across / j->down, tile / j->across % j->down * m, tile % j->across * m};
}

/* The pixels of an n x n square of an image, row by row; `outside` for those that it has not. */
static void point(const cpr_tensor *t, float *data, place at, int64_t n, float *outside, float **pixels)
{
    const int64_t height = t->dim[2], width = t->dim[3], across = t->stride[3];
    const bool whole = at.top >= 0 && at.left >= 0 && at.top + n <= height && at.left + n <= width;
    data += at.image * t->stride[0];
    for (int64_t y = at.top; y < at.top + n; y++, pixels += n) {
        float *line = y >= 0 && y < height ? data + y * t->stride[2] : NULL;
        for (int64_t x = 0; x < n; x++)
            pixels[x] = whole || (line && at.left + x >= 0 && at.left + x < width) ? line + (at.left + x) * across : outside;
    }
}

/* Bring a tile of the input into row i of v. */
static void take(const job *j, const memory *mem, place at, int64_t i)
{
    const cpr_tensor *in = j->op->tensor[IN];
    float *pixels[(CPR_MOST_TILE + 2) * (CPR_MOST_TILE + 2)];
    at.top -= j->op->args[PAD_TOP];
    at.left -= j->op->args[PAD_LEFT];
    point(in, j->op->data[IN], at, j->transform->tile + 2, mem->zeros, pixels);
    j->transform->input(pixels, in->dim[1], mem->v + i * j->l.row, j->l.plane);
}

/* Bring row i of the sums into its tile of `columns` columns of the output. */
static void give(const job *j, const memory *mem, place at, int64_t i, int64_t column, int64_t columns)
{
    const cpr_op *op = j->op;
    const int64_t m = j->transform->tile;
    float *pixels[CPR_MOST_TILE * CPR_MOST_TILE], *residual[CPR_MOST_TILE * CPR_MOST_TILE];
    point(op->tensor[OUT], (float *)op->data[OUT] + column, at, m, mem->past, pixels);
    if (op->tensor[RESIDUAL])
        point(op->tensor[RESIDUAL], (float *)op->data[RESIDUAL] + column, at, m, mem->past, residual);
    const float *bias = op->data[BIAS];
    const cpr_winograd_result to = {
        .channels = columns,
        .bias = bias ? bias + column : NULL,
        .residual = op->tensor[RESIDUAL] ? residual : NULL,
        .out = pixels,
        .low = j->low,
        .high = j->high,
    };
    j->transform->output(mem->sums + i * j->l.sum_row, j->l.sum_plane, &to);
}

/* The sums of n tiles and whole panels of columns. */
static void multiply(const job *j, const memory *mem, int64_t n, int64_t column, int64_t columns)
{
    const cpr_tensor *weights = j->op->tensor[WEIGHTS];
    const int64_t panel = weights->dim[2] * CPR_PANEL, panels = (columns + CPR_PANEL - 1) / CPR_PANEL;
    const int64_t block_rows = cpr_block_rows(j->kind.tiles, n, panels, 0);
    cpr_block block = {.taps = 1, .kc = weights->dim[2], .low = -INFINITY, .high = INFINITY, .ldc = j->l.sum_row,
                       .row_step = j->l.row * (int64_t)sizeof(float)};
    for (int64_t p = 0; p < j->l.points; p++) {
        block.rows = mem->rows + p * j->l.tiles;
        block.b = (const float *)j->op->data[WEIGHTS] + (p * weights->dim[1] + column / CPR_PANEL) * panel;
        block.after = p + 1 < j->l.points ? (const float *)block.b + weights->dim[1] * panel : NULL;
        block.c = mem->sums + p * j->l.sum_plane;
        cpr_product(&j->kind, &block, n, block_rows, panels * CPR_PANEL, NULL);
    }
}

static memory memory_of(const job *j, int32_t worker)
{
    float *base = (float *)(j->op->scratch + worker * j->op->scratch_stride);
    const layout *l = &j->l;
    memory m = {base, base + l->sums, base + l->zeros, base + l->past, (const void **)(base + l->rows)};
    memset(m.zeros, 0, (size_t)l->bytes - (size_t)l->zeros * sizeof(float));
    for (int64_t p = 0; p < l->points; p++)
        for (int64_t i = 0; i < j->tiles; i++)
            m.rows[p * l->tiles + i] = m.v + p * l->plane + i * l->row;
    return m;
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    const memory mem = memory_of(j, worker);
    const int64_t all_columns = j->op->tensor[OUT]->dim[1];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first = unit / j->column_units * j->tiles, start = unit % j->column_units * j->columns;
        const int64_t n = j->all - first < j->tiles ? j->all - first : j->tiles;
        const int64_t stop = all_columns - start < j->columns ? all_columns : start + j->columns;
        for (int64_t i = 0; i < n; i++)
            take(j, &mem, place_of(j, first + i), i);
        for (int64_t column = start; column < stop; column += COLUMNS) {
            const int64_t columns = stop - column < COLUMNS ? stop - column : COLUMNS;
            multiply(j, &mem, n, column, columns);
            for (int64_t i = 0; i < n; i++)
                give(j, &mem, place_of(j, first + i), i, column, columns);
        }
    }
}

/* Choose tiles and columns per unit so that every thread has work; units of one block of tiles
 * transform the same input, each for itself. */
static void cut(job *j, int64_t threads)
{
    const int64_t oc = j->op->tensor[OUT]->dim[1], least = CPR_MAX_ROWS;
    int64_t blocks = (j->all + j->l.tiles - 1) / j->l.tiles;
    j->columns = oc;
    if (threads > 1 && blocks < 4 * threads) {
        const int64_t most = (j->all + least - 1) / least;
        blocks = blocks > most ? blocks : most < 4 * threads ? most : 4 * threads;
        const int64_t parts = (2 * threads + blocks - 1) / blocks;
        j->columns = ((oc + parts - 1) / parts + COLUMNS - 1) / COLUMNS * COLUMNS;
    }
    j->tiles = (j->all + blocks - 1) / blocks;
    j->column_units = (oc + j->columns - 1) / j->columns;
}

static const cpr_winograd_ops *ops_in_use(void)
{
#if defined(__x86_64__)
    if (cpr_isa() >= CPR_AVX512)
        return &cpr_winograd_avx512;
    if (cpr_isa() >= CPR_AVX2)
        return &cpr_winograd_avx2;
#endif
    return &cpr_winograd_scalar;
}

const cpr_winograd_transform *cpr_winograd_of(int64_t tile)
{
    const cpr_winograd_ops *ops = ops_in_use();
    return tile == CPR_MOST_TILE ? &ops->four : &ops->two;
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    if (!out->dim[0] || !out->dim[1] || !out->dim[2] || !out->dim[3])
        return CPR_OK;
    job j = {.op = op, .kind = cpr_f32_kind(), .low = (float)cpr_arg_float(op, LOW), .high = (float)cpr_arg_float(op, HIGH)};
    const int64_t m = op->args[TILE];
    j.kind.ahead = 1 << 17; /* few rows for so many weights */
    j.transform = cpr_winograd_of(m);
    j.l = plan(m, in->dim[1], out->dim[1]);
    j.down = (out->dim[2] + m - 1) / m;
    j.across = (out->dim[3] + m - 1) / m;
    j.all = out->dim[0] * j.down * j.across;
    cpr_pool *pool = cpr_product_pool(op->pool, &j.kind, j.all * j.l.points, in->dim[1], out->dim[1]);
    cut(&j, cpr_pool_threads(pool));
    cpr_parallel(pool, (j.all + j.tiles - 1) / j.tiles * j.column_units, 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_conv_winograd_f32 = {"conv_winograd_f32", check, run};

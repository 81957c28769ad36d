/* matrix.c - a stack of matrix products, cut into units of work. */
#include "product/product.h"

typedef struct {
    const cpr_op *op;
    const cpr_product_kind *kind;
    const cpr_block *block;
    const cpr_tensor *a, *c, *residual;
    const char *a_data, *b_data;
    int64_t b_step;                  /* bytes between the Bs of the batch */
    int64_t row_chunk, column_chunk; /* what one unit of work covers */
    int64_t row_chunks, column_chunks;
    bool staged;                     /* rows of A are copied to the scratch memory */
} job;

/* Bytes from one row of codes to the next: not a multiple of 4096, so that rows lie in other sets of L1. */
static int64_t codes_step(int64_t k)
{
    return (k + 63) / 64 * 64 + 64;
}

/* Rows of codes that stay in L2. */
static int64_t codes_rows(int64_t k)
{
    const int64_t rows = (1 << 18) / codes_step(k);
    return rows < CPR_MAX_ROWS ? CPR_MAX_ROWS : rows < CPR_ROW_CHUNK ? rows : CPR_ROW_CHUNK;
}

int64_t cpr_codes_bytes(int64_t k)
{
    return codes_rows(k) * codes_step(k);
}

/* Float rows [row, row + n) of one matrix as bytes; its rows may have two dims, those of A. */
static void make_codes(const job *j, int64_t batch, int64_t row, int64_t n, char *to)
{
    const cpr_tensor *a = j->a;
    const int64_t k = a->dim[2];
    for (int64_t i = row; i < row + n; i++, to += codes_step(k)) {
        const int64_t at = (batch + i / a->dim[1]) * a->stride[0] + i % a->dim[1] * a->stride[1];
        cpr_convert(j->block->codes, k, j->a_data + at * (int64_t)sizeof(float), to);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    char *stage = j->staged ? j->op->scratch + worker * j->op->scratch_stride : NULL;
    const cpr_tensor *a = j->a, *c = j->c, *r = j->residual;
    const int64_t m = c->dim[1], n = c->dim[2], k = a->dim[2];
    const int64_t panel = cpr_panel_bytes(j->kind, 1, k);
    const void *rows[CPR_ROW_CHUNK];
    char *codes = j->block->codes ? j->op->scratch + worker * j->op->scratch_stride : NULL;
    int64_t made = -1; /* the row whose codes are there, and those behind it */
    const uint32_t state = cpr_flush_begin(j->kind);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t column = unit % j->column_chunks * j->column_chunk;
        const int64_t row = unit / j->column_chunks % j->row_chunks * j->row_chunk;
        const int64_t batch = unit / j->column_chunks / j->row_chunks;
        const int64_t n_rows = m - row < j->row_chunk ? m - row : j->row_chunk;
        const int64_t n_columns = n - column < j->column_chunk ? n - column : j->column_chunk;
        if (codes && made != batch * m + row)
            make_codes(j, batch, row, n_rows, codes);
        made = batch * m + row;
        const char *from = codes ? codes : j->a_data + (batch * a->stride[0] + row * a->stride[1]) * j->kind->a_bytes;
        const int64_t apart = codes ? codes_step(k) : a->stride[1] * j->kind->a_bytes;
        for (int64_t i = 0; i < n_rows; i++, from += apart)
            rows[i] = from;
        cpr_block part = *j->block;
        part.taps = 1;
        part.kc = k;
        part.rows = rows;
        part.row_step = apart;
        part.b = j->b_data + batch * j->b_step + column / CPR_PANEL * panel;
        part.start = part.start ? (const char *)part.start + column * 4 : NULL;
        part.scale = part.scale ? part.scale + column : NULL;
        if (r) {
            part.residual = (const char *)part.residual +
                            (batch * r->stride[0] + row * r->stride[1] + column) * j->kind->c_bytes;
            part.ldr = r->stride[1];
        }
        part.c = (char *)part.c + (batch * c->stride[0] + row * c->stride[1] + column) * j->kind->c_bytes;
        part.ldc = c->stride[1];
        const int64_t panels = (n_columns + CPR_PANEL - 1) / CPR_PANEL;
        cpr_product(j->kind, &part, n_rows, cpr_block_rows(j->kind->tiles, n_rows, panels, 0), n_columns, stage);
    }
    cpr_flush_end(j->kind, state);
}

/* Bytes of A that stay in L2 beside the B of a tile: for so many rows B is read once. */
enum { ROWS = 1 << 19 };

static int64_t chunks(int64_t n, int64_t chunk)
{
    return (n + chunk - 1) / chunk;
}

void cpr_matrix_product(const cpr_op *op, const cpr_product_kind *kind, const cpr_block *block, const cpr_tensor *a,
                        const void *a_data, const void *b_data, int64_t b_batches, int64_t b_panels,
                        const cpr_tensor *residual, const cpr_tensor *c)
{
    const int64_t batch = c->dim[0], m = c->dim[1], n = c->dim[2];
    cpr_pool *pool = cpr_product_pool(op->pool, kind, batch * m, a->dim[2], n);
    const int64_t threads = cpr_pool_threads(pool);
    if (batch == 0 || m == 0 || n == 0)
        return;
    job j = {.op = op, .kind = kind, .block = block, .a = a, .c = c, .residual = residual, .a_data = a_data, .b_data = b_data};
    j.staged = kind->floats && block->residual != block->c &&
               cpr_stage_bytes(a->stride[1] * kind->a_bytes, a->dim[2], kind->a_bytes);
    j.b_step = b_batches > 1 ? b_panels * cpr_panel_bytes(kind, 1, a->dim[2]) : 0;
    const int64_t row = a->dim[2] * kind->a_bytes;
    const int64_t tile = cpr_whole_rows(kind, m, a->dim[2], chunks(n, CPR_PANEL));
    const int64_t room = block->codes ? codes_rows(a->dim[2]) : j.staged ? CPR_STAGED_ROWS : CPR_ROW_CHUNK;
    const int64_t most = block->codes || j.staged || row * CPR_ROW_CHUNK <= ROWS ? room : CPR_ROW_CHUNK / 2;
    const int64_t even = chunks(chunks(m, chunks(m, most)), tile) * tile; /* whole tiles, but for the last chunk */
    j.row_chunk = even <= room ? even : room / tile * tile;
    j.column_chunk = chunks(n, 64) * 64;
    /* Every thread the same: cut the columns of a flat product, else the rows. */
    if (threads > 1 && (m <= 2 * CPR_MAX_ROWS || batch * chunks(m, CPR_MAX_ROWS) < threads)) {
        if (batch < 4 * threads)
            j.column_chunk = chunks(chunks(n, 64), threads) * 64;
    } else if (threads > 1 && batch % threads) {
        j.row_chunk = chunks(m, chunks(chunks(m, most / 2), threads) * threads);
    }
    j.row_chunks = chunks(m, j.row_chunk);
    j.column_chunks = chunks(n, j.column_chunk);
    cpr_parallel(pool, batch * j.row_chunks * j.column_chunks, 1, work, &j);
}

/* copy.c - moving elements: any strides to any strides, and filling. */
#include "vector/copy.h"

#include <string.h>

/* fill: operands out; args: bit pattern of one element (low bytes).  Any dtype and strides. */
static cpr_status check_fill(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("fill", op, 1);
    if (status)
        return status;
    CPR_REQUIRE("fill", op->n_tensors == 1 && op->n_args == 1);
    return CPR_OK;
}

#define FILL(t)                                                                               \
    static void fill_##t(const void *context, int64_t n, char *const *data, uint32_t scalars) \
    {                                                                                         \
        (void)scalars;                                                                        \
        t value, *out = (t *)data[0];                                                         \
        memcpy(&value, context, sizeof value);                                                \
        for (int64_t i = 0; i < n; i++)                                                       \
            out[i] = value;                                                                   \
    }

FILL(uint8_t)
FILL(uint16_t)
FILL(uint32_t)
FILL(uint64_t)

static int32_t log_of(int64_t size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

static cpr_status run_fill(const cpr_op *op)
{
    static cpr_core *const cores[] = {fill_uint8_t, fill_uint16_t, fill_uint32_t, fill_uint64_t};
    const int64_t size = cpr_dtype_bytes(op->tensor[0]->dtype);
    cpr_walk_op(op, 1, &(cpr_elementwise){cores[log_of(size)], op->args, 0, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_fill = {"fill", check_fill, run_fill};

/* copy: operands in, out: same dims and element size (bits are moved, not converted). */
static cpr_status check_copy(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("copy", op, 2);
    if (status)
        return status;
    CPR_REQUIRE("copy", op->n_tensors == 2);
    CPR_REQUIRE("copy", cpr_dtype_bytes(op->tensor[0]->dtype) == cpr_dtype_bytes(op->tensor[1]->dtype));
    return CPR_OK;
}

void cpr_copy_row(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)scalars;
    memmove(data[1], data[0], (size_t)(n * *(const int64_t *)context));
}

/* A transposition: the last dim is dense in the output, dim `across` is dense in the input.
 * The plane of the two is cut into squares of SIDE, which fit the first cache with any strides;
 * units number the squares of all planes. */
enum { SIDE = 64 };

typedef struct {
    const cpr_dims *dims;
    int32_t across;
    int64_t row_blocks, column_blocks; /* rows: the last dim; columns: dim `across` */
    cpr_transpose *transpose;
} planes;

static void copy_squares(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const planes *p = context;
    const cpr_dims *d = p->dims;
    const int32_t last = d->rank - 1;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t left = unit / p->row_blocks;
        const int64_t row = unit % p->row_blocks * SIDE, column = left % p->column_blocks * SIDE;
        left /= p->column_blocks;
        const char *x = d->data[0] + row * d->step[0][last] + column * d->size[0];
        char *y = d->data[1] + row * d->size[0] + column * d->step[1][p->across];
        for (int32_t k = last - 1; k >= 0; k--) {
            if (k == p->across)
                continue;
            x += left % d->dim[k] * d->step[0][k];
            y += left % d->dim[k] * d->step[1][k];
            left /= d->dim[k];
        }
        const int64_t rows = d->dim[last] - row, columns = d->dim[p->across] - column;
        p->transpose(x, d->step[0][last], y, d->step[1][p->across], rows < SIDE ? rows : SIDE,
                     columns < SIDE ? columns : SIDE);
    }
}

/* The dim along which the input is dense, when the output is dense along another; else -1. */
static int32_t find_transposition(const cpr_dims *d)
{
    const int32_t last = d->rank - 1;
    const int64_t size = d->size[0], step = d->step[0][last];
    if (d->step[1][last] != size || step == size || step == 0 || d->dim[last] < 2)
        return -1;
    for (int32_t k = 0; k < last; k++)
        if (d->step[0][k] == size && d->dim[k] >= 8)
            return k;
    return -1;
}

const cpr_copy_ops *cpr_copy_now(void)
{
#if defined(__x86_64__)
    return cpr_isa() >= CPR_AVX2 ? &cpr_copy_avx2 : &cpr_copy_scalar;
#else
    return &cpr_copy_scalar;
#endif
}

void cpr_copy(cpr_pool *pool, const cpr_tensor *const *tensor, void *const *data)
{
    cpr_dims d = cpr_merge(2, tensor, data);
    if (d.total == 0)
        return;
    const int32_t across = find_transposition(&d);
    if (across < 0) {
        cpr_walk_dims(pool, &d, &(cpr_elementwise){cpr_copy_row, &d.size[0], 0, CPR_GRAIN_CHEAP});
        return;
    }
    const cpr_copy_ops *ops = cpr_copy_now();
    const int64_t rows = d.dim[d.rank - 1], columns = d.dim[across];
    planes p = {&d, across, (rows + SIDE - 1) / SIDE, (columns + SIDE - 1) / SIDE, ops->bytes[log_of(d.size[0])]};
    const int64_t units = p.row_blocks * p.column_blocks * (d.total / (rows * columns));
    cpr_parallel(pool, units, 4, copy_squares, &p);
}

static cpr_status run_copy(const cpr_op *op)
{
    cpr_copy(op->pool, op->tensor, op->data);
    return CPR_OK;
}

const cpr_kernel cpr_k_copy = {"copy", check_copy, run_copy};

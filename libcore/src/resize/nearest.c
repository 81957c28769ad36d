/* nearest.c - resize_nearest: operands in, out, table of dim 0?, table of dim 1?, ...
 *
 * out[i, j, ...] = in[table0[i], table1[j], ...]; a dim without a table keeps its index.  If the
 * output is densest along a dim with a table, that one is looped over; else the dims without
 * tables are moved as blocks.
 */
#include <string.h>

#include "gather/index.h"

enum { WORK = 16384 /* elements worth a thread */ };

typedef struct {
    const cpr_op *op;
    const cpr_tensor *in, *out;
    const int64_t *table[CPR_MAX_RANK]; /* NULL: none */
    int32_t row;                        /* the dim that is looped over, -1: blocks are moved */
    int64_t size;
    cpr_slab slab;
    int64_t dim[CPR_MAX_RANK]; /* of the units */
} nearest;

static const cpr_tensor *table_of(const cpr_op *op, int32_t k)
{
    return 2 + k < op->n_tensors ? op->tensor[2 + k] : NULL;
}

static cpr_status check_resize_nearest(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("resize_nearest", op->n_tensors >= 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE("resize_nearest", in->rank == out->rank && op->n_tensors <= 2 + in->rank && cpr_is_output(out));
    CPR_REQUIRE("resize_nearest", cpr_dtype_bytes(in->dtype) == cpr_dtype_bytes(out->dtype));
    for (int32_t k = 0; k < in->rank; k++) {
        const cpr_tensor *t = table_of(op, k);
        if (!t)
            CPR_REQUIRE("resize_nearest", in->dim[k] == out->dim[k]);
        else
            CPR_REQUIRE("resize_nearest", t->dtype == CPR_S64 && t->rank == 1 && t->dim[0] == out->dim[k] &&
                                              cpr_is_contiguous(t));
    }
    return CPR_OK;
}

static void move_units(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const nearest *r = context;
    const int32_t rank = r->in->rank;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t left = unit, from = 0, to = 0;
        for (int32_t k = rank - 1; k >= 0; k--) {
            if (r->dim[k] <= 1 && !r->table[k])
                continue;
            if (k == r->row)
                continue;
            const int64_t o = left % r->dim[k], i = r->table[k] ? r->table[k][o] : o;
            left /= r->dim[k];
            from += r->in->dim[k] > 1 ? i * r->in->stride[k] : 0;
            to += r->out->dim[k] > 1 ? o * r->out->stride[k] : 0;
        }
        const char *x = (const char *)r->op->data[0] + from * r->size;
        char *y = (char *)r->op->data[1] + to * r->size;
        if (r->row < 0) {
            cpr_slab_run(&r->slab, x, y);
            continue;
        }
        const int64_t *table = r->table[r->row], n = r->out->dim[r->row];
        const int64_t x_step = r->in->dim[r->row] > 1 ? r->in->stride[r->row] * r->size : 0;
        const int64_t y_step = n > 1 ? r->out->stride[r->row] * r->size : 0;
        if (r->size == 4)
            for (int64_t o = 0; o < n; o++)
                memcpy(y + o * y_step, x + table[o] * x_step, 4);
        else
            for (int64_t o = 0; o < n; o++)
                memcpy(y + o * y_step, x + table[o] * x_step, (size_t)r->size);
    }
}

static cpr_status run_resize_nearest(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int64_t total = cpr_elements(out);
    if (total == 0)
        return CPR_OK;
    nearest r = {.op = op, .in = in, .out = out, .row = -1, .size = cpr_dtype_bytes(in->dtype)};
    int32_t densest = -1;
    int64_t least = INT64_MAX;
    for (int32_t k = 0; k < in->rank; k++) {
        const cpr_tensor *t = table_of(op, k);
        r.table[k] = t ? op->data[2 + k] : NULL;
        for (int64_t o = 0; t && o < out->dim[k]; o++)
            if (r.table[k][o] < 0 || r.table[k][o] >= in->dim[k])
                return cpr_fail(CPR_ERR_ARGUMENT, "resize_nearest: index %lld is out of range for dimension %d of %lld",
                                (long long)r.table[k][o], k, (long long)in->dim[k]);
        const int64_t step = out->dim[k] <= 1 ? INT64_MAX : out->stride[k] < 0 ? -out->stride[k] : out->stride[k];
        if (step < least) {
            least = step;
            densest = k;
        }
    }
    cpr_tensor x = *in, y = *out; /* one block */
    if (densest >= 0 && r.table[densest])
        r.row = densest;
    int64_t units = 1;
    for (int32_t k = 0; k < in->rank; k++) {
        r.dim[k] = k == r.row || (r.row < 0 && !r.table[k]) ? 1 : out->dim[k];
        units *= r.dim[k];
        if (r.table[k])
            x.dim[k] = y.dim[k] = 1;
    }
    cpr_slab_copy(&r.slab, &x, 0, &y, 0);
    cpr_parallel(op->pool, units, WORK / (total / units) + 1, move_units, &r);
    return CPR_OK;
}

const cpr_kernel cpr_k_resize_nearest = {"resize_nearest", check_resize_nearest, run_resize_nearest};

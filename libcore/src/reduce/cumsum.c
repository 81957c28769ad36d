/* cumsum.c - operands in, out of one dtype (f32 s32 s64); args: axis, exclusive, reverse. */
#include "reduce/slices.h"
#include "vector/walk.h"

typedef void scan(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t n, bool exclusive);

#define SCAN(name, t, u)                                                                              \
    static void name(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t n, bool exclusive) \
    {                                                                                                 \
        u sum = 0;                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                             \
            const u before = sum;                                                                     \
            sum = sum + (u) * (const t *)(x + i * x_step);                                            \
            *(t *)(y + i * y_step) = (t)(exclusive ? before : sum);                                   \
        }                                                                                             \
    }

SCAN(scan_f32, float, float)
SCAN(scan_s32, int32_t, uint32_t)
SCAN(scan_s64, int64_t, uint64_t)

typedef struct {
    cpr_slices slices;
    scan *scan;
    const char *in;
    char *out;
    int64_t n, in_step, out_step;
    bool exclusive, reverse;
} prefix;

static void scan_slices(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const prefix *p = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t offset[CPR_SLICES_MAX];
        cpr_slices_at(&p->slices, i, offset);
        const char *x = p->in + offset[0];
        char *y = p->out + offset[1];
        const int64_t back = p->reverse ? p->n - 1 : 0, sign = p->reverse ? -1 : 1;
        p->scan(x + back * p->in_step, sign * p->in_step, y + back * p->out_step, sign * p->out_step, p->n,
                p->exclusive);
    }
}

static cpr_status check_cumsum(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const cpr_status status = cpr_check_walk("cumsum", op, 2);
    if (status)
        return status;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE("cumsum", op->n_tensors == 2 && op->n_args == 3 && op->args[0] >= 0 && op->args[0] < in->rank);
    CPR_REQUIRE("cumsum", in->dtype == out->dtype);
    CPR_REQUIRE("cumsum", in->dtype == CPR_F32 || in->dtype == CPR_S32 || in->dtype == CPR_S64);
    return CPR_OK;
}

static cpr_status run_cumsum(const cpr_op *op)
{
    const int32_t axis = (int32_t)op->args[0];
    const cpr_tensor *in = op->tensor[0];
    scan *f = in->dtype == CPR_F32 ? scan_f32 : in->dtype == CPR_S32 ? scan_s32 : scan_s64;
    prefix p = {cpr_slices_of(axis, 2, op->tensor), f, op->data[0], op->data[1], in->dim[axis],
                cpr_axis_step(in, axis), cpr_axis_step(op->tensor[1], axis), op->args[1] != 0, op->args[2] != 0};
    if (p.n > 0)
        cpr_parallel(op->pool, p.slices.count, 4096 / p.n + 1, scan_slices, &p);
    return CPR_OK;
}

const cpr_kernel cpr_k_cumsum = {"cumsum", check_cumsum, run_cumsum};

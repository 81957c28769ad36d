/* arg.c - argmax, argmin: operands in, out (s64); args: axis, select_last.  NaN wins. */
#include "reduce/slices.h"
#include "vector/walk.h"

typedef int64_t find(const char *x, int64_t step, int64_t n, bool last);

/* better: whether x beats the best so far, or equals it while the last one is wanted */
#define FIND(name, t, better)                                                \
    static int64_t name(const char *from, int64_t step, int64_t n, bool last) \
    {                                                                        \
        t best = *(const t *)from;                                           \
        int64_t at = 0;                                                      \
        for (int64_t i = 1; i < n; i++) {                                    \
            const t x = *(const t *)(from + i * step);                       \
            if (better) {                                                    \
                best = x;                                                    \
                at = i;                                                      \
            }                                                                \
        }                                                                    \
        return at;                                                           \
    }

#define BEATS(above) (best == best ? (above) || x != x || (last && x == best) : last && x != x)

FIND(max_f32, float, BEATS(x > best))
FIND(min_f32, float, BEATS(x < best))
#define INTEGER(name, t)                                    \
    FIND(max_##name, t, x > best || (last && x == best))    \
    FIND(min_##name, t, x < best || (last && x == best))
INTEGER(s32, int32_t)
INTEGER(s64, int64_t)
INTEGER(s8, int8_t)
INTEGER(u8, uint8_t)

static find *finder(int32_t dtype, bool max)
{
    switch (dtype) {
    case CPR_F32: return max ? max_f32 : min_f32;
    case CPR_S32: return max ? max_s32 : min_s32;
    case CPR_S64: return max ? max_s64 : min_s64;
    case CPR_S8: return max ? max_s8 : min_s8;
    case CPR_U8: return max ? max_u8 : min_u8;
    default: return NULL;
    }
}

typedef struct {
    cpr_slices slices;
    find *find;
    const char *in;
    char *out;
    int64_t n, step;
    bool last;
} search;

static void search_slices(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const search *s = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t offset[CPR_SLICES_MAX];
        cpr_slices_at(&s->slices, i, offset);
        *(int64_t *)(s->out + offset[1]) = s->find(s->in + offset[0], s->step, s->n, s->last);
    }
}

static cpr_status check_arg(const char *name, const cpr_op *op)
{
    CPR_REQUIRE(name, op->n_tensors == 2 && op->n_args == 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, cpr_same_but_axis(in, out, op->args[0]) && cpr_is_output(out));
    CPR_REQUIRE(name, out->dim[op->args[0]] == 1 && in->dim[op->args[0]] >= 1 && out->dtype == CPR_S64);
    if (!finder(in->dtype, true))
        return cpr_fail(CPR_ERR_UNSUPPORTED, "%s: not for dtype %d", name, in->dtype);
    return CPR_OK;
}

static cpr_status run_arg(const cpr_op *op, bool max)
{
    const int32_t axis = (int32_t)op->args[0];
    const cpr_tensor *in = op->tensor[0];
    search s = {cpr_slices_of(axis, 2, op->tensor), finder(in->dtype, max), op->data[0], op->data[1],
                in->dim[axis], cpr_axis_step(in, axis), op->args[1] != 0};
    cpr_parallel(op->pool, s.slices.count, 4096 / s.n + 1, search_slices, &s);
    return CPR_OK;
}

static cpr_status check_argmax(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_arg("argmax", op);
}

static cpr_status run_argmax(const cpr_op *op)
{
    return run_arg(op, true);
}

const cpr_kernel cpr_k_argmax = {"argmax", check_argmax, run_argmax};

static cpr_status check_argmin(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    return check_arg("argmin", op);
}

static cpr_status run_argmin(const cpr_op *op)
{
    return run_arg(op, false);
}

const cpr_kernel cpr_k_argmin = {"argmin", check_argmin, run_argmin};

/* top_k.c - operands in, values, indices (s64); args: axis, largest, sorted.
 *
 * A heap of the k best so far with the worst on top; then it is taken apart from the worst to
 * the best.  Better is a total order: by value, NaN above everything, then the lower index.
 */
#include <string.h>

#include "reduce/slices.h"
#include "vector/walk.h"

/* Every dtype in an int64 that sorts alike (floats: the usual trick on the bits). */
static int64_t sort_key(const char *x, int32_t dtype)
{
    switch (dtype) {
    case CPR_F32: {
        float f;
        memcpy(&f, x, sizeof f);
        if (f != f)
            return INT64_MAX;
        f = f == 0.0f ? 0.0f : f; /* -0 equals 0 */
        int32_t bits;
        memcpy(&bits, &f, sizeof bits);
        return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
    }
    case CPR_S32: return *(const int32_t *)x;
    case CPR_S64: return *(const int64_t *)x;
    case CPR_S8: return *(const int8_t *)x;
    default: return *(const uint8_t *)x;
    }
}

typedef struct {
    int64_t key, index;
} item;

/* With `largest` off the keys are complemented, so there is one order. */
static bool worse(item a, item b)
{
    return a.key != b.key ? a.key < b.key : a.index > b.index;
}

static void sift(item *heap, int64_t n, int64_t at)
{
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (!worse(heap[child], heap[at]))
            return;
        const item swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

typedef struct {
    const cpr_op *op;
    cpr_slices slices;
    int32_t axis;
} ranking;

static void rank_slices(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const ranking *r = context;
    const cpr_op *op = r->op;
    const cpr_tensor *in = op->tensor[0], *values = op->tensor[1], *indices = op->tensor[2];
    const int64_t n = in->dim[r->axis], k = values->dim[r->axis], size = cpr_dtype_bytes(in->dtype);
    const int64_t in_step = cpr_axis_step(in, r->axis), value_step = cpr_axis_step(values, r->axis);
    const int64_t index_step = cpr_axis_step(indices, r->axis);
    const int64_t flip = op->args[1] ? 0 : -1;
    item *heap = (item *)(op->scratch + worker * op->scratch_stride);
    for (int64_t s = begin; s < end; s++) {
        int64_t offset[CPR_SLICES_MAX];
        cpr_slices_at(&r->slices, s, offset);
        const char *x = (const char *)op->data[0] + offset[0];
        char *v = (char *)op->data[1] + offset[1], *at = (char *)op->data[2] + offset[2];
        for (int64_t i = 0; i < n; i++) {
            const item next = {sort_key(x + i * in_step, in->dtype) ^ flip, i};
            if (i < k) {
                heap[i] = next;
                if (i == k - 1)
                    for (int64_t h = k / 2 - 1; h >= 0; h--)
                        sift(heap, k, h);
            } else if (worse(heap[0], next)) {
                heap[0] = next;
                sift(heap, k, 0);
            }
        }
        for (int64_t left = k - 1; left >= 0; left--) {
            memcpy(v + left * value_step, x + heap[0].index * in_step, (size_t)size);
            *(int64_t *)(at + left * index_step) = heap[0].index;
            heap[0] = heap[left];
            sift(heap, left, 0);
        }
    }
}

static cpr_status check_top_k(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE("top_k", op->n_tensors == 3 && op->n_args == 3 && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *in = op->tensor[0], *values = op->tensor[1], *indices = op->tensor[2];
    const int64_t axis = op->args[0];
    CPR_REQUIRE("top_k", cpr_same_but_axis(in, values, axis) && cpr_same_dims(values, indices));
    CPR_REQUIRE("top_k", cpr_is_output(values) && cpr_is_output(indices));
    CPR_REQUIRE("top_k", values->dim[axis] <= in->dim[axis] && values->dtype == in->dtype && indices->dtype == CPR_S64);
    if (in->dtype != CPR_F32 && in->dtype != CPR_S32 && in->dtype != CPR_S64 && in->dtype != CPR_S8 && in->dtype != CPR_U8)
        return cpr_fail(CPR_ERR_UNSUPPORTED, "top_k: not for dtype %d", in->dtype);
    if (__builtin_mul_overflow(values->dim[axis], (int64_t)sizeof(item), scratch_bytes))
        return cpr_fail(CPR_ERR_ARGUMENT, "top_k: k is too large");
    return CPR_OK;
}

static cpr_status run_top_k(const cpr_op *op)
{
    ranking r = {op, cpr_slices_of((int32_t)op->args[0], 3, op->tensor), (int32_t)op->args[0]};
    if (op->tensor[1]->dim[r.axis] > 0)
        cpr_parallel(op->pool, r.slices.count, 1024 / op->tensor[0]->dim[r.axis] + 1, rank_slices, &r);
    return CPR_OK;
}

const cpr_kernel cpr_k_top_k = {"top_k", check_top_k, run_top_k};

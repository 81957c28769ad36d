/* walk.c - see walk.h. */
#include "vector/walk.h"

#include <string.h>

enum { CHUNK = 256 }; /* elements staged at a time: 10 KB of stack for five operands */

bool cpr_is_output(const cpr_tensor *t)
{
    bool repeats = false;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] == 0)
            return true;
        repeats |= t->stride[i] == 0 && t->dim[i] > 1;
    }
    return !repeats;
}

cpr_status cpr_check_walk(const char *name, const cpr_op *op, int32_t n)
{
    CPR_REQUIRE(name, op->n_tensors >= n && op->tensor[n - 1]);
    for (int32_t i = 0; i < n - 1; i++) {
        CPR_REQUIRE(name, op->tensor[i]);
        if (!cpr_same_dims(op->tensor[i], op->tensor[n - 1]))
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %d has not the dims of the output", name, i);
    }
    CPR_REQUIRE(name, cpr_is_output(op->tensor[n - 1]));
    return CPR_OK;
}

/* Sort the dims by the output's strides, largest first; drop those of one element. */
static void sort_dims(cpr_dims *w, const cpr_tensor *const *tensor)
{
    const cpr_tensor *out = tensor[w->n - 1];
    int32_t order[CPR_MAX_RANK];
    for (int32_t i = 0; i < out->rank; i++) {
        if (out->dim[i] == 1)
            continue;
        int32_t at = w->rank++;
        const int64_t key = out->stride[i] < 0 ? -out->stride[i] : out->stride[i];
        for (; at > 0; at--) {
            const int64_t other = out->stride[order[at - 1]];
            if ((other < 0 ? -other : other) >= key)
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    for (int32_t k = 0; k < w->rank; k++) {
        w->dim[k] = out->dim[order[k]];
        for (int32_t i = 0; i < w->n; i++)
            w->step[i][k] = tensor[i]->stride[order[k]] * w->size[i];
    }
}

/* Merge each dim with the next one where every operand allows it. */
static void merge_dims(cpr_dims *w)
{
    int32_t kept = 0;
    for (int32_t k = 1; k < w->rank; k++) {
        bool merge = true;
        for (int32_t i = 0; i < w->n; i++)
            merge &= w->step[i][kept] == w->step[i][k] * w->dim[k];
        if (!merge)
            kept++;
        w->dim[kept] = merge ? w->dim[kept] * w->dim[k] : w->dim[k];
        for (int32_t i = 0; i < w->n; i++)
            w->step[i][kept] = w->step[i][k];
    }
    w->rank = kept + 1;
}

static void load(char *to, const char *from, int64_t step, int64_t n, int64_t size)
{
    switch (size) {
    case 1: for (int64_t i = 0; i < n; i++) to[i] = from[i * step]; break;
    case 2: for (int64_t i = 0; i < n; i++) memcpy(to + i * 2, from + i * step, 2); break;
    case 4: for (int64_t i = 0; i < n; i++) memcpy(to + i * 4, from + i * step, 4); break;
    default: for (int64_t i = 0; i < n; i++) memcpy(to + i * 8, from + i * step, 8); break;
    }
}

static void store(char *to, int64_t step, const char *from, int64_t n, int64_t size)
{
    switch (size) {
    case 1: for (int64_t i = 0; i < n; i++) to[i * step] = from[i]; break;
    case 2: for (int64_t i = 0; i < n; i++) memcpy(to + i * step, from + i * 2, 2); break;
    case 4: for (int64_t i = 0; i < n; i++) memcpy(to + i * step, from + i * 4, 4); break;
    default: for (int64_t i = 0; i < n; i++) memcpy(to + i * step, from + i * 8, 8); break;
    }
}

/* Which operands of a row are single elements, and which must be staged. */
static void sort_operands(const cpr_dims *w, const int64_t *step, uint32_t *scalars, uint32_t *strided)
{
    const int32_t out = w->n - 1;
    *scalars = *strided = 0;
    for (int32_t i = 0; i < w->n; i++) {
        if (step[i] == 0 && i != out)
            *scalars |= 1u << i;
        else if (step[i] != w->size[i])
            *strided |= 1u << i;
    }
    if (*scalars && !(w->what->accept >> *scalars & 1))
        *strided |= *scalars;
}

/* A run of one row, chunk by chunk through buffers. */
static void run_staged(const cpr_dims *w, int64_t n, char *const *data, const int64_t *step, uint32_t scalars,
                       uint32_t strided)
{
    const int32_t out = w->n - 1;
    _Alignas(64) char buffer[CPR_WALK_MAX][CHUNK * 8];
    const uint32_t filled = scalars & strided;
    scalars &= ~strided;
    char *at[CPR_WALK_MAX], *dense[CPR_WALK_MAX];
    for (int32_t i = 0; i < w->n; i++) {
        at[i] = data[i];
        if (filled >> i & 1)
            load(buffer[i], data[i], 0, n < CHUNK ? n : CHUNK, w->size[i]);
    }
    for (int64_t done = 0; done < n; done += CHUNK) {
        const int64_t part = n - done < CHUNK ? n - done : CHUNK;
        for (int32_t i = 0; i < w->n; i++) {
            dense[i] = strided >> i & 1 ? buffer[i] : at[i];
            if (i != out && (strided & ~filled) >> i & 1)
                load(buffer[i], at[i], step[i], part, w->size[i]);
        }
        w->what->core(w->what->context, part, dense, scalars);
        if (strided >> out & 1)
            store(at[out], step[out], buffer[out], part, w->size[out]);
        for (int32_t i = 0; i < w->n; i++)
            at[i] += step[i] * part;
    }
}

/* Elements [begin, end) in the walk's order. */
static void run_range(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_dims *w = context;
    const int32_t last = w->rank - 1;
    const int64_t inner = w->dim[last];
    int64_t index[CPR_MAX_RANK], step[CPR_WALK_MAX], column = begin % inner, left = begin / inner;
    char *row[CPR_WALK_MAX], *data[CPR_WALK_MAX];
    uint32_t scalars, strided;
    for (int32_t i = 0; i < w->n; i++) {
        row[i] = w->data[i];
        step[i] = w->step[i][last];
    }
    sort_operands(w, step, &scalars, &strided);
    for (int32_t k = last - 1; k >= 0; k--) {
        index[k] = left % w->dim[k];
        left /= w->dim[k];
        for (int32_t i = 0; i < w->n; i++)
            row[i] += index[k] * w->step[i][k];
    }
    for (;;) {
        const int64_t n = inner - column < end - begin ? inner - column : end - begin;
        for (int32_t i = 0; i < w->n; i++)
            data[i] = row[i] + column * step[i];
        if (strided)
            run_staged(w, n, data, step, scalars, strided);
        else
            w->what->core(w->what->context, n, data, scalars);
        begin += n;
        if (begin >= end)
            return;
        column = 0;
        int32_t k = last - 1;
        for (; k > 0 && index[k] + 1 == w->dim[k]; k--) {
            for (int32_t i = 0; i < w->n; i++)
                row[i] -= index[k] * w->step[i][k];
            index[k] = 0;
        }
        index[k]++;
        for (int32_t i = 0; i < w->n; i++)
            row[i] += w->step[i][k];
    }
}

cpr_dims cpr_merge(int32_t n, const cpr_tensor *const *tensor, void *const *data)
{
    cpr_dims w = {.n = n, .total = cpr_elements(tensor[n - 1])};
    for (int32_t i = 0; i < n; i++) {
        w.size[i] = cpr_dtype_bytes(tensor[i]->dtype);
        w.data[i] = data[i];
    }
    if (w.total > 0)
        sort_dims(&w, tensor);
    if (w.rank == 0) {
        w.rank = 1;
        w.dim[0] = w.total;
        for (int32_t i = 0; i < n; i++)
            w.step[i][0] = w.size[i];
    }
    merge_dims(&w);
    return w;
}

void cpr_walk_dims(cpr_pool *pool, cpr_dims *w, const cpr_elementwise *what)
{
    w->what = what;
    cpr_parallel(pool, w->total, what->grain, run_range, w);
}

void cpr_walk(cpr_pool *pool, int32_t n, const cpr_tensor *const *tensor, void *const *data,
              const cpr_elementwise *what)
{
    cpr_dims w = cpr_merge(n, tensor, data);
    cpr_walk_dims(pool, &w, what);
}

void cpr_walk_op(const cpr_op *op, int32_t n, const cpr_elementwise *what)
{
    cpr_walk(op->pool, n, op->tensor, op->data, what);
}

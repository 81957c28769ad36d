/* cases_gather.c - moving by index, and resizing. */
#include <string.h>

#include "check.h"

static const int32_t all[] = {F32, U8, S8, U16, S16, S32, S64, BOOL, F16, F64, U32, U64, BF16, 0};
static const int32_t combined[] = {F32, S32, S64, U8, S8, 0};

static void add_indices(rng *r, test_case *t, int32_t rank, const int64_t *dim, int64_t bound)
{
    operand *o = add(r, t, INPUT, one_in(r, 2) ? S32 : S64, rank, dim);
    o->bounded = true;
    o->low = -bound;
    o->high = bound > 0 ? bound - 1 : 0;
}

/* Dims without a 0, which would leave nothing to point at. */
static int32_t some_dims(rng *r, int32_t least, int32_t most, int64_t elements, int64_t *dim)
{
    const int32_t rank = random_dims(r, least, most, elements, dim);
    for (int32_t k = 0; k < rank; k++)
        dim[k] = dim[k] ? dim[k] : 1;
    return rank;
}

static void make_gather(rng *r, test_case *t)
{
    int64_t data[CPR_MAX_RANK], index[CPR_MAX_RANK], out[CPR_MAX_RANK];
    const int32_t rank = some_dims(r, 1, 4, 500, data), q = random_dims(r, 0, 2, 30, index);
    const int32_t axis = (int32_t)between(r, 0, rank - 1), dtype = one_of(r, all);
    memcpy(out, data, (size_t)axis * sizeof *out);
    memcpy(out + axis, index, (size_t)q * sizeof *out);
    memcpy(out + axis + q, data + axis + 1, (size_t)(rank - axis - 1) * sizeof *out);
    const bool floats = (dtype == U8 || dtype == S8) && one_in(r, 2), codes = dtype == F32 && one_in(r, 2);
    add(r, t, INPUT, dtype, rank, data);
    add_indices(r, t, q, index, data[axis]);
    add(r, t, OUTPUT, floats ? F32 : !codes ? dtype : one_in(r, 2) ? U8 : S8, rank - 1 + q, out);
    arg_int(t, axis);
    if (floats || codes) {
        arg_float(t, (double)between(r, 1, 100) / 256);
        arg_int(t, between(r, 0, 127));
    }
}

static void make_gather_nd(rng *r, test_case *t)
{
    int64_t data[CPR_MAX_RANK], index[CPR_MAX_RANK], out[CPR_MAX_RANK], least = 1 << 20;
    const int32_t rank = some_dims(r, 1, 4, 500, data), batch = (int32_t)between(r, 0, rank - 1);
    const int32_t tuple = (int32_t)between(r, 1, rank - batch), dtype = one_of(r, all);
    int32_t q = batch + random_dims(r, 0, 2, 20, index + batch);
    memcpy(index, data, (size_t)batch * sizeof *data);
    for (int32_t k = batch; k < batch + tuple; k++)
        least = data[k] < least ? data[k] : least;
    memcpy(out, index, (size_t)q * sizeof *out);
    memcpy(out + q, data + batch + tuple, (size_t)(rank - batch - tuple) * sizeof *out);
    index[q] = tuple;
    add(r, t, INPUT, dtype, rank, data);
    add_indices(r, t, q + 1, index, least);
    add(r, t, OUTPUT, dtype, q + rank - batch - tuple, out);
    arg_int(t, batch);
}

static void make_gather_elements(rng *r, test_case *t)
{
    int64_t data[CPR_MAX_RANK], index[CPR_MAX_RANK];
    const int32_t rank = some_dims(r, 1, 4, 800, data), axis = (int32_t)between(r, 0, rank - 1);
    const int32_t dtype = one_of(r, all);
    for (int32_t k = 0; k < rank; k++)
        index[k] = k == axis ? between(r, 0, 20) : between(r, 1, data[k]);
    add(r, t, INPUT, dtype, rank, data);
    add_indices(r, t, rank, index, data[axis]);
    add(r, t, OUTPUT, dtype, rank, index);
    arg_int(t, axis);
}

/* The output is the data itself, or another tensor. */
static void add_scattered(rng *r, test_case *t, int32_t dtype, int32_t rank, const int64_t *dim)
{
    operand *out = add(r, t, OUTPUT, dtype, rank, dim);
    if (one_in(r, 3)) {
        memcpy(t->operand[0].stride, out->stride, sizeof out->stride);
        out->same_as = 0;
    }
}

static void make_scatter_elements(rng *r, test_case *t)
{
    int64_t data[CPR_MAX_RANK], index[CPR_MAX_RANK];
    const int32_t rank = some_dims(r, 1, 4, 800, data), axis = (int32_t)between(r, 0, rank - 1);
    const bool moves = one_in(r, 2);
    const int32_t dtype = one_of(r, moves ? all : combined);
    for (int32_t k = 0; k < rank; k++)
        index[k] = k == axis ? between(r, 0, 20) : between(r, 1, data[k]);
    add(r, t, INPUT, dtype, rank, data);
    add_indices(r, t, rank, index, data[axis]);
    add(r, t, INPUT, dtype, rank, index);
    add_scattered(r, t, dtype, rank, data);
    arg_int(t, axis);
    arg_int(t, moves ? 0 : between(r, 1, 4));
}

static void make_scatter_nd(rng *r, test_case *t)
{
    int64_t data[CPR_MAX_RANK], index[CPR_MAX_RANK], updates[CPR_MAX_RANK], least = 1 << 20;
    const int32_t rank = some_dims(r, 1, 4, 500, data), tuple = (int32_t)between(r, 1, rank);
    const int32_t q = random_dims(r, 0, 2, 20, index);
    const bool moves = one_in(r, 2);
    const int32_t dtype = one_of(r, moves ? all : combined);
    for (int32_t k = 0; k < tuple; k++)
        least = data[k] < least ? data[k] : least;
    memcpy(updates, index, (size_t)q * sizeof *index);
    memcpy(updates + q, data + tuple, (size_t)(rank - tuple) * sizeof *data);
    index[q] = tuple;
    add(r, t, INPUT, dtype, rank, data);
    add_indices(r, t, q + 1, index, least);
    add(r, t, INPUT, dtype, q + rank - tuple, updates);
    add_scattered(r, t, dtype, rank, data);
    arg_int(t, moves ? 0 : between(r, 1, 4));
}

static void make_one_hot(rng *r, test_case *t)
{
    int64_t index[CPR_MAX_RANK], out[CPR_MAX_RANK], two = 2;
    const int32_t rank = random_dims(r, 0, 3, 200, index), axis = (int32_t)between(r, 0, rank);
    const int32_t dtype = one_of(r, all);
    const int64_t depth = between(r, 0, 9);
    for (int32_t k = 0; k <= rank; k++)
        out[k] = k == axis ? depth : index[k < axis ? k : k - 1];
    add_indices(r, t, rank, index, depth + 2);
    add(r, t, INPUT, dtype, 1, &two);
    add(r, t, OUTPUT, dtype, rank + 1, out);
    arg_int(t, axis);
}

static void make_trilu(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 2, 4, 1500, dim), dtype = one_of(r, all);
    add(r, t, INPUT, dtype, rank, dim);
    add(r, t, OUTPUT, dtype, rank, dim);
    arg_int(t, between(r, 0, 1));
    arg_int(t, between(r, -9, 9));
}

static void make_resize_nearest(rng *r, test_case *t)
{
    int64_t in[CPR_MAX_RANK], out[CPR_MAX_RANK];
    const int32_t rank = some_dims(r, 1, 4, 400, in), dtype = one_of(r, all);
    bool table[CPR_MAX_RANK];
    for (int32_t k = 0; k < rank; k++) {
        table[k] = one_in(r, 2);
        out[k] = table[k] ? between(r, 1, 2 * in[k]) : in[k];
    }
    add(r, t, INPUT, dtype, rank, in);
    add(r, t, OUTPUT, dtype, rank, out);
    for (int32_t k = 0; k < rank; k++) {
        if (!table[k]) {
            add_absent(t);
            continue;
        }
        operand *o = add_dense(t, INPUT, S64, 1, &out[k]);
        o->bounded = true;
        o->high = in[k] - 1;
    }
}

static void make_resize_weights(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = some_dims(r, 1, 4, 1500, dim), axis = (int32_t)between(r, 0, rank - 1);
    const int64_t taps = between(r, 1, dim[axis] < 5 ? dim[axis] : 5), n = between(r, 1, 20);
    const int64_t weights[] = {n, taps};
    add(r, t, INPUT, F32, rank, dim);
    operand *starts = add_dense(t, INPUT, S32, 1, &n);
    starts->bounded = true;
    starts->high = dim[axis] - taps;
    add_dense(t, INPUT, F32, 2, weights);
    dim[axis] = n;
    add(r, t, OUTPUT, F32, rank, dim);
    arg_int(t, axis);
}

const generator cases_gather[] = {
    {"gather", make_gather}, {"gather_nd", make_gather_nd}, {"gather_elements", make_gather_elements},
    {"scatter_elements", make_scatter_elements}, {"scatter_nd", make_scatter_nd}, {"one_hot", make_one_hot},
    {"trilu", make_trilu}, {"resize_nearest", make_resize_nearest}, {"resize_weights", make_resize_weights},
    {NULL, NULL},
};

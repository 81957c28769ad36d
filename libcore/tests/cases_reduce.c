/* cases_reduce.c - reductions and what works along an axis. */
#include <string.h>

#include "check.h"

static const int32_t ordered[] = {F32, S32, S64, U8, S8, 0};
static const int32_t summed[] = {F32, S32, S64, 0};

static void make_reduce(rng *r, test_case *t)
{
    static const int64_t of_int[] = {0, 2, 3, 4};
    int64_t dim[CPR_MAX_RANK], out[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 4000, dim);
    for (int32_t k = 0; k < rank; k++)
        out[k] = one_in(r, 2) ? 1 : dim[k];
    const int32_t dtype = one_in(r, 2) ? F32 : one_in(r, 3) ? BF16 : one_of(r, ordered);
    const int64_t code = dtype == F32 || dtype == BF16 ? between(r, 0, 9) : of_int[between(r, 0, 3)];
    add(r, t, INPUT, dtype, rank, dim);
    add(r, t, OUTPUT, dtype == BF16 ? F32 : dtype, rank, out);
    arg_int(t, (dtype == U8 || dtype == S8) ? between(r, 2, 3) : code);
}

static void make_arg(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 1, 4, 2000, dim), axis = (int32_t)between(r, 0, rank - 1);
    dim[axis] = dim[axis] ? dim[axis] : 1;
    add(r, t, INPUT, one_of(r, ordered), rank, dim);
    dim[axis] = 1;
    add(r, t, OUTPUT, S64, rank, dim);
    arg_int(t, axis);
    arg_int(t, between(r, 0, 1));
}

static void make_cumsum(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 1, 4, 2000, dim), dtype = one_of(r, summed);
    add(r, t, INPUT, dtype, rank, dim);
    add(r, t, OUTPUT, dtype, rank, dim);
    arg_int(t, between(r, 0, rank - 1));
    arg_int(t, between(r, 0, 1));
    arg_int(t, between(r, 0, 1));
}

static void make_top_k(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 1, 4, 1500, dim), dtype = one_of(r, ordered);
    const int32_t axis = (int32_t)between(r, 0, rank - 1);
    add(r, t, INPUT, dtype, rank, dim);
    dim[axis] = between(r, 0, dim[axis]);
    add(r, t, OUTPUT, dtype, rank, dim);
    add(r, t, OUTPUT, S64, rank, dim);
    arg_int(t, axis);
    arg_int(t, between(r, 0, 1));
    arg_int(t, between(r, 0, 1));
}

const generator cases_reduce[] = {
    {"reduce", make_reduce}, {"argmax", make_arg}, {"argmin", make_arg},
    {"cumsum", make_cumsum}, {"top_k", make_top_k}, {NULL, NULL},
};

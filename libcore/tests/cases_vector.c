/* cases_vector.c - elementwise kernels. */
#include <math.h>

#include "check.h"

static const int32_t all[] = {F32, U8, S8, U16, S16, S32, S64, BOOL, F16, F64, U32, U64, BF16, 0};
static const int32_t integers[] = {U8, S8, U16, S16, S32, S64, U32, U64, 0};

/* An output; now and then in place of operand 0 where that is allowed. */
static void add_output(rng *r, test_case *t, int32_t dtype, int32_t rank, const int64_t *dim)
{
    operand *out = add(r, t, OUTPUT, dtype, rank, dim);
    operand *in = &t->operand[0];
    if (in->dtype != dtype || !one_in(r, 4))
        return;
    for (int32_t k = 0; k < rank; k++)
        in->stride[k] = out->stride[k];
    out->same_as = 0;
}

static void make_fill(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim);
    add(r, t, OUTPUT, one_of(r, all), rank, dim);
    arg_int(t, (int64_t)next(r));
}

static void make_copy(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 20000, dim), dtype = one_of(r, all);
    add(r, t, INPUT, dtype, rank, dim);
    add_output(r, t, dtype, rank, dim);
}

static void make_cast(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 3000, dim);
    add(r, t, INPUT, one_of(r, all), rank, dim);
    add_output(r, t, one_of(r, all), rank, dim);
}

static void make_unary(rng *r, test_case *t, int32_t dtype)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 2000, dim);
    add(r, t, INPUT, dtype, rank, dim);
    add_output(r, t, dtype, rank, dim);
    arg_int(t, between(r, 0, 41));
    arg_float(t, (double)between(r, -8, 8) / 4);
    arg_float(t, (double)between(r, -8, 8) / 4);
}

static void make_chain_f32(rng *r, test_case *t)
{
    enum { QUANTIZE = 128, DEQUANTIZE };
    int64_t dim[CPR_MAX_RANK];
    int32_t type[4];
    const bool keeps = one_in(r, 3), codes = one_in(r, 3);
    const int32_t rank = random_dims(r, 0, 4, 3000, dim), inputs = (int32_t)between(r, 1, keeps ? 3 : 4);
    for (int32_t i = 0; i < inputs; i++) {
        type[i] = !one_in(r, 3) ? F32 : one_in(r, 2) ? U8 : S8;
        operand *in = add(r, t, INPUT, type[i], rank, dim);
        for (int32_t k = 0; k < rank; k++)
            if (i && one_in(r, 3))
                in->stride[k] = 0;
    }
    const int64_t n = between(r, inputs + 1 + keeps, 8);
    const int32_t made = !codes ? F32 : one_in(r, 2) ? U8 : S8;
    if (keeps) { /* two results that lie alike */
        operand *kept = add(r, t, OUTPUT, F32, rank, dim), *out = add(r, t, OUTPUT, made, rank, dim);
        int64_t step = 1;
        for (int32_t k = rank - 1; k >= 0; step *= dim[k--])
            kept->stride[k] = out->stride[k] = step;
    } else if (codes) {
        add(r, t, OUTPUT, made, rank, dim);
    } else {
        add_output(r, t, F32, rank, dim);
    }
    /* A link per input, which makes floats of codes; then any. */
    for (int64_t k = 0; k < n; k++) {
        const bool last = k + 1 == n, first = k < inputs;
        const bool makes = codes && last, reads = first && type[k] != F32;
        arg_int(t, makes ? QUANTIZE : reads ? DEQUANTIZE : one_in(r, 2) ? between(r, 0, 41) : 64 + between(r, 0, 9));
        for (int32_t s = 0; s < 2; s++)
            arg_int(t, first ? k : 4 + between(r, 0, k - 1));
        if (makes || reads) {
            arg_float(t, (double)between(r, 1, 8) / 64);
            arg_float(t, (double)between(r, -100, 100));
        } else {
            arg_float(t, (double)between(r, -8, 8) / 4);
            arg_float(t, (double)between(r, -8, 8) / 4);
        }
        arg_int(t, last ? inputs + keeps : keeps && k == n - 2 ? inputs : -1);
    }
}

static void make_unary_f32(rng *r, test_case *t)
{
    make_unary(r, t, F32);
}

static void make_unary_bf16(rng *r, test_case *t)
{
    make_unary(r, t, BF16);
}

static void make_unary_int(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 2000, dim), dtype = one_of(r, integers);
    add(r, t, INPUT, dtype, rank, dim);
    add_output(r, t, dtype, rank, dim);
    arg_int(t, between(r, 0, 3));
}

static void make_not_bool(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 2000, dim);
    add(r, t, INPUT, BOOL, rank, dim);
    add_output(r, t, BOOL, rank, dim);
}

static void make_is_nan(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 2000, dim);
    add(r, t, INPUT, one_in(r, 2) ? F32 : F64, rank, dim);
    add(r, t, OUTPUT, BOOL, rank, dim);
}

static void make_is_inf(rng *r, test_case *t)
{
    make_is_nan(r, t);
    arg_int(t, between(r, 0, 1));
    arg_int(t, between(r, 0, 1));
}

static void make_binary(rng *r, test_case *t)
{
    static const int64_t of_bool[] = {10, 15, 16, 17};
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim);
    const int32_t dtype = one_in(r, 2) ? F32 : one_in(r, 6) ? BF16 : one_in(r, 8) ? BOOL : one_of(r, integers);
    const int64_t code = dtype == BF16 ? between(r, 0, 2) : dtype == F32 ? between(r, 0, 14) : dtype == BOOL ? of_bool[between(r, 0, 3)] : between(r, 0, 19);
    add(r, t, INPUT, dtype, rank, dim);
    add(r, t, INPUT, dtype, rank, dim);
    add_output(r, t, code >= 10 && code <= 14 ? BOOL : dtype, rank, dim);
    arg_int(t, code);
}

static void make_where(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim), dtype = one_of(r, all);
    add(r, t, INPUT, BOOL, rank, dim);
    add(r, t, INPUT, dtype, rank, dim);
    add(r, t, INPUT, dtype, rank, dim);
    add(r, t, OUTPUT, dtype, rank, dim);
}

static void make_scale_shift(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim);
    for (int32_t i = 0; i < 3; i++)
        add(r, t, INPUT, F32, rank, dim);
    add_output(r, t, F32, rank, dim);
    arg_float(t, one_in(r, 2) ? -INFINITY : 0.0);
    arg_float(t, one_in(r, 2) ? INFINITY : 6.0);
}

const generator cases_vector[] = {
    {"fill", make_fill}, {"copy", make_copy}, {"cast", make_cast}, {"unary_f32", make_unary_f32},
    {"chain_f32", make_chain_f32},
    {"unary_bf16", make_unary_bf16},
    {"unary_int", make_unary_int}, {"not_bool", make_not_bool}, {"is_nan", make_is_nan}, {"is_inf", make_is_inf},
    {"binary", make_binary}, {"where", make_where}, {"scale_shift", make_scale_shift}, {NULL, NULL},
};

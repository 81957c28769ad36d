/* cases_quant.c - between real numbers and codes. */
#include "check.h"

static const int32_t bytes[] = {U8, S8, 0};
static const int32_t codes[] = {U8, S8, U16, S16, 0};
static const int32_t sources[] = {U8, S8, U16, S16, S32, 0};

/* Operands value, scale, zero_point?, out. */
static void make_linear(rng *r, test_case *t, int32_t value, int32_t zero, int32_t out)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim);
    add(r, t, INPUT, value, rank, dim);
    operand *scale = add(r, t, INPUT, F32, rank, dim);
    operand *point = NULL;
    if (one_in(r, 3))
        add_absent(t);
    else
        point = add(r, t, INPUT, zero, rank, dim);
    for (int32_t k = 0; k < rank && one_in(r, 2); k++) { /* per tensor */
        scale->stride[k] = 0;
        if (point)
            point->stride[k] = 0;
    }
    add(r, t, OUTPUT, out, rank, dim);
}

static void make_quantize(rng *r, test_case *t)
{
    const int32_t dtype = one_of(r, codes);
    make_linear(r, t, F32, dtype, dtype);
}

static void make_requantize(rng *r, test_case *t)
{
    const int32_t dtype = one_of(r, bytes);
    make_linear(r, t, S32, dtype, dtype);
}

static void make_dequantize(rng *r, test_case *t)
{
    const int32_t dtype = one_of(r, sources);
    make_linear(r, t, dtype, dtype, F32);
}

static void make_dynamic(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 3000, dim);
    add(r, t, INPUT, F32, rank, dim);
    add(r, t, OUTPUT, U8, rank, dim);
    add_dense(t, OUTPUT, F32, 0, dim);
    add_dense(t, OUTPUT, U8, 0, dim);
}

static void make_lut(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK], entries = 256;
    const int32_t rank = random_dims(r, 0, 4, 3000, dim);
    add(r, t, INPUT, one_of(r, bytes), rank, dim);
    add_dense(t, INPUT, one_of(r, bytes), 1, &entries);
    add(r, t, OUTPUT, one_of(r, bytes), rank, dim);
}

/* add_q8, mul_q8: a, b, out of one shape. */
static void make_combine(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim);
    for (int32_t i = 0; i < 2; i++) {
        operand *o = add(r, t, INPUT, U8, rank, dim);
        for (int32_t k = 0; k < rank && one_in(r, 4); k++) o->stride[k] = 0;
    }
    add(r, t, OUTPUT, U8, rank, dim);
    const int64_t zero = between(r, 0, 255);
    arg_int(t, between(r, 0, 255));
    arg_int(t, between(r, 0, 255));
    arg_float(t, one_in(r, 8) ? 1e30 : (double)between(r, 1, 1000) / 300.0);
    arg_float(t, one_in(r, 8) ? 1e-30 : (double)between(r, 1, 1000) / 300.0);
    arg_float(t, one_in(r, 2) ? 0.0 : (double)-zero);
    arg_float(t, (double)(255 - zero));
    arg_int(t, zero);
}

static void make_mean(rng *r, test_case *t)
{
    const int64_t dim[] = {between(r, 0, 3), between(r, 0, 300), between(r, 1, 6), between(r, 1, 6)};
    const int64_t out[] = {dim[0], dim[1], 1, 1};
    add(r, t, INPUT, U8, 4, dim);
    add(r, t, OUTPUT, U8, 4, out);
    const int64_t zero = between(r, 0, 255);
    arg_int(t, between(r, 0, 255));
    arg_float(t, one_in(r, 8) ? 1e30 : (double)between(r, 1, 1000) / 9000.0);
    arg_float(t, one_in(r, 2) ? 0.0 : (double)-zero);
    arg_float(t, (double)(255 - zero));
    arg_int(t, zero);
}

static void make_histogram(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int64_t bins = between(r, 1, 300), one = 1;
    add(r, t, INPUT, F32, random_dims(r, 1, 4, 3000, dim), dim);
    add_dense(t, OUTPUT, S64, 1, &bins);
    add_dense(t, OUTPUT, S64, 1, &one);
    arg_int(t, between(r, -12, 12));
    arg_int(t, between(r, -200, 20));
}

static void make_extremes(rng *r, test_case *t)
{
    const int64_t dim[] = {between(r, 0, 5), between(r, 1, 700)};
    operand *in = add(r, t, INPUT, F32, 2, dim);
    in->stride[1] = 1;
    in->stride[0] = dim[1] + between(r, 0, 3);
    add(r, t, OUTPUT, F32, 1, dim);
    add(r, t, OUTPUT, F32, 1, dim);
}

/* fake_quantize, and with a gradient fake_quantize_grad. */
static void make_fake_of(rng *r, test_case *t, bool gradient)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 5, 3000, dim);
    add(r, t, INPUT, F32, rank, dim);
    operand *scale = add(r, t, INPUT, F32, rank, dim);
    for (int32_t k = 0; k < rank && one_in(r, 2); k++)
        scale->stride[k] = 0;
    if (gradient)
        add(r, t, INPUT, F32, rank, dim);
    add(r, t, OUTPUT, F32, rank, dim);
    arg_int(t, -between(r, 0, 128));
    arg_int(t, between(r, 0, 255));
    if (gradient)
        arg_int(t, between(r, 0, 1));
}

static void make_fake(rng *r, test_case *t)
{
    make_fake_of(r, t, false);
}

static void make_fake_grad(rng *r, test_case *t)
{
    make_fake_of(r, t, true);
}

const generator cases_quant[] = {
    {"quantize_linear", make_quantize}, {"requantize", make_requantize}, {"dequantize_linear", make_dequantize},
    {"dynamic_quantize_linear", make_dynamic}, {"lut_u8", make_lut},
    {"add_q8", make_combine}, {"mul_q8", make_combine},
    {"mean_q8", make_mean}, {"histogram", make_histogram},
    {"row_extremes", make_extremes}, {"fake_quantize", make_fake},
    {"fake_quantize_grad", make_fake_grad}, {NULL, NULL},
};

/* cases_grad.c - gradients. */
#include <math.h>
#include <string.h>

#include "check.h"

/* Images whose channels have stride 1; the other dims in any order, with gaps and signs. */
static operand *add_images(rng *r, test_case *t, role role, const int64_t *dim)
{
    operand *o = add_dense(t, role, F32, 4, dim);
    int64_t step = (dim[1] ? dim[1] : 1) + (one_in(r, 2) ? between(r, 1, 7) : 0);
    const int32_t shift = (int32_t)between(r, 0, 3);
    for (int32_t i = 3; i >= 0; i--) {
        const int32_t k = (i + shift) % 4;
        if (k == 1) {
            o->stride[k] = 1;
            continue;
        }
        o->stride[k] = one_in(r, 6) ? -step : step;
        step = step * (dim[k] ? dim[k] : 1) + (one_in(r, 4) ? between(r, 1, 9) : 0);
    }
    o->tame = one_in(r, 2);
    return o;
}

static int64_t outputs(int64_t size, int64_t kernel, int64_t stride, int64_t before, int64_t after, int64_t dilation)
{
    const int64_t room = size + before + after - (kernel - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
}

static void make_conv_weight_grad(rng *r, test_case *t)
{
    const int64_t groups = one_in(r, 3) ? between(r, 2, 20) : 1;
    const int64_t kernel[] = {between(r, 1, 3), between(r, 1, 3)}, stride[] = {between(r, 1, 2), between(r, 1, 3)};
    const int64_t pad[] = {between(r, 0, 2), between(r, 0, 2)}, dilation[] = {between(r, 1, 2), between(r, 1, 2)};
    int64_t x[] = {between(r, 0, 5), groups * (one_in(r, 2) ? 1 : between(r, 1, 20)), between(r, 5, 12), between(r, 5, 12)};
    int64_t g[] = {x[0], groups * (one_in(r, 2) ? 1 : between(r, 1, 40)), 0, 0};
    for (int32_t i = 0; i < 2; i++)
        g[2 + i] = outputs(x[2 + i], kernel[i], stride[i], pad[i], between(r, 0, 1), dilation[i]);
    const int64_t chunk = between(r, 1, 3);
    const int64_t out[] = {(x[0] + chunk - 1) / chunk, kernel[0] * kernel[1], x[1] / groups, g[1]};
    add_images(r, t, INPUT, x);
    add_images(r, t, INPUT, g);
    add_dense(t, OUTPUT, F32, 4, out);
    const int64_t *pairs[] = {kernel, stride, pad, dilation};
    for (int32_t i = 0; i < 4; i++) {
        arg_int(t, pairs[i][0]);
        arg_int(t, pairs[i][1]);
    }
    arg_int(t, groups);
    arg_int(t, chunk);
}

static void make_max_pool_grad(rng *r, test_case *t)
{
    const int64_t kernel[] = {between(r, 1, 4), between(r, 1, 4)}, stride[] = {between(r, 1, 3), between(r, 1, 3)};
    const int64_t pad[] = {between(r, 0, 2), between(r, 0, 2)}, dilation[] = {between(r, 1, 2), between(r, 1, 2)};
    const int64_t x[] = {between(r, 0, 3), between(r, 1, 40), between(r, 1, 12), between(r, 1, 12)};
    int64_t g[] = {x[0], x[1], 0, 0};
    for (int32_t i = 0; i < 2; i++)
        g[2 + i] = outputs(x[2 + i], kernel[i], stride[i], pad[i], between(r, 0, 3), dilation[i]);
    add_images(r, t, INPUT, x);
    add_images(r, t, INPUT, g);
    add_images(r, t, OUTPUT, x);
    const int64_t *pairs[] = {kernel, stride, pad, dilation};
    for (int32_t i = 0; i < 4; i++) {
        arg_int(t, pairs[i][0]);
        arg_int(t, pairs[i][1]);
    }
}

static void random_batch(rng *r, int64_t *x, int64_t *chunk, int64_t *partial)
{
    x[0] = between(r, 1, 6);
    x[1] = one_in(r, 2) ? between(r, 1, 15) : between(r, 16, 70);
    x[2] = between(r, 1, 7);
    x[3] = between(r, 1, 11);
    *chunk = between(r, 1, 3);
    partial[0] = (x[0] + *chunk - 1) / *chunk;
    partial[1] = 2;
    partial[2] = x[1];
}

static void make_batch_norm(rng *r, test_case *t)
{
    int64_t x[4], chunk, partial[3];
    random_batch(r, x, &chunk, partial);
    add_images(r, t, INPUT, x);
    for (int32_t i = 0; i < 2; i++)
        add_dense(t, INPUT, F32, 1, &x[1])->tame = true;
    add_dense(t, OUTPUT, F32, 3, partial);
    add_images(r, t, OUTPUT, x);
    for (int32_t i = 0; i < 2; i++)
        add_dense(t, OUTPUT, F32, 1, &x[1]);
    if (one_in(r, 2))
        add_absent(t);
    else
        add_images(r, t, INPUT, x);
    arg_int(t, chunk);
    arg_float(t, 1e-5);
    arg_float(t, one_in(r, 2) ? 0.0 : -INFINITY);
}

static void make_batch_norm_grad(rng *r, test_case *t)
{
    int64_t x[4], chunk, partial[3];
    random_batch(r, x, &chunk, partial);
    add_images(r, t, INPUT, x);
    add_images(r, t, INPUT, x);
    for (int32_t i = 0; i < 3; i++)
        add_dense(t, INPUT, F32, 1, &x[1])->tame = true;
    add_dense(t, OUTPUT, F32, 3, partial);
    add_images(r, t, OUTPUT, x);
    for (int32_t i = 0; i < 2; i++)
        add_dense(t, OUTPUT, F32, 1, &x[1]);
    arg_int(t, chunk);
}

static void make_unary_grad(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 3000, dim);
    add(r, t, INPUT, F32, rank, dim);
    add(r, t, INPUT, F32, rank, dim);
    add(r, t, OUTPUT, F32, rank, dim);
    arg_int(t, between(r, 0, 5));
    arg_float(t, 1.5);
}

static void make_step(rng *r, test_case *t, int32_t operands, bool momentum)
{
    const int64_t n = one_in(r, 8) ? 40000 : between(r, 0, 70);
    const int32_t dtype = one_in(r, 3) ? F64 : F32;
    for (int32_t i = 0; i < operands; i++) {
        const bool out = i >= (operands + 1) / 2;
        if (!momentum && (i == 2 || i == 4))
            add_absent(t);
        else
            add_dense(t, out ? OUTPUT : INPUT, dtype, 1, &n)->tame = one_in(r, 2);
    }
    for (int32_t i = 0; i < (operands == 5 ? 3 : 8); i++)
        arg_float(t, one_in(r, 3) ? 0.0 : (double)between(r, 1, 100) / 100.0);
}

static void make_sgd_step(rng *r, test_case *t)
{
    make_step(r, t, 5, one_in(r, 2));
    arg_int(t, between(r, 0, 1));
}

static void make_adam_step(rng *r, test_case *t)
{
    make_step(r, t, 7, true);
}

/* Rows whose columns have stride 1, with gaps between. */
static operand *add_rows(rng *r, test_case *t, role role, const int64_t *dim)
{
    operand *o = add_dense(t, role, F32, 2, dim);
    o->stride[1] = 1;
    o->stride[0] = dim[1] + (one_in(r, 2) ? between(r, 1, 9) : 0);
    if (one_in(r, 6))
        o->stride[0] = -o->stride[0];
    o->tame = one_in(r, 2);
    return o;
}

static void make_layer_norm_grad(rng *r, test_case *t)
{
    const int64_t x[] = {between(r, 0, 40), between(r, 1, 150)}, chunk = between(r, 1, 9);
    const int64_t partial[] = {(x[0] + chunk - 1) / chunk, 2, x[1]};
    add_rows(r, t, INPUT, x);
    add_rows(r, t, INPUT, x);
    add_dense(t, INPUT, F32, 1, &x[1])->tame = true;
    add_dense(t, OUTPUT, F32, 3, partial);
    add_rows(r, t, OUTPUT, x);
    for (int32_t i = 0; i < 2; i++)
        add_dense(t, OUTPUT, F32, 1, &x[1]);
    arg_int(t, chunk);
    arg_float(t, 1e-5);
}

static void make_softmax_grad(rng *r, test_case *t)
{
    const int64_t x[] = {between(r, 0, 40), between(r, 0, 150)};
    add_rows(r, t, INPUT, x);
    add_rows(r, t, INPUT, x);
    add_rows(r, t, OUTPUT, x);
}

const generator cases_grad[] = {
    {"conv_weight_grad", make_conv_weight_grad}, {"batch_norm", make_batch_norm},
    {"batch_norm_grad", make_batch_norm_grad},   {"unary_grad", make_unary_grad},
    {"sgd_step", make_sgd_step},                 {"adam_step", make_adam_step},
    {"layer_norm_grad", make_layer_norm_grad},   {"softmax_grad", make_softmax_grad},
    {"max_pool_grad", make_max_pool_grad},
    {NULL, NULL},
};

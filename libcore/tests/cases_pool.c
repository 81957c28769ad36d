/* cases_pool.c - windows, and the frames that they may read. */
#include <string.h>

#include "check.h"

/* Dense, in the order N, H, W, C. */
static void lay_channels_last(operand *o)
{
    static const int32_t order[] = {1, 3, 2, 0};
    int64_t step = 1;
    for (int32_t i = 0; i < 4; i++) {
        o->stride[order[i]] = step;
        step *= o->dim[order[i]] ? o->dim[order[i]] : 1;
    }
}

static void make_pool(rng *r, test_case *t, bool max)
{
    static const int32_t dtypes[] = {F32, S8, U8, BF16, 0};
    static const int64_t channels[] = {1, 2, 3, 8, 15, 16, 17, 64, 65, 130};
    int64_t in[4] = {between(r, 1, 2), channels[between(r, 0, 9)], between(r, 1, 9), between(r, 1, 9)};
    const int32_t dtype = max ? one_of(r, dtypes) : F32;
    int64_t kernel[2], stride[2], before[2], after[2], dilation[2], out[4] = {in[0], in[1]};
    for (int32_t k = 0; k < 2; k++) {
        kernel[k] = between(r, 1, 5);
        stride[k] = between(r, 1, 3);
        dilation[k] = one_in(r, 4) ? between(r, 1, 3) : 1;
        before[k] = between(r, 0, 3);
        after[k] = between(r, 0, 3);
        const int64_t span = (kernel[k] - 1) * dilation[k] + 1, room = in[2 + k] + before[k] + after[k];
        out[2 + k] = room >= span ? (room - span) / stride[k] + 1 : 1;
        out[2 + k] += one_in(r, 5);
    }
    if (one_in(r, 20))
        out[3] = 0;
    operand *x = add(r, t, INPUT, dtype, 4, in);
    operand *y = add(r, t, OUTPUT, dtype, 4, out);
    if (dtype == BF16) {
        lay_channels_last(x);
        lay_channels_last(y);
    }
    const bool indices = max && dtype != BF16 && one_in(r, 4);
    if (indices)
        add(r, t, OUTPUT, S64, 4, out);
    for (int32_t k = 0; k < 2; k++) arg_int(t, kernel[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, stride[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, before[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, after[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, dilation[k]);
    if (!max || indices || one_in(r, 2))
        arg_int(t, between(r, 0, 1));
}

static void make_max_pool(rng *r, test_case *t)
{
    make_pool(r, t, true);
}

static void make_average_pool(rng *r, test_case *t)
{
    make_pool(r, t, false);
}

static void make_frame(rng *r, test_case *t)
{
    static const int32_t types[] = {F32, BF16, U8};
    const int32_t to = types[between(r, 0, 2)];
    const bool quantized = to == U8 && one_in(r, 2);
    const int64_t word = to == F32 ? 1 : to == BF16 ? 2 : 4, one = 1;
    const int64_t in[] = {between(r, 0, 3), between(r, 1, 9), between(r, 0, 30), between(r, 0, 70)};
    const int64_t top = between(r, 0, 3), left = between(r, 0, 3);
    const int64_t out[] = {in[0], to == U8 && one_in(r, 2) ? in[1] : (in[1] + word - 1) / word * word, in[2] + top + between(r, 0, 3), in[3] + left + between(r, 0, 3)};
    const int32_t from = to == U8 && !quantized ? U8 : F32;
    operand *image = add(r, t, INPUT, from, 4, in);
    if (one_in(r, 4)) { /* channels last */
        const int64_t stride[] = {in[1] * in[3] * in[2], 1, in[1] * in[3], in[1]};
        memcpy(image->stride, stride, sizeof stride);
    }
    if (quantized)
        add_dense(t, INPUT, F32, 1, &one);
    else
        add_absent(t);
    if (quantized && !one_in(r, 3))
        add_dense(t, INPUT, U8, 1, &one);
    else
        add_absent(t);
    const int64_t last[] = {out[1] * out[3] * out[2], 1, out[1] * out[3], out[1]};
    memcpy(add_dense(t, OUTPUT, to, 4, out)->stride, last, sizeof last);
    arg_int(t, top);
    arg_int(t, left);
    arg_int(t, to == U8 ? between(r, 0, 255) : 0);
}

const generator cases_pool[] = {{"max_pool", make_max_pool}, {"average_pool", make_average_pool}, {"frame", make_frame}, {NULL, NULL}};

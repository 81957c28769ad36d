/* cases_product.c - matrix products, convolutions. */
#include <math.h>
#include <string.h>

#include "check.h"

/* An operand whose dim `dense` has stride 1; the others in any order, with gaps and signs. */
static operand *add_runs(rng *r, test_case *t, role role, int32_t dtype, int32_t rank, const int64_t *dim, int32_t dense)
{
    operand *o = add_dense(t, role, dtype, rank, dim);
    int64_t step = (dim[dense] ? dim[dense] : 1) + (one_in(r, 2) ? between(r, 1, 7) : 0);
    const int32_t shift = (int32_t)between(r, 0, rank - 1);
    for (int32_t i = rank - 1; i >= 0; i--) {
        const int32_t k = (i + shift) % rank;
        if (k == dense) {
            o->stride[k] = 1;
            continue;
        }
        const bool repeat = role == INPUT && one_in(r, 10);
        o->stride[k] = repeat ? 0 : one_in(r, 6) ? -step : step;
        step = repeat ? step : step * (dim[k] ? dim[k] : 1) + (one_in(r, 4) ? between(r, 1, 9) : 0);
    }
    return o;
}

/* Rows (the pixels of an image, the rows of matrices) `step` elements apart, k inside. */
static void lay_rows(operand *o, int64_t step)
{
    static const int32_t matrix[] = {2, 1, 0}, image[] = {1, 3, 2, 0};
    const int32_t *order = o->rank == 3 ? matrix : image;
    o->stride[order[0]] = 1;
    for (int32_t i = 1; i < o->rank; i++) {
        o->stride[order[i]] = step;
        step *= o->dim[order[i]] ? o->dim[order[i]] : 1;
    }
}

enum { COLLIDING = 4096 }; /* bytes between rows that meet in one set of the cache */

static void add_clip(rng *r, test_case *t)
{
    arg_float(t, one_in(r, 2) ? -INFINITY : 0.0);
    arg_float(t, one_in(r, 2) ? INFINITY : 6.0);
}

/* See after.h. */
static void add_function(rng *r, test_case *t, int32_t store)
{
    static const int32_t functions[] = {1, 5, 8, 9, 10, 14, 40, 0}; /* leaky_relu sigmoid swish gelu gelu_tanh tanh affine */
    if (store != F32 || one_in(r, 2))
        return;
    arg_int(t, one_of(r, functions));
    arg_float(t, 0.75);
    arg_float(t, -0.25);
}

static void add_table(rng *r, test_case *t, int32_t store)
{
    const int64_t entries = 256;
    if (store == U8 || store == S8)
        if (one_in(r, 2))
            add_dense(t, INPUT, one_in(r, 2) ? U8 : S8, 1, &entries);
}

static void add_optional(rng *r, test_case *t, int32_t dtype, int32_t rank, const int64_t *dim)
{
    if (one_in(r, 3))
        add_absent(t);
    else
        add_dense(t, INPUT, dtype, rank, dim)->tame = dtype == F32;
}

/* ---- matrices --------------------------------------------------------------------------- */

static void random_matrix(rng *r, int64_t *a, int64_t *c)
{
    a[0] = c[0] = one_in(r, 3) ? between(r, 0, 3) : 1;
    a[1] = c[1] = one_in(r, 3) ? between(r, 0, 60) : between(r, 1, 15);
    a[2] = one_in(r, 8) ? between(r, 200, 600) : between(r, 0, 40);
    c[2] = one_in(r, 2) ? between(r, 0, 20) : between(r, 1, 150);
}

/* What a product makes: now and then in the place of the operand before it, which is added. */
static void add_result(rng *r, test_case *t, int32_t dtype, int32_t rank, const int64_t *dim, int32_t dense)
{
    const operand added = t->operand[t->n - 1];
    operand *out = add_runs(r, t, OUTPUT, dtype, rank, dim, dense);
    bool repeats = false;
    for (int32_t k = 0; k < rank; k++)
        repeats |= dim[k] > 1 && added.stride[k] == 0;
    if (added.role == ABSENT || repeats || one_in(r, 2))
        return;
    memcpy(out->stride, added.stride, sizeof out->stride);
    out->same_as = t->n - 2;
}

static void make_gemm_f32(rng *r, test_case *t)
{
    int64_t a[3], c[3];
    random_matrix(r, a, c);
    const int64_t panels = panels_of(c[2]), b[] = {one_in(r, 2) ? 1 : a[0], panels, a[2], PANEL};
    const int64_t columns = panels * PANEL;
    const bool tame = one_in(r, 2);
    operand *rows = add_runs(r, t, INPUT, F32, 3, a, 2);
    rows->tame = tame;
    if (a[2] > 200)
        lay_rows(rows, COLLIDING / 4);
    add_dense(t, INPUT, F32, 4, b)->tame = tame;
    add_optional(r, t, F32, 1, &columns);
    if (one_in(r, 2))
        add_absent(t);
    else
        add_runs(r, t, INPUT, F32, 3, c, 2);
    add_result(r, t, F32, 3, c, 2);
    add_clip(r, t);
    add_function(r, t, F32);
}

/* What gemm_s8 and conv_s8 share: start, scale, residual, C, and the epilogue's args. */
static int32_t choose_store(rng *r)
{
    static const int32_t stores[] = {S32, F32, U8, S8, 0};
    return one_of(r, stores);
}

static void add_epilogue(rng *r, test_case *t, int32_t store, int32_t rank, const int64_t *columns, const int64_t *c,
                         int32_t c_rank, int32_t dense)
{
    add_optional(r, t, S32, rank, columns);
    if (store == S32)
        add_absent(t);
    else /* where it is below 1, codes may be clipped by saturation */
        add_dense(t, INPUT, F32, rank, columns)->tame = true, t->operand[t->n - 1].small = one_in(r, 2);
    if (store == S32 || store == S8 || one_in(r, 2))
        add_absent(t);
    else
        add_runs(r, t, INPUT, store, c_rank, c, dense)->tame = true;
    add_runs(r, t, OUTPUT, store, c_rank, c, dense);
}

static void add_epilogue_args(rng *r, test_case *t, int32_t store)
{
    const int64_t zero = store == U8 ? between(r, 0, 255) : store == S8 ? between(r, -128, 127) : 0;
    const double low = store == U8 ? 0 : store == S8 ? -128 : -INFINITY, high = low + 255;
    arg_float(t, low - (double)zero + (one_in(r, 2) ? (double)between(r, 0, 100) : 0));
    arg_float(t, isfinite(high) ? high - (double)zero - (one_in(r, 2) ? (double)between(r, 0, 100) : 0) : INFINITY);
    arg_int(t, zero);
    arg_float(t, -200.0);
    arg_float(t, 200.0);
    arg_float(t, 0.75);
    arg_float(t, 0.5);
    arg_int(t, between(r, 0, 255));
}

static void make_gemm_bf16(rng *r, test_case *t)
{
    int64_t a[3], c[3];
    random_matrix(r, a, c);
    const int64_t panels = panels_of(c[2]), b[] = {one_in(r, 2) ? 1 : a[0], panels, 1, (a[2] + 1) / 2, PANEL, 2};
    const int64_t columns = panels * PANEL;
    const bool tame = one_in(r, 2);
    const int32_t store = one_in(r, 2) ? F32 : BF16;
    operand *rows = add_runs(r, t, INPUT, BF16, 3, a, 2);
    rows->tame = tame;
    if (a[2] > 200)
        lay_rows(rows, COLLIDING / 2);
    add_dense(t, INPUT, BF16, 6, b)->tame = tame;
    add_optional(r, t, F32, 1, &columns);
    if (one_in(r, 2))
        add_absent(t);
    else
        add_runs(r, t, INPUT, store, 3, c, 2);
    add_runs(r, t, OUTPUT, store, 3, c, 2);
    add_clip(r, t);
}

static void make_gemm_s8(rng *r, test_case *t)
{
    int64_t a[3], c[3];
    random_matrix(r, a, c);
    const int64_t panels = panels_of(c[2]), b[] = {one_in(r, 2) ? 1 : a[0], panels, 1, (a[2] + 3) / 4, PANEL, 4};
    const int64_t columns = panels * PANEL;
    const int32_t store = choose_store(r);
    const bool floats = one_in(r, 3), in_two = floats && a[0] > 1 && b[0] == 1 && one_in(r, 2);
    if (in_two) { /* a row number of two dims */
        c[1] *= c[0];
        c[0] = 1;
    }
    add_runs(r, t, INPUT, floats ? F32 : U8, 3, a, 2);
    add_dense(t, INPUT, S8, 6, b);
    add_epilogue(r, t, store, 1, &columns, c, 3, 2);
    add_table(r, t, store);
    add_epilogue_args(r, t, store);
    if (floats) {
        arg_float(t, (double)between(r, 1, 100) / 256);
        arg_int(t, between(r, 0, 255));
    }
    add_function(r, t, store);
}

/* ---- convolutions ------------------------------------------------------------------------ */

typedef struct {
    int64_t in[4], out[4], kernel[2], stride[2], pad[2], dilation[2], groups, taps;
} image;

enum { MANY = 256 }; /* channels from which on colliding pixels are copied */

static image random_image(rng *r, bool depthwise)
{
    image m = {.groups = depthwise ? 1 : one_in(r, 3) ? between(r, 2, 3) : 1};
    const bool common = depthwise && one_in(r, 2); /* it has a kernel of its own */
    m.in[0] = m.out[0] = between(r, 1, 2);
    m.in[1] = m.groups * (one_in(r, 4) ? between(r, 15, depthwise ? 150 : 70) : between(r, 1, 9));
    if (!depthwise && m.groups == 1 && one_in(r, 12))
        m.in[1] = between(r, MANY, 300);
    m.out[1] = depthwise ? m.in[1] : m.groups * (one_in(r, 3) ? between(r, 15, 70) : between(r, 1, 9));
    for (int32_t k = 0; k < 2; k++) {
        m.in[2 + k] = between(r, 1, common ? 20 : 9);
        m.kernel[k] = common ? 3 : between(r, 1, 4);
        m.stride[k] = between(r, 1, 2);
        m.pad[k] = between(r, 0, 2);
        m.dilation[k] = one_in(r, 4) ? 2 : 1;
        const int64_t span = (m.kernel[k] - 1) * m.dilation[k] + 1, room = m.in[2 + k] + 2 * m.pad[k];
        m.out[2 + k] = room >= span ? (room - span) / m.stride[k] + 1 : 1;
    }
    m.taps = m.kernel[0] * m.kernel[1];
    return m;
}

/* The input of a convolution: any strides, or pixels without gaps, or pixels that collide. */
static void add_image(rng *r, test_case *t, int32_t dtype, const image *m)
{
    operand *o = add_runs(r, t, INPUT, dtype, 4, m->in, 1);
    if (m->in[1] >= MANY)
        lay_rows(o, COLLIDING / dtype_bytes(dtype));
    else if (one_in(r, 2))
        lay_rows(o, m->in[1]);
}

static void add_window(test_case *t, const image *m)
{
    for (int32_t k = 0; k < 2; k++) arg_int(t, m->kernel[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, m->stride[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, m->pad[k]);
    for (int32_t k = 0; k < 2; k++) arg_int(t, m->dilation[k]);
}

/* Bias, what is added, and the result. */
static void add_ends(rng *r, test_case *t, int32_t dtype, const int64_t *bias, const image *m)
{
    add_optional(r, t, F32, 2, bias);
    if (one_in(r, 2))
        add_absent(t);
    else
        add_runs(r, t, INPUT, dtype, 4, m->out, 1);
    add_result(r, t, dtype, 4, m->out, 1);
}

/* Whether weights are finite and no bias is -0, which is said only where it is true. */
static void add_finite(rng *r, test_case *t)
{
    const bool finite = one_in(r, 2);
    operand *weights = &t->operand[1];
    t->operand[2].tame = weights->tame = finite;
    if (finite && weights->dtype == BF16) {
        weights->bounded = true;
        weights->low = one_in(r, 2) ? 0x0080 : 0x3f00; /* the smallest normal number; 0.5 */
        weights->high = 0x4100;                        /* 8 */
    }
    arg_int(t, finite);
}

static void make_conv_f32(rng *r, test_case *t)
{
    const image m = random_image(r, false);
    const int64_t panels = panels_of(m.out[1] / m.groups);
    const int64_t weights[] = {m.groups, panels, m.taps * (m.in[1] / m.groups), PANEL};
    const int64_t bias[] = {m.groups, panels * PANEL};
    add_image(r, t, F32, &m);
    add_dense(t, INPUT, F32, 4, weights);
    add_ends(r, t, F32, bias, &m);
    add_window(t, &m);
    arg_int(t, m.groups);
    add_clip(r, t);
    add_finite(r, t);
    add_function(r, t, F32);
}

static void make_conv_winograd_f32(rng *r, test_case *t)
{
    const int64_t tile = one_in(r, 2) ? 2 : 4, points = (tile + 2) * (tile + 2);
    image m = {.groups = 1};
    m.in[0] = m.out[0] = between(r, 1, 2);
    m.in[1] = one_in(r, 2) ? between(r, 1, 9) : between(r, 15, 50);
    m.out[1] = one_in(r, 2) ? between(r, 1, 9) : between(r, 15, 100);
    for (int32_t k = 0; k < 2; k++) {
        m.in[2 + k] = between(r, 1, 14);
        m.pad[k] = between(r, -1, 3);
        m.out[2 + k] = between(r, 1, 14);
    }
    const int64_t panels = panels_of(m.out[1]), weights[] = {points, panels, m.in[1], PANEL};
    const int64_t bias[] = {1, panels * PANEL};
    add_image(r, t, F32, &m);
    add_dense(t, INPUT, F32, 4, weights);
    add_ends(r, t, F32, bias, &m);
    arg_int(t, tile);
    for (int32_t k = 0; k < 2; k++) arg_int(t, m.pad[k]);
    add_clip(r, t);
}

static void make_conv_bf16(rng *r, test_case *t)
{
    const image m = random_image(r, false);
    const int64_t panels = panels_of(m.out[1] / m.groups);
    const int64_t weights[] = {m.groups, panels, m.taps, (m.in[1] / m.groups + 1) / 2, PANEL, 2};
    const int64_t bias[] = {m.groups, panels * PANEL};
    const int32_t store = one_in(r, 2) ? F32 : BF16;
    add_image(r, t, BF16, &m);
    add_dense(t, INPUT, BF16, 6, weights);
    add_ends(r, t, store, bias, &m);
    add_window(t, &m);
    arg_int(t, m.groups);
    add_clip(r, t);
    add_finite(r, t);
}

static void make_conv_s8(rng *r, test_case *t)
{
    const image m = random_image(r, false);
    const int64_t panels = panels_of(m.out[1] / m.groups);
    const int64_t weights[] = {m.groups, panels, m.taps, (m.in[1] / m.groups + 3) / 4, PANEL, 4};
    const int64_t columns[] = {m.groups, panels * PANEL};
    const int32_t store = choose_store(r);
    add_image(r, t, U8, &m);
    add_dense(t, INPUT, S8, 6, weights);
    add_epilogue(r, t, store, 2, columns, m.out, 4, 1);
    add_table(r, t, store);
    add_window(t, &m);
    arg_int(t, m.groups);
    arg_int(t, between(r, 0, 255));
    add_epilogue_args(r, t, store);
    add_function(r, t, store);
}

static void make_depthwise_f32(rng *r, test_case *t)
{
    const image m = random_image(r, true);
    const int64_t weights[] = {m.taps, m.in[1]};
    add_runs(r, t, INPUT, F32, 4, m.in, 1);
    add_dense(t, INPUT, F32, 2, weights);
    add_optional(r, t, F32, 1, &m.in[1]);
    add_runs(r, t, OUTPUT, F32, 4, m.out, 1);
    add_window(t, &m);
    add_clip(r, t);
    add_function(r, t, F32);
}

static void make_depthwise_bf16(rng *r, test_case *t)
{
    image m = random_image(r, true);
    if (one_in(r, 3)) {
        m.kernel[1] = 5; /* it has a kernel of its own too */
        m.taps = m.kernel[0] * 5;
        m.pad[1] += 2;
    }
    const int64_t blocks = (m.in[1] + 31) / 32, weights[] = {blocks, m.taps, 2, 16}, bias[] = {blocks, 2, 16};
    add_runs(r, t, INPUT, BF16, 4, m.in, 1);
    add_dense(t, INPUT, F32, 4, weights);
    add_optional(r, t, F32, 3, bias);
    add_runs(r, t, OUTPUT, BF16, 4, m.out, 1);
    add_window(t, &m);
    add_clip(r, t);
}

static void make_depthwise_s8(rng *r, test_case *t)
{
    const image m = random_image(r, true);
    const int64_t weights[] = {(m.taps + 1) / 2, m.in[1], 2}, channels = m.in[1];
    const int32_t store = one_in(r, 2) ? U8 : S8;
    add_runs(r, t, INPUT, U8, 4, m.in, 1);
    operand *w = add_dense(t, INPUT, S16, 3, weights);
    w->bounded = true;
    w->low = -128;
    w->high = 127;
    add_dense(t, INPUT, S32, 1, &channels);
    add_dense(t, INPUT, F32, 1, &channels)->tame = true;
    add_runs(r, t, OUTPUT, store, 4, m.out, 1);
    add_table(r, t, store);
    add_window(t, &m);
    arg_int(t, between(r, 0, 255));
    const int64_t zero = store == U8 ? between(r, 0, 255) : between(r, -128, 127), least = store == U8 ? 0 : -128;
    arg_float(t, one_in(r, 2) ? 0.0 : (double)(least - zero));
    arg_float(t, (double)(least + 255 - zero));
    arg_int(t, zero);
}

const generator cases_product[] = {
    {"gemm_f32", make_gemm_f32}, {"gemm_s8", make_gemm_s8},
    {"conv_f32", make_conv_f32}, {"conv_winograd_f32", make_conv_winograd_f32}, {"conv_s8", make_conv_s8},
    {"depthwise_f32", make_depthwise_f32}, {"depthwise_s8", make_depthwise_s8}, {"gemm_bf16", make_gemm_bf16},
    {"conv_bf16", make_conv_bf16}, {"depthwise_bf16", make_depthwise_bf16}, {NULL, NULL},
};

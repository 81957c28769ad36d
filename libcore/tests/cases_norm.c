/* cases_norm.c - normalisations. */
#include <string.h>

#include "check.h"

/* Input and output of the same dims; returns the rank. */
static int32_t make_pair(rng *r, test_case *t, int32_t least)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, least, 4, 3000, dim);
    add(r, t, INPUT, F32, rank, dim);
    operand *out = add(r, t, OUTPUT, F32, rank, dim);
    if (one_in(r, 4)) {
        memcpy(t->operand[0].stride, out->stride, sizeof out->stride);
        out->same_as = 0;
    }
    return rank;
}

static void make_softmax(rng *r, test_case *t)
{
    const int32_t rank = make_pair(r, t, 1);
    arg_int(t, between(r, 0, rank - 1));
}

static void make_lp_norm(rng *r, test_case *t)
{
    make_softmax(r, t);
    arg_int(t, between(r, 1, 2));
}

static void make_lrn(rng *r, test_case *t)
{
    make_pair(r, t, 2);
    arg_int(t, between(r, 1, 7));
    arg_float(t, 0.1);
    arg_float(t, 0.75);
    arg_float(t, 1.0);
}

/* Trailing dims dense, the others with any strides that leave room. */
static void add_rows(rng *r, test_case *t, role role, int32_t rank, const int64_t *dim, int32_t n)
{
    operand *o = add_dense(t, role, F32, rank, dim);
    int64_t step = between(r, 0, 5);
    for (int32_t k = rank - n; k < rank; k++)
        step = k == rank - n ? o->stride[k] * (dim[k] ? dim[k] : 1) + step : step;
    for (int32_t k = rank - n - 1; k >= 0; k--) {
        o->stride[k] = one_in(r, 4) ? -step : step;
        step *= dim[k] ? dim[k] : 1;
    }
}

static void make_layers(rng *r, test_case *t, bool rms)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 1, 4, 3000, dim), n = (int32_t)between(r, 1, rank);
    add_rows(r, t, INPUT, rank, dim, n);
    for (int32_t i = 0; i < (rms ? 1 : 2); i++) {
        if (one_in(r, 3))
            add_absent(t);
        else
            add_dense(t, INPUT, F32, n, dim + rank - n);
    }
    const bool coded = !rms && one_in(r, 3);
    if (coded && one_in(r, 2))
        add_absent(t);
    else
        add_rows(r, t, OUTPUT, rank, dim, n);
    int64_t row[CPR_MAX_RANK];
    for (int32_t k = 0; k < rank; k++)
        row[k] = k < rank - n ? dim[k] : 1;
    for (int32_t i = 0; i < (rms ? 0 : 2) && (coded || one_in(r, 2)); i++) {
        if (coded && one_in(r, 2))
            add_absent(t);
        else
            add(r, t, OUTPUT, F32, rank, row);
    }
    arg_int(t, n);
    arg_float(t, 1e-5);
    if (!coded)
        return;
    const int32_t dtype = one_in(r, 2) ? U8 : S8;
    add_dense(t, OUTPUT, dtype, rank, dim);
    arg_float(t, one_in(r, 2) ? 0.01 : 0.003);
    arg_int(t, dtype == U8 ? between(r, 0, 255) : between(r, -128, 127));
}

static void make_layer_norm(rng *r, test_case *t)
{
    make_layers(r, t, false);
}

static void make_rms_norm(rng *r, test_case *t)
{
    make_layers(r, t, true);
}

static void make_group_norm(rng *r, test_case *t)
{
    int64_t dim[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 2, 5, 1500, dim);
    const int64_t groups = between(r, 1, 5);
    dim[1] = groups * (one_in(r, 3) ? 1 : between(r, 1, 40));
    add(r, t, INPUT, F32, rank, dim);
    for (int32_t i = 0; i < 2; i++) {
        if (one_in(r, 3))
            add_absent(t);
        else
            add(r, t, INPUT, F32, 1, &dim[1]);
    }
    add(r, t, OUTPUT, F32, rank, dim);
    arg_int(t, one_in(r, 4) ? dim[1] : groups);
    arg_float(t, 1e-5);
}

static void make_entropy(rng *r, test_case *t, bool gradient)
{
    const int64_t dim[] = {between(r, 0, 20), one_in(r, 4) ? between(r, 250, 600) : between(r, 1, 70)};
    operand *scores = add_dense(t, INPUT, F32, 2, dim);
    scores->stride[0] += one_in(r, 2) ? between(r, 1, 9) : 0;
    scores->tame = one_in(r, 2);
    operand *labels = add(r, t, INPUT, S64, 1, dim);
    labels->bounded = true;
    labels->high = dim[1] - 1;
    if (gradient) {
        add_dense(t, INPUT, F32, 0, dim);
        add_dense(t, OUTPUT, F32, 2, dim)->stride[0] += one_in(r, 2) ? between(r, 1, 9) : 0;
    } else
        add(r, t, OUTPUT, F32, 1, dim);
    arg_float(t, one_in(r, 2) ? 0.0 : 0.1);
    arg_int(t, between(r, 0, 1));
    arg_int(t, between(r, 0, 3));
}

static void make_cross_entropy(rng *r, test_case *t)
{
    make_entropy(r, t, false);
}

static void make_cross_entropy_grad(rng *r, test_case *t)
{
    make_entropy(r, t, true);
}

const generator cases_norm[] = {
    {"softmax", make_softmax}, {"log_softmax", make_softmax}, {"lp_norm", make_lp_norm}, {"lrn", make_lrn},
    {"layer_norm", make_layer_norm}, {"rms_norm", make_rms_norm}, {"group_norm", make_group_norm},
    {"cross_entropy", make_cross_entropy}, {"cross_entropy_grad", make_cross_entropy_grad}, {NULL, NULL},
};

/* cases_pack.c - matrices and kernels into panels. */
#include <string.h>

#include "check.h"

static void make_pack_f32(rng *r, test_case *t)
{
    const int64_t taps = one_in(r, 2) ? 1 : one_in(r, 4) ? between(r, 120, 140) : between(r, 0, 12);
    const int64_t in[] = {between(r, 0, 3), taps, between(r, 0, 40), between(r, 0, 70)};
    const int64_t flat[] = {in[0], in[2], in[3]}, out[] = {in[0], panels_of(in[3]), taps * in[2], PANEL};
    if (taps == 1 && one_in(r, 2)) {
        add(r, t, INPUT, F32, 3, flat);
    } else {
        operand *b = add(r, t, INPUT, F32, 4, in);
        if (one_in(r, 2)) { /* [n, k, taps], as convolutions have it */
            const int64_t some = taps ? taps : 1, k = in[2] ? in[2] : 1, n = in[3] ? in[3] : 1;
            const int64_t stride[] = {some * k * n, 1, some, some * k};
            memcpy(b->stride, stride, sizeof stride);
        }
    }
    add_dense(t, OUTPUT, F32, 4, out);
}

static void make_pack_s8(rng *r, test_case *t)
{
    const int64_t batch = one_in(r, 2) ? 1 : between(r, 0, 3);
    const int64_t in[] = {batch, between(r, 0, 4), between(r, 0, 40), between(r, 0, 70)};
    const int64_t out[] = {in[0], panels_of(in[3]), in[1], (in[2] + 3) / 4, PANEL, 4};
    add(r, t, INPUT, S8, 4, in);
    add_dense(t, OUTPUT, S8, 6, out);
    if (in[0] == 1 && one_in(r, 2)) {
        const int64_t columns = out[1] * PANEL;
        add_dense(t, OUTPUT, S32, 1, &columns);
        arg_int(t, one_in(r, 3) ? 255 : between(r, 0, 255));
    }
}

static void make_pack_bf16(rng *r, test_case *t)
{
    const int64_t in[] = {between(r, 0, 3), between(r, 0, 4), between(r, 0, 40), between(r, 0, 70)};
    const int64_t out[] = {in[0], panels_of(in[3]), in[1], (in[2] + 1) / 2, PANEL, 2};
    add(r, t, INPUT, F32, 4, in);
    add_dense(t, OUTPUT, BF16, 6, out);
}

static void make_pack_winograd_f32(rng *r, test_case *t)
{
    const int64_t tile = one_in(r, 2) ? 2 : 4, in[] = {between(r, 0, 40), between(r, 0, 45), 3, 3};
    const int64_t out[] = {(tile + 2) * (tile + 2), panels_of(in[0]), in[1], PANEL};
    add_dense(t, INPUT, F32, 4, in);
    add_dense(t, OUTPUT, F32, 4, out);
    arg_int(t, tile);
}

const generator cases_pack[] = {
    {"pack_f32", make_pack_f32}, {"pack_s8", make_pack_s8}, {"pack_bf16", make_pack_bf16},
    {"pack_winograd_f32", make_pack_winograd_f32}, {NULL, NULL},
};

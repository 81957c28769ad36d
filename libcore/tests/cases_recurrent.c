/* cases_recurrent.c - lstm, gru, rnn. */
#include "check.h"

static void add_optional(rng *r, test_case *t, role role, int32_t rank, const int64_t *dim, bool dense)
{
    if (one_in(r, 3))
        add_absent(t);
    else if (dense)
        add_dense(t, role, F32, rank, dim);
    else
        add(r, t, role, F32, rank, dim);
}

/* Packed weights of k rows: floats, or pairs of bfloat16. */
static void add_packed(test_case *t, bool half, int64_t D, int64_t panels, int64_t k)
{
    const int64_t floats[] = {D, panels, k, 16}, halves[] = {D, panels, 1, (k + 1) / 2, 16, 2};
    if (half)
        add_dense(t, INPUT, BF16, 6, halves);
    else
        add_dense(t, INPUT, F32, 4, floats);
}

static void make_recurrent(rng *r, test_case *t, int64_t gates, int32_t activations)
{
    static const int64_t hidden[] = {1, 3, 8, 15, 16, 17, 31, 32, 40, 63, 65};
    const int64_t T = between(r, 0, 6), B = one_in(r, 8) ? 70 : between(r, 0, 6);
    const int64_t H = hidden[between(r, 0, 10)], direction = between(r, 0, 2), D = direction == 2 ? 2 : 1;
    const bool projected = D == 1 && one_in(r, 3); /* X is what W x would be */
    const int64_t I = projected ? gates * H : between(r, 0, 9);
    const int64_t x[] = {T, B, I}, panels = gates * ((H + 15) / 16), bias[] = {D, 2 * gates * H};
    const int64_t state[] = {D, B, H}, p[] = {D, 3 * H}, y[] = {T, D, B, H};
    add(r, t, INPUT, F32, 3, x);
    const bool half = one_in(r, 3);
    if (projected)
        add_absent(t);
    else
        add_packed(t, half, D, panels, I);
    add_packed(t, half, D, panels, H);
    add_optional(r, t, INPUT, 2, bias, true);
    if (one_in(r, 2))
        add_absent(t);
    else {
        operand *lengths = add(r, t, INPUT, S32, 1, &B);
        lengths->bounded = true;
        lengths->high = T;
    }
    add_optional(r, t, INPUT, 3, state, false);
    if (gates == 4) {
        add_optional(r, t, INPUT, 3, state, false);
        add_optional(r, t, INPUT, 2, p, true);
    }
    add_optional(r, t, OUTPUT, 4, y, false);
    add_optional(r, t, OUTPUT, 3, state, false);
    if (gates == 4)
        add_optional(r, t, OUTPUT, 3, state, false);
    const int64_t parts = gates == 4 ? 7 : gates == 3 ? 5 : 2, saved[] = {D, T, B, parts * H};
    add_optional(r, t, OUTPUT, 4, saved, true);
    arg_int(t, direction);
    arg_float(t, one_in(r, 2) ? 0.0 : 1.5);
    arg_int(t, between(r, 0, 1));
    for (int64_t i = 0; i < D * activations; i++) {
        arg_int(t, one_in(r, 3) ? between(r, 0, 41) : one_in(r, 2) ? 5 : 14);
        arg_float(t, 0.25);
        arg_float(t, 0.5);
    }
    arg_int(t, H);
}

static void make_lstm(rng *r, test_case *t)
{
    make_recurrent(r, t, 4, 3);
}

static void make_gru(rng *r, test_case *t)
{
    make_recurrent(r, t, 3, 2);
}

static void make_rnn(rng *r, test_case *t)
{
    make_recurrent(r, t, 1, 1);
}

static void make_recurrent_grad(rng *r, test_case *t)
{
    static const int64_t hidden[] = {1, 3, 8, 15, 16, 17, 31, 32, 40, 63, 65};
    static const int64_t gates[] = {4, 3, 1}, parts[] = {7, 5, 2}, functions[] = {0, 5, 14};
    const int64_t kind = between(r, 0, 2), G = gates[kind], flag = between(r, 0, 1);
    const int64_t T = between(r, 0, 6), B = one_in(r, 8) ? 70 : between(r, 0, 6), H = hidden[between(r, 0, 10)];
    const int64_t direction = between(r, 0, 2), D = direction == 2 ? 2 : 1, panels = (H + 15) / 16;
    const bool two = kind == 1 && !flag;
    const int64_t saved[] = {D, T, B, parts[kind] * H}, state[] = {D, B, H}, p[] = {D, 3 * H}, y[] = {T, D, B, H};
    const int64_t z[] = {D, T, B, G * H}, fresh[] = {D, T, B, H};
    add_dense(t, INPUT, F32, 4, saved)->tame = one_in(r, 2);
    add_packed(t, false, D, panels, two ? 2 * H : G * H);
    if (two)
        add_packed(t, false, D, panels, H);
    else
        add_absent(t);
    if (kind == 0)
        add_optional(r, t, INPUT, 2, p, true);
    else
        add_absent(t);
    if (one_in(r, 2))
        add_absent(t);
    else {
        operand *lengths = add(r, t, INPUT, S32, 1, &B);
        lengths->bounded = true;
        lengths->high = T;
    }
    add_optional(r, t, INPUT, 4, y, false);
    add_optional(r, t, INPUT, 3, state, false);
    if (kind == 0)
        add_optional(r, t, INPUT, 3, state, false);
    else
        add_absent(t);
    add_dense(t, OUTPUT, F32, 4, z);
    if (kind == 1 && flag)
        add_dense(t, OUTPUT, F32, 4, fresh);
    else
        add_absent(t);
    add_optional(r, t, OUTPUT, 3, state, false);
    if (kind == 0)
        add_optional(r, t, OUTPUT, 3, state, false);
    else
        add_absent(t);
    const int64_t sums[] = {D, B, G * H + (kind == 1 && flag ? H : 0)};
    add_optional(r, t, OUTPUT, 3, sums, true);
    arg_int(t, kind);
    arg_int(t, direction);
    arg_int(t, flag);
    static const int32_t activations[] = {3, 2, 1};
    for (int64_t i = 0; i < D * activations[kind]; i++)
        arg_int(t, functions[between(r, 0, 2)]);
    arg_int(t, H);
}

const generator cases_recurrent[] = {
    {"lstm", make_lstm}, {"gru", make_gru}, {"rnn", make_rnn}, {"recurrent_grad", make_recurrent_grad}, {NULL, NULL},
};

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

static void make_recurrent(rng *r, test_case *t, int64_t gates, int32_t activations)
{
    static const int64_t hidden[] = {1, 3, 8, 15, 16, 17, 31, 32, 40, 63, 65};
    const int64_t T = between(r, 0, 6), B = one_in(r, 8) ? 70 : between(r, 0, 6), I = between(r, 0, 9);
    const int64_t H = hidden[between(r, 0, 10)], direction = between(r, 0, 2), D = direction == 2 ? 2 : 1;
    const int64_t x[] = {T, B, I}, w[] = {D, I, gates * H}, u[] = {D, H, gates * H}, bias[] = {D, 2 * gates * H};
    const int64_t state[] = {D, B, H}, p[] = {D, 3 * H}, y[] = {T, D, B, H};
    add(r, t, INPUT, F32, 3, x);
    add_dense(t, INPUT, F32, 3, w);
    add_dense(t, INPUT, F32, 3, u);
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
    arg_int(t, direction);
    arg_float(t, one_in(r, 2) ? 0.0 : 1.5);
    arg_int(t, between(r, 0, 1));
    for (int64_t i = 0; i < D * activations; i++) {
        arg_int(t, one_in(r, 3) ? between(r, 0, 41) : one_in(r, 2) ? 5 : 14);
        arg_float(t, 0.25);
        arg_float(t, 0.5);
    }
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

const generator cases_recurrent[] = {{"lstm", make_lstm}, {"gru", make_gru}, {"rnn", make_rnn}, {NULL, NULL}};

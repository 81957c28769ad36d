/* cases_attention.c - scores, softmax, weighted sum. */
#include <math.h>

#include "check.h"

/* An operand whose last dim has stride 1, as rows of a wider matrix now and then. */
static void add_heads(rng *r, test_case *t, role role, int32_t dtype, const int64_t *dim)
{
    operand *o = add_dense(t, role, dtype, 4, dim);
    o->tame = true;
    if (one_in(r, 2)) { /* [batch, tokens, heads, size] seen as [batch, heads, tokens, size] */
        const int64_t size = dim[3] ? dim[3] : 1, heads = dim[1] ? dim[1] : 1, tokens = dim[2] ? dim[2] : 1;
        o->stride[1] = size;
        o->stride[2] = size * heads;
        o->stride[0] = size * heads * tokens;
    }
}

static void make(rng *r, test_case *t, int32_t dtype)
{
    const bool codes = dtype == S8;
    const int64_t batch = between(r, one_in(r, 9) ? 0 : 1, 2), heads = between(r, 1, 3);
    const int64_t m = one_in(r, 3) ? between(r, 0, 70) : between(r, 1, 9), n = one_in(r, 3) ? between(r, 1, 90) : between(r, 1, 17);
    const int64_t d = one_in(r, 4) ? between(r, 0, 5) : between(r, 1, 40), e = one_in(r, 4) ? between(r, 0, 5) : between(r, 1, 40);
    const int64_t q[] = {batch, heads, m, d}, k[] = {batch, heads, n, d}, v[] = {batch, heads, n, e};
    const int64_t scores[] = {batch, heads, m, n}, out[] = {batch, heads, m, e};
    add_heads(r, t, INPUT, codes ? U8 : dtype, q);
    if (one_in(r, 2))
        add_heads(r, t, INPUT, dtype, k);
    else
        add(r, t, INPUT, dtype, 4, k)->tame = true;
    if (one_in(r, 2))
        add_heads(r, t, INPUT, dtype, v);
    else
        add(r, t, INPUT, dtype, 4, v)->tame = !one_in(r, 4);
    if (one_in(r, 2))
        add_absent(t);
    else
        add(r, t, INPUT, F32, 4, scores)->tame = !one_in(r, 4);
    const int32_t made = one_in(r, 2) ? dtype : codes && one_in(r, 2) ? U8 : F32;
    add_heads(r, t, OUTPUT, made, out);
    arg_int(t, between(r, 0, 2));
    arg_float(t, one_in(r, 2) ? 8.0 : 0.125);
    if (!codes)
        return;
    const int64_t least = made == S8 ? -128 : 0, zero = made == F32 ? 0 : between(r, least, least + 255);
    arg_int(t, one_in(r, 3) ? 0 : between(r, 0, 255));
    arg_float(t, 0.001);
    arg_float(t, one_in(r, 2) ? 1.0 / 255 : 0.0003);
    arg_int(t, one_in(r, 2) ? 0 : between(r, 0, 255));
    arg_float(t, one_in(r, 2) ? 0.002 : 3.0);
    arg_float(t, made == F32 ? -INFINITY : (double)(least - zero));
    arg_float(t, made == F32 ? INFINITY : (double)(least + 255 - zero));
    arg_int(t, zero);
}

static void make_f32(rng *r, test_case *t)
{
    make(r, t, F32);
}

static void make_bf16(rng *r, test_case *t)
{
    make(r, t, BF16);
}

static void make_s8(rng *r, test_case *t)
{
    make(r, t, S8);
}

static void make_attention_grad(rng *r, test_case *t)
{
    const int64_t batch = between(r, one_in(r, 9) ? 0 : 1, 2), heads = between(r, 1, 3);
    const int64_t m = one_in(r, 3) ? between(r, 0, 150) : between(r, 0, 9), n = one_in(r, 3) ? between(r, 1, 150) : between(r, 1, 17);
    const int64_t d = one_in(r, 4) ? between(r, 0, 5) : between(r, 1, 40), e = one_in(r, 4) ? between(r, 0, 5) : between(r, 1, 40);
    const int64_t q[] = {batch, heads, m, d}, k[] = {batch, heads, n, d}, v[] = {batch, heads, n, e};
    const int64_t scores[] = {batch, heads, m, n}, out[] = {batch, heads, m, e};
    add_heads(r, t, INPUT, F32, q);
    add(r, t, INPUT, F32, 4, k)->tame = true;
    add(r, t, INPUT, F32, 4, v)->tame = !one_in(r, 4);
    if (one_in(r, 2))
        add_absent(t);
    else
        add(r, t, INPUT, F32, 4, scores)->tame = !one_in(r, 4);
    add_heads(r, t, INPUT, F32, out);
    add_heads(r, t, OUTPUT, F32, q);
    add_heads(r, t, OUTPUT, F32, k);
    add_heads(r, t, OUTPUT, F32, v);
    arg_int(t, between(r, 0, 2));
    arg_float(t, one_in(r, 2) ? 8.0 : 0.125);
}

const generator cases_attention[] = {
    {"attention_f32", make_f32}, {"attention_bf16", make_bf16}, {"attention_s8", make_s8}, {"attention_grad_f32", make_attention_grad}, {0, 0}};

/* chance.c - random numbers, dims, strides and contents. */
#include <math.h>
#include <string.h>

#include "check.h"

uint64_t next(rng *r) /* splitmix64 */
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t between(rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)(next(r) % (uint64_t)(high - low + 1));
}

bool one_in(rng *r, int64_t n)
{
    return between(r, 1, n) == 1;
}

int32_t one_of(rng *r, const int32_t *list)
{
    int32_t n = 0;
    while (list[n])
        n++;
    return list[between(r, 0, n - 1)];
}

int64_t dtype_bytes(int32_t dtype)
{
    switch (dtype) {
    case U8: case S8: case BOOL: return 1;
    case U16: case S16: case F16: case BF16: return 2;
    case F32: case S32: case U32: return 4;
    default: return 8;
    }
}

int32_t random_dims(rng *r, int32_t least, int32_t most, int64_t elements, int64_t *dim)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 300, 1000};
    const int32_t rank = (int32_t)between(r, least, most);
    int64_t left = elements;
    for (int32_t k = 0; k < rank; k++) {
        int64_t d = sizes[between(r, 0, sizeof sizes / sizeof *sizes - 1)];
        d = d < left ? d : left;
        dim[k] = one_in(r, 60) ? 0 : d;
        left /= d;
    }
    for (int32_t k = rank - 1; k > 0; k--) { /* so that large dims stand anywhere */
        const int32_t other = (int32_t)between(r, 0, k);
        const int64_t swap = dim[k];
        dim[k] = dim[other];
        dim[other] = swap;
    }
    return rank;
}

void make_dense(operand *o)
{
    int64_t step = 1;
    for (int32_t k = o->rank - 1; k >= 0; k--) {
        o->stride[k] = step;
        step *= o->dim[k] > 0 ? o->dim[k] : 1;
    }
}

/* Rows in any order of the dims, with gaps and signs; an input may repeat along a dim. */
static void shuffle_strides(rng *r, operand *o)
{
    int32_t order[CPR_MAX_RANK];
    const bool plain = one_in(r, 3);
    for (int32_t k = 0; k < o->rank; k++)
        order[k] = k;
    for (int32_t k = o->rank - 1; k > 0 && !plain; k--) {
        const int32_t other = (int32_t)between(r, 0, k), swap = order[k];
        order[k] = order[other];
        order[other] = swap;
    }
    int64_t step = one_in(r, 4) ? between(r, 2, 3) : 1;
    for (int32_t k = o->rank - 1; k >= 0; k--) {
        const int32_t d = order[k];
        const bool repeat = o->role == INPUT && one_in(r, 6);
        o->stride[d] = repeat ? 0 : one_in(r, 5) ? -step : step;
        if (repeat)
            continue;
        step *= o->dim[d] > 0 ? o->dim[d] : 1;
        step += one_in(r, 5) ? between(r, 1, 5) : 0;
    }
}

operand *add_dense(test_case *t, role role, int32_t dtype, int32_t rank, const int64_t *dim)
{
    operand *o = &t->operand[t->n++];
    *o = (operand){.role = role, .dtype = dtype, .rank = rank, .same_as = -1};
    memcpy(o->dim, dim, (size_t)rank * sizeof *dim);
    make_dense(o);
    return o;
}

operand *add(rng *r, test_case *t, role role, int32_t dtype, int32_t rank, const int64_t *dim)
{
    operand *o = add_dense(t, role, dtype, rank, dim);
    shuffle_strides(r, o);
    return o;
}

void add_absent(test_case *t)
{
    t->operand[t->n++] = (operand){.role = ABSENT, .same_as = -1};
}

void arg_int(test_case *t, int64_t value)
{
    t->args[t->n_args++] = value;
}

void arg_float(test_case *t, double value)
{
    memcpy(&t->args[t->n_args++], &value, sizeof value);
}

void extent_of(const operand *o, int64_t *low, int64_t *high)
{
    *low = 0;
    *high = 1;
    for (int32_t k = 0; k < o->rank; k++) {
        if (o->dim[k] == 0) {
            *low = *high = 0;
            return;
        }
        *(o->stride[k] < 0 ? low : high) += (o->dim[k] - 1) * o->stride[k];
    }
}

static float random_float(rng *r, int32_t style)
{
    static const float extremes[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-45f, 1.1754944e-38f,
                                     3.4028235e38f, -3.4028235e38f, 1.0f, -1.0f, 0.5f, 88.7f, -104.0f};
    uint32_t bits = (uint32_t)next(r);
    float f;
    if (style == 0) { /* ordinary */
        const double u = (double)(next(r) >> 11) * 0x1p-53, v = (double)(next(r) >> 11) * 0x1p-53;
        return (float)((u + v - 1.0) * 4.0);
    }
    if (style == 1)
        return extremes[between(r, 0, sizeof extremes / sizeof *extremes - 1)];
    memcpy(&f, &bits, sizeof f);
    return f;
}

void fill(rng *r, char *bytes, int64_t n, const operand *o)
{
    const int64_t size = dtype_bytes(o->dtype);
    const int32_t style = o->tame ? 0 : (int32_t)between(r, 0, 3); /* 3: all equal */
    const uint64_t all = next(r);
    const float equal = random_float(r, 1);
    for (int64_t i = 0; i + size <= n; i += size) {
        uint64_t bits = style == 3 ? all : next(r);
        if (o->bounded)
            bits = (uint64_t)between(r, o->low, o->high);
        else if (o->dtype == BOOL)
            bits &= 1;
        else if (o->dtype == F32) {
            const float f = (style == 3 ? equal : random_float(r, style)) * (o->small ? 0x1p-12f : 1.0f);
            bits = 0;
            memcpy(&bits, &f, sizeof f);
        } else if (o->dtype == F64 && style != 2) {
            const double d = random_float(r, style);
            memcpy(&bits, &d, sizeof d);
        } else if (style == 0)
            bits %= 17;
        memcpy(bytes + i, &bits, (size_t)size);
    }
}

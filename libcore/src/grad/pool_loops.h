/* pool_loops.h - the loops behind pool.h; the including file defines TABLE. */
#include "grad/pool.h"

/* One register: gcc 12 compares wider vectors element by element. */
#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX2__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif

typedef float vf __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));

#define V(address) (*(const vf *)(address))

#define EACH_TAP                                    \
    for (int64_t r = 0, tap = 0; r < p->rows; r++)  \
        for (int64_t c = 0; c < p->columns; c++, tap++)

static void one(const float *x, const float *g, float *dx, const cpr_pool_part *p)
{
    float best = *x;
    int64_t where = 0;
    EACH_TAP
    {
        const float value = x[r * p->x_down + c * p->x_right];
        if (value > best) {
            best = value;
            where = tap;
        }
    }
    EACH_TAP dx[r * p->dx_down + c * p->dx_right] += where == tap ? *g : 0.0f;
}

static void several(const float *x, const float *g, float *dx, const cpr_pool_part *p)
{
    vf best = V(x);
    vi where = {0};
    EACH_TAP
    {
        const vf value = V(x + r * p->x_down + c * p->x_right);
        const vi more = value > best;
        best = (vf)(((vi)value & more) | ((vi)best & ~more));
        where = (((vi){0} + (int32_t)tap) & more) | (where & ~more);
    }
    EACH_TAP
    {
        float *to = dx + r * p->dx_down + c * p->dx_right;
        *(vf *)to = V(to) + (vf)((vi)V(g) & (where == (int32_t)tap));
    }
}

static void largest(const float *x, const float *g, float *dx, const cpr_pool_part *part, int64_t lanes)
{
    int64_t l = 0;
    for (; l + WIDTH <= lanes; l += WIDTH)
        several(x + l, g + l, dx + l, part);
    for (; l < lanes; l++)
        one(x + l, g + l, dx + l, part);
}

const cpr_grad_pool_ops TABLE = {largest};

/* pool_loops.h - the loops behind pool.h; the including file defines TABLE. */
#include "grad/pool.h"

#define LANES _Pragma("GCC ivdep") for (int64_t l = 0; l < lanes; l++)

static inline __attribute__((always_inline)) void block(const int64_t lanes, const float *x, const float *g, float *dx,
                                                        const cpr_pool_part *p)
{
    float best[CPR_POOL_LANES];
    int32_t where[CPR_POOL_LANES];
    LANES
    {
        best[l] = x[l];
        where[l] = 0;
    }
    int32_t tap = 0;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->columns; c++, tap++) {
            const float *from = x + r * p->x_down + c * p->x_right;
            LANES
            {
                const bool more = from[l] > best[l];
                best[l] = more ? from[l] : best[l];
                where[l] = more ? tap : where[l];
            }
        }
    tap = 0;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->columns; c++, tap++) {
            float *to = dx + r * p->dx_down + c * p->dx_right;
            LANES to[l] += where[l] == tap ? g[l] : 0.0f;
        }
}

static void largest(const float *x, const float *g, float *dx, const cpr_pool_part *part, int64_t lanes)
{
    if (lanes == CPR_POOL_LANES)
        block(CPR_POOL_LANES, x, g, dx, part);
    else
        block(lanes, x, g, dx, part);
}

const cpr_grad_pool_ops TABLE = {largest};

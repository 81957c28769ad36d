/* outer_loops.h - the diagonal of outer.h, sixteen channels at a time. */
#include <math.h>

#include "grad/outer.h"

#define LANES 16

static void diagonal(const cpr_outer *p)
{
    int64_t c = 0;
    for (; c + LANES <= p->columns; c += LANES) {
        float sum[LANES];
        for (int j = 0; j < LANES; j++)
            sum[j] = p->out[c + j];
        for (int64_t s = 0; s < p->stretches; s++) {
            const float *x = p->stretch[s].x + c, *g = p->stretch[s].g + c;
            for (int64_t n = 0; n < p->stretch[s].n; n++, x += p->x_step, g += p->g_step)
                _Pragma("GCC unroll 16") for (int j = 0; j < LANES; j++) sum[j] = fmaf(x[j], g[j], sum[j]);
        }
        for (int j = 0; j < LANES; j++)
            p->out[c + j] = sum[j];
    }
    for (; c < p->columns; c++) {
        float sum = p->out[c];
        for (int64_t s = 0; s < p->stretches; s++) {
            const float *x = p->stretch[s].x + c, *g = p->stretch[s].g + c;
            for (int64_t n = 0; n < p->stretch[s].n; n++, x += p->x_step, g += p->g_step)
                sum = fmaf(*x, *g, sum);
        }
        p->out[c] = sum;
    }
}

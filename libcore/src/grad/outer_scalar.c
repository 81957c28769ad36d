/* outer_scalar.c - the tile in plain C: the reference of the others. */
#include "grad/outer_loops.h"

static void tile(const cpr_outer *p)
{
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            float sum = p->out[i * p->ld + j];
            for (int64_t s = 0; s < p->stretches; s++) {
                const float *x = p->stretch[s].x + i, *g = p->stretch[s].g + j;
                for (int64_t n = 0; n < p->stretch[s].n; n++, x += p->x_step, g += p->g_step)
                    sum = fmaf(*x, *g, sum);
            }
            p->out[i * p->ld + j] = sum;
        }
}

const cpr_outer_ops cpr_outer_scalar = {tile, diagonal, 4};

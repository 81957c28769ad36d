/* resize_loops.h - the loop behind resize.h; the including file defines WEIGH. */
#include <math.h>

#include "resize/resize.h"

enum { BLOCK = 64 };

static inline void weigh_block(const char *x, int64_t tap_step, int64_t x_step, const float *weights, int64_t taps,
                               float *sum, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] = 0.0f;
    for (int64_t t = 0; t < taps; t++) {
        const float w = weights[t];
        if (w == 0.0f)
            continue;
        const char *from = x + t * tap_step;
        if (x_step == (int64_t)sizeof(float))
            for (int64_t i = 0; i < n; i++)
                sum[i] = fmaf(w, ((const float *)from)[i], sum[i]);
        else
            for (int64_t i = 0; i < n; i++)
                sum[i] = fmaf(w, *(const float *)(from + i * x_step), sum[i]);
    }
}

void WEIGH(const char *x, int64_t tap_step, int64_t x_step, const float *weights, int64_t taps, char *y, int64_t y_step,
           int64_t n)
{
    for (int64_t start = 0; start < n; start += BLOCK) {
        float sum[BLOCK];
        const int64_t part = n - start < BLOCK ? n - start : BLOCK;
        weigh_block(x + start * x_step, tap_step, x_step, weights, taps, sum, part);
        for (int64_t i = 0; i < part; i++)
            *(float *)(y + (start + i) * y_step) = sum[i];
    }
}

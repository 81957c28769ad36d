/* depthwise_s8_scalar.c - the reference of the depthwise int8 kernels. */
#include <math.h>

#include "conv/depthwise_s8.h"

void cpr_depthwise_s8_scalar(const cpr_depthwise_s8_layer *p, int64_t n, const uint8_t *const *rows, uint8_t *out,
                             int64_t ldc)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < p->channels; c++) {
            int32_t sum = p->start[c];
            for (int64_t t = 0; t < p->taps; t++)
                sum += rows[t * n + i][c] * p->w[(t / 2 * p->channels + c) * 2 + t % 2];
            float value = (float)sum * p->scale[c];
            value = p->low > value ? p->low : value;
            value = p->high < value ? p->high : value;
            out[i * ldc + c] = (uint8_t)((int32_t)rintf(value) + p->zero_point);
        }
}

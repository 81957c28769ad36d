/* depthwise_scalar.c - the reference of the depthwise kernels. */
#include <math.h>

#include "conv/depthwise_f32.h"

void cpr_depthwise_f32_scalar(int64_t n, int64_t channels, int64_t taps, const float *const *rows, const float *w,
                              const float *bias, float low, float high, float *out, int64_t ldc)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < channels; c++) {
            float sum = bias ? bias[c] : 0.0f;
            for (int64_t t = 0; t < taps; t++)
                sum = fmaf(rows[t * n + i][c], w[t * channels + c], sum);
            sum = low > sum ? low : sum; /* NaN passes */
            out[i * ldc + c] = high < sum ? high : sum;
        }
}

/* histogram_loops.h - the loops behind histogram.h; the including file defines TABLE. */
#include <math.h>

#include "quant/histogram.h"

/* In float32 scaling up by a power of two is exact, and so is the difference of whole numbers where
 * it lies in 0 .. bins - 1: |first| is at most 2^24. */
#define BIN_ROW(name, real, floor_of)                                                              \
    static void name(int64_t n, const float *x, double inverse, double first, int32_t bins, int32_t *bin) \
    {                                                                                              \
        const real factor = (real)inverse, start = (real)first, last = (real)(bins - 1);           \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                                       \
        {                                                                                          \
            real at = floor_of((real)x[i] * factor) - start;                                       \
            at = at > 0 ? at : 0; /* NaN: 0 */                                                     \
            at = at < last ? at : last;                                                            \
            int32_t b = (int32_t)at;                                                               \
            b = x[i] == 0.0f ? bins : b;                                                           \
            bin[i] = x[i] != x[i] ? bins + 1 : b;                                                  \
        }                                                                                          \
    }

BIN_ROW(bin_row, double, floor)
BIN_ROW(bin_row_fine, float, floorf)

enum { LANES = 64 }; /* independent of one another, so that no comparison waits for the last */

static void extremes_row(int64_t n, const float *x, float *low, float *high)
{
    float lows[LANES], highs[LANES];
    int32_t nan[LANES] = {0};
    for (int64_t l = 0; l < LANES; l++)
        lows[l] = highs[l] = x[0];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _Pragma("GCC ivdep") for (int64_t l = 0; l < LANES; l++)
        {
            const float v = x[i + l];
            lows[l] = v < lows[l] ? v : lows[l];
            highs[l] = v > highs[l] ? v : highs[l];
            nan[l] |= v != v;
        }
    for (int64_t l = 0; i + l < n; l++) {
        const float v = x[i + l];
        lows[l] = v < lows[l] ? v : lows[l];
        highs[l] = v > highs[l] ? v : highs[l];
        nan[l] |= v != v;
    }
    *low = lows[0];
    *high = highs[0];
    for (int64_t l = 0; l < LANES; l++) {
        *low = lows[l] < *low ? lows[l] : *low;
        *high = highs[l] > *high ? highs[l] : *high;
        nan[0] |= nan[l];
    }
    if (nan[0])
        *low = *high = NAN;
}

const cpr_histogram_ops TABLE = {.bin_fine = bin_row_fine, .bin = bin_row, .extremes = extremes_row};

/* depthwise_bf16_scalar.c - the reference of the depthwise kernels of bfloat16. */
#include <math.h>

#include "conv/depthwise_bf16.h"
#include "vector/brain.h"

#define LINES cpr_depthwise_bf16_scalar
enum { LANES = 1 };
typedef float vector;
typedef struct {
    uint16_t even, odd;
} pairs;

static uint16_t rounded(float x)
{
    return brain_of_float(fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x);
}

static pairs load(const char *from, int64_t left)
{
    const uint16_t *x = (const uint16_t *)from;
    return (pairs){x[0], left > 1 ? x[1] : 0};
}

static vector even(pairs both) { return float_of_brain(both.even); }
static vector odd(pairs both) { return float_of_brain(both.odd); }
static vector read(const float *from) { return *from; }
static vector all(float x) { return x; }
static vector fused(vector a, vector b, vector c) { return fmaf(a, b, c); }

static vector clipped(vector x, float low, float high)
{
    x = low > x ? low : x; /* NaN passes */
    return high < x ? high : x;
}

static void store(char *to, vector a, vector b, int64_t left)
{
    uint16_t *y = (uint16_t *)to;
    y[0] = rounded(a);
    if (left > 1)
        y[1] = rounded(b);
}

#include "conv/depthwise_bf16_loops.h"

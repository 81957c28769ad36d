/* channels.h - sums over pixels by channel, sixteen dense channels at a time.
 *
 * Pixel i of a line is added to partial i mod 4; a line is one row of an image, whatever the
 * strides.  So sums depend on the dims alone.
 */
#ifndef CPR_CHANNELS_H
#define CPR_CHANNELS_H

#include "base/base.h"

enum { CPR_CHANNELS = 16, CPR_STREAMS = 4 };

typedef float cpr_lanes[CPR_STREAMS][CPR_CHANNELS];

/* Lines have n pixels, steps in elements; lanes <= CPR_CHANNELS channels are looked at. */
typedef struct {
    /* sum += x */
    void (*sum)(const float *x, int64_t step, int64_t n, int64_t lanes, cpr_lanes sum);
    /* sum += (x - mean)^2 */
    void (*deviation)(const float *x, int64_t step, int64_t n, int64_t lanes, const float *mean, cpr_lanes sum);
    /* sum += g, along += g (x - mean) */
    void (*products)(const float *x, int64_t x_step, const float *g, int64_t g_step, int64_t n, int64_t lanes,
                     const float *mean, cpr_lanes sum, cpr_lanes along);
    /* out = g a + (x - mean) b + c */
    void (*apply)(const float *x, int64_t x_step, const float *g, int64_t g_step, float *out, int64_t out_step,
                  int64_t n, int64_t channels, const float *mean, const float *a, const float *b, const float *c);
    /* out = (x - mean) b + c, then + added if it is not NULL, then at least low */
    void (*affine)(const float *x, int64_t x_step, const float *added, int64_t added_step, float *out,
                   int64_t out_step, int64_t n, int64_t channels, const float *mean, const float *b, const float *c,
                   float low);
} cpr_channel_ops;

extern const cpr_channel_ops cpr_channels_scalar, cpr_channels_avx2, cpr_channels_avx512;

#endif

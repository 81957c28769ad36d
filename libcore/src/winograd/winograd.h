/* winograd.h - 3 x 3 convolution with fewer multiplications (Lavin and Gray 2016, arXiv 1509.09308).
 *
 * An output tile of m x m pixels of all output channels is
 *
 *     Y = A' [sum over c of (B' d_c B) * (G g_c G')] A + bias + residual, clipped,
 *
 * d the n x n pixels of the input under it, n = m + 2, and * elementwise: n n multiplications per
 * channel instead of 9 m m.  m = 2: 2.25 times fewer; m = 4: 4 times.  The sum over c is one product
 * per element of the tile, many tiles at a time.
 *
 * B', G and A' interpolate a polynomial at n - 1 points and infinity (Lavin and Gray take 0, 1, -1
 * and 0, 1, -1, 2, -2).  Here m = 4 has 0, +-5/8, +-3/2: the largest errors are a fourth, and all
 * entries are still exact.  With normal random operands of 64 channels, against float64 and relative
 * to the largest result: direct 6e-7, m = 2 3e-7, m = 4 1.1e-6 (with 0, +-1, +-2: 4.8e-6).
 *
 * Inputs that are not finite, or so large that their sums are not, make a whole tile NaN.
 */
#ifndef CPR_WINOGRAD_H
#define CPR_WINOGRAD_H

#include "program/kernel.h"

enum { CPR_STRIP = 16 /* channels that are transformed at a time */, CPR_LEAST_TILE = 2, CPR_MOST_TILE = 4 };

/* The points of m = 4, beside 0 and infinity, are +-NEAR and +-FAR. */
#define CPR_WINOGRAD_NEAR 0.625f
#define CPR_WINOGRAD_FAR 1.5f

/* Where a tile of sums goes. */
typedef struct {
    int64_t channels;
    const float *bias;            /* of whole strips; NULL: none */
    float *const *residual; /* [m * m] pixels; NULL: none */
    float *const *out;            /* [m * m] pixels */
    float low, high;
} cpr_winograd_result;

typedef struct {
    int64_t tile; /* m */
    /* out[p * plane + c * 16 + i] = (G g_c G')_p of taps[c * 9 + t][i], in float64, for c < count. */
    void (*kernel)(const float *taps, int64_t count, float *out, int64_t plane);
    /* v[p * plane + c] = (B' d_c B)_p of n * n pixels, for whole strips of c: zeros past the channels. */
    void (*input)(float *const *pixels, int64_t channels, float *v, int64_t plane);
    /* Y of the sums s[p * plane + c], which hold whole strips of channels. */
    void (*output)(const float *s, int64_t plane, const cpr_winograd_result *to);
} cpr_winograd_transform;

typedef struct {
    cpr_winograd_transform two, four;
} cpr_winograd_ops;

extern const cpr_winograd_ops cpr_winograd_scalar, cpr_winograd_avx2, cpr_winograd_avx512;

/* The transforms of a tile (2 or 4) for the instruction set in use. */
const cpr_winograd_transform *cpr_winograd_of(int64_t tile);

#endif

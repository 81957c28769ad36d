/* nearest.h - rounding to whole numbers, for loops_<isa> files. */
#ifndef CPR_NEAREST_H
#define CPR_NEAREST_H

#include <stdint.h>

/* v in [low, high], |low|, |high| < 2^22, to the nearest whole number, half to even: behind
 * 1.5 2^23 the last bits of a float count ones.  A NaN becomes low. */
static inline __attribute__((always_inline)) int32_t nearest(float v, float low, float high)
{
    v = v > low ? v : low;
    v = v < high ? v : high;
    v += 0x1.8p23f;
    int32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    return bits - 0x4b400000;
}

#endif

/* brain.h - bfloat16 to float32 and back. */
#ifndef CPR_BRAIN_H
#define CPR_BRAIN_H

#include "vector/math_loops.h"

CPR_FN float float_of_brain(uint16_t b) { return f32_bits((uint32_t)b << 16); }

/* Half to even; a NaN stays one. */
CPR_FN uint16_t brain_of_float(float x)
{
    const uint32_t u = bits_f32(x), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
}

/* The same of what was computed from bfloat16 alone: a NaN then is the processor's own or has
 * zeros in its lower half, so that nothing carries into its exponent. */
CPR_FN uint16_t brain_of_computed(float x)
{
    const uint32_t u = bits_f32(x);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

#endif

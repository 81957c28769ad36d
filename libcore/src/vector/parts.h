/* parts.h - sixteen floats as registers of the instruction set.
 *
 * gcc 12 keeps wider vectors than a register in memory, and compares them element by element.
 * Sums over a row are sixteen partials on every instruction set: PARTS registers of LANES each.
 */
#ifndef CPR_PARTS_H
#define CPR_PARTS_H

#include <stdint.h>

#if defined(__AVX512F__)
enum { LANES = 16, PARTS = 1 };
#elif defined(__AVX2__)
enum { LANES = 8, PARTS = 2 };
#else
enum { LANES = 4, PARTS = 4 };
#endif
typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t mf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Part k of the sixteen floats at an address. */
#define PART(address, k) (((vf *)(address))[k])
#define CONST_PART(address, k) (((const vf *)(address))[k])

#define EACH_PART(k) _Pragma("GCC unroll 8") for (int k = 0; k < PARTS; k++)

/* Where the mask is set x, elsewhere a. */
#define PICK(mask, x, a) ((vf)(((mf)(x) & (mf)(mask)) | ((mf)(a) & ~(mf)(mask))))

#endif

/* lut.h - a table of 256 bytes. */
#ifndef CPR_LUT_H
#define CPR_LUT_H

#include "program/kernel.h"

/* y[i] = table[x[i]] for dense x and y, which may be the same memory. */
typedef void cpr_lut(const uint8_t *table, int64_t n, const uint8_t *x, uint8_t *y);

cpr_lut cpr_lut_scalar, cpr_lut_avx2, cpr_lut_avx512vbmi; /* the last needs cpr_has_vbmi() */

/* The one for the instruction set in use. */
cpr_lut *cpr_lut_now(void);

/* Whether an operand is a table. */
bool cpr_is_table(const cpr_tensor *t);

#endif

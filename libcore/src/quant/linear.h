/* linear.h - between real numbers and codes:  q = clip(rint(x / scale) + zero_point). */
#ifndef CPR_LINEAR_H
#define CPR_LINEAR_H

#include "vector/walk.h"

typedef struct {
    /* operands x, scale, zero_point, out; by type: u8 s8 u16 s16 */
    cpr_core *quantize[4];
    /* operands acc, multiplier, zero_point, out; u8 s8 */
    cpr_core *requantize[2];
    /* operands q, scale, zero_point, out; u8 s8 u16 s16 s32 */
    cpr_core *dequantize[5];
} cpr_linear_ops;

extern const cpr_linear_ops cpr_linear_scalar, cpr_linear_avx2, cpr_linear_avx512;

/* Whether a dtype is one of codes of a byte: u8, s8. */
static inline bool cpr_is_code(int32_t dtype)
{
    return dtype == CPR_U8 || dtype == CPR_S8;
}

/* From float32 to codes of a byte, or back, on one grid. */
typedef struct {
    cpr_core *core;
    float scale;
    char zero_point; /* signed or not, as the codes are */
} cpr_conversion;

/* The codes are those of the dtype that is not f32. */
cpr_conversion cpr_conversion_of(int32_t from, int32_t to, double scale, int64_t zero_point);

/* n dense elements. */
static inline void cpr_convert(const cpr_conversion *c, int64_t n, const void *from, void *to)
{
    char *data[] = {(char *)(uintptr_t)from, (char *)(uintptr_t)&c->scale, (char *)(uintptr_t)&c->zero_point, to};
    c->core(NULL, n, data, 6);
}

#endif

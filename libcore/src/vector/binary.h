/* binary.h - functions of two elements. */
#ifndef CPR_BINARY_H
#define CPR_BINARY_H

#include "vector/walk.h"

/* In the order of the codes that libcore/README.md gives. */
enum {
    CPR_ADD, CPR_SUB, CPR_MUL, CPR_DIV, CPR_POW, CPR_MIN, CPR_MAX, CPR_MOD, CPR_FMOD, CPR_PRELU,
    CPR_EQUAL, CPR_LESS, CPR_LESS_OR_EQUAL, CPR_GREATER, CPR_GREATER_OR_EQUAL,
    CPR_AND, CPR_OR, CPR_XOR, CPR_SHIFT_LEFT, CPR_SHIFT_RIGHT, CPR_BINARY_COUNT
};

/* Loops per function: float32 takes a scalar on either side, the integers only dense rows. */
typedef struct {
    cpr_core *f32[CPR_BINARY_COUNT];
    cpr_core *s8[CPR_BINARY_COUNT], *u8[CPR_BINARY_COUNT], *s16[CPR_BINARY_COUNT], *u16[CPR_BINARY_COUNT];
    cpr_core *s32[CPR_BINARY_COUNT], *u32[CPR_BINARY_COUNT], *s64[CPR_BINARY_COUNT], *u64[CPR_BINARY_COUNT];
    cpr_core *where[4];    /* by the logarithm of the element's bytes */
    cpr_core *scale_shift; /* context: low, high */
} cpr_binary_ops;

extern const cpr_binary_ops cpr_binary_scalar, cpr_binary_avx2, cpr_binary_avx512;

/* The loops for a dtype by function, NULL if there are none. */
cpr_core *const *cpr_binary_loops(int32_t dtype);

#endif

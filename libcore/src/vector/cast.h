/* cast.h - converting between element types. */
#ifndef CPR_CAST_H
#define CPR_CAST_H

#include "vector/walk.h"

enum { CPR_CAST_TYPES = 13 };

/* The place of a dtype in the table, -1 if it cannot be converted. */
int32_t cpr_cast_index(int32_t dtype);

typedef struct {
    cpr_core *from_to[CPR_CAST_TYPES][CPR_CAST_TYPES];
} cpr_cast_ops;

extern const cpr_cast_ops cpr_cast_scalar, cpr_cast_avx2, cpr_cast_avx512;

#endif

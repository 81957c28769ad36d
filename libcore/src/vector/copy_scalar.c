/* copy_scalar.c - transposition, one element at a time in blocks of eight columns. */
#include "vector/copy.h"

#define TRANSPOSE(t)                                                                           \
    static void transpose_##t(const char *x, int64_t x_step, char *y, int64_t y_step, int64_t rows, \
                              int64_t columns)                                                 \
    {                                                                                          \
        for (int64_t c = 0; c < columns; c++) {                                                \
            t *to = (t *)(y + c * y_step);                                                     \
            for (int64_t r = 0; r < rows; r++)                                                 \
                to[r] = ((const t *)(x + r * x_step))[c];                                      \
        }                                                                                      \
    }

TRANSPOSE(uint8_t)
TRANSPOSE(uint16_t)
TRANSPOSE(uint32_t)
TRANSPOSE(uint64_t)

const cpr_copy_ops cpr_copy_scalar = {{transpose_uint8_t, transpose_uint16_t, transpose_uint32_t, transpose_uint64_t}};

/* binary_avx512.c - see binary_loops.h. */
#define TABLE cpr_binary_avx512
#include "vector/binary_loops.h"

/* half_avx512.c - see half_loops.h. */
#define TABLE cpr_half_avx512
#include "vector/half_loops.h"

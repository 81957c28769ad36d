/* half_avx2.c - see half_loops.h. */
#define TABLE cpr_half_avx2
#include "vector/half_loops.h"

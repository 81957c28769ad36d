/* cast_avx2.c - see cast_loops.h. */
#define TABLE cpr_cast_avx2
#include "vector/cast_loops.h"

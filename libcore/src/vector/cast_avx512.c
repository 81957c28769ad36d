/* cast_avx512.c - see cast_loops.h. */
#define TABLE cpr_cast_avx512
#include "vector/cast_loops.h"

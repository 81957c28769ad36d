/* unary_avx512.c - see unary_loops.h. */
#define TABLE cpr_unary_avx512
#include "vector/unary_loops.h"

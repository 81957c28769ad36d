/* unary_avx2.c - see unary_loops.h. */
#define TABLE cpr_unary_avx2
#include "vector/unary_loops.h"

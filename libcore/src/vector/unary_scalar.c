/* unary_scalar.c - see unary_loops.h. */
#define TABLE cpr_unary_scalar
#include "vector/unary_loops.h"

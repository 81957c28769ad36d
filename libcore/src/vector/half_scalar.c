/* half_scalar.c - see half_loops.h. */
#define TABLE cpr_half_scalar
#include "vector/half_loops.h"

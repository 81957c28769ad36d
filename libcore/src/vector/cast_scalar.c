/* cast_scalar.c - see cast_loops.h. */
#define TABLE cpr_cast_scalar
#include "vector/cast_loops.h"

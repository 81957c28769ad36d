/* reduce_scalar.c - see reduce_loops.h. */
#define TABLE cpr_reduce_scalar
#include "reduce/reduce_loops.h"

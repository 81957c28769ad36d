/* linear_scalar.c - see linear_loops.h. */
#define TABLE cpr_linear_scalar
#include "quant/linear_loops.h"

/* norm_scalar.c - see norm_loops.h. */
#define TABLE cpr_norm_scalar
#include "norm/norm_loops.h"

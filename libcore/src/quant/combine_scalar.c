/* combine_scalar.c - see combine_loops.h. */
#define TABLE cpr_combine_scalar
#include "quant/combine_loops.h"

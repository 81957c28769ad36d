/* linear_avx2.c - see linear_loops.h. */
#define TABLE cpr_linear_avx2
#include "quant/linear_loops.h"

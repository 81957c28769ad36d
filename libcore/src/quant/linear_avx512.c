/* linear_avx512.c - see linear_loops.h. */
#define TABLE cpr_linear_avx512
#include "quant/linear_loops.h"

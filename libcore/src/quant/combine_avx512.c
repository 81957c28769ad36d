/* combine_avx512.c - see combine_loops.h. */
#define TABLE cpr_combine_avx512
#include "quant/combine_loops.h"

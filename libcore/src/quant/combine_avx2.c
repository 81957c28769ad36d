/* combine_avx2.c - see combine_loops.h. */
#define TABLE cpr_combine_avx2
#include "quant/combine_loops.h"

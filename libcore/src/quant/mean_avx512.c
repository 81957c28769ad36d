/* mean_avx512.c - see mean_loops.h. */
#define TABLE cpr_mean_avx512
#include "quant/mean_loops.h"

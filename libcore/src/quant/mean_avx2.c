/* mean_avx2.c - see mean_loops.h. */
#define TABLE cpr_mean_avx2
#include "quant/mean_loops.h"

/* mean_scalar.c - see mean_loops.h. */
#define TABLE cpr_mean_scalar
#include "quant/mean_loops.h"

/* norm_avx512.c - see norm_loops.h. */
#define TABLE cpr_norm_avx512
#include "norm/norm_loops.h"

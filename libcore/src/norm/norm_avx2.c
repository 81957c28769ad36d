/* norm_avx2.c - see norm_loops.h. */
#define TABLE cpr_norm_avx2
#include "norm/norm_loops.h"

/* pool_avx512.c - see pool_loops.h. */
#define TABLE cpr_grad_pool_avx512
#include "grad/pool_loops.h"

/* pool_avx2.c - see pool_loops.h. */
#define TABLE cpr_grad_pool_avx2
#include "grad/pool_loops.h"

/* pool_avx512.c - see pool_loops.h. */
#define TABLE cpr_pool_avx512
#include "pool/pool_loops.h"

/* pool_avx2.c - see pool_loops.h. */
#define TABLE cpr_pool_avx2
#include "pool/pool_loops.h"

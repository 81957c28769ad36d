/* pool_scalar.c - see pool_loops.h. */
#define TABLE cpr_pool_scalar
#include "pool/pool_loops.h"

/* pool_scalar.c - see pool_loops.h. */
#define TABLE cpr_grad_pool_scalar
#include "grad/pool_loops.h"

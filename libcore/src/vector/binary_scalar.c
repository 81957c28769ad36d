/* binary_scalar.c - see binary_loops.h. */
#define TABLE cpr_binary_scalar
#include "vector/binary_loops.h"

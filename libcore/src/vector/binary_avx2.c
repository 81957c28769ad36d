/* binary_avx2.c - see binary_loops.h. */
#define TABLE cpr_binary_avx2
#include "vector/binary_loops.h"

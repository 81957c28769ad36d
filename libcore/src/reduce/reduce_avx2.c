/* reduce_avx2.c - see reduce_loops.h. */
#define TABLE cpr_reduce_avx2
#include "reduce/reduce_loops.h"

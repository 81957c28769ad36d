/* reduce_avx512.c - see reduce_loops.h. */
#define TABLE cpr_reduce_avx512
#include "reduce/reduce_loops.h"

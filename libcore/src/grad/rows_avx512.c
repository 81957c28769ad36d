/* rows_avx512.c - see rows_loops.h. */
#define TABLE cpr_grad_rows_avx512
#include "grad/rows_loops.h"

/* rows_avx2.c - see rows_loops.h. */
#define TABLE cpr_grad_rows_avx2
#include "grad/rows_loops.h"

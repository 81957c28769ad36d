/* rows_scalar.c - see rows_loops.h. */
#define TABLE cpr_grad_rows_scalar
#include "grad/rows_loops.h"

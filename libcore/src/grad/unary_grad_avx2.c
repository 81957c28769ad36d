/* unary_grad_avx2.c - see unary_loops.h. */
#define TABLE cpr_unary_grad_avx2
#include "grad/unary_loops.h"

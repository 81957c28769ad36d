/* unary_grad_avx512.c - see unary_loops.h. */
#define TABLE cpr_unary_grad_avx512
#include "grad/unary_loops.h"

/* unary_grad_scalar.c - see unary_loops.h. */
#define TABLE cpr_unary_grad_scalar
#include "grad/unary_loops.h"

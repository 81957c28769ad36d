/* fake_scalar.c - see fake_loops.h. */
#define TABLE cpr_fake_scalar
#include "quant/fake_loops.h"

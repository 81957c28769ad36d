/* step_scalar.c - see step_loops.h. */
#define TABLE cpr_step_scalar
#include "optim/step_loops.h"

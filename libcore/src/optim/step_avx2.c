/* step_avx2.c - see step_loops.h. */
#define TABLE cpr_step_avx2
#include "optim/step_loops.h"

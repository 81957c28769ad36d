/* step_avx512.c - see step_loops.h. */
#define TABLE cpr_step_avx512
#include "optim/step_loops.h"

/* fake_avx512.c - see fake_loops.h. */
#define TABLE cpr_fake_avx512
#include "quant/fake_loops.h"

/* fake_avx2.c - see fake_loops.h. */
#define TABLE cpr_fake_avx2
#include "quant/fake_loops.h"

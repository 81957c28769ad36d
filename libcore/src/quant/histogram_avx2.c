/* histogram_avx2.c - see histogram_loops.h. */
#define TABLE cpr_histogram_avx2
#include "quant/histogram_loops.h"

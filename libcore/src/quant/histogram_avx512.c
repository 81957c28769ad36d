/* histogram_avx512.c - see histogram_loops.h. */
#define TABLE cpr_histogram_avx512
#include "quant/histogram_loops.h"

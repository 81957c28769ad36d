/* histogram_scalar.c - see histogram_loops.h. */
#define TABLE cpr_histogram_scalar
#include "quant/histogram_loops.h"

/* resize_avx512.c - see resize_loops.h. */
#define WEIGH cpr_weigh_avx512
#include "resize/resize_loops.h"

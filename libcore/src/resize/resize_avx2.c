/* resize_avx2.c - see resize_loops.h. */
#define WEIGH cpr_weigh_avx2
#include "resize/resize_loops.h"

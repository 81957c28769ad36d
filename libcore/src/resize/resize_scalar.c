/* resize_scalar.c - see resize_loops.h. */
#define WEIGH cpr_weigh_scalar
#include "resize/resize_loops.h"

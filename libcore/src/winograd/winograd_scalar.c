/* winograd_scalar.c - see winograd_loops.h. */
#define TABLE cpr_winograd_scalar
#include "winograd/winograd_loops.h"

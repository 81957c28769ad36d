/* winograd_avx2.c - see winograd_loops.h. */
#define TABLE cpr_winograd_avx2
#include "winograd/winograd_loops.h"

/* winograd_avx512.c - see winograd_loops.h. */
#define TABLE cpr_winograd_avx512
#include "winograd/winograd_loops.h"

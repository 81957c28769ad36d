/* recurrent_avx512.c - see recurrent_loops.h. */
#define TABLE cpr_recurrent_avx512
#include "recurrent/recurrent_loops.h"

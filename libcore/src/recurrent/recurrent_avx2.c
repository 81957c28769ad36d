/* recurrent_avx2.c - see recurrent_loops.h. */
#define TABLE cpr_recurrent_avx2
#include "recurrent/recurrent_loops.h"

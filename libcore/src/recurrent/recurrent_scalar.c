/* recurrent_scalar.c - see recurrent_loops.h. */
#define TABLE cpr_recurrent_scalar
#include "recurrent/recurrent_loops.h"

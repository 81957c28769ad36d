/* channels_avx512.c - see channels_loops.h. */
#define TABLE cpr_channels_avx512
#include "grad/channels_loops.h"

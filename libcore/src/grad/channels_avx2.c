/* channels_avx2.c - see channels_loops.h. */
#define TABLE cpr_channels_avx2
#include "grad/channels_loops.h"

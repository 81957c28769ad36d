/* channels_scalar.c - see channels_loops.h. */
#define TABLE cpr_channels_scalar
#include "grad/channels_loops.h"

/* attention_scalar.c - see attention_loops.h. */
#define TABLE cpr_attention_scalar
#include "attention/attention_loops.h"

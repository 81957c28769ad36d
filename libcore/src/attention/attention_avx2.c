/* attention_avx2.c - see attention_loops.h. */
#define TABLE cpr_attention_avx2
#include "attention/attention_loops.h"

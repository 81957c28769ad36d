/* attention_avx512.c - see attention_loops.h. */
#define TABLE cpr_attention_avx512
#include "attention/attention_loops.h"

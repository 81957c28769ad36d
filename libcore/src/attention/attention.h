/* attention.h - what a row of scores becomes before its softmax. */
#ifndef CPR_ATTENTION_H
#define CPR_ATTENTION_H

#include "program/kernel.h"

/* What happens to the scores before the mask is added. */
enum { CPR_SCALE_NONE, CPR_SCALE_MULTIPLY, CPR_SCALE_DIVIDE, CPR_SCALES };

typedef struct {
    /* s = s (none, times or by) factor, then s + mask[i * mask_step] if there is a mask. */
    void (*scale_and_mask)(float *s, int64_t n, int64_t scale, float factor, const float *mask, int64_t mask_step);
} cpr_attention_ops;

extern const cpr_attention_ops cpr_attention_scalar, cpr_attention_avx2, cpr_attention_avx512;

#endif

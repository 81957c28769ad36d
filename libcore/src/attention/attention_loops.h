/* attention_loops.h - the loops behind attention.h; the including file defines TABLE. */
#include "attention/attention.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

static void scale_and_mask(float *s, int64_t n, int64_t scale, float factor, const float *mask, int64_t mask_step)
{
    if (scale == CPR_SCALE_MULTIPLY && mask && mask_step == 1) {
        LOOP s[i] = s[i] * factor + mask[i]; /* rounded twice: nothing is contracted here */
        return;
    }
    if (scale == CPR_SCALE_MULTIPLY)
        LOOP s[i] *= factor;
    else if (scale == CPR_SCALE_DIVIDE)
        LOOP s[i] /= factor;
    if (mask && mask_step == 1)
        LOOP s[i] += mask[i];
    else if (mask)
        LOOP s[i] += mask[i * mask_step];
}

const cpr_attention_ops TABLE = {scale_and_mask};

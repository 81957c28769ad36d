/* depthwise_line.h - one output line of a 3 x 3 depthwise window, for kernels made for it. */
#ifndef CPR_DEPTHWISE_LINE_H
#define CPR_DEPTHWISE_LINE_H

#include "product/window.h"

typedef struct {
    const char *line[3]; /* pixel 0 of the three input lines; NULL: padding */
    const char *padding; /* one pixel of it */
    int64_t width, step; /* input pixels; bytes from one to the next */
    int64_t first, stride; /* input column where output pixel 0 begins; 1 or 2 to the next */
    char *out;
    int64_t ldc, n;      /* bytes between output pixels; how many */
} cpr_depthwise_line;

/* Whether a window is 3 x 3 without gaps between its columns, and their stride 1 or 2. */
bool cpr_depthwise_is_3x3(const cpr_window *w);

/* Output line `index`, counted over n and oh. */
cpr_depthwise_line cpr_depthwise_line_at(const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out,
                                         const char *x, char *y, const char *padding, int64_t bytes, int64_t index);

#endif

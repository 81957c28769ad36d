/* depthwise_line.c - where the lines of a 3 x 3 window lie. */
#include "conv/depthwise_line.h"

bool cpr_depthwise_is_3x3(const cpr_window *w)
{
    return w->kernel_h == 3 && w->kernel_w == 3 && w->dilation_w == 1 && w->stride_w <= 2;
}

cpr_depthwise_line cpr_depthwise_line_at(const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out,
                                         const char *x, char *y, const char *padding, int64_t bytes, int64_t index)
{
    const int64_t image = index / out->dim[2], oh = index % out->dim[2];
    cpr_depthwise_line line = {
        .padding = padding,
        .width = in->dim[3],
        .step = in->stride[3] * bytes,
        .first = -w->pad_w,
        .stride = w->stride_w,
        .out = y + (image * out->stride[0] + oh * out->stride[2]) * cpr_dtype_bytes(out->dtype),
        .ldc = out->stride[3] * cpr_dtype_bytes(out->dtype),
        .n = out->dim[3],
    };
    for (int64_t k = 0; k < 3; k++) {
        const int64_t ih = oh * w->stride_h - w->pad_h + k * w->dilation_h;
        const bool inside = ih >= 0 && ih < in->dim[2];
        line.line[k] = inside ? x + (image * in->stride[0] + ih * in->stride[2]) * bytes : NULL;
    }
    return line;
}

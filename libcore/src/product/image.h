/* image.h - convolution as a product through window pointers; no im2col buffer. */
#ifndef CPR_IMAGE_H
#define CPR_IMAGE_H

#include "product/product.h"
#include "product/window.h"

/* Operands of a convolution kernel: in [N, C, H, W], packed weights [groups, panels, ...],
 * start [groups, panels * 16] or NULL, residual or NULL, out [N, OC, OH, OW]. */
typedef struct {
    const cpr_tensor *in, *start, *residual, *out;
    const void *in_data, *weights, *start_data, *residual_data;
    void *out_data;
    const float *scale; /* [groups, panels * 16] or NULL */
    int64_t groups, panels;
    cpr_window window;
    unsigned char padding; /* the byte that padding reads */
    bool finite;           /* all weights, and start is nowhere -0: padding of zeros adds nothing */
} cpr_image_product;

/* Whether channels have stride 1. */
bool cpr_channels_last(const cpr_tensor *t, int32_t dtype);

/* Check window, groups, dims and the packed weights [groups, panels, k, 16]-like (k counted in
 * elements with each tap padded to k_unit); gives the scratch bytes that the product needs. */
cpr_status cpr_image_check(const char *name, const cpr_window *window, int64_t groups, const cpr_tensor *in,
                           const cpr_tensor *residual, const cpr_tensor *out, int64_t a_bytes,
                           int64_t k_unit, int64_t *scratch_bytes);

void cpr_image_run(const cpr_op *op, const cpr_product_kind *kind, const cpr_block *block,
                   const cpr_image_product *product);

#endif

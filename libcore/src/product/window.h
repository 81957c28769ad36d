/* window.h - a 2-D convolution window over a channels-last image, reached by pointers.
 *
 * Logical dims are N, C, H, W; the channel stride is 1, the others are free.  For output
 * pixel (n, oh, ow) and kernel position (kh, kw) the tap reads
 *
 *     x[n, :, oh * stride_h - pad_h + kh * dilation_h, ow * stride_w - pad_w + kw * dilation_w]
 *
 * or zeros outside the image.  No im2col buffer: only the pointers are written down.
 */
#ifndef CPR_WINDOW_H
#define CPR_WINDOW_H

#include "program/kernel.h"

typedef struct {
    int64_t kernel_h, kernel_w;
    int64_t stride_h, stride_w;
    int64_t pad_h, pad_w; /* at the start; what is read past the end follows from the dims */
    int64_t dilation_h, dilation_w;
} cpr_window;

enum { CPR_WINDOW_ARGS = 8 };

/* Read the eight args from `first` on. */
cpr_window cpr_window_read(const cpr_op *op, int32_t first);

/* Check the args: positive, and small enough that no position overflows. */
cpr_status cpr_window_check(const char *name, const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out);

/* Write the pointers of output pixels [pixel, pixel + n) (counted over n, oh, ow) for every
 * tap: rows[tap * n + i].  bytes is the element size, zeros what padding reads. */
void cpr_window_rows(const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out, const char *x, const char *zeros,
                     int64_t bytes, int64_t pixel, int64_t n, const char **rows);

/* The same with one tap per kernel row, a run of kernel_w * C elements: needs dilation_w 1 and
 * pixels that lie C elements apart.  Runs that reach past a side of the image are put together in
 * `spare`, each in cpr_window_run_bytes; returns what is left of it.  zeros is one run long. */
char *cpr_window_runs(const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out, const char *x,
                      const char *zeros, int64_t bytes, int64_t pixel, int64_t n, const char **rows, char *spare);

int64_t cpr_window_run_bytes(const cpr_window *w, const cpr_tensor *in, int64_t bytes);

#endif

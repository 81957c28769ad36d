/* window.c - the pointers of a convolution window. */
#include "product/window.h"

#include <string.h>

cpr_window cpr_window_read(const cpr_op *op, int32_t first)
{
    const int64_t *a = op->args + first;
    return (cpr_window){a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]};
}

cpr_status cpr_window_check(const char *name, const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out)
{
    const int64_t limit = (int64_t)1 << 31;
    CPR_REQUIRE(name, in->rank == 4 && out->rank == 4);
    CPR_REQUIRE(name, w->kernel_h > 0 && w->kernel_w > 0 && w->kernel_h < limit && w->kernel_w < limit);
    CPR_REQUIRE(name, w->kernel_h * w->kernel_w < limit);
    CPR_REQUIRE(name, w->stride_h > 0 && w->stride_w > 0 && w->stride_h < limit && w->stride_w < limit);
    CPR_REQUIRE(name, w->dilation_h > 0 && w->dilation_w > 0 && w->dilation_h < limit && w->dilation_w < limit);
    CPR_REQUIRE(name, w->pad_h > -limit && w->pad_w > -limit && w->pad_h < limit && w->pad_w < limit);
    for (int i = 0; i < 4; i++)
        CPR_REQUIRE(name, in->dim[i] < limit && out->dim[i] < limit);
    CPR_REQUIRE(name, in->dim[0] == out->dim[0]);
    return CPR_OK;
}

/* Pointers of n pixels of one output line whose windows lie inside the image: no tests. */
static void inside_rows(const cpr_window *w, const char *first, int64_t step_h, int64_t step_w, int64_t n, const char **rows)
{
    const int64_t step = w->stride_w * step_w;
    for (int64_t kh = 0; kh < w->kernel_h; kh++)
        for (int64_t kw = 0; kw < w->kernel_w; kw++, rows += n) {
            const char *from = first + kh * w->dilation_h * step_h + kw * w->dilation_w * step_w;
            for (int64_t i = 0; i < n; i++)
                rows[i] = from + i * step;
        }
}

void cpr_window_rows(const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out, const char *x, const char *zeros,
                     int64_t bytes, int64_t pixel, int64_t n, const char **rows)
{
    const int64_t height = in->dim[2], width = in->dim[3], out_h = out->dim[2], out_w = out->dim[3];
    const int64_t step_h = in->stride[2] * bytes, step_w = in->stride[3] * bytes;
    int64_t ow = pixel % out_w, oh = pixel / out_w % out_h;
    const char *image = x + pixel / out_w / out_h * in->stride[0] * bytes;
    const int64_t top0 = oh * w->stride_h - w->pad_h, left0 = ow * w->stride_w - w->pad_w;
    if (ow + n <= out_w && top0 >= 0 && left0 >= 0 && top0 + (w->kernel_h - 1) * w->dilation_h < height &&
        left0 + (n - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w < width) {
        inside_rows(w, image + top0 * step_h + left0 * step_w, step_h, step_w, n, rows);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t top = oh * w->stride_h - w->pad_h, left = ow * w->stride_w - w->pad_w;
        const char **row = rows + i;
        for (int64_t kh = 0; kh < w->kernel_h; kh++) {
            const int64_t ih = top + kh * w->dilation_h;
            const bool inside = ih >= 0 && ih < height;
            const char *line = image + ih * step_h;
            for (int64_t kw = 0; kw < w->kernel_w; kw++, row += n) {
                const int64_t iw = left + kw * w->dilation_w;
                *row = inside && iw >= 0 && iw < width ? line + iw * step_w : zeros;
            }
        }
        if (++ow == out_w) {
            ow = 0;
            if (++oh == out_h) {
                oh = 0;
                image += in->stride[0] * bytes;
            }
        }
    }
}

int64_t cpr_window_run_bytes(const cpr_window *w, const cpr_tensor *in, int64_t bytes)
{
    return (w->kernel_w * in->dim[1] * bytes + 63) / 64 * 64;
}

/* One pixel whose run reaches past a side of the image: put together in `spare`. */
static char *border_runs(const cpr_window *w, const char *image, const char *zeros, int64_t height, int64_t width,
                         int64_t step_h, int64_t step, int64_t top, int64_t left, int64_t n, const char **rows,
                         char *spare)
{
    const int64_t run = w->kernel_w * step, first = left < 0 ? -left : 0;
    const int64_t last = width - left < w->kernel_w ? width - left : w->kernel_w;
    for (int64_t kh = 0; kh < w->kernel_h; kh++) {
        const int64_t ih = top + kh * w->dilation_h;
        if (ih < 0 || ih >= height || first >= last) {
            rows[kh * n] = zeros;
            continue;
        }
        memcpy(spare, zeros, (size_t)(first * step));
        memcpy(spare + first * step, image + ih * step_h + (left + first) * step, (size_t)((last - first) * step));
        memcpy(spare + last * step, zeros, (size_t)(run - last * step));
        rows[kh * n] = spare;
        spare += (run + 63) / 64 * 64;
    }
    return spare;
}

char *cpr_window_runs(const cpr_window *w, const cpr_tensor *in, const cpr_tensor *out, const char *x,
                      const char *zeros, int64_t bytes, int64_t pixel, int64_t n, const char **rows, char *spare)
{
    const int64_t height = in->dim[2], width = in->dim[3], out_h = out->dim[2], out_w = out->dim[3];
    const int64_t step_h = in->stride[2] * bytes, step = in->dim[1] * bytes;
    int64_t ow = pixel % out_w, oh = pixel / out_w % out_h;
    const char *image = x + pixel / out_w / out_h * in->stride[0] * bytes;
    for (int64_t i = 0; i < n;) {
        const int64_t top = oh * w->stride_h - w->pad_h, left = ow * w->stride_w - w->pad_w;
        /* How many pixels from here on lie on this line and have their whole run inside. */
        int64_t inside = left < 0 || left + w->kernel_w > width ? 0 : (width - w->kernel_w - left) / w->stride_w + 1;
        inside = inside < out_w - ow ? inside : out_w - ow;
        inside = inside < n - i ? inside : n - i;
        for (int64_t kh = 0; kh < w->kernel_h && inside; kh++) {
            const int64_t ih = top + kh * w->dilation_h;
            const bool on = ih >= 0 && ih < height;
            const char *from = on ? image + ih * step_h + left * step : zeros;
            const int64_t next = on ? w->stride_w * step : 0;
            for (int64_t k = 0; k < inside; k++)
                rows[kh * n + i + k] = from + k * next;
        }
        if (!inside) {
            spare = border_runs(w, image, zeros, height, width, step_h, step, top, left, n, rows + i, spare);
            inside = 1;
        }
        i += inside;
        ow += inside;
        if (ow == out_w) {
            ow = 0;
            if (++oh == out_h) {
                oh = 0;
                image += in->stride[0] * bytes;
            }
        }
    }
    return spare;
}

/* conv_weight.c - conv_weight_grad: what a convolution's result changes by its weights.
 *
 * operands  x [N, C, H, W] channel stride 1 | g [N, OC, OH, OW] channel stride 1 |
 *           out [chunks, taps, C / groups, OC] contiguous: partial sums over chunks of images,
 *           which the caller adds in a fixed order
 * args      the eight of window.h, groups, images per chunk
 */
#include <string.h>

#include "grad/outer.h"
#include "product/window.h"
#include "vector/walk.h"

enum { X, G, OUT };
enum { GROUPS = CPR_WINDOW_ARGS, IMAGES, N_ARGS };
enum { LINES = 8, MAX_TAPS = 1 << 16 };

static bool channels_last(const cpr_tensor *t)
{
    return t && t->dtype == CPR_F32 && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "conv_weight_grad";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == N_ARGS);
    const cpr_tensor *x = op->tensor[X], *g = op->tensor[G], *out = op->tensor[OUT];
    CPR_REQUIRE(name, channels_last(x) && channels_last(g) && x->dim[0] == g->dim[0]);
    const cpr_window w = cpr_window_read(op, 0);
    const cpr_status status = cpr_window_check(name, &w, x, g);
    if (status)
        return status;
    const int64_t groups = op->args[GROUPS], images = op->args[IMAGES];
    CPR_REQUIRE(name, w.kernel_h * w.kernel_w <= MAX_TAPS && images >= 1);
    CPR_REQUIRE(name, groups >= 1 && x->dim[1] % groups == 0 && g->dim[1] % groups == 0);
    CPR_REQUIRE(name, out && out->dtype == CPR_F32 && out->rank == 4 && cpr_is_contiguous(out));
    CPR_REQUIRE(name, out->dim[0] == x->dim[0] / images + (x->dim[0] % images != 0));
    CPR_REQUIRE(name, out->dim[1] == w.kernel_h * w.kernel_w && out->dim[2] == x->dim[1] / groups);
    CPR_REQUIRE(name, out->dim[3] == g->dim[1]);
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_outer_ops *ops;
    cpr_window w;
    int64_t groups, images, blocks; /* blocks of columns */
    int64_t depth, columns;         /* channels of x and of g in a group */
} job;

/* The range of output columns whose tap lies inside the image. */
static void inside(const cpr_window *w, int64_t kw, int64_t width, int64_t out_width, int64_t *first, int64_t *last)
{
    const int64_t shift = kw * w->dilation_w - w->pad_w; /* input column of output column 0 */
    const int64_t low = shift < 0 ? (-shift + w->stride_w - 1) / w->stride_w : 0;
    const int64_t high = width - 1 - shift < 0 ? 0 : (width - 1 - shift) / w->stride_w + 1;
    *first = low;
    *last = high < out_width ? high : out_width;
}

/* Write down where tap (kh, kw) meets output lines [line, last) counted over n and oh. */
static int64_t stretches_of(const job *j, int64_t kh, int64_t kw, int64_t line, int64_t last, cpr_stretch *found)
{
    const cpr_tensor *x = j->op->tensor[X], *g = j->op->tensor[G];
    const cpr_window *w = &j->w;
    int64_t first, end, n = 0;
    inside(w, kw, x->dim[3], g->dim[3], &first, &end);
    if (first >= end)
        return 0;
    for (; line < last; line++) {
        const int64_t image = line / g->dim[2], oh = line % g->dim[2];
        const int64_t ih = oh * w->stride_h - w->pad_h + kh * w->dilation_h;
        if (ih < 0 || ih >= x->dim[2])
            continue;
        const int64_t iw = first * w->stride_w - w->pad_w + kw * w->dilation_w;
        found[n].x = (const float *)j->op->data[X] + image * x->stride[0] + ih * x->stride[2] + iw * x->stride[3];
        found[n].g = (const float *)j->op->data[G] + image * g->stride[0] + oh * g->stride[2] + first * g->stride[3];
        found[n++].n = end - first;
    }
    return n;
}

static void tap(const job *j, cpr_stretch *stretch, int64_t n, int64_t group, int64_t block, float *out)
{
    const cpr_tensor *x = j->op->tensor[X], *g = j->op->tensor[G];
    cpr_outer p = {.stretch = stretch, .stretches = n, .x_step = j->w.stride_w * x->stride[3], .g_step = g->stride[3],
                   .ld = g->dim[1]};
    if (j->depth == 1 && j->columns == 1) { /* one channel per group: all groups at once */
        p.columns = g->dim[1];
        p.out = out;
        j->ops->diagonal(&p);
        return;
    }
    const int64_t column = block * CPR_OUTER_COLUMNS, left = j->columns - column;
    p.columns = left < CPR_OUTER_COLUMNS ? left : CPR_OUTER_COLUMNS;
    for (int64_t s = 0; s < n; s++) {
        stretch[s].x += group * j->depth;
        stretch[s].g += group * j->columns + column;
    }
    for (int64_t i = 0; i < j->depth; i += j->ops->rows) {
        p.rows = j->depth - i < j->ops->rows ? j->depth - i : j->ops->rows;
        p.out = out + i * p.ld + group * j->columns + column;
        j->ops->tile(&p);
        for (int64_t s = 0; s < n; s++)
            stretch[s].x += p.rows;
    }
}

/* A unit: a chunk of images, a group, a block of columns. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *g = j->op->tensor[G], *out = j->op->tensor[OUT];
    const int64_t taps = out->dim[1], size = out->dim[2] * out->dim[3];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t block = unit % j->blocks, group = unit / j->blocks % j->groups;
        const int64_t chunk = unit / j->blocks / j->groups;
        const int64_t image = chunk * j->images, images = image + j->images < g->dim[0] ? image + j->images : g->dim[0];
        float *to = (float *)j->op->data[OUT] + chunk * taps * size;
        for (int64_t line = image * g->dim[2]; line < images * g->dim[2]; line += LINES) {
            const int64_t last = line + LINES < images * g->dim[2] ? line + LINES : images * g->dim[2];
            for (int64_t t = 0; t < taps; t++) {
                cpr_stretch stretch[LINES];
                const int64_t n = stretches_of(j, t / j->w.kernel_w, t % j->w.kernel_w, line, last, stretch);
                if (n)
                    tap(j, stretch, n, group, block, to + t * size);
            }
        }
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *x = op->tensor[X], *g = op->tensor[G], *out = op->tensor[OUT];
    memset(op->data[OUT], 0, (size_t)cpr_elements(out) * sizeof(float));
    if (cpr_elements(g) == 0 || cpr_elements(x) == 0)
        return CPR_OK;
    job j = {.op = op, .ops = CPR_PICK(cpr_outer), .w = cpr_window_read(op, 0), .groups = op->args[GROUPS],
             .images = op->args[IMAGES]};
    j.depth = x->dim[1] / j.groups;
    j.columns = g->dim[1] / j.groups;
    j.blocks = (j.columns + CPR_OUTER_COLUMNS - 1) / CPR_OUTER_COLUMNS;
    if (j.depth == 1 && j.columns == 1)
        j.groups = 1;
    cpr_parallel(op->pool, out->dim[0] * j.groups * j.blocks, 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_conv_weight_grad = {"conv_weight_grad", check, run};

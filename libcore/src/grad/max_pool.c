/* max_pool.c - max_pool_grad: the gradient of a maximum goes to the first of the largest.
 *
 * operands  x [N, C, H, W] | g [N, C, OH, OW] | dx as x; channels have stride 1
 * args      the eight of window.h
 */
#include "grad/pool.h"
#include "product/window.h"
#include "vector/walk.h"

enum { X, G, DX };

static bool channels_last(const cpr_tensor *t)
{
    return t && t->dtype == CPR_F32 && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "max_pool_grad";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == CPR_WINDOW_ARGS);
    const cpr_tensor *x = op->tensor[X], *g = op->tensor[G], *dx = op->tensor[DX];
    CPR_REQUIRE(name, channels_last(x) && channels_last(g) && channels_last(dx) && cpr_is_output(dx));
    CPR_REQUIRE(name, cpr_same_dims(x, dx) && x->dim[1] == g->dim[1]);
    const cpr_window w = cpr_window_read(op, 0);
    return cpr_window_check(name, &w, x, g);
}

typedef struct {
    const cpr_op *op;
    const cpr_grad_pool_ops *ops;
    cpr_window w;
    int64_t blocks; /* of channels */
} job;

/* The taps of a window from `origin` on that lie inside: the first one's position, and how many. */
static int64_t taps_inside(int64_t origin, int64_t kernel, int64_t dilation, int64_t size, int64_t *first)
{
    const int64_t skip = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
    const int64_t reach = size > origin ? (size - origin + dilation - 1) / dilation : 0;
    const int64_t end = reach < kernel ? reach : kernel;
    *first = origin + skip * dilation;
    return end > skip ? end - skip : 0;
}

static float *at(const cpr_op *op, int32_t i, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const cpr_tensor *t = op->tensor[i];
    return (float *)op->data[i] + n * t->stride[0] + c + h * t->stride[2] + w * t->stride[3];
}

static void window_of(const job *j, int64_t n, int64_t c, int64_t oh, int64_t ow, int64_t lanes)
{
    const cpr_tensor *x = j->op->tensor[X], *dx = j->op->tensor[DX];
    const cpr_window *w = &j->w;
    int64_t top, left;
    cpr_pool_part part;
    part.rows = taps_inside(oh * w->stride_h - w->pad_h, w->kernel_h, w->dilation_h, x->dim[2], &top);
    part.columns = taps_inside(ow * w->stride_w - w->pad_w, w->kernel_w, w->dilation_w, x->dim[3], &left);
    if (part.rows == 0 || part.columns == 0)
        return;
    /* A single tap's dilation may be anything: its product could overflow. */
    const int64_t down = part.rows > 1 ? w->dilation_h : 0, right = part.columns > 1 ? w->dilation_w : 0;
    part.x_down = down * x->stride[2];
    part.x_right = right * x->stride[3];
    part.dx_down = down * dx->stride[2];
    part.dx_right = right * dx->stride[3];
    j->ops->largest(at(j->op, X, n, c, top, left), at(j->op, G, n, c, oh, ow), at(j->op, DX, n, c, top, left), &part,
                    lanes);
}

/* A unit: an image, a block of channels. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const job *j = context;
    const cpr_tensor *x = j->op->tensor[X], *g = j->op->tensor[G];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t n = unit / j->blocks, c = unit % j->blocks * CPR_POOL_LANES, left = x->dim[1] - c;
        const int64_t lanes = left < CPR_POOL_LANES ? left : CPR_POOL_LANES;
        for (int64_t h = 0; h < x->dim[2]; h++)
            for (int64_t w = 0; w < x->dim[3]; w++)
                for (int64_t l = 0; l < lanes; l++)
                    at(j->op, DX, n, c, h, w)[l] = 0.0f;
        for (int64_t oh = 0; oh < g->dim[2]; oh++)
            for (int64_t ow = 0; ow < g->dim[3]; ow++)
                window_of(j, n, c, oh, ow, lanes);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *x = op->tensor[X];
    job j = {.op = op, .ops = CPR_PICK(cpr_grad_pool), .w = cpr_window_read(op, 0),
             .blocks = (x->dim[1] + CPR_POOL_LANES - 1) / CPR_POOL_LANES};
    cpr_parallel(op->pool, x->dim[0] * j.blocks, 1, work, &j);
    return CPR_OK;
}

const cpr_kernel cpr_k_max_pool_grad = {"max_pool_grad", check, run};

/* image.c - convolution as a product through window pointers. */
#include "product/image.h"

#include <string.h>

enum { MAX_TAPS = 1 << 16, POINTERS = 4096 };

bool cpr_channels_last(const cpr_tensor *t, int32_t dtype)
{
    return t->dtype == dtype && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

/* Pixels of one chunk: whole blocks, few enough that their pointers stay in L1. */
static int64_t chunk_pixels(int64_t taps)
{
    const int64_t blocks = POINTERS / (taps * CPR_MAX_ROWS);
    return (blocks < 1 ? 1 : blocks > 8 ? 8 : blocks) * CPR_MAX_ROWS;
}

static int64_t pointer_bytes(int64_t taps)
{
    return taps * chunk_pixels(taps) * (int64_t)sizeof(void *);
}

cpr_status cpr_image_check(const char *name, const cpr_window *w, int64_t groups, const cpr_tensor *in,
                           const cpr_tensor *residual, const cpr_tensor *out, int64_t a_bytes,
                           int64_t *scratch_bytes)
{
    const cpr_status status = cpr_window_check(name, w, in, out);
    if (status)
        return status;
    const int64_t taps = w->kernel_h * w->kernel_w;
    CPR_REQUIRE(name, taps <= MAX_TAPS);
    CPR_REQUIRE(name, groups > 0 && in->dim[1] % groups == 0 && out->dim[1] % groups == 0);
    CPR_REQUIRE(name, !residual || cpr_same_dims(residual, out));
    *scratch_bytes = pointer_bytes(taps) + (in->dim[1] + 64) * a_bytes;
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_product_kind *kind;
    const cpr_block *block;
    const cpr_image_product *p;
    cpr_window window;
    int64_t taps, kc;         /* kc: elements per tap and group */
    int64_t n_pixels, pixels; /* in all; per unit of work */
    int64_t columns, column_units;
    int64_t zeros_at;         /* where padding lies in a worker's scratch */
    bool even;                /* all output pixels are evenly spaced */
} job;

/* Element offset of output pixel p of a tensor with N, C, H, W logical dims. */
static int64_t pixel_offset(const cpr_tensor *t, int64_t p)
{
    const int64_t width = t->dim[3], height = t->dim[2];
    return p / width / height * t->stride[0] + p / width % height * t->stride[2] + p % width * t->stride[3];
}

/* Whether all pixels of a tensor are evenly spaced in (n, h, w) order. */
static bool evenly_spaced(const cpr_tensor *t)
{
    return (t->dim[2] == 1 || t->stride[2] == t->stride[3] * t->dim[3]) &&
           (t->dim[0] == 1 || t->stride[0] == t->stride[3] * t->dim[3] * t->dim[2]);
}

static void do_pixels(const job *j, int64_t pixel, int64_t n, int64_t column, int64_t columns, char *scratch)
{
    const cpr_image_product *p = j->p;
    const cpr_tensor *out = p->out;
    const int64_t oc = out->dim[1] / p->groups, panel = cpr_panel_bytes(j->kind, j->taps, j->kc);
    const int64_t block_rows = cpr_block_rows(j->kind->tiles, n, (columns + CPR_PANEL - 1) / CPR_PANEL);
    const char **rows = (const char **)scratch;
    for (int64_t g = 0; g < p->groups; g++) {
        const char *x = (const char *)p->in_data + g * (p->in->dim[1] / p->groups) * j->kind->a_bytes;
        for (int64_t i = 0; i < n; i += block_rows) {
            const int64_t m = n - i < block_rows ? n - i : block_rows;
            cpr_window_rows(&j->window, p->in, out, x, scratch + j->zeros_at, j->kind->a_bytes, pixel + i, m,
                            rows + i * j->taps);
        }
        const int64_t c0 = g * oc + column, s0 = g * p->panels * CPR_PANEL + column;
        cpr_block part = *j->block;
        part.taps = j->taps;
        part.kc = j->kc;
        part.rows = (const void *const *)rows;
        part.b = (const char *)p->weights + (g * p->panels + column / CPR_PANEL) * panel;
        part.start = p->start ? (const char *)p->start_data + s0 * 4 : NULL;
        part.scale = p->scale ? p->scale + s0 : NULL;
        if (p->residual) {
            part.residual = (const char *)p->residual_data + (pixel_offset(p->residual, pixel) + c0) * j->kind->c_bytes;
            part.ldr = p->residual->stride[3];
        }
        part.c = (char *)p->out_data + (pixel_offset(out, pixel) + c0) * j->kind->c_bytes;
        part.ldc = out->stride[3];
        cpr_product(j->kind, &part, n, block_rows, columns);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    char *scratch = j->op->scratch + worker * j->op->scratch_stride;
    memset(scratch + j->zeros_at, j->p->padding, (size_t)((j->p->in->dim[1] + 64) * j->kind->a_bytes));
    const int64_t line = j->p->out->dim[3], oc = j->p->out->dim[1] / j->p->groups;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t column = unit % j->column_units * j->columns;
        const int64_t columns = oc - column < j->columns ? oc - column : j->columns;
        const int64_t first = unit / j->column_units * j->pixels;
        const int64_t last = first + j->pixels < j->n_pixels ? first + j->pixels : j->n_pixels;
        for (int64_t p = first; p < last;) {
            int64_t n = last - p;
            if (!j->even && n > line - p % line)
                n = line - p % line;
            do_pixels(j, p, n, column, columns, scratch);
            p += n;
        }
    }
}

/* Choose pixels and columns per unit so that every thread has work. */
static void cut(job *j, int64_t threads)
{
    const int64_t oc = j->p->out->dim[1] / j->p->groups;
    j->columns = oc;
    j->column_units = 1;
    if (threads == 1 || (j->n_pixels + j->pixels - 1) / j->pixels >= 4 * threads)
        return;
    const int64_t per_thread = (j->n_pixels + threads - 1) / threads;
    if (per_thread >= 2 * CPR_MAX_ROWS || oc < 64 * threads) {
        const int64_t parts = (per_thread + j->pixels - 1) / j->pixels;
        j->pixels = (per_thread + parts - 1) / parts;
    } else {
        j->columns = ((oc + threads - 1) / threads + 63) / 64 * 64;
        j->column_units = (oc + j->columns - 1) / j->columns;
    }
}

void cpr_image_run(const cpr_op *op, const cpr_product_kind *kind, const cpr_block *block, const cpr_image_product *p)
{
    const cpr_tensor *in = p->in, *out = p->out;
    job j = {.op = op, .kind = kind, .block = block, .p = p, .window = p->window};
    j.n_pixels = out->dim[0] * out->dim[2] * out->dim[3];
    if (j.n_pixels == 0 || out->dim[1] == 0)
        return;
    j.kc = in->dim[1] / p->groups;
    j.taps = j.window.kernel_h * j.window.kernel_w;
    j.pixels = chunk_pixels(j.taps);
    j.zeros_at = pointer_bytes(j.taps);
    /* A kernel row inside one unpadded image row is a single run of kernel_w * C elements. */
    if (p->groups == 1 && j.window.kernel_w > 1 && j.window.dilation_w == 1 && j.window.pad_w == 0 &&
        in->stride[3] == in->dim[1] && j.kc % kind->k_unit == 0 &&
        (out->dim[3] - 1) * j.window.stride_w + j.window.kernel_w <= in->dim[3]) {
        j.kc *= j.window.kernel_w;
        j.taps = j.window.kernel_h;
        j.window.kernel_w = 1;
    }
    j.even = evenly_spaced(out) && (!p->residual || evenly_spaced(p->residual));
    cut(&j, cpr_pool_threads(op->pool));
    cpr_parallel(op->pool, (j.n_pixels + j.pixels - 1) / j.pixels * j.column_units, 1, work, &j);
}

/* image.c - convolution as a product through window pointers. */
#include "product/image.h"

#include <string.h>

enum { MAX_TAPS = 1 << 16, POINTERS = 4096, MAX_BLOCKS = 8, MOST_SPARE = 1 << 18 };

bool cpr_channels_last(const cpr_tensor *t, int32_t dtype)
{
    return t->dtype == dtype && t->rank == 4 && (t->stride[1] == 1 || t->dim[1] <= 1);
}

/* How a convolution is cut into taps, and what a worker needs for it. */
typedef struct {
    bool runs;                /* a kernel row is one tap */
    int64_t taps, kc;
    int64_t pixels;           /* of one chunk */
    int64_t zeros_at, zeros;  /* where in the scratch memory padding lies; bytes */
    int64_t spare_at;         /* where runs over the side of the image are put together */
    int64_t stage_at;         /* where rows that collide are copied to */
    int64_t bytes;
} layout;

static int64_t round_up(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Whole blocks of pixels, few enough that their pointers stay in L1. */
static int64_t chunk_pixels(int64_t taps)
{
    const int64_t blocks = POINTERS / (taps * CPR_MAX_ROWS);
    return (blocks < 1 ? 1 : blocks > MAX_BLOCKS ? MAX_BLOCKS : blocks) * CPR_MAX_ROWS;
}

/* A kernel row that lies in one image row is a single run of kernel_w * C elements: fewer
 * pointers to load, and longer inner loops. */
static layout plan(const cpr_window *w, int64_t groups, const cpr_tensor *in, const cpr_tensor *out, int64_t a_bytes,
                   int64_t k_unit)
{
    layout l = {.taps = w->kernel_h * w->kernel_w, .kc = in->dim[1] / groups};
    const bool inside = w->pad_w == 0 && (out->dim[3] - 1) * w->stride_w + w->kernel_w <= in->dim[3];
    const int64_t spare = inside ? 0 : w->kernel_h * cpr_window_run_bytes(w, in, a_bytes) * chunk_pixels(w->kernel_h);
    l.runs = groups == 1 && w->kernel_w > 1 && w->dilation_w == 1 && in->stride[3] == in->dim[1] &&
             l.kc % k_unit == 0 && spare <= MOST_SPARE;
    if (l.runs) {
        l.kc *= w->kernel_w;
        l.taps = w->kernel_h;
    }
    l.pixels = chunk_pixels(l.taps);
    l.zeros_at = round_up(l.taps * l.pixels * (int64_t)sizeof(void *));
    l.zeros = round_up((l.runs ? l.kc : in->dim[1]) * a_bytes + 64);
    l.spare_at = l.zeros_at + l.zeros;
    l.stage_at = l.spare_at + (l.runs ? spare : 0);
    l.bytes = l.stage_at + cpr_stage_bytes(w->stride_w * in->stride[3] * a_bytes, l.kc, a_bytes);
    return l;
}

cpr_status cpr_image_check(const char *name, const cpr_window *w, int64_t groups, const cpr_tensor *in,
                           const cpr_tensor *residual, const cpr_tensor *out, int64_t a_bytes, int64_t k_unit,
                           int64_t *scratch_bytes)
{
    const cpr_status status = cpr_window_check(name, w, in, out);
    if (status)
        return status;
    CPR_REQUIRE(name, w->kernel_h * w->kernel_w <= MAX_TAPS);
    CPR_REQUIRE(name, groups > 0 && in->dim[1] % groups == 0 && out->dim[1] % groups == 0);
    CPR_REQUIRE(name, !residual || cpr_same_dims(residual, out));
    *scratch_bytes = plan(w, groups, in, out, a_bytes, k_unit).bytes;
    return CPR_OK;
}

typedef struct {
    const cpr_op *op;
    const cpr_product_kind *kind;
    const cpr_block *block;
    const cpr_image_product *p;
    layout l;
    int64_t n_pixels, pixels; /* in all; per unit of work */
    int64_t columns, column_units;
    bool staged;              /* rows collide and are copied */
    bool even;                /* all output pixels are evenly spaced */
    int64_t line;             /* output pixels of a line whose taps may be left out together; or 0 */
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
    const int64_t oc = out->dim[1] / p->groups, panel = cpr_panel_bytes(j->kind, j->l.taps, j->l.kc);
    const int64_t block_rows = cpr_block_rows(j->kind->tiles, n, (columns + CPR_PANEL - 1) / CPR_PANEL, j->line);
    const char **rows = (const char **)scratch, *zeros = scratch + j->l.zeros_at;
    for (int64_t g = 0; g < p->groups; g++) {
        const char *x = (const char *)p->in_data + g * (p->in->dim[1] / p->groups) * j->kind->a_bytes;
        char *spare = scratch + j->l.spare_at;
        for (int64_t i = 0; i < n; i += block_rows) {
            const int64_t m = n - i < block_rows ? n - i : block_rows;
            const char **part = rows + i * j->l.taps;
            if (j->l.runs)
                spare = cpr_window_runs(&p->window, p->in, out, x, zeros, j->kind->a_bytes, pixel + i, m, part, spare);
            else
                cpr_window_rows(&p->window, p->in, out, x, zeros, j->kind->a_bytes, pixel + i, m, part);
        }
        const int64_t c0 = g * oc + column, s0 = g * p->panels * CPR_PANEL + column;
        cpr_block part = *j->block;
        part.taps = j->l.taps;
        part.kc = j->l.kc;
        part.rows = (const void *const *)rows;
        part.zeros = p->finite && p->padding == 0 ? zeros : NULL;
        part.b = (const char *)p->weights + (g * p->panels + column / CPR_PANEL) * panel;
        part.start = p->start ? (const char *)p->start_data + s0 * 4 : NULL;
        part.scale = p->scale ? p->scale + s0 : NULL;
        if (p->residual) {
            part.residual = (const char *)p->residual_data + (pixel_offset(p->residual, pixel) + c0) * j->kind->c_bytes;
            part.ldr = p->residual->stride[3];
        }
        part.c = (char *)p->out_data + (pixel_offset(out, pixel) + c0) * j->kind->c_bytes;
        part.ldc = out->stride[3];
        cpr_product(j->kind, &part, n, block_rows, columns, j->staged ? scratch + j->l.stage_at : NULL);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const job *j = context;
    char *scratch = j->op->scratch + worker * j->op->scratch_stride;
    memset(scratch + j->l.zeros_at, j->p->padding, (size_t)j->l.zeros);
    const uint32_t state = cpr_flush_begin(j->kind);
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
    cpr_flush_end(j->kind, state);
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
        const int64_t lines = j->line ? (j->pixels + j->line - 1) / j->line * j->line : 0;
        j->pixels = lines && lines <= j->l.pixels ? lines : j->pixels;
    } else {
        j->columns = ((oc + threads - 1) / threads + 63) / 64 * 64;
        j->column_units = (oc + j->columns - 1) / j->columns;
    }
}

void cpr_image_run(const cpr_op *op, const cpr_product_kind *kind, const cpr_block *block, const cpr_image_product *p)
{
    const cpr_tensor *in = p->in, *out = p->out;
    job j = {.op = op, .kind = kind, .block = block, .p = p};
    j.n_pixels = out->dim[0] * out->dim[2] * out->dim[3];
    if (j.n_pixels == 0 || out->dim[1] == 0)
        return;
    j.l = plan(&p->window, p->groups, in, out, kind->a_bytes, kind->k_unit);
    j.pixels = j.l.pixels;
    /* Blocks of one line each: those at the upper and lower side have taps that read padding only. */
    const int64_t line = out->dim[3], below = (out->dim[2] - 1) * p->window.stride_h + p->window.kernel_h - p->window.pad_h;
    if (p->finite && p->padding == 0 && line <= CPR_MAX_ROWS && (p->window.pad_h > 0 || below > in->dim[2])) {
        j.line = line;
        j.pixels -= j.pixels % line;
    }
    j.staged = kind->floats && j.l.bytes > j.l.stage_at && p->residual_data != p->out_data;
    j.even = evenly_spaced(out) && (!p->residual || evenly_spaced(p->residual));
    cpr_pool *pool = cpr_product_pool(op->pool, kind, j.n_pixels, j.l.taps * j.l.kc, out->dim[1]);
    cut(&j, cpr_pool_threads(pool));
    cpr_parallel(pool, (j.n_pixels + j.pixels - 1) / j.pixels * j.column_units, 1, work, &j);
}

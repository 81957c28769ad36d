/* cells.c - the equations of lstm, gru and rnn for one step. */
#include <math.h>
#include <string.h>

#include "recurrent/recurrent.h"

enum { WORK = 32768 /* multiply-adds worth a thread */, FEW = 6 /* sequences that keep a thread busy */ };

bool cpr_cell_active(const cpr_cells *cells, int64_t b, int64_t step)
{
    return !cells->lengths || step < cells->lengths[b * cells->length_step];
}

int64_t cpr_cell_time(const cpr_cells *s, int64_t b, int64_t step)
{
    if (!s->reverse || !cpr_cell_active(s, b, step))
        return step;
    return (s->lengths ? s->lengths[b * s->length_step] : s->T) - 1 - step;
}

float *cpr_cell_saved(const cpr_cells *s, int64_t b)
{
    return s->saved + (cpr_cell_time(s, b, s->step) * s->batch + s->first + b) * s->saved_row;
}

static void keep(float *to, const float *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

static void activate(const cpr_cells *cells, int32_t which, float *values, float *to, int64_t n)
{
    const cpr_activation *a = &cells->activation[which];
    if (isfinite(cells->bound))
        cells->ops->clip(n, values, cells->bound);
    a->f(n, values, to, a->alpha, a->beta);
}

/* i = f(X_i + H_i + P_i c), f = f(X_f + H_f + P_f c) or 1 - i, c = f c + i g(X_c + H_c),
 * o = f(X_o + H_o + P_o c), h = o k(c); gates in the order i o f c, P in the order i o f. */
static void update_lstm(const cpr_cells *s, int64_t b, float *gates, float *saved)
{
    const int64_t n = s->H, at = b * s->state_step, apart = saved ? n : s->S;
    float *c = s->c + at, *h = s->h + at, *to = saved ? saved : gates;
    float *zi = gates, *zo = gates + s->S, *zf = zo + s->S, *zg = zf + s->S;
    float *i = to, *o = to + apart, *f = o + apart, *g = f + apart, *k = saved ? saved + 4 * n : g;
    const float *p = s->peephole;
    if (saved) {
        keep(saved + 5 * n, c, n);
        keep(saved + 6 * n, h, n);
    }
    if (p)
        s->ops->add_product(n, p, c, zi);
    activate(s, 0, zi, i, n);
    if (s->flag)
        s->ops->complement(n, i, f);
    else {
        if (p)
            s->ops->add_product(n, p + 2 * n, c, zf);
        activate(s, 0, zf, f, n);
    }
    activate(s, 1, zg, g, n);
    s->ops->cell(n, i, f, g, c);
    if (p)
        s->ops->add_product(n, p + n, c, zo);
    activate(s, 0, zo, o, n);
    s->activation[2].f(n, c, k, s->activation[2].alpha, s->activation[2].beta);
    s->ops->product_of(n, o, k, h);
}

/* z, r = f(X + H); fresh = g(X_h + r (H_h + bias)) or g(X_h + (r h) R_h + bias); h = (1 - z) fresh + z h. */
static void update_gru(const cpr_cells *s, int64_t b, float *gates, float *saved, int32_t part)
{
    const int64_t n = s->H, at = b * s->state_step, apart = saved ? n : s->S;
    float *h = s->h + at, *extra = s->extra + at, *to = saved ? saved : gates;
    float *z = to, *r = to + apart, *fresh = r + apart, *inner = gates + 2 * s->S;
    if (part == 0) {
        activate(s, 0, gates, z, n);
        activate(s, 0, gates + s->S, r, n);
        if (!s->flag)
            s->ops->product_of(n, r, h, extra);
        if (saved) {
            keep(saved + 3 * n, extra, n);
            keep(saved + 4 * n, h, n);
        }
        if (!s->flag)
            return;
        s->ops->add_product(n, r, extra, inner);
    }
    activate(s, 1, inner, fresh, n);
    s->ops->mix(n, z, fresh, h);
}

static void update_rnn(const cpr_cells *s, int64_t b, float *gates, float *saved)
{
    float *h = s->h + b * s->state_step;
    if (saved)
        keep(saved + s->H, h, s->H);
    activate(s, 0, gates, h, s->H);
    if (saved)
        keep(saved, h, s->H);
}

void cpr_cell_update(const cpr_cells *s, int64_t b, float *gates, int32_t part)
{
    float *saved = s->saved ? cpr_cell_saved(s, b) : NULL;
    if (s->kind == CPR_LSTM)
        update_lstm(s, b, gates, saved);
    else if (s->kind == CPR_GRU)
        update_gru(s, b, gates, saved, part);
    else
        update_rnn(s, b, gates, saved);
}

typedef struct {
    const cpr_cells *cells;
    const char *x, *w; /* rows, in the type of the weights; the first panel */
    float *y;
    int64_t x_step, k, y_step, rows; /* x_step in bytes */
} panels_task;

static void multiply_panels(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const panels_task *t = context;
    const cpr_product_kind *kind = &t->cells->product;
    const void *rows[CPR_ROW_CHUNK];
    const uint32_t state = cpr_flush_begin(kind);
    for (int64_t first = 0; first < t->rows; first += CPR_ROW_CHUNK) {
        const int64_t m = t->rows - first < CPR_ROW_CHUNK ? t->rows - first : CPR_ROW_CHUNK;
        for (int64_t i = 0; i < m; i++)
            rows[i] = t->x + (first + i) * t->x_step;
        const cpr_block block = {
            .taps = 1,
            .kc = t->k,
            .resume = true,
            .more = true,
            .rows = rows,
            .b = t->w + begin * cpr_panel_bytes(kind, 1, t->k),
            .store = CPR_F32,
            .c = t->y + first * t->y_step + begin * CPR_PANEL,
            .ldc = t->y_step,
        };
        cpr_product(kind, &block, m, cpr_block_rows(kind->tiles, m, end - begin, 0), (end - begin) * CPR_PANEL, NULL);
    }
    cpr_flush_end(kind, state);
}

int64_t cpr_recurrent_row(int64_t k, int64_t element_bytes)
{
    const int64_t line = 64 / element_bytes;
    return ((k + line - 1) / line | 1) * line;
}

void cpr_recurrent_product(const cpr_cells *cells, const float *x, int64_t x_step, const cpr_recurrent_weights *w,
                           int64_t first, int64_t panels, float *y, int64_t y_step, int64_t rows)
{
    const cpr_product_kind *kind = &cells->product;
    const int64_t k = w->k;
    if (k == 0)
        return;
    panels_task t = {cells, (const char *)x, w->data + first * cpr_panel_bytes(kind, 1, k), y, x_step * 4, k, y_step, rows};
    if (kind->a_bytes == 2) {
        const int64_t step = cpr_recurrent_row(k, 2);
        for (int64_t i = 0; i < rows; i++)
            cells->ops->halve(k, x + i * x_step, cells->halves + i * step);
        t.x = (const char *)cells->halves;
        t.x_step = step * 2;
    }
    const int64_t grain = WORK / (rows * k * CPR_PANEL) + 1;
    cpr_parallel(cells->op->pool, panels, (grain + CPR_MAX_PANELS - 1) / CPR_MAX_PANELS * CPR_MAX_PANELS,
                 multiply_panels, &t);
}

typedef struct {
    const cpr_cells *cells;
    float *gates;
    int32_t part;
} update_task;

static void update_cells(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const update_task *t = context;
    const cpr_cells *s = t->cells;
    for (int64_t b = begin; b < end; b++)
        if (cpr_cell_active(s, b, s->step))
            cpr_cell_update(s, b, t->gates + b * s->G * s->S, t->part);
        else if (s->saved)
            memset(cpr_cell_saved(s, b), 0, (size_t)s->saved_row * sizeof(float));
}

static void update_all(const cpr_cells *s, float *gates, int32_t part)
{
    update_task t = {s, gates, part};
    cpr_parallel(s->op->pool, s->B, 2048 / s->H + 1, update_cells, &t);
}

/* The recurrent bias of gru's candidate, which linear_before_reset multiplies by r. */
static void candidate_bias(const cpr_cells *s)
{
    for (int64_t b = 0; b < s->B; b++) {
        float *row = s->extra + b * s->state_step;
        memset(row, 0, (size_t)s->state_step * sizeof *row);
        if (s->bias)
            memcpy(row, s->bias + 5 * s->H, (size_t)s->H * sizeof *row);
    }
}

void cpr_recurrent_step(cpr_cells *s, float *gates)
{
    const int64_t gate = s->S / CPR_PANEL, width = s->G * s->S, step = s->state_step;
    if (s->kind != CPR_GRU) {
        cpr_recurrent_product(s, s->h, step, &s->r, 0, s->G * gate, gates, width, s->B);
        update_all(s, gates, 0);
        return;
    }
    cpr_recurrent_product(s, s->h, step, &s->r, 0, 2 * gate, gates, width, s->B);
    if (s->flag) {
        candidate_bias(s);
        cpr_recurrent_product(s, s->h, step, &s->r, 2 * gate, gate, s->extra, step, s->B);
        update_all(s, gates, 0);
        return;
    }
    update_all(s, gates, 0);
    cpr_recurrent_product(s, s->extra, step, &s->r, 2 * gate, gate, gates + 2 * s->S, width, s->B);
    update_all(s, gates, 1);
}

typedef struct {
    const cpr_op *op;
    cpr_recurrent_part *part;
} over_task;

static void run_part(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const over_task *t = context;
    cpr_op own = *t->op;
    own.pool = NULL;
    own.scratch += worker * own.scratch_stride;
    t->part(&own, begin, end - begin);
}

void cpr_recurrent_over(const cpr_op *op, int64_t batch, int64_t nanoseconds, cpr_recurrent_part *part)
{
    cpr_pool *pool = cpr_pool_for(op->pool, nanoseconds);
    over_task t = {op, part};
    if (pool && batch >= (int64_t)FEW * cpr_pool_threads(pool))
        cpr_parallel(pool, batch, 1, run_part, &t);
    else
        part(op, 0, batch);
}

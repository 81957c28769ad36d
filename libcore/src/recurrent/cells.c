/* cells.c - the equations of lstm, gru and rnn for one step. */
#include <math.h>
#include <string.h>

#include "recurrent/recurrent.h"

enum { WORK = 32768 /* multiply-adds worth a thread */ };

bool cpr_cell_active(const cpr_cells *cells, int64_t b, int64_t step)
{
    return !cells->lengths || step < cells->lengths[b * cells->length_step];
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
static void update_lstm(const cpr_cells *s, int64_t b, float *gates)
{
    const int64_t n = s->H;
    float *i = gates, *o = gates + n, *f = gates + 2 * n, *g = gates + 3 * n, *c = s->c + b * n, *h = s->h + b * n;
    const float *p = s->peephole;
    if (p)
        s->ops->add_product(n, p, c, i);
    activate(s, 0, i, i, n);
    if (s->flag)
        s->ops->complement(n, i, f);
    else {
        if (p)
            s->ops->add_product(n, p + 2 * n, c, f);
        activate(s, 0, f, f, n);
    }
    activate(s, 1, g, g, n);
    s->ops->cell(n, i, f, g, c);
    if (p)
        s->ops->add_product(n, p + n, c, o);
    activate(s, 0, o, o, n);
    s->activation[2].f(n, c, g, s->activation[2].alpha, s->activation[2].beta);
    s->ops->product_of(n, o, g, h);
}

/* z, r = f(X + H); fresh = g(X_h + r (H_h + bias)) or g(X_h + (r h) R_h + bias); h = (1 - z) fresh + z h. */
static void update_gru(const cpr_cells *s, int64_t b, float *gates, int32_t part)
{
    const int64_t n = s->H;
    float *z = gates, *r = gates + n, *fresh = gates + 2 * n, *h = s->h + b * n, *extra = s->extra + b * n;
    if (part == 0) {
        activate(s, 0, z, z, n);
        activate(s, 0, r, r, n);
        if (!s->flag) {
            s->ops->product_of(n, r, h, extra);
            return;
        }
        s->ops->add_product(n, r, extra, fresh);
    }
    activate(s, 1, fresh, fresh, n);
    s->ops->mix(n, z, fresh, h);
}

void cpr_cell_update(const cpr_cells *s, int64_t b, float *gates, int32_t part)
{
    if (s->kind == CPR_LSTM)
        update_lstm(s, b, gates);
    else if (s->kind == CPR_GRU)
        update_gru(s, b, gates, part);
    else
        activate(s, 0, gates, s->h + b * s->H, s->H);
}

typedef struct {
    const cpr_cells *cells;
    const float *x, *w;
    float *y;
    int64_t x_step, k, w_step, y_step, rows;
} columns_task;

static void multiply_columns(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const columns_task *t = context;
    t->cells->ops->product(t->x, t->x_step, t->k, t->w + begin, t->w_step, t->y + begin, t->y_step, t->rows, end - begin);
}

void cpr_recurrent_product(const cpr_cells *cells, const float *x, int64_t x_step, int64_t k, const float *w,
                           int64_t w_step, float *y, int64_t y_step, int64_t rows, int64_t columns)
{
    columns_task t = {cells, x, w, y, x_step, k, w_step, y_step, rows};
    const int64_t blocks = WORK / (rows * k * CPR_RECURRENT_COLUMNS + 1) + 1;
    cpr_parallel(cells->op->pool, columns, blocks * CPR_RECURRENT_COLUMNS, multiply_columns, &t);
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
            cpr_cell_update(s, b, t->gates + b * s->G * s->H, t->part);
}

static void update_all(const cpr_cells *s, float *gates, int32_t part)
{
    update_task t = {s, gates, part};
    cpr_parallel(s->op->pool, s->B, 2048 / s->H + 1, update_cells, &t);
}

void cpr_recurrent_step(cpr_cells *s, float *gates)
{
    const int64_t H = s->H, width = s->G * H;
    if (s->kind != CPR_GRU) {
        cpr_recurrent_product(s, s->h, H, H, s->r, width, gates, width, s->B, width);
        update_all(s, gates, 0);
        return;
    }
    cpr_recurrent_product(s, s->h, H, H, s->r, width, gates, width, s->B, 2 * H);
    if (s->flag) {
        for (int64_t b = 0; b < s->B; b++) {
            if (s->bias)
                memcpy(s->extra + b * H, s->bias + 5 * H, (size_t)H * sizeof(float));
            else
                memset(s->extra + b * H, 0, (size_t)H * sizeof(float));
        }
        cpr_recurrent_product(s, s->h, H, H, s->r + 2 * H, width, s->extra, H, s->B, H);
        update_all(s, gates, 0);
        return;
    }
    update_all(s, gates, 0);
    cpr_recurrent_product(s, s->extra, H, H, s->r + 2 * H, width, gates + 2 * H, width, s->B, H);
    update_all(s, gates, 1);
}

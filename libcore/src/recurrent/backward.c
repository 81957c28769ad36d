/* backward.c - recurrent_grad: back through time, from the gradients of the results of lstm, gru
 * and rnn to those of what goes into the gates' activations.  The gradients of weights and inputs
 * are products of these, over all steps at once.  Operands and args: libcore/README.md.
 *
 * Werbos, 1990, "Backpropagation through time: what it does and how to do it".
 */
#include "gemm_f32/gemm_f32.h"
#include "recurrent/recurrent.h"

#include <string.h>

enum { SAVED, R, CANDIDATE, P, LENGTHS, DY, DY_H, DY_C, DZ, DFRESH, DH, DC, SUMS, OPERANDS };
enum { KIND, DIRECTION, FLAG, FUNCTIONS, LIMIT = 1 << 28 };

static const char name[] = "recurrent_grad";
static const int64_t gates[] = {4, 3, 1}, activations[] = {3, 2, 1};
static const int64_t parts[] = {CPR_LSTM_SAVED, CPR_GRU_SAVED, CPR_RNN_SAVED};

typedef void slope(int64_t n, const float *y, const float *g, float *out);

/* One run; in cells: gates holds the gate gradients of a step, h and c those of the states. */
typedef struct {
    cpr_cells cells;
    slope *slope[3];
    cpr_recurrent_weights candidate; /* gru without linear_before_reset */
    float *dz, *fresh, *sums;        /* of this direction; sums, fresh may be NULL */
    int64_t sums_step;               /* from sequence to sequence of sums */
    int64_t dz_step;                 /* from row to row of cells.gates */
} backward;

static int32_t slope_of(int64_t function)
{
    return function == 0 ? CPR_SLOPE_RELU : function == 5 ? CPR_SLOPE_SIGMOID : function == 14 ? CPR_SLOPE_TANH : -1;
}

/* Elements of scratch memory: gate gradients, two states and one more. False if too many. */
static bool measure(int64_t B, int64_t G, int64_t H, int64_t *bytes)
{
    const int64_t row = cpr_recurrent_row(G * H, 4) + 3 * cpr_recurrent_row(H, 4);
    return !__builtin_mul_overflow(row, B, bytes) && !__builtin_mul_overflow(*bytes, 4, bytes) && *bytes < INT64_MAX / 256;
}

/* Whether operand i is there just when it must be, contiguous and of these dims. */
static bool dense(const cpr_op *op, int32_t i, int32_t rank, bool wanted, const int64_t *dim)
{
    const cpr_tensor *t = cpr_recurrent_operand(op, i);
    return wanted == (t != NULL) && cpr_recurrent_fits(t, CPR_F32, rank, dim) && (!t || cpr_is_contiguous(t));
}

static cpr_status check_shapes(const cpr_op *op, int64_t kind, int64_t H)
{
    const int64_t *dim = op->tensor[SAVED]->dim, D = dim[0], T = dim[1], B = dim[2], G = gates[kind];
    const bool flag = op->args[FLAG] != 0, lstm = kind == CPR_LSTM, reset = kind == CPR_GRU && !flag;
    const int64_t panels = (H + CPR_PANEL - 1) / CPR_PANEL;
    const int64_t r[] = {D, panels, reset ? 2 * H : G * H, CPR_PANEL}, inner[] = {D, panels, H, CPR_PANEL};
    const int64_t state[] = {D, B, H}, p[] = {D, 3 * H}, y[] = {T, D, B, H}, z[] = {D, T, B, G * H}, n[] = {D, T, B, H};
    const int64_t sums[] = {D, B, G * H + (kind == CPR_GRU && flag ? H : 0)};
    CPR_REQUIRE(name, dense(op, R, 4, true, r) && dense(op, CANDIDATE, 4, reset, inner));
    CPR_REQUIRE(name, dense(op, DZ, 4, true, z) && dense(op, DFRESH, 4, kind == CPR_GRU && flag, n));
    CPR_REQUIRE(name, dense(op, SUMS, 3, cpr_recurrent_operand(op, SUMS) != NULL, sums));
    const cpr_tensor *peephole = cpr_recurrent_operand(op, P);
    CPR_REQUIRE(name, !peephole || (lstm && cpr_recurrent_fits(peephole, CPR_F32, 2, p) && cpr_is_contiguous(peephole)));
    CPR_REQUIRE(name, cpr_recurrent_fits(cpr_recurrent_operand(op, LENGTHS), CPR_S32, 1, &B));
    CPR_REQUIRE(name, cpr_recurrent_fits(cpr_recurrent_operand(op, DY), CPR_F32, 4, y));
    static const int32_t states[] = {DY_H, DH, DY_C, DC};
    for (int32_t i = 0; i < 4; i++) {
        const cpr_tensor *t = cpr_recurrent_operand(op, states[i]);
        CPR_REQUIRE(name, cpr_recurrent_fits(t, CPR_F32, 3, state) && (!t || i < 2 || lstm));
        CPR_REQUIRE(name, !t || i % 2 == 0 || cpr_is_output(t));
    }
    return CPR_OK;
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    CPR_REQUIRE(name, op->n_tensors >= DZ + 1 && op->n_tensors <= OPERANDS && op->n_args > FUNCTIONS);
    const int64_t kind = op->args[KIND], direction = op->args[DIRECTION], H = op->args[op->n_args - 1];
    CPR_REQUIRE(name, kind >= CPR_LSTM && kind <= CPR_RNN && direction >= 0 && direction <= 2);
    const cpr_tensor *saved = op->tensor[SAVED];
    CPR_REQUIRE(name, saved && saved->dtype == CPR_F32 && saved->rank == 4 && cpr_is_contiguous(saved));
    const int64_t D = saved->dim[0], functions = D * activations[kind];
    CPR_REQUIRE(name, D == (direction == 2 ? 2 : 1) && op->n_args == FUNCTIONS + functions + 1);
    CPR_REQUIRE(name, saved->dim[1] < LIMIT && saved->dim[2] < LIMIT && H >= 1 && H < LIMIT);
    CPR_REQUIRE(name, saved->dim[3] == parts[kind] * H);
    for (int64_t i = 0; i < functions; i++)
        CPR_REQUIRE(name, slope_of(op->args[FUNCTIONS + i]) >= 0);
    const cpr_status status = check_shapes(op, kind, H);
    if (status)
        return status;
    if (!measure(saved->dim[2], gates[kind], H, scratch_bytes))
        return cpr_fail(CPR_ERR_ARGUMENT, "%s: the scratch memory would be too large", name);
    return CPR_OK;
}

/* With h = o k(c), c = f c' + i g: the gradients of what went into i, o, f, g, and of c'. */
static void back_lstm(const backward *w, const float *saved, float *dz, float *dh, float *dc, float *work)
{
    const cpr_cells *s = &w->cells;
    const cpr_recurrent_ops *ops = s->ops;
    const int64_t n = s->H;
    const float *i = saved, *o = i + n, *f = o + n, *g = f + n, *k = g + n, *before = k + n, *p = s->peephole;
    float *zi = dz, *zo = zi + n, *zf = zo + n, *zg = zf + n;
    ops->product_of(n, dh, k, zo);
    w->slope[0](n, o, zo, zo);
    ops->product_of(n, dh, o, work);
    w->slope[2](n, k, work, work);
    ops->sum(n, work, dc);
    if (p)
        ops->add_product(n, p + n, zo, dc);
    if (s->flag) { /* f = 1 - i */
        ops->difference(n, g, before, work);
        ops->product_of(n, dc, work, zi);
        memset(zf, 0, (size_t)n * sizeof *zf);
    } else {
        ops->product_of(n, dc, g, zi);
        ops->product_of(n, dc, before, zf);
        w->slope[0](n, f, zf, zf);
    }
    w->slope[0](n, i, zi, zi);
    ops->product_of(n, dc, i, zg);
    w->slope[1](n, g, zg, zg);
    ops->product_of(n, dc, f, dc);
    if (p) {
        ops->add_product(n, p, zi, dc);
        ops->add_product(n, p + 2 * n, zf, dc);
    }
    memset(dh, 0, (size_t)n * sizeof *dh);
}

/* With h = (1 - z) fresh + z h': the gradients of what went into z, r, fresh; h' gets what does
 * not go through a product.  fresh = g(X_h + r inner), or g(X_h + (r h') R_h + bias), whose
 * product with R_h comes between the parts. */
static void back_gru(const backward *w, const float *saved, float *dz, float *fresh, float *dh, float *work, int32_t part)
{
    const cpr_cells *s = &w->cells;
    const cpr_recurrent_ops *ops = s->ops;
    const int64_t n = s->H;
    const float *z = saved, *r = z + n, *now = r + n, *inner = now + n, *before = inner + n;
    float *dr = dz + n, *last = dr + n, *dn = s->flag ? fresh : last;
    if (part == 1) {
        ops->product_of(n, work, before, dr);
        w->slope[0](n, r, dr, dr);
        ops->add_product(n, work, r, dh);
        return;
    }
    ops->complement(n, z, work);
    ops->product_of(n, dh, work, dn);
    w->slope[1](n, now, dn, dn);
    ops->difference(n, before, now, work);
    ops->product_of(n, dh, work, dz);
    w->slope[0](n, z, dz, dz);
    ops->product_of(n, dh, z, dh);
    if (s->flag) {
        ops->product_of(n, dn, inner, dr);
        w->slope[0](n, r, dr, dr);
        ops->product_of(n, dn, r, last);
    }
}

/* dh += dY at a time. */
static void add_output(const cpr_cells *s, int64_t b, int64_t time, float *dh)
{
    const cpr_tensor *t = cpr_recurrent_operand(s->op, DY);
    if (!t)
        return;
    const float *from = (const float *)s->op->data[DY] + time * t->stride[0] + s->side * t->stride[1] +
                        (s->first + b) * t->stride[2];
    if (t->stride[3] == 1) {
        s->ops->sum(s->H, from, dh);
        return;
    }
    for (int64_t k = 0; k < s->H; k++)
        dh[k] += from[k * t->stride[3]];
}

/* The saved row of a sequence is far from the one read before: ask for it early. */
static void fetch(const cpr_cells *s, int64_t b, int64_t step)
{
    const float *row = s->saved + (cpr_cell_time(s, b, step) * s->batch + s->first + b) * s->saved_row;
    for (int64_t i = 0; i < s->saved_row; i += 64 / (int64_t)sizeof *row)
        __builtin_prefetch(row + i);
}

typedef struct {
    const backward *run;
    int32_t part, last;
} task;

static void back_rows(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const task *t = context;
    const backward *w = t->run;
    const cpr_cells *s = &w->cells;
    const int64_t n = s->H, width = s->G * n;
    for (int64_t b = begin; b < end; b++) {
        float *dz = s->gates + b * w->dz_step, *dh = s->h + b * s->state_step, *dc = s->c + b * s->state_step;
        float *work = s->extra + b * s->state_step;
        const int64_t time = cpr_cell_time(s, b, s->step), row = time * s->batch + s->first + b;
        const float *saved = s->saved + row * s->saved_row;
        float *fresh = w->fresh ? w->fresh + row * n : NULL;
        if (b + 1 < end)
            fetch(s, b + 1, s->step);
        else if (s->step > 0)
            fetch(s, begin, s->step - 1);
        if (!cpr_cell_active(s, b, s->step)) {
            memset(dz, 0, (size_t)width * sizeof *dz);
            if (fresh)
                memset(fresh, 0, (size_t)n * sizeof *fresh);
        } else {
            if (t->part == 0)
                add_output(s, b, time, dh);
            if (s->kind == CPR_LSTM)
                back_lstm(w, saved, dz, dh, dc, work);
            else if (s->kind == CPR_GRU)
                back_gru(w, saved, dz, fresh, dh, work, t->part);
            else {
                w->slope[0](n, saved, dh, dz);
                memset(dh, 0, (size_t)n * sizeof *dh);
            }
        }
        if (t->part < t->last) { /* a product comes first */
            memset(work, 0, (size_t)s->state_step * sizeof *work);
            continue;
        }
        memcpy(w->dz + row * width, dz, (size_t)width * sizeof *dz);
        float *sums = w->sums ? w->sums + (s->first + b) * w->sums_step : NULL;
        if (sums)
            s->ops->sum(width, dz, sums);
        if (sums && fresh)
            s->ops->sum(n, fresh, sums + width);
    }
}

static void back_step(const backward *w)
{
    const cpr_cells *s = &w->cells;
    const int64_t panels = s->S / CPR_PANEL, grain = 2048 / s->H + 1;
    const bool two = w->candidate.data != NULL;
    task t = {w, 0, two};
    cpr_parallel(s->op->pool, s->B, grain, back_rows, &t);
    if (two) {
        cpr_recurrent_product(s, s->gates + 2 * s->H, w->dz_step, &w->candidate, 0, panels, s->extra, s->state_step, s->B);
        t.part = 1;
        cpr_parallel(s->op->pool, s->B, grain, back_rows, &t);
    }
    cpr_recurrent_product(s, s->gates, w->dz_step, &s->r, 0, panels, s->h, s->state_step, s->B);
}

static void take_side(backward *w, int64_t side)
{
    cpr_cells *s = &w->cells;
    const cpr_op *op = s->op;
    const int64_t rows = s->T * s->batch, panels = s->S / CPR_PANEL;
    const bool two = cpr_recurrent_operand(op, CANDIDATE) != NULL;
    s->side = (int32_t)side;
    s->reverse = op->args[DIRECTION] == 1 || side == 1;
    const int64_t k = two ? 2 * s->H : s->G * s->H;
    s->r = (cpr_recurrent_weights){(const char *)op->data[R] + side * panels * cpr_panel_bytes(&s->product, 1, k), k};
    if (two)
        w->candidate = (cpr_recurrent_weights){
            (const char *)op->data[CANDIDATE] + side * panels * cpr_panel_bytes(&s->product, 1, s->H), s->H};
    s->peephole = cpr_recurrent_operand(op, P) ? (const float *)op->data[P] + side * 3 * s->H : NULL;
    s->saved = (float *)op->data[SAVED] + side * rows * s->saved_row;
    w->dz = (float *)op->data[DZ] + side * rows * s->G * s->H;
    w->fresh = cpr_recurrent_operand(op, DFRESH) ? (float *)op->data[DFRESH] + side * rows * s->H : NULL;
    if (cpr_recurrent_operand(op, SUMS)) {
        w->sums_step = op->tensor[SUMS]->dim[2];
        w->sums = (float *)op->data[SUMS] + side * s->batch * w->sums_step;
        memset(w->sums + s->first * w->sums_step, 0, (size_t)(s->B * w->sums_step) * sizeof(float));
    }
    for (int64_t i = 0; i < activations[s->kind]; i++)
        w->slope[i] = s->ops->slope[slope_of(op->args[FUNCTIONS + side * activations[s->kind] + i])];
}

static backward backward_of(const cpr_op *op, int64_t first, int64_t count)
{
    const int64_t kind = op->args[KIND], H = op->args[op->n_args - 1], *dim = op->tensor[SAVED]->dim;
    const cpr_tensor *lengths = cpr_recurrent_operand(op, LENGTHS);
    const int64_t length_step = lengths ? lengths->stride[0] : 0;
    return (backward){
        .cells = {.op = op, .ops = CPR_PICK(cpr_recurrent), .kind = (int32_t)kind, .T = dim[1], .B = count,
                  .H = H, .G = gates[kind], .D = dim[0], .first = first, .batch = dim[2],
                  .S = (H + CPR_PANEL - 1) / CPR_PANEL * CPR_PANEL, .state_step = cpr_recurrent_row(H, 4),
                  .product = cpr_f32_kind(), .flag = op->args[FLAG] != 0,
                  .lengths = lengths ? (const int32_t *)op->data[LENGTHS] + first * length_step : NULL,
                  .length_step = length_step, .saved_row = dim[3]},
        .dz_step = cpr_recurrent_row(gates[kind] * H, 4)};
}

static void run_part(const cpr_op *op, int64_t first, int64_t count)
{
    backward w = backward_of(op, first, count);
    cpr_cells *s = &w.cells;
    s->gates = (float *)op->scratch;
    s->h = s->gates + s->B * w.dz_step;
    s->c = s->h + s->B * s->state_step;
    s->extra = s->c + s->B * s->state_step;
    for (int64_t side = 0; side < s->D; side++) {
        take_side(&w, side);
        cpr_recurrent_read(s, DY_H, s->h);
        cpr_recurrent_read(s, DY_C, s->c);
        for (s->step = s->T - 1; s->step >= 0; s->step--)
            back_step(&w);
        cpr_recurrent_write(s, DH, s->h);
        cpr_recurrent_write(s, DC, s->c);
    }
}

static cpr_status run(const cpr_op *op)
{
    const backward w = backward_of(op, 0, op->tensor[SAVED]->dim[2]);
    const cpr_cells *s = &w.cells;
    const cpr_status status = cpr_recurrent_lengths(s, name);
    if (status || s->B == 0)
        return status;
    const double work = (double)s->T * (double)s->B * (double)s->H * (double)(s->D * s->G * s->H);
    cpr_recurrent_over(op, s->B, (int64_t)(work < 1e15 ? work : 1e15) / s->product.speed, run_part);
    return CPR_OK;
}

const cpr_kernel cpr_k_recurrent_grad = {"recurrent_grad", check, run};

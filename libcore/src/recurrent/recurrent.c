/* recurrent.c - lstm, gru, rnn: checks, and the walk over directions and time.
 * Operands and args: libcore/README.md. */
#include "gemm_bf16/gemm_bf16.h"
#include "gemm_f32/gemm_f32.h"
#include "recurrent/recurrent.h"

#include <math.h>
#include <string.h>

enum { ROWS = 64, LIMIT = 1 << 28 };

/* Where the operands of each operator stand; -1: it has none. */
typedef struct {
    const char *name;
    int32_t gates, activations, operands;
    int32_t c0, p, y, y_h, y_c, saved;
    int64_t parts; /* of H values in a row of saved */
} layout;

enum { X, W, R, BIAS, LENGTHS, H0 };

static const layout layouts[] = {
    [CPR_LSTM] = {"lstm", 4, 3, 12, 6, 7, 8, 9, 10, 11, CPR_LSTM_SAVED},
    [CPR_GRU] = {"gru", 3, 2, 9, -1, -1, 6, 7, -1, 8, CPR_GRU_SAVED},
    [CPR_RNN] = {"rnn", 1, 1, 9, -1, -1, 6, 7, -1, 8, CPR_RNN_SAVED},
};

const cpr_tensor *cpr_recurrent_operand(const cpr_op *op, int32_t i)
{
    return i >= 0 && i < op->n_tensors ? op->tensor[i] : NULL;
}

bool cpr_recurrent_fits(const cpr_tensor *t, int32_t dtype, int32_t rank, const int64_t *dim)
{
    if (!t)
        return true;
    if (t->dtype != dtype || t->rank != rank)
        return false;
    for (int32_t k = 0; k < rank; k++)
        if (t->dim[k] != dim[k])
            return false;
    return true;
}

/* Whether t holds packed weights [d][panels][k][16] floats or [d][panels][1][pairs][16][2] bfloat16. */
static bool packs(const cpr_tensor *t, int64_t d, int64_t panels, int64_t k)
{
    const int64_t floats[] = {d, panels, k, CPR_PANEL}, halves[] = {d, panels, 1, (k + 1) / 2, CPR_PANEL, 2};
    return cpr_is_contiguous(t) && (cpr_recurrent_fits(t, CPR_F32, 4, floats) || cpr_recurrent_fits(t, CPR_BF16, 6, halves));
}

/* Where the parts of the scratch memory lie: floats, then the halves. */
typedef struct {
    int64_t rows, S, state_step, input_step; /* see cpr_cells; rows: of gates and inputs */
    int64_t halves;
} sizes;

static int64_t round_up(int64_t n)
{
    return (n + CPR_PANEL - 1) / CPR_PANEL * CPR_PANEL;
}

/* False if they would be too large. */
static bool measure(sizes *z, int64_t G, int64_t B, int64_t I, int64_t H, int64_t *bytes)
{
    z->halves = 0;
    z->rows = B > ROWS ? B : ROWS;
    z->S = round_up(H);
    z->state_step = cpr_recurrent_row(H, 4);
    z->input_step = cpr_recurrent_row(I, 4);
    const int64_t wide = z->state_step > z->input_step ? z->state_step : z->input_step;
    int64_t floats, states;
    /* A row of halves is no longer than one of floats. */
    if (__builtin_mul_overflow(z->rows, G * z->S + z->input_step + wide, &floats) ||
        __builtin_mul_overflow(3 * B, z->state_step, &states) || __builtin_add_overflow(floats, states, &floats) ||
        __builtin_add_overflow(floats, G * z->S, &floats) || floats > INT64_MAX / 1024)
        return false;
    z->halves = z->rows * (G * z->S + z->input_step) + states + G * z->S;
    *bytes = floats * (int64_t)sizeof(float);
    return true;
}

static cpr_status check(int32_t kind, const cpr_op *op, int64_t *scratch_bytes)
{
    const layout *l = &layouts[kind];
    const char *name = l->name;
    CPR_REQUIRE(name, op->n_tensors >= 3 && op->n_tensors <= l->operands && op->tensor[X] && op->tensor[R]);
    CPR_REQUIRE(name, op->tensor[X]->rank == 3 && op->n_args >= 1);
    CPR_REQUIRE(name, op->args[0] >= 0 && op->args[0] <= 2);
    const int64_t T = op->tensor[X]->dim[0], B = op->tensor[X]->dim[1], I = op->tensor[X]->dim[2];
    const int64_t D = op->args[0] == 2 ? 2 : 1, G = l->gates;
    CPR_REQUIRE(name, op->n_args == 3 + 3 * D * l->activations + 1);
    const int64_t H = op->args[op->n_args - 1];
    CPR_REQUIRE(name, T < LIMIT && B < LIMIT && I < LIMIT && H < LIMIT && H >= 1);
    const int64_t bias[] = {D, 2 * G * H}, state[] = {D, B, H};
    const int64_t p[] = {D, 3 * H}, y[] = {T, D, B, H}, kept[] = {D, T, B, l->parts * H};
    CPR_REQUIRE(name, cpr_recurrent_fits(op->tensor[X], CPR_F32, 3, op->tensor[X]->dim));
    const int64_t panels = G * (round_up(H) / CPR_PANEL);
    CPR_REQUIRE(name, packs(op->tensor[R], D, panels, H));
    if (op->tensor[W])
        CPR_REQUIRE(name, packs(op->tensor[W], D, panels, I) && op->tensor[W]->dtype == op->tensor[R]->dtype);
    else
        CPR_REQUIRE(name, D == 1 && I == G * H);
    const cpr_tensor *b = cpr_recurrent_operand(op, BIAS), *peephole = cpr_recurrent_operand(op, l->p);
    CPR_REQUIRE(name, cpr_recurrent_fits(b, CPR_F32, 2, bias) && (!b || cpr_is_contiguous(b)));
    CPR_REQUIRE(name, cpr_recurrent_fits(peephole, CPR_F32, 2, p) && (!peephole || cpr_is_contiguous(peephole)));
    CPR_REQUIRE(name, cpr_recurrent_fits(cpr_recurrent_operand(op, LENGTHS), CPR_S32, 1, &B));
    CPR_REQUIRE(name, cpr_recurrent_fits(cpr_recurrent_operand(op, H0), CPR_F32, 3, state) && cpr_recurrent_fits(cpr_recurrent_operand(op, l->c0), CPR_F32, 3, state));
    CPR_REQUIRE(name, cpr_recurrent_fits(cpr_recurrent_operand(op, l->y), CPR_F32, 4, y));
    CPR_REQUIRE(name, cpr_recurrent_fits(cpr_recurrent_operand(op, l->y_h), CPR_F32, 3, state) && cpr_recurrent_fits(cpr_recurrent_operand(op, l->y_c), CPR_F32, 3, state));
    const cpr_tensor *saved = cpr_recurrent_operand(op, l->saved);
    CPR_REQUIRE(name, cpr_recurrent_fits(saved, CPR_F32, 4, kept) && (!saved || cpr_is_contiguous(saved)));
    const int32_t outputs[] = {l->y, l->y_h, l->y_c, l->saved};
    for (int32_t i = 0; i < 4; i++)
        CPR_REQUIRE(name, !cpr_recurrent_operand(op, outputs[i]) || cpr_is_output(cpr_recurrent_operand(op, outputs[i])));
    for (int64_t i = 0; i < D * l->activations; i++)
        CPR_REQUIRE(name, op->args[3 + 3 * i] >= 0 && op->args[3 + 3 * i] < CPR_UNARY_COUNT);
    sizes z;
    if (!measure(&z, G, B, op->tensor[W] ? I : 0, H, scratch_bytes))
        return cpr_fail(CPR_ERR_ARGUMENT, "%s: the scratch memory would be too large", name);
    return CPR_OK;
}

static int64_t step_of(const cpr_tensor *t, int32_t k)
{
    return t->dim[k] > 1 ? t->stride[k] : 0;
}

/* Element [d, b, 0] of a state. */
static float *state_row(const cpr_op *op, int32_t i, int64_t d, int64_t b)
{
    const cpr_tensor *t = op->tensor[i];
    return (float *)op->data[i] + d * step_of(t, 0) + b * step_of(t, 1);
}

void cpr_recurrent_read(const cpr_cells *s, int32_t i, float *to)
{
    const cpr_tensor *t = cpr_recurrent_operand(s->op, i);
    memset(to, 0, (size_t)(s->B * s->state_step) * sizeof *to);
    for (int64_t b = 0; t && b < s->B; b++) {
        const float *from = state_row(s->op, i, s->side, s->first + b);
        for (int64_t k = 0; k < s->H; k++)
            to[b * s->state_step + k] = from[k * step_of(t, 2)];
    }
}

void cpr_recurrent_write(const cpr_cells *s, int32_t i, const float *from)
{
    const cpr_tensor *t = cpr_recurrent_operand(s->op, i);
    for (int64_t b = 0; t && b < s->B; b++) {
        float *to = state_row(s->op, i, s->side, s->first + b);
        for (int64_t k = 0; k < s->H; k++)
            to[k * step_of(t, 2)] = from[b * s->state_step + k];
    }
}

/* What every row of gates begins with: the sums of both biases. */
static void add_biases(const cpr_cells *s)
{
    const int64_t H = s->H;
    memset(s->start, 0, (size_t)(s->G * s->S) * sizeof *s->start);
    for (int64_t g = 0; s->bias && g < s->G; g++) {
        const float *own = s->bias + g * H, *recurrent = own + s->G * H;
        /* gru with linear_before_reset multiplies the candidate's recurrent bias by r. */
        const bool both = s->kind != CPR_GRU || !s->flag || g < 2;
        for (int64_t j = 0; j < H; j++)
            s->start[g * s->S + j] = both ? own[j] + recurrent[j] : own[j];
    }
}

/* to += what W x gives the gates of a row, G of H values; to has S from one gate to the next. */
static void add_projected(const cpr_cells *s, const float *from, int64_t apart, float *to)
{
    for (int64_t g = 0; g < s->G; g++, to += s->S, from += s->H * apart) {
        if (apart == 1)
            s->ops->sum(s->H, from, to);
        else
            for (int64_t j = 0; j < s->H; j++)
                to[j] += from[j * apart];
    }
}

/* Inputs and biases of `steps` steps from `first` on, and the products of both. */
static void project(const cpr_cells *s, int64_t first, int64_t steps)
{
    const cpr_tensor *x = s->op->tensor[X];
    const int64_t width = s->G * s->S, apart = step_of(x, 2);
    for (int64_t row = 0; row < steps * s->B; row++) {
        const int64_t step = first + row / s->B, b = row % s->B;
        const float *from = (const float *)s->op->data[X] + cpr_cell_time(s, b, step) * step_of(x, 0) +
                            (s->first + b) * step_of(x, 1);
        float *to = s->inputs + row * s->input_step;
        if (!s->w.data) {
            memcpy(s->gates + row * width, s->start, (size_t)width * sizeof *to);
            add_projected(s, from, apart, s->gates + row * width);
            continue;
        }
        if (apart == 1)
            memcpy(to, from, (size_t)s->I * sizeof *to);
        else
            for (int64_t k = 0; k < s->I; k++)
                to[k] = from[k * apart];
        memcpy(s->gates + row * width, s->start, (size_t)width * sizeof *to);
    }
    if (s->w.data)
        cpr_recurrent_product(s, s->inputs, s->input_step, &s->w, 0, width / CPR_PANEL, s->gates, width, steps * s->B);
}

/* Y at the times of this step; 0 where a sequence has ended. */
static void write_step(const cpr_cells *s, int32_t i, int64_t step)
{
    const cpr_tensor *y = cpr_recurrent_operand(s->op, i);
    for (int64_t b = 0; y && b < s->B; b++) {
        float *to = (float *)s->op->data[i] + cpr_cell_time(s, b, step) * step_of(y, 0) + s->side * step_of(y, 1) +
                    (s->first + b) * step_of(y, 2);
        const bool active = cpr_cell_active(s, b, step);
        for (int64_t k = 0; k < s->H; k++)
            to[k * step_of(y, 3)] = active ? s->h[b * s->state_step + k] : 0.0f;
    }
}

static void run_side(cpr_cells *s, const layout *l)
{
    add_biases(s);
    cpr_recurrent_read(s, H0, s->h);
    cpr_recurrent_read(s, l->c0, s->c);
    for (int64_t first = 0; first < s->T; first += s->chunk) {
        const int64_t steps = s->T - first < s->chunk ? s->T - first : s->chunk;
        project(s, first, steps);
        for (int64_t i = 0; i < steps; i++) {
            s->step = first + i;
            cpr_recurrent_step(s, s->gates + i * s->B * s->G * s->S);
            write_step(s, l->y, s->step);
        }
    }
    cpr_recurrent_write(s, l->y_h, s->h);
    cpr_recurrent_write(s, l->y_c, s->c);
}

cpr_status cpr_recurrent_lengths(const cpr_cells *s, const char *name)
{
    for (int64_t b = 0; s->lengths && b < s->B; b++) {
        const int32_t length = s->lengths[b * s->length_step];
        if (length < 0 || length > s->T)
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: sequence length %d is not in 0..%lld", name, length, (long long)s->T);
    }
    return CPR_OK;
}

static void take_scratch(cpr_cells *s)
{
    sizes z;
    int64_t bytes;
    (void)measure(&z, s->G, s->B, s->I, s->H, &bytes); /* check has proven that it fits */
    s->S = z.S;
    s->state_step = z.state_step;
    s->input_step = z.input_step;
    s->gates = (float *)s->op->scratch;
    s->inputs = s->gates + z.rows * s->G * z.S;
    s->h = s->inputs + z.rows * z.input_step;
    s->c = s->h + s->B * z.state_step;
    s->extra = s->c + s->B * z.state_step;
    s->start = s->extra + s->B * z.state_step;
    s->halves = (uint16_t *)(s->gates + z.halves);
}

static cpr_cells cells_of(int32_t kind, const cpr_op *op, int64_t first, int64_t count)
{
    const layout *l = &layouts[kind];
    const cpr_tensor *x = op->tensor[X], *lengths = cpr_recurrent_operand(op, LENGTHS);
    const double bound = cpr_arg_float(op, 1);
    const int64_t H = op->args[op->n_args - 1], length_step = lengths ? step_of(lengths, 0) : 0;
    return (cpr_cells){
        .op = op, .ops = CPR_PICK(cpr_recurrent), .kind = kind, .T = x->dim[0], .B = count, .I = op->tensor[W] ? x->dim[2] : 0,
        .H = H, .G = l->gates, .D = op->args[0] == 2 ? 2 : 1, .first = first, .batch = x->dim[1],
        .product = op->tensor[R]->dtype == CPR_BF16 ? cpr_bf16_kind(CPR_F32) : cpr_f32_kind(),
        .bound = bound > 0 ? (float)bound : INFINITY, .flag = op->args[2] != 0,
        .lengths = lengths ? (const int32_t *)op->data[LENGTHS] + first * length_step : NULL,
        .length_step = length_step, .saved_row = l->parts * H};
}

/* Point to the operands of a direction. */
static void take_side(cpr_cells *s, const layout *l, int64_t side)
{
    const cpr_op *op = s->op;
    const int64_t panels = s->G * s->S / CPR_PANEL, width = s->G * s->H;
    s->side = (int32_t)side;
    s->reverse = op->args[0] == 1 || side == 1;
    const int64_t w_bytes = panels * cpr_panel_bytes(&s->product, 1, s->I), r_bytes = panels * cpr_panel_bytes(&s->product, 1, s->H);
    s->w = (cpr_recurrent_weights){op->tensor[W] ? (const char *)op->data[W] + side * w_bytes : NULL, s->I};
    s->r = (cpr_recurrent_weights){(const char *)op->data[R] + side * r_bytes, s->H};
    s->bias = cpr_recurrent_operand(op, BIAS) ? (const float *)op->data[BIAS] + side * 2 * width : NULL;
    s->peephole = cpr_recurrent_operand(op, l->p) ? (const float *)op->data[l->p] + side * 3 * s->H : NULL;
    if (cpr_recurrent_operand(op, l->saved))
        s->saved = (float *)op->data[l->saved] + side * s->T * s->batch * s->saved_row;
    for (int32_t i = 0; i < l->activations; i++) {
        const int32_t at = 3 + 3 * ((int32_t)side * l->activations + i);
        s->activation[i] = (cpr_activation){cpr_unary()->f[op->args[at]], (float)cpr_arg_float(op, at + 1),
                                            (float)cpr_arg_float(op, at + 2)};
    }
}

static void run_part(int32_t kind, const cpr_op *op, int64_t first, int64_t count)
{
    cpr_cells s = cells_of(kind, op, first, count);
    s.chunk = count < ROWS ? ROWS / count : 1;
    take_scratch(&s);
    for (int64_t side = 0; side < s.D; side++) {
        take_side(&s, &layouts[kind], side);
        run_side(&s, &layouts[kind]);
    }
}

static cpr_status run(int32_t kind, const cpr_op *op, cpr_recurrent_part *part)
{
    const cpr_cells s = cells_of(kind, op, 0, op->tensor[X]->dim[1]);
    const cpr_status status = cpr_recurrent_lengths(&s, layouts[kind].name);
    if (status || s.B == 0)
        return status;
    const double work = (double)s.T * (double)s.B * (double)(s.I + s.H) * (double)(s.D * s.G * s.H);
    cpr_recurrent_over(op, s.B, (int64_t)(work < 1e15 ? work : 1e15) / s.product.speed, part);
    return CPR_OK;
}

static cpr_status check_lstm(const cpr_op *op, int64_t *scratch_bytes)
{
    return check(CPR_LSTM, op, scratch_bytes);
}

static void part_lstm(const cpr_op *op, int64_t first, int64_t count)
{
    run_part(CPR_LSTM, op, first, count);
}

static cpr_status run_lstm(const cpr_op *op)
{
    return run(CPR_LSTM, op, part_lstm);
}

const cpr_kernel cpr_k_lstm = {"lstm", check_lstm, run_lstm};

static cpr_status check_gru(const cpr_op *op, int64_t *scratch_bytes)
{
    return check(CPR_GRU, op, scratch_bytes);
}

static void part_gru(const cpr_op *op, int64_t first, int64_t count)
{
    run_part(CPR_GRU, op, first, count);
}

static cpr_status run_gru(const cpr_op *op)
{
    return run(CPR_GRU, op, part_gru);
}

const cpr_kernel cpr_k_gru = {"gru", check_gru, run_gru};

static cpr_status check_rnn(const cpr_op *op, int64_t *scratch_bytes)
{
    return check(CPR_RNN, op, scratch_bytes);
}

static void part_rnn(const cpr_op *op, int64_t first, int64_t count)
{
    run_part(CPR_RNN, op, first, count);
}

static cpr_status run_rnn(const cpr_op *op)
{
    return run(CPR_RNN, op, part_rnn);
}

const cpr_kernel cpr_k_rnn = {"rnn", check_rnn, run_rnn};

/* recurrent.c - lstm, gru, rnn: checks, and the walk over directions and time.
 * Operands and args: libcore/README.md. */
#include "recurrent/recurrent.h"

#include <math.h>
#include <string.h>

enum { ROWS = 64, LIMIT = 1 << 28 };

/* Where the operands of each operator stand; -1: it has none. */
typedef struct {
    const char *name;
    int32_t gates, activations, operands;
    int32_t c0, p, y, y_h, y_c;
} layout;

enum { X, W, R, BIAS, LENGTHS, H0 };

static const layout layouts[] = {
    [CPR_LSTM] = {"lstm", 4, 3, 11, 6, 7, 8, 9, 10},
    [CPR_GRU] = {"gru", 3, 2, 8, -1, -1, 6, 7, -1},
    [CPR_RNN] = {"rnn", 1, 1, 8, -1, -1, 6, 7, -1},
};

static const cpr_tensor *operand(const cpr_op *op, int32_t i)
{
    return i >= 0 && i < op->n_tensors ? op->tensor[i] : NULL;
}

/* Whether t is absent, or has the dtype and exactly these dims. */
static bool fits(const cpr_tensor *t, int32_t dtype, int32_t rank, const int64_t *dim)
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

static cpr_status check(int32_t kind, const cpr_op *op, int64_t *scratch_bytes)
{
    const layout *l = &layouts[kind];
    const char *name = l->name;
    CPR_REQUIRE(name, op->n_tensors >= 3 && op->n_tensors <= l->operands && op->tensor[X] && op->tensor[W] && op->tensor[R]);
    CPR_REQUIRE(name, op->tensor[X]->rank == 3 && op->tensor[R]->rank == 3 && op->n_args >= 1);
    CPR_REQUIRE(name, op->args[0] >= 0 && op->args[0] <= 2);
    const int64_t T = op->tensor[X]->dim[0], B = op->tensor[X]->dim[1], I = op->tensor[X]->dim[2];
    const int64_t D = op->args[0] == 2 ? 2 : 1, H = op->tensor[R]->dim[1], G = l->gates;
    CPR_REQUIRE(name, op->n_args == 3 + 3 * D * l->activations);
    CPR_REQUIRE(name, T < LIMIT && B < LIMIT && I < LIMIT && H < LIMIT && H >= 1);
    const int64_t w[] = {D, I, G * H}, r[] = {D, H, G * H}, bias[] = {D, 2 * G * H}, state[] = {D, B, H};
    const int64_t p[] = {D, 3 * H}, y[] = {T, D, B, H};
    CPR_REQUIRE(name, fits(op->tensor[X], CPR_F32, 3, op->tensor[X]->dim));
    CPR_REQUIRE(name, fits(op->tensor[W], CPR_F32, 3, w) && cpr_is_contiguous(op->tensor[W]));
    CPR_REQUIRE(name, fits(op->tensor[R], CPR_F32, 3, r) && cpr_is_contiguous(op->tensor[R]));
    const cpr_tensor *b = operand(op, BIAS), *peephole = operand(op, l->p);
    CPR_REQUIRE(name, fits(b, CPR_F32, 2, bias) && (!b || cpr_is_contiguous(b)));
    CPR_REQUIRE(name, fits(peephole, CPR_F32, 2, p) && (!peephole || cpr_is_contiguous(peephole)));
    CPR_REQUIRE(name, fits(operand(op, LENGTHS), CPR_S32, 1, &B));
    CPR_REQUIRE(name, fits(operand(op, H0), CPR_F32, 3, state) && fits(operand(op, l->c0), CPR_F32, 3, state));
    CPR_REQUIRE(name, fits(operand(op, l->y), CPR_F32, 4, y));
    CPR_REQUIRE(name, fits(operand(op, l->y_h), CPR_F32, 3, state) && fits(operand(op, l->y_c), CPR_F32, 3, state));
    const int32_t outputs[] = {l->y, l->y_h, l->y_c};
    for (int32_t i = 0; i < 3; i++)
        CPR_REQUIRE(name, !operand(op, outputs[i]) || cpr_is_output(operand(op, outputs[i])));
    for (int64_t i = 0; i < D * l->activations; i++)
        CPR_REQUIRE(name, op->args[3 + 3 * i] >= 0 && op->args[3 + 3 * i] < CPR_UNARY_COUNT);
    const int64_t rows = B > ROWS ? B : ROWS;
    int64_t floats, states;
    if (__builtin_mul_overflow(rows, G * H + I, &floats) || __builtin_mul_overflow(4 * B, H, &states) ||
        __builtin_add_overflow(floats, states, &floats) || floats > INT64_MAX / 1024)
        return cpr_fail(CPR_ERR_ARGUMENT, "%s: the scratch memory would be too large", name);
    *scratch_bytes = floats * (int64_t)sizeof(float);
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

static void read_state(const cpr_cells *s, int32_t i, float *to)
{
    const cpr_tensor *t = operand(s->op, i);
    memset(to, 0, (size_t)(s->B * s->H) * sizeof *to);
    for (int64_t b = 0; t && b < s->B; b++) {
        const float *from = state_row(s->op, i, s->side, b);
        for (int64_t k = 0; k < s->H; k++)
            to[b * s->H + k] = from[k * step_of(t, 2)];
    }
}

static void write_state(const cpr_cells *s, int32_t i, const float *from)
{
    const cpr_tensor *t = operand(s->op, i);
    for (int64_t b = 0; t && b < s->B; b++) {
        float *to = state_row(s->op, i, s->side, b);
        for (int64_t k = 0; k < s->H; k++)
            to[k * step_of(t, 2)] = from[b * s->H + k];
    }
}

/* The time that sequence b is at. */
static int64_t time_of(const cpr_cells *s, int64_t b, int64_t step)
{
    if (!s->reverse || !cpr_cell_active(s, b, step))
        return step;
    return (s->lengths ? s->lengths[b * s->length_step] : s->T) - 1 - step;
}

/* Inputs and biases of `steps` steps from `first` on, and the products of both. */
static void project(const cpr_cells *s, int64_t first, int64_t steps)
{
    const cpr_tensor *x = s->op->tensor[X];
    const int64_t width = s->G * s->H;
    for (int64_t row = 0; row < steps * s->B; row++) {
        const int64_t step = first + row / s->B, b = row % s->B;
        const float *from = (const float *)s->op->data[X] + time_of(s, b, step) * step_of(x, 0) + b * step_of(x, 1);
        for (int64_t k = 0; k < s->I; k++)
            s->inputs[row * s->I + k] = from[k * step_of(x, 2)];
        float *gate = s->gates + row * width;
        memset(gate, 0, (size_t)width * sizeof *gate);
        if (!s->bias)
            continue;
        /* gru with linear_before_reset multiplies the candidate's recurrent bias by r. */
        const int64_t both = s->kind == CPR_GRU && s->flag ? 2 * s->H : width;
        for (int64_t j = 0; j < width; j++)
            gate[j] = j < both ? s->bias[j] + s->bias[width + j] : s->bias[j];
    }
    cpr_recurrent_product(s, s->inputs, s->I, s->I, s->w, width, s->gates, width, steps * s->B, width);
}

/* Y at the times of this step; 0 where a sequence has ended. */
static void write_step(const cpr_cells *s, int32_t i, int64_t step)
{
    const cpr_tensor *y = operand(s->op, i);
    for (int64_t b = 0; y && b < s->B; b++) {
        float *to = (float *)s->op->data[i] + time_of(s, b, step) * step_of(y, 0) + s->side * step_of(y, 1) +
                    b * step_of(y, 2);
        const bool active = cpr_cell_active(s, b, step);
        for (int64_t k = 0; k < s->H; k++)
            to[k * step_of(y, 3)] = active ? s->h[b * s->H + k] : 0.0f;
    }
}

static void run_side(cpr_cells *s, const layout *l)
{
    read_state(s, H0, s->h);
    read_state(s, l->c0, s->c);
    for (int64_t first = 0; first < s->T; first += s->chunk) {
        const int64_t steps = s->T - first < s->chunk ? s->T - first : s->chunk;
        project(s, first, steps);
        for (int64_t i = 0; i < steps; i++) {
            s->step = first + i;
            cpr_recurrent_step(s, s->gates + i * s->B * s->G * s->H);
            write_step(s, l->y, s->step);
        }
    }
    write_state(s, l->y_h, s->h);
    write_state(s, l->y_c, s->c);
}

static cpr_status check_lengths(const cpr_cells *s, const char *name)
{
    for (int64_t b = 0; s->lengths && b < s->B; b++) {
        const int32_t length = s->lengths[b * s->length_step];
        if (length < 0 || length > s->T)
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: sequence length %d is not in 0..%lld", name, length, (long long)s->T);
    }
    return CPR_OK;
}

static cpr_status run(int32_t kind, const cpr_op *op)
{
    const layout *l = &layouts[kind];
    const cpr_tensor *x = op->tensor[X], *lengths = operand(op, LENGTHS);
    const cpr_recurrent_ops *ops = CPR_PICK(cpr_recurrent);
    const double bound = cpr_arg_float(op, 1);
    cpr_cells s = {.op = op, .ops = ops, .kind = kind, .T = x->dim[0], .B = x->dim[1], .I = x->dim[2],
                   .H = op->tensor[R]->dim[1], .G = l->gates, .D = op->args[0] == 2 ? 2 : 1,
                   .bound = bound > 0 ? (float)bound : INFINITY, .flag = op->args[2] != 0,
                   .lengths = lengths ? op->data[LENGTHS] : NULL, .length_step = lengths ? step_of(lengths, 0) : 0};
    const cpr_status status = check_lengths(&s, l->name);
    if (status || s.B == 0)
        return status;
    s.chunk = s.B < ROWS ? ROWS / s.B : 1;
    const int64_t width = s.G * s.H;
    s.gates = (float *)op->scratch;
    s.inputs = s.gates + s.chunk * s.B * width;
    s.h = s.inputs + s.chunk * s.B * s.I;
    s.c = s.h + s.B * s.H;
    s.extra = s.c + s.B * s.H;
    for (int64_t side = 0; side < s.D; side++) {
        s.side = (int32_t)side;
        s.reverse = op->args[0] == 1 || side == 1;
        s.w = (const float *)op->data[W] + side * s.I * width;
        s.r = (const float *)op->data[R] + side * s.H * width;
        s.bias = operand(op, BIAS) ? (const float *)op->data[BIAS] + side * 2 * width : NULL;
        s.peephole = operand(op, l->p) ? (const float *)op->data[l->p] + side * 3 * s.H : NULL;
        for (int32_t i = 0; i < l->activations; i++) {
            const int32_t at = 3 + 3 * ((int32_t)side * l->activations + i);
            s.activation[i] = (cpr_activation){cpr_unary()->f[op->args[at]], (float)cpr_arg_float(op, at + 1),
                                               (float)cpr_arg_float(op, at + 2)};
        }
        run_side(&s, l);
    }
    return CPR_OK;
}

static cpr_status check_lstm(const cpr_op *op, int64_t *scratch_bytes)
{
    return check(CPR_LSTM, op, scratch_bytes);
}

static cpr_status run_lstm(const cpr_op *op)
{
    return run(CPR_LSTM, op);
}

const cpr_kernel cpr_k_lstm = {"lstm", check_lstm, run_lstm};

static cpr_status check_gru(const cpr_op *op, int64_t *scratch_bytes)
{
    return check(CPR_GRU, op, scratch_bytes);
}

static cpr_status run_gru(const cpr_op *op)
{
    return run(CPR_GRU, op);
}

const cpr_kernel cpr_k_gru = {"gru", check_gru, run_gru};

static cpr_status check_rnn(const cpr_op *op, int64_t *scratch_bytes)
{
    return check(CPR_RNN, op, scratch_bytes);
}

static cpr_status run_rnn(const cpr_op *op)
{
    return run(CPR_RNN, op);
}

const cpr_kernel cpr_k_rnn = {"rnn", check_rnn, run_rnn};
